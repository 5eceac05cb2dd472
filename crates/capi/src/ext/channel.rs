// SPDX-License-Identifier: BSD-3-Clause
//! Channels: the overflow policy, the undelivered hook, the reason of a close, a description.

use std::ffi::{c_int, c_void};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use becket_chan::Overflow;

use crate::boundary::answer;
use crate::chan::counters::Failures;
use crate::chan::hook::{Callbacks, OnUndeliveredCopy};
use crate::chan::lane::Kind;
use crate::chan::{Chan, EVENTS, HOOKED, known};
use crate::errno;
use crate::handle::place;
use crate::{dump, stats, trace};

/// `kc_chan_policy_t`.
const SUSPEND: c_int = 0;
const DROP_OLDEST: c_int = 1;
const DROP_LATEST: c_int = 2;

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_set_policy(handle: *mut Chan, policy: c_int) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let chan = unsafe { known(handle) }?;
        let overflow = match policy {
            SUSPEND => Overflow::Suspend,
            DROP_OLDEST => Overflow::DropOldest,
            DROP_LATEST => Overflow::DropLatest,
            _ => return Err(errno::EINVAL),
        };
        if !matches!(chan.kind, Kind::Buffered(_)) || chan.port().is_some() {
            return Err(errno::ENOTSUP);
        }
        // Its own reference: the hook may destroy the channel.
        Arc::clone(&chan).lane.set_overflow(overflow);
        Ok(())
    })
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// `handle` is null or valid; `function` may be called with `argument` from any thread, for as long
/// as the channel is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_set_on_drop(
    handle: *mut Chan,
    function: Option<OnUndeliveredCopy>,
    argument: *mut c_void,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let chan = unsafe { known(handle) }?;
        function.ok_or(errno::EINVAL)?;
        // Events are sent under a lock, under which no code of C's runs.
        if chan.has(EVENTS) || chan.port().is_some() {
            return Err(errno::ENOTSUP);
        }
        let callbacks = Callbacks { on_copy: function, on_ptr: function, arg: argument };
        chan.hook.callbacks.set(callbacks).map_err(|_| errno::EALREADY)?;
        // Before a send can call it.
        chan.set(HOOKED);
        chan.lane.hook_in();
        Ok(())
    })
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_close_ex(handle: *mut Chan, reason: c_int) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let chan = unsafe { known(handle) }?;
        let is_first = chan.close_with(reason);
        trace::ended(&chan, "close", Ok(()));
        if is_first { Ok(()) } else { Err(errno::EALREADY) }
    })
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// `handle` is null or valid; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_close_reason(handle: *mut Chan, out: *mut c_int) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (chan, out) = (unsafe { known(handle) }?, place(out)?);
        let reason = chan.reason().ok_or(errno::EAGAIN)?;
        // SAFETY: the caller's promise.
        unsafe { out.write(reason) };
        Ok(())
    })
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// `handle` is null or valid; `fd` is open, if it is not negative.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_dump(handle: *mut Chan, fd: c_int) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let chan = unsafe { known(handle) }?;
        // SAFETY: the caller's promise.
        unsafe { dump::write(fd, &described(&chan)) }
    })
}

/// Lines that can be searched: each names the channel.
fn described(chan: &Chan) -> String {
    let (lane, totals) = (chan.lane.snapshot(), stats::totals(chan));
    let name = chan.label();
    let kind = match chan.kind {
        Kind::Rendezvous => "rendezvous",
        Kind::Buffered(_) => "buffered",
        Kind::Conflated => "conflated",
        Kind::Unlimited => "unlimited",
    };
    let state = match chan.reason() {
        Some(reason) => format!("closed reason={reason}"),
        None => "open".into(),
    };
    let capacity = lane.capacity.map_or_else(|| "none".into(), |capacity| capacity.to_string());
    let elements = match chan.pointers {
        true => "pointers".into(),
        false => format!("elem_size={}", chan.elem_size),
    };
    let policy = match chan.lane.overflow() {
        Some(Overflow::DropOldest) => "drop_oldest",
        Some(Overflow::DropLatest) => "drop_latest",
        _ => "suspend",
    };
    let mut text = format!(
        "{name}: {kind} {elements} capacity={capacity} len={} policy={policy} {state}\n",
        lane.len
    );
    let sides = [
        ("send", totals.sends, totals.bytes_sent, &chan.counters.send, lane.senders_waiting),
        ("recv", totals.recvs, totals.bytes_recv, &chan.counters.recv, lane.receivers_waiting),
    ];
    for (side, count, bytes, failures, waiting) in sides {
        let failures = failed(failures);
        // Writing to a string does not fail.
        let _ =
            writeln!(text, "{name}: {side} ok={count} bytes={bytes} {failures} waiting={waiting}");
    }
    let _ = writeln!(text, "{name}: conflated={} dropped={}", lane.conflated, lane.dropped);
    text
}

fn failed(failures: &Failures) -> String {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    format!(
        "eagain={} etime={} epipe={} ecanceled={}",
        read(&failures.would_block),
        read(&failures.timed_out),
        read(&failures.closed),
        read(&failures.cancelled)
    )
}
