// SPDX-License-Identifier: BSD-3-Clause
//! `CLOCK_MONOTONIC` in nanoseconds: the clock of every time that is passed to C.

use std::mem::MaybeUninit;

use libc::{clockid_t, timespec};

/// Now.
pub(crate) fn now_ns() -> i64 {
    read(libc::CLOCK_MONOTONIC)
}

/// The time of the kernel's last clock tick: a few milliseconds ago at most, for a quarter of the
/// cost.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn coarse_ns() -> i64 {
    read(libc::CLOCK_MONOTONIC_COARSE)
}

/// As [`now_ns`]: this system has no coarser clock.
#[cfg(not(target_os = "linux"))]
pub(crate) fn coarse_ns() -> i64 {
    now_ns()
}

#[inline]
#[allow(clippy::useless_conversion, reason = "narrower on some systems")]
fn read(clock: clockid_t) -> i64 {
    let mut time = MaybeUninit::<timespec>::zeroed();
    // SAFETY: the place is valid for the write; a zeroed one is a time too, should it fail.
    let time = unsafe {
        libc::clock_gettime(clock, time.as_mut_ptr());
        time.assume_init()
    };
    i64::from(time.tv_sec) * 1_000_000_000 + i64::from(time.tv_nsec)
}
