// SPDX-License-Identifier: BSD-3-Clause
//! `CLOCK_MONOTONIC` in nanoseconds: the clock of every time that is passed to C.

use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use becket_chan::timer;
use libc::timespec;

/// Now.
#[allow(clippy::useless_conversion, reason = "narrower on some systems")]
pub(crate) fn now_ns() -> i64 {
    let mut time = MaybeUninit::<timespec>::zeroed();
    // SAFETY: the place is valid for the write; a zeroed one is a time too, should it fail.
    let time = unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr());
        time.assume_init()
    };
    i64::from(time.tv_sec) * 1_000_000_000 + i64::from(time.tv_nsec)
}

/// The instant of a time: not later than it, and earlier by a few microseconds at most, unless the
/// thread is taken off its processor each time that it reads both clocks. One in the past is an
/// instant in the past.
pub(crate) fn instant(at_ns: i64) -> Instant {
    const TRIES: usize = 8;
    const NEAR_NS: i64 = 2_000;
    let both = || {
        let before = now_ns();
        let instant = Instant::now();
        let now = now_ns();
        (now - before, instant, now)
    };
    let mut best = both();
    for _ in 1..TRIES {
        if best.0 <= NEAR_NS {
            break;
        }
        best = best.min(both());
    }
    let (_, instant, now) = best;
    let left = Duration::from_nanos(u64::try_from(at_ns.saturating_sub(now)).unwrap_or(0));
    instant.checked_add(left).unwrap_or_else(|| timer::after(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_not_later_than_its_time() {
        for _ in 0..2000 {
            let at = now_ns() + 10_000;
            let instant = instant(at);
            while now_ns() < at {
                std::hint::spin_loop();
            }
            assert!(Instant::now() >= instant);
        }
        assert!(instant(i64::MIN) <= Instant::now() && instant(i64::MAX) > Instant::now());
    }
}
