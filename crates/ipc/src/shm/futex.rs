// SPDX-License-Identifier: BSD-3-Clause
//! Sleeping until a word changes, and waking who sleeps on it: the system calls of the doorbell.
//!
//! Whoever sleeps says what the words were. The kernel compares them once more when it puts the
//! thread to sleep, in one step as seen by who changes a word and wakes after it.

use std::ffi::c_void;
use std::time::Instant;

use rustix::io::Errno;
use rustix::thread::futex;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::sync::AtomicU32;

/// Who sees a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// The peer's process too.
    Shared,
    /// This process alone, which is cheaper.
    Private,
}

/// A word on which a thread sleeps while it is as it was.
pub(super) struct Wait<'a>(pub(super) &'a AtomicU32, pub(super) u32, pub(super) Seen);

/// Whether this system can sleep on several words at once (Linux 5.16).
pub(super) fn is_supported() -> bool {
    let none = futex::waitv(&[], futex::WaitvFlags::empty(), None, ClockId::Monotonic);
    none != Err(Errno::NOSYS)
}

/// Wakes everybody who sleeps on a word.
pub(super) fn wake(word: &AtomicU32, seen: Seen) {
    let flags = match seen {
        Seen::Shared => futex::Flags::empty(),
        Seen::Private => futex::Flags::PRIVATE,
    };
    // It can only fail for addresses that are no memory; nobody sleeping is no failure.
    let _ = futex::wake(word, flags, i32::MAX as u32);
}

/// Sleeps until one of the words is not as it was, somebody wakes it, or the deadline has passed,
/// which it says by `TIMEDOUT`. It may also wake for nothing.
pub(super) fn sleep(waits: [Wait<'_>; 2], deadline: Option<Instant>) -> rustix::io::Result<()> {
    let deadline = deadline.map(monotonic);
    let waits = waits.map(|Wait(word, value, seen)| {
        let mut wait = futex::Wait::new();
        wait.val = u64::from(value);
        wait.uaddr = futex::WaitPtr::new(word.as_ptr().cast::<c_void>());
        wait.flags = match seen {
            Seen::Shared => futex::WaitFlags::SIZE_U32,
            Seen::Private => futex::WaitFlags::SIZE_U32 | futex::WaitFlags::PRIVATE,
        };
        wait
    });
    let flags = futex::WaitvFlags::empty();
    match futex::waitv(&waits, flags, deadline.as_ref(), ClockId::Monotonic) {
        Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// The same moment on the kernel's clock.
fn monotonic(deadline: Instant) -> Timespec {
    let now = clock_gettime(ClockId::Monotonic);
    let ahead = deadline.saturating_duration_since(Instant::now());
    let nanoseconds = now.tv_nsec + i64::from(ahead.subsec_nanos());
    let seconds = i64::try_from(ahead.as_secs()).unwrap_or(i64::MAX);
    let carried = now.tv_sec.saturating_add(seconds).saturating_add(nanoseconds / 1_000_000_000);
    Timespec { tv_sec: carried, tv_nsec: nanoseconds % 1_000_000_000 }
}
