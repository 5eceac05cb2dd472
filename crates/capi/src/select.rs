// SPDX-License-Identifier: BSD-3-Clause
//! `kc_select_t`: one of several sends and receives.
//!
//! A wait first tries its clauses in their order; the first that can complete does. The order of a
//! fair set begins behind the clause that completed last, so that of `n` clauses one that can
//! complete does within `n` waits. Only if none can is a `becket_chan::Select` built of them, which
//! queues the wait at each channel. It is dismantled at the end of the wait: no clause holds a queue
//! position, or an element, between two waits. For a channel of another process it has a local one
//! (`Bridge`) that belongs to one connection; if a session has made another one meanwhile, the wait
//! begins again, within the same limits.
//!
//! # Safety
//!
//! The places that clauses read from and write to are C's, and valid during a wait, as the header
//! says.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use becket_chan::{Ready, RecvCase, Select, SelectError, SendCase, SendError, Token};
use libc::{c_int, c_long, c_void};
use smallvec::SmallVec;

use crate::boundary::{answer, call, code};
use crate::cancel::{self, Cancel};
use crate::chan::element::{Block, Element, Inline};
use crate::chan::hook::quietly;
use crate::chan::lane::{Lane, Pair};
use crate::chan::operate;
use crate::chan::port::{Bridge, Codec as _, PortCase, Receives, Sends};
use crate::chan::{Chan, lent};
use crate::current_token;
use crate::errno;
use crate::handle::{place, write_any};
use crate::limit::{self, Until};
use crate::session::msg::Messages;

/// `kc_select_t`. One thread or coroutine at a time uses it.
#[derive(Default)]
pub struct SelectSet {
    token: Option<Token>,
    clauses: Vec<Clause>,
    is_fair: bool,
    /// Where the next wait begins, if it is fair.
    first: AtomicUsize,
}

struct Clause {
    /// A reference: the channel may be destroyed while the set contains it.
    chan: Arc<Chan>,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    Out(*mut u8),
    Message(*const u8),
}

/// A clause of a waiting select.
enum Case<'a> {
    W1(CaseOf<Inline<1>>),
    W5(CaseOf<Inline<5>>),
    W8(CaseOf<Inline<8>>),
    Block(CaseOf<Block>),
    Port(Box<dyn PortCase + 'a>),
}

/// Where a select waits for a channel of another process.
type Bridged<'a> = Box<dyn Bridge + 'a>;

enum CaseOf<E> {
    Recv(RecvCase<E>),
    Send(SendCase<E>),
}

/// The elements of its sends that did not complete stay C's.
struct Waiting<'a>(ManuallyDrop<Select<'a>>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // SAFETY: dropped only here.
        quietly(|| unsafe { ManuallyDrop::drop(&mut self.0) });
    }
}

impl SelectSet {
    fn add(&mut self, chan: &Arc<Chan>, place: Place) -> Result<(), c_int> {
        let sends = matches!(place, Place::Message(_));
        if !chan.takes_elements() || chan.port().is_some_and(|port| !port.can_select(sends)) {
            return Err(errno::ENOTSUP);
        }
        self.clauses.push(Clause { chan: chan.clone(), place });
        Ok(())
    }

    /// The clause that completed, and its result.
    fn wait(&self, until: Until) -> Result<(usize, c_int), c_int> {
        let token = self.token.clone().or_else(current_token::token);
        if token.as_ref().is_some_and(Token::is_cancelled) {
            return Err(errno::ECANCELED);
        }
        if self.clauses.is_empty() {
            return Err(errno::EINVAL);
        }
        let begin = if self.is_fair { self.first.load(Ordering::Relaxed) } else { 0 };
        let begin = begin % self.clauses.len();
        loop {
            let clauses = || self.clauses.iter().enumerate();
            for (index, clause) in clauses().skip(begin).chain(clauses().take(begin)) {
                let answer = clause.attempt();
                if answer != Err(errno::EAGAIN) {
                    return Ok((index, code(answer)));
                }
            }
            if until == Until::Now {
                return Err(errno::EAGAIN);
            }
            if let Some(done) = self.wait_in_line(begin, until, token.as_ref())? {
                return Ok(done);
            }
        }
    }

