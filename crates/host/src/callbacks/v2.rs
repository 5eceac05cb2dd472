// SPDX-License-Identifier: BSD-3-Clause
//! The host functions of version 2 of the ABI, by those of version 1: the same checks, bounds and
//! counters.
//!
//! | version 2 | version 1 | but |
//! |---|---|---|
//! | `send_result` | `send`, `send_owned` | an owned vector of more than 64 bytes is read in place |
//! | `send_result_owned` | `send_owned` | a full stream does not give the bytes back |
//! | `acquire_result_buffer` | `lease_acquire` | one for each call, none for a stream |
//! | `commit_result_buffer` | `lease_commit` | the lease is of the call that it answers |
//! | `set_state`, `get_state` | `state_set`, `state_get` | behind `host_ctx`: [`crate::context`] |
//!
//! A status that version 2 has no number for is `Invalid` to its plugins.
//!
//! # Leases
//!
//! Version 2 has no function to give a lease back. It is over when the plugin commits it, answers its
//! call otherwise, or refuses the call in `handle`. A call that ends without the plugin, at its
//! deadline or with its caller, ends its lease too, but leaves the plugin writing: nothing tells it, and
//! nothing tells the host when it has stopped. So the buffer is parked:
//!
//! ```text
//!   acquire ──▶ held ──(commit, answer, refusal)──▶ over
//!                │                                    ▲
//!                └─(call over)─▶ parked ──(late commit, answer, refusal)
//! ```
//!
//! A parked buffer counts no more against `leases_max`, stays the plugin's, and is not used again; each is counted. At
//! most `leases_max` are parked at once: the lease of one more call stays held until there is room. Then leases are
//! refused, as for any other bound, and the plugin answers in another way.

use std::{
    collections::HashMap,
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicUsize, Ordering},
};

use becket_abi::{
    NrBufferLease, NrBytes, NrOwnedBytes, NrStatus, NrStr,
    v2::{HostExt, HostVTable, NrVec, VecDropFn},
};

use super::{
    answer::{self, OnFull, WhenFull},
    boundary, counted, is_function,
    lease::{self, TakenLease},
    observe, state,
};
use crate::{
    counters::Count,
    instance::Instance,
    reentry::{self, Mutex},
    small::SMALL_BYTES_MAX,
    table::{self, Target},
};

static VTABLE: HostVTable =
    HostVTable { send_result, send_result_owned, acquire_result_buffer, commit_result_buffer };

/// The functions that plugins of version 2 find behind `host_ctx`.
pub(crate) static EXT: HostExt = HostExt { set_state, get_state };

/// The table for `init`.
pub(crate) fn vtable() -> &'static HostVTable {
    &VTABLE
}

unsafe extern "C" fn send_result(
    host_ctx: *mut c_void,
    sid: u64,
    status: NrStatus,
    payload: NrVec,
) -> NrStatus {
    let view = NrBytes { ptr: payload.ptr, len: payload.len };
    boundary(host_ctx, NrStatus::Invalid, |instance| {
        let taken = match (payload.owned, payload.drop_fn) {
            (0, _) | (1, None) => answer::copied(instance, sid, status, view, WhenFull::Refuse),
            (1, Some(drop_fn)) => {
                if !is_function(instance, drop_fn as usize) {
                    return NrStatus::Invalid;
                }
                let is_whole = counted(instance, payload.len <= payload.cap);
                if is_whole && payload.len > SMALL_BYTES_MAX as u64 {
                    let bytes = Vector::lend(payload, drop_fn);
                    answer::owned(instance, sid, status, &bytes, OnFull::Release)
                } else {
                    let taken = if is_whole {
                        answer::copied(instance, sid, status, view, WhenFull::Refuse)
                    } else {
                        NrStatus::Invalid
                    };
                    // SAFETY: the plugin hands the vector over with this function; this is the only
                    // call, and nothing reads the bytes any more.
                    reentry::outside(|| unsafe { drop_fn(payload.ptr, payload.len, payload.cap) });
                    taken
                }
            }
            _ => {
                counted(instance, false);
                NrStatus::Invalid
            }
        };
        answered(instance, sid, taken)
    })
}

