// SPDX-License-Identifier: BSD-3-Clause
//! Sending and receiving on a pair, with limits.
//!
//! Each operation first tries. Only an operation that must wait takes a reference to the channel,
//! and to the token, so that both may be destroyed while it waits; and a send on a channel with a
//! hook, which may destroy the channel when the send displaces an element. The reference to the
//! channel is held until the operation has been counted.

use std::sync::Arc;

use becket_chan::{Recv, RecvError, Send, SendError, Token, TryRecvError};
use libc::{c_int, c_long};

use super::descriptor::{self, Slot, Zdesc};
use super::element::Element;
use super::lane::{Lane, Pair, on_pair};
use super::port::Port;
use super::{Chan, HOOKED, ZERO_COPY};
use crate::cancel::{self, Cancel};
use crate::current_token;
use crate::errno;
use crate::limit::{self, Until};
use crate::trace;

/// The limits of a call.
#[derive(Clone, Copy)]
pub(crate) struct Limits<'a> {
    pub(crate) timeout_ms: c_long,
    pub(crate) token: Option<&'a Token>,
    /// The element has no other owner: if it is not sent, it is undelivered.
    pub(crate) is_owned: bool,
}

impl<'a> Limits<'a> {
    #[inline]
    pub(crate) fn plain(timeout_ms: c_long) -> Self {
        Self { timeout_ms, token: None, is_owned: false }
    }

    /// # Safety
    ///
    /// The token is null or valid for the call.
    #[inline]
    pub(crate) unsafe fn with(timeout_ms: c_long, token: *const Cancel) -> Self {
        // SAFETY: the caller's promise.
        Self { timeout_ms, token: unsafe { cancel::token(token) }, is_owned: false }
    }

    /// No timeout and no token, nor one of the caller's callback.
    #[inline]
    fn waits_for_ever(&self) -> bool {
        self.timeout_ms < 0 && self.token.is_none() && !current_token::may_be()
    }

    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.is_some_and(Token::is_cancelled)
    }
}

/// The reference of a waiting operation to its channel, until the operation has been counted.
pub(crate) type Share = Option<Arc<Chan>>;

/// Sends. In every case the value is consumed.
#[inline]
fn offer<E: Element>(
    chan: &Arc<Chan>,
    pair: &Pair<E>,
    value: E,
    limits: Limits<'_>,
    share: &mut Share,
) -> Result<(), c_int> {
    if limits.timeout_ms == 0 {
        return pair.tx.try_send(value).map_err(|refused| {
            let code = if refused.is_closed() { chan.why_closed() } else { errno::EAGAIN };
            not_sent(pair, refused.into_inner(), limits.is_owned);
            code
        });
    }
    // One that goes on to wait has not failed.
    match pair.tx.send(value).now() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(refused)) => {
            not_sent(pair, refused.into_inner(), limits.is_owned);
            Err(chan.why_closed())
        }
        Err(operation) => offer_waiting(chan, pair, operation, limits, share),
    }
}

#[inline(never)]
fn offer_waiting<E: Element>(
    chan: &Arc<Chan>,
    pair: &Pair<E>,
    operation: Send<'_, E>,
    limits: Limits<'_>,
    share: &mut Share,
) -> Result<(), c_int> {
    let chan: &Arc<Chan> = share.insert(chan.clone());
    let token = limits.token.cloned().or_else(current_token::token);
    let sent = limit::drive(operation, Until::of(limits.timeout_ms), token.as_ref());
    let Err(failed) = sent else {
        return Ok(());
    };
    let cancelled = token.is_some_and(|token| token.is_cancelled());
    let code = match &failed {
        _ if cancelled => errno::ECANCELED,
        SendError::Closed(_) => chan.why_closed(),
        SendError::Cancelled(_) => errno::ECANCELED,
        _ => errno::ETIME,
    };
    let is_lost = code == errno::EPIPE || code == errno::ECANCELED;
    not_sent(pair, failed.into_inner(), is_lost || limits.is_owned);
    Err(code)
}