    /// Waits at every channel, in the order from `begin` on. `None`: a session has another
    /// connection, and the clauses are to be tried again.
    fn wait_in_line(
        &self,
        begin: usize,
        until: Until,
        token: Option<&Token>,
    ) -> Result<Option<(usize, c_int)>, c_int> {
        // A clause may be added, or the set be destroyed, by other code meanwhile: this wait holds
        // its own references.
        let in_order = || self.clauses.iter().skip(begin).chain(self.clauses.iter().take(begin));
        let chans: SmallVec<[Arc<Chan>; 8]> = in_order().map(|it| it.chan.clone()).collect();
        let bridges: SmallVec<[Option<Bridged<'_>>; 8]> =
            chans.iter().zip(in_order()).map(|(chan, clause)| clause.bridge(chan)).collect();
        let mut select = Waiting(ManuallyDrop::new(Select::new().biased()));
        let mut cases: SmallVec<[(Case<'_>, Place, usize); 8]> = SmallVec::new();
        for ((chan, clause), bridge) in chans.iter().zip(in_order()).zip(&bridges) {
            let case = clause.join(chan, bridge.as_deref(), &mut select.0)?;
            cases.push((case, clause.place, chan.elem_size));
        }
        // A handle may be destroyed meanwhile whose lane lives on.
        let mut overs: SmallVec<[usize; 8]> = SmallVec::new();
        for (index, chan) in chans.iter().enumerate() {
            if let Some(over) = chan.port().and_then(|port| port.over()) {
                select.0.recv(over);
                overs.push(index);
            }
        }
        let ready = limit::drive(select.0.ready(), until, token);
        let ready = ready.map_err(|error| match error {
            _ if token.is_some_and(Token::is_cancelled) => errno::ECANCELED,
            SelectError::Cancelled => errno::ECANCELED,
            _ => errno::ETIME,
        })?;
        let index = ready.index();
        if let Some(over) = index.checked_sub(cases.len()).and_then(|at| overs.get(at)) {
            return Ok(Some(((begin + over) % chans.len(), errno::EPIPE)));
        }
        let (Some((case, place, size)), Some(chan)) = (cases.get(index), chans.get(index)) else {
            return Err(errno::EIO);
        };
        let bridge = bridges.get(index).and_then(Option::as_deref);
        let Some(answer) = case.result(&ready, (*place, *size), chan, bridge) else {
            return Ok(None);
        };
        match (answer, place) {
            (Ok(()), Place::Out(_)) => chan.tell(),
            (Ok(()), Place::Message(_)) => chan.sent(),
            (Err(code), Place::Out(_)) => chan.counters.recv.note(code),
            (Err(code), Place::Message(_)) => chan.counters.send.note(code),
        }
        Ok(Some(((begin + index) % chans.len(), code(answer))))
    }
}

impl Clause {
    /// The result of the operation without waiting; a would-block result is not counted.
    fn attempt(&self) -> Result<(), c_int> {
        if !self.chan.takes_elements() {
            return Err(errno::ENOTSUP);
        }
        // SAFETY: the places are valid while the set waits.
        unsafe {
            match self.place {
                Place::Out(out) => operate::try_recv(&self.chan, out),
                Place::Message(message) => operate::try_send(&self.chan, message),
            }
        }
    }

    fn bridge<'a>(&self, chan: &'a Chan) -> Option<Bridged<'a>> {
        chan.port()?.bridge(matches!(self.place, Place::Message(_)))
    }

    /// An error: there is no memory for its element, or it is none.
    fn join<'a>(
        &self,
        chan: &'a Arc<Chan>,
        bridge: Option<&'a (dyn Bridge + 'a)>,
        select: &mut Select<'a>,
    ) -> Result<Case<'a>, c_int> {
        let case = match (&chan.lane, self.place, bridge) {
            (_, place, Some(bridge)) => place.join_bridge(bridge, select),
            // SAFETY: the places are valid while the set waits.
            (Lane::Port(port), Place::Out(out), None) => unsafe { port.join_recv(select, out) },
            // SAFETY: as above.
            (Lane::Port(port), Place::Message(message), None) => unsafe {
                port.join_send(select, message)
            },
            _ => return self.join_pair(chan, select).ok_or(errno::ENOMEM),
        };
        case.map(Case::Port)
    }

    fn join_pair<'a>(&self, chan: &'a Arc<Chan>, select: &mut Select<'a>) -> Option<Case<'a>> {
        Some(match &chan.lane {
            Lane::W1(pair) => Case::W1(self.place.join(pair, select, chan.elem_size)?),
            Lane::W5(pair) => Case::W5(self.place.join(pair, select, chan.elem_size)?),
            Lane::W8(pair) => Case::W8(self.place.join(pair, select, chan.elem_size)?),
            Lane::Block(pair) => Case::Block(self.place.join(pair, select, chan.elem_size)?),
            Lane::Port(_) => return None,
        })
    }
}

impl Place {
    fn join_bridge<'a>(
        self,
        bridge: &'a (dyn Bridge + 'a),
        select: &mut Select<'a>,
    ) -> Result<Box<dyn PortCase + 'a>, c_int> {
        match self {
            Self::Out(out) => {
                let from = bridge.receiver().ok_or(errno::ENOTSUP)?;
                Ok(Box::new(Receives::<_, Messages>::new(select.recv(from), out)))
            }
            Self::Message(message) => {
                let to = bridge.sender().ok_or(errno::ENOTSUP)?;
                // SAFETY: valid while the set waits.
                let element = unsafe { Messages::load(message) }?;
                let bytes = element.len();
                Ok(Box::new(Sends::<_, Messages>::new(select.send(to, element), message, bytes)))
            }
        }
    }

    fn join<'a, E: Element>(
        self,
        pair: &'a Pair<E>,
        select: &mut Select<'a>,
        size: usize,
    ) -> Option<CaseOf<E>> {
        Some(match self {
            Self::Out(_) => CaseOf::Recv(select.recv(&pair.rx)),
            Self::Message(from) => {
                // SAFETY: valid while the set waits.
                let value = unsafe { E::load(from, size) }?;
                CaseOf::Send(select.send(&pair.tx, value))
            }
        })
    }
}