unsafe extern "C" fn send_result_owned(
    host_ctx: *mut c_void,
    sid: u64,
    status: NrStatus,
    payload: NrOwnedBytes,
) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| {
        let taken = answer::owned(instance, sid, status, &payload, OnFull::Release);
        answered(instance, sid, taken)
    })
}

/// What the host answers, in the numbers of version 2; the call's lease is over with the call.
fn answered(instance: &'static Instance, sid: u64, taken: NrStatus) -> NrStatus {
    if instance.call_leases.any() && is_over(instance, sid) {
        instance.call_leases.end(instance, sid);
    }
    if taken.0 <= NrStatus::Backpressure.0 { taken } else { NrStatus::Invalid }
}

/// What of a vector does not fit into [`NrOwnedBytes`].
struct Vector {
    cap: u64,
    drop_fn: VecDropFn,
}

impl Vector {
    /// The vector as bytes that its `drop_fn` releases.
    fn lend(vector: NrVec, drop_fn: VecDropFn) -> NrOwnedBytes {
        let own = Box::new(Self { cap: vector.cap, drop_fn });
        NrOwnedBytes {
            ptr: vector.ptr,
            len: vector.len,
            owner_ctx: Box::into_raw(own).cast(),
            release: Some(Self::release),
        }
    }

    unsafe extern "C" fn release(owner_ctx: *mut c_void, ptr: *const u8, len: u64) {
        // SAFETY: made by `lend`; bytes are released once.
        let own = unsafe { Box::from_raw(owner_ctx.cast::<Self>()) };
        // SAFETY: the plugin gave this function for this vector; as above.
        unsafe { (own.drop_fn)(ptr.cast_mut(), len, own.cap) };
    }
}

fn is_over(instance: &'static Instance, sid: u64) -> bool {
    !observe::is_waiting(instance, sid)
}

/// The leases of the calls of one instance.
#[derive(Default)]
pub(crate) struct CallLeases {
    by_call: Mutex<HashMap<u64, CallLease>>,
    /// How many there are, to look at without the lock.
    count: AtomicUsize,
}

struct CallLease {
    token: u64,
    is_parked: bool,
}

impl CallLease {
    /// Its call is over.
    fn park(&mut self, instance: &Instance) {
        if !self.is_parked && instance.leases.park(instance.limits.leases_max) {
            self.is_parked = true;
            instance.plugin.counters.one(Count::LeasesParked);
        }
    }
}

impl CallLeases {
    /// True if there may be one. Exact for a call whose lease was acquired before by this thread, or
    /// by one that has passed the call on to it.
    fn any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// A lease for call `sid`, unless it has one or there is no room.
    fn acquire(&self, instance: &'static Instance, sid: u64, cap: usize) -> Option<NrBufferLease> {
        let mut by_call = self.by_call.lock();
        if by_call.contains_key(&sid) {
            return None;
        }
        let limit = instance.limits.leases_max;
        if instance.leases.is_full(limit) {
            // Those for which there was no room when their calls ended.
            for (_, lease) in by_call.iter_mut().filter(|(sid, _)| is_over(instance, **sid)) {
                lease.park(instance);
            }
        }
        let lease = instance.leases.acquire(cap, limit)?;
        let mut own = CallLease { token: lease.token, is_parked: false };
        if is_over(instance, sid) {
            // It has just ended, and its end may have found no lease.
            own.park(instance);
        }
        by_call.insert(sid, own);
        self.count.store(by_call.len(), Ordering::Release);
        Some(lease)
    }

    /// Call `sid` has ended without the plugin.
    #[inline]
    pub(crate) fn ended(&self, instance: &Instance, sid: u64) {
        if self.any()
            && let Some(lease) = self.by_call.lock().get_mut(&sid)
        {
            lease.park(instance);
        }
    }

