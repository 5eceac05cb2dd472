// SPDX-License-Identifier: BSD-3-Clause
//! What a backend outside this library counts, where it moves descriptors past the channel.

use std::sync::atomic::{AtomicU64, Ordering};

use libc::c_int;

use crate::boundary::call;
use crate::chan::{Chan, lent};
use crate::errno;

const SENT: c_int = 0;
const RECEIVED: c_int = 1;
const FALLBACK_SMALL: c_int = 2;
const FALLBACK_CAPACITY: c_int = 3;
const CANCELED: c_int = 4;
const ABORTED_CLOSE: c_int = 5;

/// See `kcoro_zcopy.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_zcopy_count(handle: *mut Chan, event: c_int, bytes: usize) -> c_int {
    call(errno::EIO, || {
        // SAFETY: the caller's promise.
        let Some(chan) = (unsafe { lent(handle) }) else {
            return errno::EINVAL;
        };
        let (zref, apart) = (&chan.tally.zref, &chan.tally.apart);
        match event {
            SENT => {
                one(&zref.sent);
                one(&apart.sends);
                apart.bytes_sent.fetch_add(bytes as u64, Ordering::Relaxed);
                chan.sent();
            }
            RECEIVED => {
                one(&zref.received);
                one(&apart.receives);
                apart.bytes_received.fetch_add(bytes as u64, Ordering::Relaxed);
                chan.tally.received.happened();
                chan.tell();
            }
            FALLBACK_SMALL => one(&zref.fallback_small),
            FALLBACK_CAPACITY => one(&zref.fallback_capacity),
            CANCELED => one(&zref.cancelled),
            ABORTED_CLOSE => one(&zref.aborted_close),
            _ => return errno::EINVAL,
        }
        errno::OK
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
    call(errno::EIO, || {
        // SAFETY: the caller's promise.
        let Some(chan) = (unsafe { lent(handle) }) else {
            return errno::EINVAL;
        };
        let side = if receiving == 0 { &chan.tally.send } else { &chan.tally.recv };
        match code {
            errno::EAGAIN | errno::ETIME | errno::EPIPE | errno::ECANCELED => {
                side.count(code);
                errno::OK
            }
            _ => errno::EINVAL,
        }
    })
}

fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
