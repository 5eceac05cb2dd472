// SPDX-License-Identifier: BSD-3-Clause
//! `kc_chan_t`: a channel of `becket_chan` for C.
//!
//! | file | contents |
//! |---|---|
//! | `element` | elements whose size is known at run time |
//! | `descriptor` | an address and a length in place of an element |
//! | `lane` | a channel of one of the sizes of elements |
//! | `hook` | the hooks for undelivered elements |
//! | `counters` | counters kept here: failures, descriptors, times |
//! | `port` | a channel whose values Rust, or another process, has too |
//! | `operate` | sending and receiving, with their limits |
//! | `make` | making, closing, destroying: the C functions |
//! | `copy` | sends and receives of elements: the C functions |
//! | `pointer` | of pointers, and zero copy by `zref`: the C functions |
//!
//! ```text
//!   kc_chan_t* ──► Arc<Chan> ─┬─ lane      elements, or descriptors on a pointer channel
//!                             ├─ handoff   rendezvous descriptors, once zero copy is on
//!                             ├─ counters  failures, times
//!                             ├─ zcopy     the backend that is bound, those that were attached
//!                             └─ pipe      metrics events, while they are on
//! ```
//!
//! # Invariants
//!
//! 1. A handle is one reference to its channel. A waiting operation has one more, taken before it
//!    waits, and so has a send on a channel with a hook, taken before it tries: a channel that is
//!    destroyed, by another thread or by its hook, lives until the last of them has left it.
//! 2. `CLOSED` is set before the lanes are closed: a lane that is closed without the flag means
//!    that the channel switched to descriptors (`ZREF`), not that it was closed.
//! 3. Each operation that succeeds for C is counted in a lane's positions once, or in
//!    `counters.apart`; each that fails is counted in `counters` once.
//!
//! # Safety
//!
//! By C's contract a handle is null, or came from a maker and was not destroyed before the call.

pub mod copy;
pub(crate) mod counters;
pub mod descriptor;
pub(crate) mod element;
pub mod hook;
pub(crate) mod lane;
pub mod make;
pub(crate) mod operate;
pub mod pointer;
pub(crate) mod port;

use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use libc::c_int;

use self::counters::ChannelCounters;
use self::descriptor::{PtrMsg, Slot};
use self::hook::Hook;
use self::lane::{Kind, Lane, Pair};
use self::port::Port;
use crate::metrics::Pipe;
use crate::monitor::Shown;
use crate::zcopy::Binding;
use crate::{debug, errno};

pub(crate) const KC_RENDEZVOUS: c_int = 0;
pub(crate) const KC_BUFFERED: c_int = 1;
pub(crate) const KC_CONFLATED: c_int = -1;
pub(crate) const KC_UNLIMITED: c_int = -2;
/// `KCORO_UNLIMITED_INIT_CAP`.
pub(crate) const UNLIMITED_INIT_CAP: usize = 64;

/// Nothing more can be sent.
pub(crate) const CLOSED: u32 = 1;
/// A descriptor operation has been tried.
pub(crate) const ZREF: u32 = 2;
/// Events go to the metrics pipe.
pub(crate) const METRICS: u32 = 4;
/// Zero copy was enabled.
pub(crate) const ZERO_COPY: u32 = 8;
/// Its operations are traced.
pub(crate) const TRACE: u32 = 16;
/// Its elements are the events of other channels.
pub(crate) const EVENTS: u32 = 32;
/// C has a function for undelivered elements, which may destroy the channel.
pub(crate) const HOOKED: u32 = 64;

/// `kc_chan_t`.
pub struct Chan {
    pub(crate) lane: Lane,
    pub(crate) kind: Kind,
    /// As requested; of an unlimited channel the initial room.
    pub(crate) capacity: usize,
    pub(crate) elem_size: usize,
    /// Made by `kc_chan_make_ptr`.
    pub(crate) pointers: bool,
    flags: AtomicU32,
    /// The reason of its close, set before `CLOSED`.
    reason: OnceLock<c_int>,
    /// C's hooks for undelivered elements.
    pub(crate) hook: Hook,
    pub(crate) handoff: OnceLock<Pair<Slot>>,
    pub(crate) counters: ChannelCounters,
    pub(crate) zcopy: Binding,
    pub(crate) pipe: Pipe,
    /// Its entry in the monitor.
    pub(crate) shown: Shown,
}

/// A handle that C lent to a call.
pub(crate) type Lent = ManuallyDrop<Arc<Chan>>;

/// The channel behind a handle; `None` for null.
///
/// # Safety
///
/// The handle is null or valid.
#[inline]
pub(crate) unsafe fn lent(handle: *const Chan) -> Option<Lent> {
    if handle.is_null() {
        return None;
    }
    // SAFETY: the caller's promise; its share is not given up here.
    Some(ManuallyDrop::new(unsafe { Arc::from_raw(handle) }))
}

