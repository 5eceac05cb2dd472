// SPDX-License-Identifier: BSD-3-Clause
//! Counters of a backend outside this library that moves descriptors past the channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use becket_zcopy::Event;
use libc::c_int;

use crate::boundary::answer;
use crate::chan::{Chan, known};
use crate::errno;

/// Counts an operation of a backend past the channel, so that the channel's statistics are true.
pub(super) fn note(chan: &Arc<Chan>, event: Event, bytes: u64) {
    let apart = &chan.counters.apart;
    descriptor(chan, event);
    match event {
        Event::Sent => {
            one(&apart.sends);
            apart.bytes_sent.fetch_add(bytes, Ordering::Relaxed);
            chan.sent();
        }
        Event::Received => {
            one(&apart.receives);
            apart.bytes_received.fetch_add(bytes, Ordering::Relaxed);
            chan.counters.received.happened();
            chan.tell();
        }
        _ => {}
    }
}

/// Counts an event of a descriptor, and not its bytes: the channel's lanes count them.
pub(super) fn descriptor(chan: &Chan, event: Event) {
    let zref = &chan.counters.zref;
    one(match event {
        Event::Sent => &zref.sent,
        Event::Received => &zref.received,
        Event::FallbackSmall => &zref.fallback_small,
        Event::FallbackCapacity => &zref.fallback_capacity,
        Event::Cancelled => &zref.cancelled,
        Event::AbortedClose => &zref.aborted_close,
        _ => return,
    });
}

/// See `kcoro_zcopy.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_zcopy_count(handle: *mut Chan, event: c_int, bytes: usize) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let chan = unsafe { known(handle) }?;
        note(&chan, Event::from_number(event).ok_or(errno::EINVAL)?, bytes as u64);
        Ok(())
    })
}

/// See `kcoro_zcopy.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_zcopy_count_failure(
    handle: *mut Chan,
    receiving: c_int,
    code: c_int,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let chan = unsafe { known(handle) }?;
        let side = if receiving == 0 { &chan.counters.send } else { &chan.counters.recv };
        match code {
            errno::EAGAIN | errno::ETIME | errno::EPIPE | errno::ECANCELED => {
                side.note(code);
                Ok(())
            }
            _ => Err(errno::EINVAL),
        }
    })
}

fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