    /// Takes the buffer of the lease of call `sid`, if that is `token`'s and holds `len` bytes.
    fn take(&self, instance: &Instance, sid: u64, token: u64, len: u64) -> Option<TakenLease> {
        let mut by_call = self.by_call.lock();
        let lease = by_call.get_mut(&sid).filter(|lease| lease.token == token)?;
        if lease.is_parked {
            instance.leases.unpark();
            lease.is_parked = false;
        }
        let lease = instance.leases.take(token, len)?;
        by_call.remove(&sid);
        self.count.store(by_call.len(), Ordering::Release);
        Some(lease)
    }

    /// The lease of call `sid`, if it has one, is over: its buffer is free.
    fn end(&self, instance: &Instance, sid: u64) {
        let token = self.by_call.lock().get(&sid).map(|lease| lease.token);
        if let Some(lease) = token.and_then(|token| self.take(instance, sid, token, 0)) {
            instance.leases.keep(lease);
        }
    }
}

unsafe extern "C" fn acquire_result_buffer(
    host_ctx: *mut c_void,
    sid: u64,
    cap: u64,
) -> NrBufferLease {
    boundary(host_ctx, NrBufferLease::REFUSED, |instance| {
        let Some(cap) = lease::granted(instance, sid, cap) else { return NrBufferLease::REFUSED };
        let is_stream = matches!(table::find(sid, instance), Ok(Target::Stream(_)));
        let lease = if is_stream { None } else { instance.call_leases.acquire(instance, sid, cap) };
        lease.unwrap_or_else(|| {
            instance.plugin.counters.one(Count::ResourceRefused);
            NrBufferLease::REFUSED
        })
    })
}

unsafe extern "C" fn commit_result_buffer(
    host_ctx: *mut c_void,
    sid: u64,
    status: NrStatus,
    token: u64,
    len: u64,
) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| {
        let mut lease = instance.call_leases.take(instance, sid, token, len);
        if !counted(instance, lease.is_some()) {
            return NrStatus::Invalid;
        }
        let taken = answer::leased(instance, sid, status, &mut lease, len);
        // Not taken: the call was over.
        lease.into_iter().for_each(|lease| instance.leases.keep(lease));
        taken
    })
}

/// `handle` has refused call `sid`: its lease is over.
pub(crate) fn refused(host_ctx: *mut c_void, sid: u64) {
    boundary(host_ctx, (), |instance| {
        if instance.call_leases.any() {
            instance.call_leases.end(instance, sid);
        }
    });
}

unsafe extern "C" fn set_state(
    host_ctx: *mut c_void,
    sid: u64,
    key: NrStr,
    value: NrBytes,
) -> NrStatus {
    // SAFETY: the plugin's arguments, as they are.
    unsafe { state::set(host_ctx, sid, key, value) }
}

unsafe extern "C" fn get_state(host_ctx: *mut c_void, sid: u64, key: NrStr) -> NrVec {
    boundary(host_ctx, NrVec::EMPTY, |instance| {
        let mut value = Vec::new();
        state::copy(instance, sid, key, &mut value);
        if value.is_empty() {
            return NrVec::EMPTY;
        }
        let bytes = Box::leak(value.into_boxed_slice());
        let len = bytes.len() as u64;
        NrVec {
            ptr: bytes.as_mut_ptr(),
            len,
            cap: len,
            owned: 1,
            drop_fn: Some(free),
            ..NrVec::EMPTY
        }
    })
}

/// Frees what `get_state` returned.
unsafe extern "C" fn free(ptr: *mut u8, len: u64, _: u64) {
    if !ptr.is_null() {
        let bytes = ptr::slice_from_raw_parts_mut(ptr, len as usize);
        // SAFETY: the plugin passes what it got, once.
        drop(unsafe { Box::from_raw(bytes) });
    }
}
