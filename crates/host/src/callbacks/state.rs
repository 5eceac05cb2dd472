// SPDX-License-Identifier: BSD-3-Clause
//! State of a call, reached from a plugin.
//!
//! A call that only its own thread may answer keeps its state in its frame; every other in its
//! slot, under the slot's lock. Values are copied in and out under that lock.

use std::{cell::RefCell, ffi::c_void};

use becket_abi::{NrBytes, NrStatus, NrStr, is_user_range};

use super::{answer, boundary, counted, is_writable, name};
use crate::{
    counters::Count,
    instance::Instance,
    placement::views,
    state::StateMap,
    table::{self, Refusal, Target},
    thread,
};

thread_local! {
    /// The bytes that `NrHostExt::get_state` returned last on this thread.
    static LENT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(super) unsafe extern "C" fn set(
    host_ctx: *mut c_void,
    sid: u64,
    key: NrStr,
    value: NrBytes,
) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| put(instance, sid, key, value))
}

pub(super) unsafe extern "C" fn get(
    host_ctx: *mut c_void,
    sid: u64,
    key: NrStr,
    buf: *mut u8,
    cap: u64,
    len_out: *mut u64,
) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| {
        let Some(key) = name(instance, key) else { return NrStatus::Invalid };
        // No value is longer than the state may be.
        let written = cap.min(instance.limits.state_bytes_max) as usize;
        let sound = (cap == 0 || counted(instance, is_user_range(buf.addr(), written)))
            && (len_out.is_null() || is_writable(instance, len_out));
        if !sound {
            return NrStatus::Invalid;
        }
        with_state(instance, sid, |state| {
            let Some(value) = state.as_ref().and_then(|state| state.get(key)) else {
                return NrStatus::Err;
            };
            let len = value.len().min(usize::try_from(cap).unwrap_or(usize::MAX));
            if len > 0 {
                // SAFETY: see `callbacks`: the plugin says that `cap` bytes can be written at
                // `buf`; the value is the host's own memory, so the two do not overlap.
                unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), buf, len) };
            }
            if !len_out.is_null() {
                // SAFETY: see `callbacks`: not NULL, aligned.
                unsafe { len_out.write(value.len() as u64) };
            }
            NrStatus::Ok
        })
    })
}

pub(super) unsafe extern "C" fn ext_set(
    host_ctx: *mut c_void,
    sid: u64,
    key: NrStr,
    value: NrBytes,
) -> NrBytes {
    boundary(host_ctx, nothing(), |instance| match put(instance, sid, key, value) {
        NrStatus::Ok => nothing(),
        NrStatus::Backpressure => NrBytes::from_slice(b"the call's state quota is used up"),
        _ => NrBytes::from_slice(b"no such call, or a bad key or value"),
    })
}

pub(super) unsafe extern "C" fn ext_get(host_ctx: *mut c_void, sid: u64, key: NrStr) -> NrBytes {
    boundary(host_ctx, nothing(), |instance| {
        let copied = LENT.try_with(|lent| {
            let mut lent = lent.borrow_mut();
            lent.clear();
            copy(instance, sid, key, &mut lent);
            // The vector stays this thread's until its next call into the host.
            views::bytes(NrBytes::from_slice(&lent))
        });
        copied.unwrap_or_else(|_| nothing())
    })
}

/// Appends a value to `out`, if there is one.
pub(super) fn copy(instance: &'static Instance, sid: u64, key: NrStr, out: &mut Vec<u8>) {
    let Some(key) = name(instance, key) else { return };
    with_state(instance, sid, |state| match state.as_ref().and_then(|state| state.get(key)) {
        Some(value) => {
            out.extend_from_slice(value);
            NrStatus::Ok
        }
        None => NrStatus::Err,
    });
}

/// The empty view, as the plugins that have no other state functions want it.
fn nothing() -> NrBytes {
    views::bytes(NrBytes::EMPTY)
}

fn put(instance: &'static Instance, sid: u64, key: NrStr, value: NrBytes) -> NrStatus {
    let bytes_max = instance.limits.state_bytes_max;
    // SAFETY: see `callbacks`; the borrow ends with the callback.
    let value = unsafe { value.checked(instance.limits.payload_bytes_max) };
    let Some(key) = name(instance, key) else { return NrStatus::Invalid };
    counted(instance, value.is_ok());
    let Ok(value) = value else { return NrStatus::Invalid };
    with_state(instance, sid, |state| {
        let state = state.get_or_insert_with(|| Box::new(StateMap::new(sid)));
        match state.set(key, value, bytes_max) {
            Ok(()) => NrStatus::Ok,
            Err(_) => {
                instance.plugin.counters.one(Count::ResourceRefused);
                NrStatus::Backpressure
            }
        }
    })
}

/// Runs `f` on the state of an open call of `instance`.
fn with_state(
    instance: &'static Instance,
    sid: u64,
    f: impl FnOnce(&mut Option<Box<StateMap>>) -> NrStatus,
) -> NrStatus {
    // SAFETY: null, or the frame that this thread is inside of: it stands further up this stack.
    if let Some(frame) = unsafe { thread::current().frame().as_ref() }
        && frame.sid == sid
        && frame.slot.is_none()
        && std::ptr::eq(frame.owner, instance)
    {
        let mut state = frame.state.take();
        let status = f(&mut state);
        frame.state.set(state);
        return status;
    }
    let (slot, stream) = match table::find(sid, instance) {
        Ok(Target::Call(slot)) => (slot, None),
        Ok(Target::Stream(slot)) => (slot, slot.stream()),
        Err(refusal) => return answer::refuse(instance, refusal),
    };
    let mut state = slot.state();
    // Looked at again under the lock: the call may have ended, and the slot have a new one. A
    // stream that is over may keep its slot for its senders.
    if !slot.is_open(sid) || stream.is_some_and(|stream| !stream.is_open(sid)) {
        return answer::refuse(instance, Refusal::Late);
    }
    if state.as_ref().is_some_and(|state| !state.is_of(sid)) {
        *state = None;
    }
    f(&mut state)
}
