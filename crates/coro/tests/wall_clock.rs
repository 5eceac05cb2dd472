// SPDX-License-Identifier: BSD-3-Clause
//! Timers do not follow the wall clock.
//!
//! This process replaces `clock_gettime` by its own, whose wall clock jumps by an hour, forward or
//! back, at each read. A timer that followed it would fire hours early or never. So this program
//! has one test.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use becket_chan::{RecvError, rendezvous};
use becket_coro::{now, sleep};

static LOOKS: AtomicI64 = AtomicI64::new(0);

/// # Safety
///
/// As the system's `clock_gettime`, which it replaces in this program.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    time: *mut libc::timespec,
) -> libc::c_int {
    // SAFETY: the caller's pointer is passed on.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    if clock == libc::CLOCK_REALTIME && result == 0 {
        let look = LOOKS.fetch_add(1, Ordering::Relaxed) + 1;
        let hours = if look % 2 == 0 { -look } else { look };
        // SAFETY: the system has just written there.
        unsafe { (*time).tv_sec += 3600 * hours };
    }
    result as libc::c_int
}

#[test]
fn timers_do_not_follow_a_wall_clock_that_jumps() {
    let (first, second) = (SystemTime::now(), SystemTime::now());
    assert!(second < first, "the wall clock of this test jumps");

    let rt = common::runtime(2);
    let crew: Vec<_> = (0..100_u64)
        .map(|number| {
            rt.spawn(move || {
                let _ = SystemTime::now();
                let (begun, asked) = (Instant::now(), Duration::from_micros(number * 50));
                let due = now() + asked;
                sleep(asked);
                let _ = SystemTime::now();
                assert!(now() >= due && begun.elapsed() >= asked, "not early");
                let (_tx, rx) = rendezvous::<()>();
                assert_eq!(rx.recv().timeout(asked).wait(), Err(RecvError::TimedOut));
                assert!(begun.elapsed() >= 2 * asked, "nor this");
            })
        })
        .collect();
    // The waits also end.
    crew.into_iter().for_each(|one| one.join().unwrap());
}
