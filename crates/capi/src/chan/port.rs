// SPDX-License-Identifier: BSD-3-Clause
//! A lane whose values are not this library's own: the ends of a channel that Rust has too, or a
//! channel of another process.
//!
//! ```text
//!   kc_chan_send ─► Chan ─► Lane::Port ─┬─ Ends<T>   Sender<T>, Receiver<T>: also in Rust's hands
//!                                       └─ Remote    a stream of a session (`session::remote`)
//! ```
//!
//! C's element is what the `Codec` makes of a value: the bytes of a `T`, or the handle of a message.
//!
//! # Safety
//!
//! `message` is valid for reads of an element, `out` for writes of one, until the call or the select
//! returns.

use std::sync::Arc;

use becket_chan::{
    Ready, Receiver, RecvCase, RecvError, Select, SendCase, SendError, Sender, Snapshot, Token,
    TryRecvError,
};
use libc::c_int;

use super::Chan;
use super::operate::{Limits, Share};
use crate::current_token;
use crate::errno;
use crate::limit::{self, Until};
use crate::session::remote::Outlet;

/// The operations of such a lane.
pub(crate) trait Port: Send + Sync {
    /// Sends. If it succeeds, the element is the channel's, else the caller's.
    ///
    /// # Safety
    ///
    /// See the module.
    unsafe fn send(
        &self,
        chan: &Arc<Chan>,
        message: *const u8,
        limits: Limits<'_>,
        share: &mut Share,
    ) -> Result<(), c_int>;

    /// Releases an element that was not sent, and that nothing else owns.
    ///
    /// # Safety
    ///
    /// See the module; the element is not used again.
    unsafe fn lose(&self, message: *const u8);

    /// Receives.
    ///
    /// # Safety
    ///
    /// See the module.
    unsafe fn recv(
        &self,
        chan: &Arc<Chan>,
        out: *mut u8,
        limits: Limits<'_>,
        share: &mut Share,
    ) -> Result<(), c_int>;

    /// Adds a receive to a select.
    ///
    /// # Safety
    ///
    /// See the module.
    unsafe fn join_recv<'a>(
        &'a self,
        select: &mut Select<'a>,
        out: *mut u8,
    ) -> Result<Box<dyn PortCase + 'a>, c_int>;

    /// Adds a send to a select.
    ///
    /// # Safety
    ///
    /// See the module.
    unsafe fn join_send<'a>(
        &'a self,
        select: &mut Select<'a>,
        message: *const u8,
    ) -> Result<Box<dyn PortCase + 'a>, c_int>;

    /// Where a select waits in place of `join_recv` or `join_send`, and keeps it while it waits.
    fn bridge(&self, _sends: bool) -> Option<Box<dyn Bridge + '_>> {
        None
    }

    /// Whether a select may have it as a clause.
    fn can_select(&self, sends: bool) -> bool;

    /// Closed when the handle is destroyed, if a select would not notice it otherwise.
    fn over(&self) -> Option<&Receiver<()>> {
        None
    }

    /// A clause of a select has completed.
    fn passed(&self, _sent: bool, _bytes: usize) {}

    /// Closes the channel, for all its users.
    fn close(&self);

    /// Its handle is destroyed.
    fn destroy(&self);

    fn snapshot(&self) -> Snapshot;

    /// Its stream to another process.
    fn remote_outlet(&self) -> Option<&Outlet> {
        None
    }

    /// The Rust ends of a channel of messages.
    fn messages(&self) -> Option<&Ends<becket_ipc::Element>> {
        None
    }
}

/// The local channel at which a select waits for a channel of another process.
pub(crate) trait Bridge {
    /// Where messages arrive, of a receive.
    fn receiver(&self) -> Option<&Receiver<becket_ipc::Element>>;

    /// What messages are sent into, of a send.
    fn sender(&self) -> Option<&Sender<becket_ipc::Element>>;

    /// Why it was found closed. `None`: there is another connection, and the select is made again.
    fn why_closed(&self) -> Option<c_int>;
}

/// A clause of a waiting select.
pub(crate) trait PortCase {
    /// The result of this clause, which has completed: the number of bytes, `EPIPE` if it was closed.
    fn result(&self, ready: &Ready<'_, '_>) -> Result<usize, c_int>;
}