/// The value is undelivered, or its sender's.
fn not_sent<E: Element>(pair: &Pair<E>, value: E, is_lost: bool) {
    if is_lost {
        pair.lost(value);
    } else {
        pair.kept(&value);
    }
}

#[inline]
fn take<E: Element>(
    chan: &Arc<Chan>,
    pair: &Pair<E>,
    limits: Limits<'_>,
    share: &mut Share,
) -> Result<E, c_int> {
    if limits.timeout_ms == 0 {
        return pair.rx.try_recv().map_err(|refused| match refused {
            TryRecvError::Closed => chan.why_closed(),
            _ => errno::EAGAIN,
        });
    }
    match pair.rx.recv().now() {
        Ok(received) => received.map_err(|_| chan.why_closed()),
        Err(operation) => take_waiting(chan, operation, limits, share),
    }
}

#[inline(never)]
fn take_waiting<E: Element>(
    chan: &Arc<Chan>,
    operation: Recv<'_, E>,
    limits: Limits<'_>,
    share: &mut Share,
) -> Result<E, c_int> {
    let chan: &Arc<Chan> = share.insert(chan.clone());
    let token = limits.token.cloned().or_else(current_token::token);
    let received = limit::drive(operation, Until::of(limits.timeout_ms), token.as_ref());
    received.map_err(|failed| match failed {
        _ if token.is_some_and(|token| token.is_cancelled()) => errno::ECANCELED,
        RecvError::Closed => chan.why_closed(),
        RecvError::Cancelled => errno::ECANCELED,
        _ => errno::ETIME,
    })
}

/// A send on a plain channel that is over at once, or waits without any limit: the common cases. `None`: nothing has
/// happened yet, and [`send`] does it all.
///
/// It waits in the frame of C's call itself: after a switch the CPU predicts none of the returns, and each costs as
/// much as the rest of the wait.
///
/// # Safety
///
/// As for [`send`].
#[inline(always)]
pub(crate) unsafe fn send_plainly(
    chan: &Arc<Chan>,
    message: *const u8,
    limits: Limits<'_>,
) -> Option<Result<(), c_int>> {
    /// # Safety
    ///
    /// As for [`send`].
    #[inline(always)]
    unsafe fn on<E: Element>(
        chan: &Arc<Chan>,
        pair: &Pair<E>,
        message: *const u8,
        limits: Limits<'_>,
    ) -> Option<Result<(), c_int>> {
        let is_rendezvous = chan.is_rendezvous();
        if is_rendezvous && !limits.waits_for_ever() {
            return None;
        }
        // SAFETY: the caller's promise.
        let value = unsafe { E::load(message, chan.elem_size) }?;
        // An operation is made where it waits: it is not small, and would be copied there.
        let (share, sent) = if is_rendezvous {
            (Arc::clone(chan), pair.tx.send(value).wait())
        } else {
            // Not a try: one that goes on to wait has not failed.
            match pair.tx.send(value).now() {
                Ok(Ok(())) => {
                    chan.counters.sent.happened();
                    return Some(Ok(()));
                }
                Ok(Err(refused)) => {
                    not_sent(pair, refused.into_inner(), false);
                    return Some(sending_ended(chan, Err(chan.why_closed())));
                }
                Err(operation) if limits.waits_for_ever() => (Arc::clone(chan), operation.wait()),
                Err(_) => return None,
            }
        };
        let sent = sent.map_err(|refused| {
            let code = share.why_closed();
            not_sent(pair, refused.into_inner(), code == errno::EPIPE);
            code
        });
        Some(sending_ended(&share, sent))
    }
    if !chan.is_plain() {
        return None;
    }
    match &chan.lane {
        // SAFETY: the caller's promise; a lane is of its elements' size.
        Lane::W1(pair) => unsafe { on(chan, pair, message, limits) },
        // SAFETY: likewise.
        Lane::W5(pair) => unsafe { on(chan, pair, message, limits) },
        // SAFETY: likewise.
        Lane::W8(pair) => unsafe { on(chan, pair, message, limits) },
        Lane::Block(_) | Lane::Port(_) => None,
    }
}

