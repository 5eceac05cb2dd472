// SPDX-License-Identifier: BSD-3-Clause
//! Sleeping until a word changes, and waking a thread that sleeps on it: the doorbell's system
//! calls.
//!
//! A sleeping thread passes the expected values. The kernel compares them again when it puts the
//! thread to sleep, atomically with respect to a thread that changes a word and then wakes.

use std::ffi::c_void;
use std::time::Instant;

use rustix::io::Errno;
use rustix::thread::futex;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::sync::AtomicU32;

/// Which processes use a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FutexScope {
    /// Both processes.
    Shared,
    /// This process only, which is cheaper.
    Private,
}

/// A word, and the value while which a thread sleeps on it.
pub(super) struct Wait<'a>(pub(super) &'a AtomicU32, pub(super) u32, pub(super) FutexScope);

/// Whether this system supports sleeping on several words at once (Linux 5.16).
pub(super) fn is_supported() -> bool {
    let none = futex::waitv(&[], futex::WaitvFlags::empty(), None, ClockId::Monotonic);
    none != Err(Errno::NOSYS)
}

/// Wakes all threads that sleep on a word.
pub(super) fn wake(word: &AtomicU32, seen: FutexScope) {
    let flags = match seen {
        FutexScope::Shared => futex::Flags::empty(),
        FutexScope::Private => futex::Flags::PRIVATE,
    };
    // Fails only for addresses that are not mapped; that no thread sleeps is not an error.
    let _ = futex::wake(word, flags, i32::MAX as u32);
}

/// Sleeps until one of the words differs from its value, another thread wakes it, or the deadline
/// passes (`TIMEDOUT`). Spurious wakeups are possible.
pub(super) fn sleep(waits: [Wait<'_>; 2], deadline: Option<Instant>) -> rustix::io::Result<()> {
    let deadline = deadline.map(monotonic);
    let waits = waits.map(|Wait(word, value, seen)| {
        let mut wait = futex::Wait::new();
        wait.val = u64::from(value);
        wait.uaddr = futex::WaitPtr::new(word.as_ptr().cast::<c_void>());
        wait.flags = match seen {
            FutexScope::Shared => futex::WaitFlags::SIZE_U32,
            FutexScope::Private => futex::WaitFlags::SIZE_U32 | futex::WaitFlags::PRIVATE,
        };
        wait
    });
    let flags = futex::WaitvFlags::empty();
    match futex::waitv(&waits, flags, deadline.as_ref(), ClockId::Monotonic) {
        Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// The same instant on the kernel's clock.
fn monotonic(deadline: Instant) -> Timespec {
    let now = clock_gettime(ClockId::Monotonic);
    let ahead = deadline.saturating_duration_since(Instant::now());
    let nanoseconds = now.tv_nsec + i64::from(ahead.subsec_nanos());
    let seconds = i64::try_from(ahead.as_secs()).unwrap_or(i64::MAX);
    let carried = now.tv_sec.saturating_add(seconds).saturating_add(nanoseconds / 1_000_000_000);
    Timespec { tv_sec: carried, tv_nsec: nanoseconds % 1_000_000_000 }
}