/// How a value is an element of C.
pub(crate) trait Codec<T>: 'static {
    /// The value of an element, which stays C's. An error: it is no element.
    ///
    /// # Safety
    ///
    /// See the module.
    unsafe fn load(message: *const u8) -> Result<T, c_int>;

    /// As [`load`](Self::load), for a send that ends in this call: what need not be copied is moved.
    ///
    /// # Safety
    ///
    /// See the module. [`put_back`](Self::put_back) or [`sent`](Self::sent) follows.
    unsafe fn take(message: *const u8) -> Result<T, c_int> {
        // SAFETY: the caller's promise.
        unsafe { Self::load(message) }
    }

    /// The value was not sent: the element has it again.
    ///
    /// # Safety
    ///
    /// See the module; the value is that of `take`.
    unsafe fn put_back(_message: *const u8, _value: T) {}

    /// The element was sent: it is C's no longer.
    ///
    /// # Safety
    ///
    /// See the module; called once.
    unsafe fn sent(message: *const u8);

    /// The bytes of a value, as they are counted.
    fn bytes(value: &T) -> usize;

    /// Makes an element for C.
    ///
    /// # Safety
    ///
    /// See the module.
    unsafe fn store(value: T, out: *mut u8);

    /// The ends, if they are those of a channel of messages.
    fn messages(_: &Ends<T, Self>) -> Option<&Ends<becket_ipc::Element>>
    where
        Self: Sized,
    {
        None
    }
}

/// One end or both of a channel, whose other handles are in Rust.
pub(crate) struct Ends<T, C = crate::session::msg::Messages> {
    pub(crate) tx: Option<Sender<T>>,
    pub(crate) rx: Option<Receiver<T>>,
    codec: std::marker::PhantomData<fn() -> C>,
}

impl<T, C> Ends<T, C> {
    pub(crate) fn new(tx: Option<Sender<T>>, rx: Option<Receiver<T>>) -> Self {
        Self { tx, rx, codec: std::marker::PhantomData }
    }

    fn tx(&self) -> Result<&Sender<T>, c_int> {
        self.tx.as_ref().ok_or(errno::ENOTSUP)
    }

    fn rx(&self) -> Result<&Receiver<T>, c_int> {
        self.rx.as_ref().ok_or(errno::ENOTSUP)
    }
}

/// The code of a wait that has ended without success.
fn stopped(token: Option<&Token>, is_closed: bool, is_cancelled: bool) -> c_int {
    match token {
        Some(token) if token.is_cancelled() => errno::ECANCELED,
        _ if is_closed => errno::EPIPE,
        _ if is_cancelled => errno::ECANCELED,
        _ => errno::ETIME,
    }
}