/// A receive that is over at once, or waits without any limit, as [`send_plainly`].
///
/// # Safety
///
/// As for [`recv`].
#[inline(always)]
pub(crate) unsafe fn recv_plainly(
    chan: &Arc<Chan>,
    out: *mut u8,
    limits: Limits<'_>,
) -> Option<Result<(), c_int>> {
    /// # Safety
    ///
    /// As for [`recv`].
    #[inline(always)]
    unsafe fn on<E: Element>(
        chan: &Arc<Chan>,
        pair: &Pair<E>,
        out: *mut u8,
        limits: Limits<'_>,
    ) -> Option<Result<(), c_int>> {
        let is_rendezvous = chan.is_rendezvous();
        if is_rendezvous && !limits.waits_for_ever() {
            return None;
        }
        let (share, received) = if is_rendezvous {
            (Arc::clone(chan), pair.rx.recv().wait())
        } else {
            match pair.rx.recv().now() {
                Ok(Ok(value)) => {
                    // SAFETY: the caller's promise.
                    unsafe { value.store(out, chan.elem_size) };
                    chan.counters.received.happened();
                    return Some(Ok(()));
                }
                Ok(Err(_)) => return Some(receiving_ended(chan, Err(chan.why_closed()))),
                Err(operation) if limits.waits_for_ever() => (Arc::clone(chan), operation.wait()),
                Err(_) => return None,
            }
        };
        let received = match received {
            Ok(value) => {
                // SAFETY: the caller's promise.
                unsafe { value.store(out, share.elem_size) };
                landed(&share, &value);
                Ok(())
            }
            Err(_) => Err(share.why_closed()),
        };
        Some(receiving_ended(&share, received))
    }
    if !chan.is_plain() {
        return None;
    }
    match &chan.lane {
        // SAFETY: the caller's promise; a lane is of its elements' size.
        Lane::W1(pair) => unsafe { on(chan, pair, out, limits) },
        // SAFETY: likewise.
        Lane::W5(pair) => unsafe { on(chan, pair, out, limits) },
        // SAFETY: likewise.
        Lane::W8(pair) => unsafe { on(chan, pair, out, limits) },
        Lane::Block(_) | Lane::Port(_) => None,
    }
}

/// Sends an element without waiting, for a select: a would-block result is not counted.
///
/// # Safety
///
/// As for [`send`].
pub(crate) unsafe fn try_send(chan: &Arc<Chan>, message: *const u8) -> Result<(), c_int> {
    let limits = Limits::plain(0);
    let mut share = None;
    // SAFETY: the caller's promise.
    let sent = on_pair!(&chan.lane, pair => unsafe {
        send_on(chan, pair, message, limits, &mut share)
    }, port => {
        // SAFETY: likewise.
        unsafe { port.send(chan, message, limits, &mut share) }
    });
    if sent == Err(errno::EAGAIN) { sent } else { sending_ended(chan, sent) }
}

/// Receives an element without waiting, for a select: a would-block result is not counted.
///
/// # Safety
///
/// As for [`recv`].
pub(crate) unsafe fn try_recv(chan: &Arc<Chan>, out: *mut u8) -> Result<(), c_int> {
    let limits = Limits::plain(0);
    let mut share = None;
    // SAFETY: the caller's promise.
    let received = on_pair!(&chan.lane, pair => unsafe {
        recv_on(chan, pair, out, limits, &mut share)
    }, port => {
        // SAFETY: likewise.
        unsafe { recv_at(chan, &**port, out, limits, &mut share) }
    });
    if received == Err(errno::EAGAIN) { received } else { receiving_ended(chan, received) }
}

