// SPDX-License-Identifier: BSD-3-Clause
//! Making, closing and destroying channels.

use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};

use libc::{c_int, c_uint, c_void};

use super::counters::ChannelCounters;
use super::descriptor::PtrMsg;
use super::hook::{Callbacks, Hook, OnUndeliveredCopy, OnUndeliveredPtr};
use super::lane::{Kind, Lane};
use super::port::Port;
use super::{
    Chan, HOOKED, KC_CONFLATED, KC_RENDEZVOUS, KC_UNLIMITED, TRACE, UNLIMITED_INIT_CAP, lent,
};
use crate::boundary::{answer, call};
use crate::errno;
use crate::handle::{lend, place};
use crate::metrics::{self, Pipe};
use crate::monitor::{self, Shown};
use crate::zcopy::Binding;
use crate::{debug, trace};

/// The parameters of a new channel.
pub(crate) struct Plan {
    pub(crate) kind: c_int,
    pub(crate) elem_size: usize,
    pub(crate) capacity: usize,
    pub(crate) pointers: bool,
    pub(crate) on_copy: Option<OnUndeliveredCopy>,
    pub(crate) on_ptr: Option<OnUndeliveredPtr>,
    pub(crate) arg: *mut c_void,
}

impl Plan {
    pub(crate) fn copy(kind: c_int, elem_size: usize, capacity: usize) -> Self {
        let arg = ptr::null_mut();
        Self { kind, elem_size, capacity, pointers: false, on_copy: None, on_ptr: None, arg }
    }

    fn pointers(kind: c_int, capacity: usize) -> Self {
        Self { pointers: true, ..Self::copy(kind, size_of::<PtrMsg>(), capacity) }
    }

    /// Any kind above zero is a buffered channel, whose capacity it is if none is given.
    fn kind(&self) -> Option<(Kind, usize)> {
        Some(match (self.kind, self.capacity) {
            (KC_RENDEZVOUS, _) => (Kind::Rendezvous, 0),
            (KC_CONFLATED, _) => (Kind::Conflated, 0),
            (KC_UNLIMITED, 0) => (Kind::Unlimited, UNLIMITED_INIT_CAP),
            (KC_UNLIMITED, capacity) => (Kind::Unlimited, capacity),
            (kind, 0) => {
                let capacity = usize::try_from(kind).ok()?;
                (Kind::Buffered(capacity), capacity)
            }
            (kind, capacity) if kind > 0 => (Kind::Buffered(capacity), capacity),
            _ => return None,
        })
    }

    pub(crate) fn make(&self) -> Result<Arc<Chan>, c_int> {
        if self.elem_size == 0 {
            return Err(errno::EINVAL);
        }
        let (kind, capacity) = self.kind().ok_or(errno::EINVAL)?;
        let queued_pointers = self.elem_size == size_of::<PtrMsg>() && kind != Kind::Rendezvous;
        let has_hook = self.on_copy.is_some() || self.on_ptr.is_some();
        let callbacks = has_hook.then_some(Callbacks {
            on_copy: self.on_copy,
            on_ptr: self.on_ptr,
            arg: self.arg,
        });
        let hook = Hook {
            callbacks: Arc::new(callbacks.map_or_else(OnceLock::new, OnceLock::from)),
            elem_size: self.elem_size,
            descriptors: self.pointers || queued_pointers,
        };
        let lane_hook = Arc::new(hook.clone());
        let lane = Lane::new(kind, self.elem_size, lane_hook).ok_or(errno::ENOMEM)?;
        let chan =
            Chan { pointers: self.pointers, hook, ..bare(lane, kind, capacity, self.elem_size) };
        if has_hook {
            chan.set(HOOKED);
        }
        Ok(Arc::new(chan))
    }

    /// # Safety
    ///
    /// `out` is null or valid for a write.
    unsafe fn make_for_c(&self, out: *mut *mut Chan) -> Result<(), c_int> {
        let (out, chan) = (place(out)?, self.make()?);
        // SAFETY: the caller's promise.
        unsafe { out.write(lend_made(chan)) };
        Ok(())
    }
}