impl<T: Send + 'static, C: Codec<T>> Port for Ends<T, C> {
    unsafe fn send(
        &self,
        chan: &Arc<Chan>,
        message: *const u8,
        limits: Limits<'_>,
        share: &mut Share,
    ) -> Result<(), c_int> {
        let tx = self.tx()?;
        // SAFETY: the caller's promise.
        let value = unsafe { C::take(message) }?;
        if let Err(refused) = tx.try_send(value) {
            let is_closed = refused.is_closed();
            let value = refused.into_inner();
            let failed = if is_closed {
                Some((errno::EPIPE, value))
            } else if limits.timeout_ms == 0 {
                Some((errno::EAGAIN, value))
            } else {
                *share = Some(chan.clone());
                let token = limits.token.cloned().or_else(current_token::token);
                let sent =
                    limit::drive(tx.send(value), Until::of(limits.timeout_ms), token.as_ref());
                sent.err().map(|failed| {
                    let is_closed = matches!(failed, SendError::Closed(_));
                    let is_cancelled = matches!(failed, SendError::Cancelled(_));
                    (stopped(token.as_ref(), is_closed, is_cancelled), failed.into_inner())
                })
            };
            if let Some((code, value)) = failed {
                // SAFETY: the caller's promise; the value is the element's.
                unsafe { C::put_back(message, value) };
                return Err(code);
            }
        }
        // SAFETY: the caller's promise.
        unsafe { C::sent(message) };
        Ok(())
    }

    unsafe fn lose(&self, message: *const u8) {
        // SAFETY: the caller's promise: it is C's no longer, as one that was sent.
        unsafe { C::sent(message) };
    }

    unsafe fn recv(
        &self,
        chan: &Arc<Chan>,
        out: *mut u8,
        limits: Limits<'_>,
        share: &mut Share,
    ) -> Result<(), c_int> {
        let rx = self.rx()?;
        let value = match rx.try_recv() {
            Ok(value) => value,
            Err(TryRecvError::Closed) => return Err(errno::EPIPE),
            Err(_) if limits.timeout_ms == 0 => return Err(errno::EAGAIN),
            Err(_) => {
                *share = Some(chan.clone());
                let token = limits.token.cloned().or_else(current_token::token);
                let until = Until::of(limits.timeout_ms);
                limit::drive(rx.recv(), until, token.as_ref()).map_err(|failed| {
                    let is_closed = failed == RecvError::Closed;
                    stopped(token.as_ref(), is_closed, failed == RecvError::Cancelled)
                })?
            }
        };
        // SAFETY: the caller's promise.
        unsafe { C::store(value, out) };
        Ok(())
    }

    unsafe fn join_recv<'a>(
        &'a self,
        select: &mut Select<'a>,
        out: *mut u8,
    ) -> Result<Box<dyn PortCase + 'a>, c_int> {
        Ok(Box::new(Receives::<T, C>::new(select.recv(self.rx()?), out)))
    }

    unsafe fn join_send<'a>(
        &'a self,
        select: &mut Select<'a>,
        message: *const u8,
    ) -> Result<Box<dyn PortCase + 'a>, c_int> {
        let tx = self.tx()?;
        // SAFETY: the caller's promise.
        let value = unsafe { C::load(message) }?;
        let bytes = C::bytes(&value);
        Ok(Box::new(Sends::<T, C>::new(select.send(tx, value), message, bytes)))
    }

    fn can_select(&self, sends: bool) -> bool {
        if sends { self.tx.is_some() } else { self.rx.is_some() }
    }

    fn close(&self) {
        match (&self.tx, &self.rx) {
            (Some(tx), _) => tx.close(),
            (None, Some(rx)) => rx.close(),
            (None, None) => false,
        };
    }

    fn destroy(&self) {
        self.close();
    }

    fn snapshot(&self) -> Snapshot {
        match (&self.tx, &self.rx) {
            (Some(tx), _) => tx.snapshot(),
            (None, Some(rx)) => rx.snapshot(),
            (None, None) => nothing(),
        }
    }

    fn messages(&self) -> Option<&Ends<becket_ipc::Element>> {
        C::messages(self)
    }
}

/// A snapshot in which nothing has happened.
pub(crate) fn nothing() -> Snapshot {
    becket_chan::rendezvous::<()>().0.snapshot()
}

/// A receive of a select.
pub(crate) struct Receives<T, C> {
    case: RecvCase<T>,
    out: *mut u8,
    codec: std::marker::PhantomData<fn() -> C>,
}

impl<T, C> Receives<T, C> {
    pub(crate) fn new(case: RecvCase<T>, out: *mut u8) -> Self {
        Self { case, out, codec: std::marker::PhantomData }
    }
}

impl<T: Send, C: Codec<T>> PortCase for Receives<T, C> {
    fn result(&self, ready: &Ready<'_, '_>) -> Result<usize, c_int> {
        let value = ready.recv(self.case).ok_or(errno::EIO)?.map_err(|_| errno::EPIPE)?;
        let bytes = C::bytes(&value);
        // SAFETY: valid while the set waits, as `join_recv` was promised.
        unsafe { C::store(value, self.out) };
        Ok(bytes)
    }
}

/// A send of a select.
pub(crate) struct Sends<T, C> {
    case: SendCase<T>,
    message: *const u8,
    bytes: usize,
    codec: std::marker::PhantomData<fn() -> C>,
}

impl<T, C> Sends<T, C> {
    pub(crate) fn new(case: SendCase<T>, message: *const u8, bytes: usize) -> Self {
        Self { case, message, bytes, codec: std::marker::PhantomData }
    }
}

impl<T: Send, C: Codec<T>> PortCase for Sends<T, C> {
    fn result(&self, ready: &Ready<'_, '_>) -> Result<usize, c_int> {
        match ready.send(self.case) {
            Some(Ok(())) => {
                // SAFETY: valid while the set waits, as `join_send` was promised; once completed.
                unsafe { C::sent(self.message) };
                Ok(self.bytes)
            }
            Some(Err(SendError::Closed(_))) => Err(errno::EPIPE),
            _ => Err(errno::EIO),
        }
    }
}