/// Sends an element.
///
/// # Safety
///
/// `message` is valid for reads of an element.
#[inline]
pub(crate) unsafe fn send(
    chan: &Arc<Chan>,
    message: *const u8,
    limits: Limits<'_>,
) -> Result<(), c_int> {
    if limits.is_cancelled() {
        // SAFETY: the caller's promise.
        return unsafe { send_cancelled(chan, message, limits) };
    }
    let mut share = if_hooked(chan);
    // SAFETY: the caller's promise; a lane is of its elements' size.
    let sent = on_pair!(&chan.lane, pair => unsafe {
        send_on(chan, pair, message, limits, &mut share)
    }, port => {
        // SAFETY: likewise.
        unsafe { port.send(chan, message, limits, &mut share) }
    });
    sending_ended(chan, sent)
}

/// Sends an element that is this library's own: if it is not sent, it goes to the undelivered hook,
/// and a message is released.
///
/// # Safety
///
/// As for [`send`].
pub(crate) unsafe fn send_owned(
    chan: &Arc<Chan>,
    message: *const u8,
    limits: Limits<'_>,
) -> Result<(), c_int> {
    // SAFETY: the caller's promise.
    let sent = unsafe { send(chan, message, Limits { is_owned: true, ..limits }) };
    if let (Err(_), Some(port)) = (sent, chan.port()) {
        // SAFETY: the caller's promise; it was not sent.
        unsafe { port.lose(message) };
    }
    sent
}

/// A send whose token was set before it began.
///
/// # Safety
///
/// As for [`send`].
#[cold]
unsafe fn send_cancelled(
    chan: &Arc<Chan>,
    message: *const u8,
    limits: Limits<'_>,
) -> Result<(), c_int> {
    if limits.is_owned {
        on_pair!(&chan.lane, pair => {
            // SAFETY: the caller's promise; a lane is of its elements' size.
            let value = unsafe { Element::load(message, chan.elem_size) };
            // Without memory for a copy there is none to show.
            if let Some(value) = value {
                pair.lost(value);
            }
        }, _port => {});
    }
    sending_ended(chan, Err(errno::ECANCELED))
}

/// A reference to a channel that its hook may destroy.
#[inline]
fn if_hooked(chan: &Arc<Chan>) -> Share {
    chan.has(HOOKED).then(|| Arc::clone(chan))
}

/// # Safety
///
/// As for [`send`].
#[inline]
unsafe fn send_on<E: Element>(
    chan: &Arc<Chan>,
    pair: &Pair<E>,
    message: *const u8,
    limits: Limits<'_>,
    share: &mut Share,
) -> Result<(), c_int> {
    // SAFETY: the caller's promise.
    let value = unsafe { E::load(message, chan.elem_size) }.ok_or(errno::ENOMEM)?;
    offer(chan, pair, value, limits, share)
}

/// Receives an element.
///
/// # Safety
///
/// `out` is valid for writes of an element.
#[inline]
pub(crate) unsafe fn recv(chan: &Arc<Chan>, out: *mut u8, limits: Limits<'_>) -> Result<(), c_int> {
    if limits.is_cancelled() {
        return receiving_ended(chan, Err(errno::ECANCELED));
    }
    let mut share = None;
    // SAFETY: the caller's promise; a lane is of its elements' size.
    let received = on_pair!(&chan.lane, pair => unsafe {
        recv_on(chan, pair, out, limits, &mut share)
    }, port => {
        // SAFETY: likewise.
        unsafe { recv_at(chan, &**port, out, limits, &mut share) }
    });
    receiving_ended(chan, received)
}

/// # Safety
///
/// As for [`recv`].
#[inline]
unsafe fn recv_on<E: Element>(
    chan: &Arc<Chan>,
    pair: &Pair<E>,
    out: *mut u8,
    limits: Limits<'_>,
    share: &mut Share,
) -> Result<(), c_int> {
    let value = take(chan, pair, limits, share)?;
    // SAFETY: the caller's promise.
    unsafe { value.store(out, chan.elem_size) };
    landed(chan, &value);
    Ok(())
}