/// A channel without hooks.
fn bare(lane: Lane, kind: Kind, capacity: usize, elem_size: usize) -> Chan {
    Chan {
        lane,
        kind,
        capacity,
        elem_size,
        pointers: false,
        flags: AtomicU32::new(if trace::is_wanted() { TRACE } else { 0 }),
        hook: Hook { callbacks: Arc::default(), elem_size, descriptors: false },
        reason: OnceLock::new(),
        handoff: OnceLock::new(),
        counters: ChannelCounters::default(),
        zcopy: Binding::default(),
        pipe: Pipe::default(),
        shown: Shown::default(),
    }
}

/// A channel over a port.
pub(crate) fn over(
    port: Box<dyn Port>,
    kind: Kind,
    capacity: usize,
    elem_size: usize,
) -> Arc<Chan> {
    Arc::new(bare(Lane::Port(port), kind, capacity, elem_size))
}

/// A handle of a new channel for C.
pub(crate) fn lend_made(chan: Arc<Chan>) -> *mut Chan {
    metrics::enable_if_configured(&chan);
    monitor::made(&chan);
    trace::ended(&chan, "make", Ok(()));
    debug::log(debug::OBJECTS, || {
        format!("{}: made, {:?}, elements of {} bytes", chan.label(), chan.kind, chan.elem_size)
    });
    lend(chan)
}

/// The kind and the capacity that a channel gets.
pub(crate) fn kind_of(kind: c_int, capacity: usize) -> Option<(Kind, usize)> {
    Plan::copy(kind, 1, capacity).kind()
}

/// The same for `becket_chan`.
pub(crate) fn kind_for_rust(kind: c_int, capacity: usize) -> Option<(becket_chan::Kind, usize)> {
    Some(match kind_of(kind, capacity)? {
        (Kind::Rendezvous, _) => (becket_chan::Kind::Rendezvous, 0),
        (Kind::Buffered(capacity), _) => (becket_chan::Kind::Bounded, capacity),
        (Kind::Conflated, _) => (becket_chan::Kind::Conflated, 0),
        (Kind::Unlimited, _) => (becket_chan::Kind::Unlimited, 0),
    })
}

/// A kind of `becket_chan`; a buffered one without its capacity.
pub(crate) fn kind_as_lane(kind: becket_chan::Kind) -> Kind {
    match kind {
        becket_chan::Kind::Rendezvous => Kind::Rendezvous,
        becket_chan::Kind::Conflated => Kind::Conflated,
        becket_chan::Kind::Unlimited => Kind::Unlimited,
        _ => Kind::Buffered(0),
    }
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_make(
    out: *mut *mut Chan,
    kind: c_int,
    elem_sz: usize,
    capacity: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    answer(|| unsafe { Plan::copy(kind, elem_sz, capacity).make_for_c(out) })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `out` is null or valid for a write; the functions may be called with `arg` from any thread, for
/// as long as the channel is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_make_ex(
    out: *mut *mut Chan,
    kind: c_int,
    elem_sz: usize,
    capacity: usize,
    on_copy: Option<OnUndeliveredCopy>,
    on_ptr: Option<OnUndeliveredPtr>,
    arg: *mut c_void,
) -> c_int {
    answer(|| {
        let plan = Plan { on_copy, on_ptr, arg, ..Plan::copy(kind, elem_sz, capacity) };
        // SAFETY: the caller's promise.
        unsafe { plan.make_for_c(out) }
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_make_ptr(
    out: *mut *mut Chan,
    kind: c_int,
    capacity: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    answer(|| unsafe { Plan::pointers(kind, capacity).make_for_c(out) })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_close(handle: *mut Chan) {
    call((), || {
        // SAFETY: the caller's promise.
        if let Some(chan) = unsafe { lent(handle) } {
            chan.close();
            trace::ended(&chan, "close", Ok(()));
        }
    });
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null, or valid and not used again. Calls that wait on the channel may still be
/// there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_destroy(handle: *mut Chan) {
    call((), || {
        // SAFETY: the caller's promise.
        let Some(chan) = (unsafe { lent(handle) }) else {
            return;
        };
        chan.destroy();
        metrics::end(&chan);
        chan.zcopy.detach();
        trace::ended(&chan, "destroy", Ok(()));
        debug::log(debug::OBJECTS, || format!("{}: destroyed", chan.label()));
        // The handle's reference.
        drop(ManuallyDrop::into_inner(chan));
    });
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_len(handle: *mut Chan) -> c_uint {
    call(0, || {
        // SAFETY: the caller's promise.
        let len = unsafe { lent(handle) }.map_or(0, |chan| chan.len());
        c_uint::try_from(len).unwrap_or(c_uint::MAX)
    })
}