impl Case<'_> {
    /// `None`: the clauses are to be tried again.
    fn result(
        &self,
        ready: &Ready<'_, '_>,
        (place, size): (Place, usize),
        chan: &Chan,
        bridge: Option<&dyn Bridge>,
    ) -> Option<Result<(), c_int>> {
        Some(match self {
            Self::W1(case) => case.result(ready, place, size, chan),
            Self::W5(case) => case.result(ready, place, size, chan),
            Self::W8(case) => case.result(ready, place, size, chan),
            Self::Block(case) => case.result(ready, place, size, chan),
            Self::Port(case) => match (case.result(ready), bridge) {
                (Ok(bytes), _) => {
                    happened(chan, place, bytes);
                    Ok(())
                }
                (Err(errno::EPIPE), Some(bridge)) => Err(bridge.why_closed()?),
                (Err(code), _) => Err(code),
            },
        })
    }
}

/// Counts a clause of a port that has completed.
fn happened(chan: &Chan, place: Place, bytes: usize) {
    let sends = matches!(place, Place::Message(_));
    if let Some(port) = chan.port() {
        port.passed(sends, bytes);
    }
    if !sends {
        chan.counters.received.happened();
    }
}

impl<E: Element> CaseOf<E> {
    fn result(
        &self,
        ready: &Ready<'_, '_>,
        place: Place,
        size: usize,
        chan: &Chan,
    ) -> Result<(), c_int> {
        match (self, place) {
            (Self::Recv(case), Place::Out(out)) => {
                let received = ready.recv(*case).ok_or(errno::EIO)?;
                let value = received.map_err(|_| chan.why_closed())?;
                // SAFETY: valid while the set waits.
                unsafe { value.store(out, size) };
                operate::landed(chan, &value);
                Ok(())
            }
            (Self::Send(case), _) => match ready.send(*case) {
                Some(Ok(())) => Ok(()),
                Some(Err(SendError::Closed(_))) => Err(chan.why_closed()),
                _ => Err(errno::EIO),
            },
            _ => Err(errno::EIO),
        }
    }
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `out` is null or valid for a write; `cancel` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_select_create(
    out: *mut *mut SelectSet,
    cancel: *const Cancel,
) -> c_int {
    answer(|| {
        let out = place(out)?;
        // SAFETY: the caller's promise.
        unsafe {
            let token = cancel::token(cancel).cloned();
            let set = SelectSet { token, ..SelectSet::default() };
            out.write(Box::into_raw(Box::new(set)));
        }
        Ok(())
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `set` is null, or valid and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_select_destroy(set: *mut SelectSet) {
    call((), || {
        if !set.is_null() {
            // SAFETY: the caller's promise.
            drop(unsafe { Box::from_raw(set) });
        }
    });
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `set` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_select_reset(set: *mut SelectSet) {
    call((), || {
        // SAFETY: the caller's promise.
        if let Some(set) = unsafe { set.as_mut() } {
            set.clauses.clear();
        }
    });
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// `set` is null or valid, and no other call uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_select_set_fair(set: *mut SelectSet, fair: c_int) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let set = unsafe { set.as_mut() }.ok_or(errno::EINVAL)?;
        set.is_fair = fair != 0;
        Ok(())
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// Each is null or valid, `out` until the clause is gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_select_add_recv(
    set: *mut SelectSet,
    handle: *mut Chan,
    out: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    answer(|| match unsafe { (set.as_mut(), lent(handle)) } {
        (Some(set), Some(chan)) if !out.is_null() => set.add(&chan, Place::Out(out.cast())),
        _ => Err(errno::EINVAL),
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// Each is null or valid, `msg` until the clause is gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_select_add_send(
    set: *mut SelectSet,
    handle: *mut Chan,
    msg: *const c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    answer(|| match unsafe { (set.as_mut(), lent(handle)) } {
        (Some(set), Some(chan)) if !msg.is_null() => set.add(&chan, Place::Message(msg.cast())),
        _ => Err(errno::EINVAL),
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `set` is null or valid, and so are the places of its clauses; `selected` and `result` are null
/// or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_select_wait(
    set: *mut SelectSet,
    timeout_ms: c_long,
    selected: *mut c_int,
    result: *mut c_int,
) -> c_int {
    call(errno::EIO, || {
        // SAFETY: the caller's promise.
        let Some(set) = (unsafe { set.as_ref() }) else { return errno::EINVAL };
        let (index, code) = match set.wait(Until::of(timeout_ms)) {
            Ok((index, code)) => {
                set.first.store(index.wrapping_add(1), Ordering::Relaxed);
                (c_int::try_from(index).unwrap_or(c_int::MAX), code)
            }
            Err(code) => (-1, code),
        };
        // SAFETY: the caller's promise.
        unsafe {
            write_any(selected, index);
            write_any(result, code);
        }
        code
    })
}