/// # Safety
///
/// As for [`recv`].
unsafe fn recv_at(
    chan: &Arc<Chan>,
    port: &dyn Port,
    out: *mut u8,
    limits: Limits<'_>,
    share: &mut Share,
) -> Result<(), c_int> {
    // SAFETY: the caller's promise.
    unsafe { port.recv(chan, out, limits, share) }?;
    chan.counters.received.happened();
    Ok(())
}

/// Counts a received element, or a descriptor where one may take an element's place.
#[inline]
pub(crate) fn landed<E: Element>(chan: &Chan, value: &E) {
    if chan.has(ZERO_COPY) && chan.mixes() && landed_mixed(chan, value) {
        return;
    }
    chan.counters.received.happened();
}

/// True if the value may be a descriptor, and was counted as what it is.
#[cold]
fn landed_mixed<E: Element>(chan: &Chan, value: &E) -> bool {
    value.as_slot().map(|slot| slot_landed(chan, &slot)).is_some()
}

/// Takes out a received value that may be a descriptor.
fn slot_landed(chan: &Chan, slot: &Slot) -> Zdesc {
    let zdesc = descriptor::land(slot);
    let received = &chan.counters.received;
    match descriptor::descriptor_len(slot) {
        Some(len) if chan.mixes() => received.descriptor_among_elements(len),
        Some(len) => received.descriptor(len),
        None => received.happened(),
    }
    zdesc
}

/// Counts the result of a send of an element.
#[inline(always)]
fn sending_ended(chan: &Arc<Chan>, sent: Result<(), c_int>) -> Result<(), c_int> {
    match sent {
        Ok(()) => chan.sent(),
        Err(code) => chan.counters.send.note(code),
    }
    trace::ended(chan, "send", sent);
    sent
}

/// Counts the result of a receive of an element; a success was counted with its element.
#[inline(always)]
fn receiving_ended(chan: &Arc<Chan>, received: Result<(), c_int>) -> Result<(), c_int> {
    match received {
        Ok(()) => chan.tell(),
        Err(code) => chan.counters.recv.note(code),
    }
    trace::ended(chan, "recv", received);
    received
}

/// Sends a descriptor. The caller uses the channel afterwards only while it holds the reference.
pub(crate) fn send_descriptor(
    chan: &Arc<Chan>,
    desc: Zdesc,
    limits: Limits<'_>,
    share: &mut Share,
) -> Result<(), c_int> {
    if limits.is_cancelled() {
        return Err(chan.counters.send.count(errno::ECANCELED));
    }
    let pair = chan.descriptor_pair()?;
    let slot = desc.launch().ok_or(errno::EINVAL)?;
    *share = if_hooked(chan);
    let sent = offer(chan, pair, slot, limits, share);
    match sent {
        Ok(()) => {
            if chan.mixes() {
                chan.counters.sent.descriptor_among_elements(desc.len);
            } else {
                chan.counters.sent.descriptor(desc.len);
            }
            chan.tell();
        }
        Err(code) => chan.counters.send.note(code),
    }
    trace::ended(chan, "send_ptr", sent);
    sent
}

/// Receives a descriptor. The reference is as for [`send_descriptor`].
pub(crate) fn recv_descriptor(
    chan: &Arc<Chan>,
    limits: Limits<'_>,
    share: &mut Share,
) -> Result<Zdesc, c_int> {
    if limits.is_cancelled() {
        return Err(chan.counters.recv.count(errno::ECANCELED));
    }
    let taken = take(chan, chan.descriptor_pair()?, limits, share);
    trace::ended(chan, "recv_ptr", taken.as_ref().map(|_| ()).map_err(|code| *code));
    let slot = taken.map_err(|code| chan.counters.recv.count(code))?;
    let zdesc = slot_landed(chan, &slot);
    chan.tell();
    Ok(zdesc)
}