/// As [`lent`], or the error for null.
///
/// # Safety
///
/// As for [`lent`].
pub(crate) unsafe fn known(handle: *const Chan) -> Result<Lent, c_int> {
    // SAFETY: the caller's promise.
    unsafe { lent(handle) }.ok_or(errno::EINVAL)
}

impl Chan {
    #[inline]
    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags.load(Ordering::Acquire) & flag != 0
    }

    /// True if it was not set before.
    pub(crate) fn set(&self, flag: u32) -> bool {
        self.flags.fetch_or(flag, Ordering::AcqRel) & flag == 0
    }

    pub(crate) fn clear(&self, flag: u32) {
        self.flags.fetch_and(!flag, Ordering::AcqRel);
    }

    /// Whether an operation on an element is that and nothing else: no flag, no descriptors.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.flags.load(Ordering::Acquire) == 0 && !self.hook.descriptors
    }

    /// Most operations have to wait, and are not tried first.
    #[inline]
    pub(crate) fn is_rendezvous(&self) -> bool {
        self.kind == Kind::Rendezvous
    }

    /// Whether elements may be sent and received: not on a pointer channel, nor on a rendezvous
    /// channel that turned to descriptors.
    #[inline]
    pub(crate) fn takes_elements(&self) -> bool {
        let turned = self.kind == Kind::Rendezvous && self.has(ZREF);
        !self.pointers && !turned
    }

    pub(crate) fn close(&self) {
        self.close_with(0);
    }

    /// Closes it with a reason. False: it was closed before, and keeps its reason.
    pub(crate) fn close_with(&self, reason: c_int) -> bool {
        let is_first = self.reason.set(reason).is_ok();
        self.set(CLOSED);
        self.lane.close();
        self.close_others();
        if is_first {
            debug::log(debug::OBJECTS, || format!("{}: closed, reason {reason}", self.label()));
        }
        is_first
    }

    /// Its handle is destroyed: closes what is this process's, and drains it.
    fn destroy(&self) {
        // One that was closed before keeps its reason.
        let _is_first = self.reason.set(0);
        self.set(CLOSED);
        self.lane.destroy();
        self.close_others();
        if let Some(handoff) = self.handoff.get() {
            handoff.drain();
        }
    }

    fn close_others(&self) {
        if let Some(handoff) = self.handoff.get() {
            handoff.tx.close();
        }
        self.zcopy.links().close();
    }

    /// Its name in lines for a person: the handle that C has.
    pub(crate) fn label(&self) -> String {
        format!("chan {:p}", std::ptr::from_ref(self))
    }

    /// The reason of its close; `None` while it is open.
    pub(crate) fn reason(&self) -> Option<c_int> {
        self.reason.get().copied()
    }

    /// The meaning of a closed lane.
    #[cold]
    pub(crate) fn why_closed(&self) -> c_int {
        if self.has(CLOSED) { errno::EPIPE } else { errno::EINVAL }
    }

    /// From the first descriptor operation on, a rendezvous channel has no elements any more.
    /// Waiting element operations end with that error.
    #[inline]
    pub(crate) fn turn_to_descriptors(&self) {
        if !self.has(ZREF) && self.set(ZREF) && self.handoff.get().is_some() {
            self.lane.close();
        }
    }

    /// Descriptors travel among elements.
    #[inline]
    pub(crate) fn mixes(&self) -> bool {
        self.hook.descriptors && !self.pointers
    }

    /// Where descriptors travel.
    pub(crate) fn descriptor_pair(&self) -> Result<&Pair<Slot>, c_int> {
        match &self.lane {
            Lane::W5(pair) if self.pointers => Ok(pair),
            _ if self.kind == Kind::Rendezvous => self.handoff.get().ok_or(errno::ENOTSUP),
            Lane::W5(pair) if self.elem_size == size_of::<PtrMsg>() => Ok(pair),
            _ => Err(errno::EINVAL),
        }
    }

    /// Prepares the channel for descriptors.
    pub(crate) fn allow_descriptors(&self) {
        if self.kind == Kind::Rendezvous && !self.pointers {
            let hook = Hook { descriptors: true, ..self.hook.clone() };
            let _handoff = self.handoff.get_or_init(|| Pair::rendezvous(Arc::new(hook)));
            if self.has(CLOSED) {
                self.close();
            }
        }
        self.set(ZERO_COPY);
    }

    /// Its lane, if its values are not this library's own.
    pub(crate) fn port(&self) -> Option<&dyn Port> {
        match &self.lane {
            Lane::Port(port) => Some(&**port),
            _ => None,
        }
    }

    /// The number of elements held.
    pub(crate) fn len(&self) -> usize {
        self.lane.len()
    }

    /// Counts an element that was sent.
    #[inline(always)]
    pub(crate) fn sent(self: &Arc<Self>) {
        self.counters.sent.happened();
        self.tell();
    }

    /// Reports an operation to the metrics, if they are on.
    #[inline]
    pub(crate) fn tell(self: &Arc<Self>) {
        if self.has(METRICS) {
            crate::metrics::note(self);
        }
    }
}

#[cfg(test)]
mod tests;
