// SPDX-License-Identifier: BSD-3-Clause
//! The time of the last tick, for operations that are too frequent to read a clock each.
//!
//! A thread writes the time into one word every [`TICK`], while there are such operations. It is
//! started by the first side of a channel that is dense ([`run`]), rests after [`TURN`], and is woken
//! by the next one: an idle process does not run it at all.
//!
//! ```text
//!   dense ──run()──► thread: NOW ← time, every tick ──TURN──► NOW ← RESTS, parked
//!   each operation: NOW, one load of a line that is written once a tick
//! ```
//!
//! The time is late by less than a tick, and by as long as the thread waits for a processor. A child
//! of `fork()` has no such thread: there the word says [`RESTS`] for ever, and operations read the
//! clock.

use std::ffi::c_int;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::clock;

/// In place of a time: there are no ticks now.
pub(crate) const RESTS: i64 = -1;

/// Between two times.
const TICK: Duration = Duration::from_millis(4);
/// The number of ticks before the thread rests.
const TURN: u32 = 64;

/// Alone on its line: every operation reads it.
#[repr(align(64))]
struct Word(AtomicI64);

static NOW: Word = Word(AtomicI64::new(RESTS));

/// The time of the last tick, or [`RESTS`].
#[inline]
pub(crate) fn last() -> i64 {
    NOW.0.load(Ordering::Relaxed)
}

/// Has ticks for the next [`TURN`]. Without memory for a thread there are none.
#[cold]
pub(crate) fn run() {
    static THREAD: OnceLock<Option<Thread>> = OnceLock::new();
    if let Some(thread) = THREAD.get_or_init(start) {
        thread.unpark();
    }
}

fn start() -> Option<Thread> {
    // SAFETY: `forked` is a function of this library, which is never unloaded once it has threads;
    // it only writes an atomic.
    if unsafe { pthread_atfork(None, None, Some(forked)) } != 0 {
        return None;
    }
    let started = thread::Builder::new().name("kcoro-tick".to_owned()).spawn(|| {
        loop {
            for _ in 0..TURN {
                NOW.0.store(clock::now_ns(), Ordering::Relaxed);
                // Woken earlier, it only makes a shorter tick.
                thread::park_timeout(TICK);
            }
            NOW.0.store(RESTS, Ordering::Relaxed);
            thread::park();
        }
    });
    Some(started.ok()?.thread().clone())
}

extern "C" fn forked() {
    NOW.0.store(RESTS, Ordering::Relaxed);
}

unsafe extern "C" {
    /// Of the C library.
    fn pthread_atfork(
        prepare: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> c_int;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn until(what: impl Fn(i64) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !what(last()) {
            assert!(Instant::now() < end, "the word is {}", last());
            thread::yield_now();
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "a thread that does not end")]
    fn ticks_come_while_they_are_wanted_and_end() {
        for _ in 0..2 {
            let before = clock::now_ns();
            run();
            until(|word| word >= before);
            let first = last();
            until(|word| word > first || word == RESTS);
            assert!(last() <= clock::now_ns());
            until(|word| word == RESTS);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "a thread that does not end")]
    fn a_child_of_fork_has_no_ticks() {
        let before = clock::now_ns();
        run();
        until(|word| word >= before);
        // SAFETY: the child only reads an atomic and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: it ends without running anything of the parent's.
            unsafe { libc::_exit(c_int::from(last() != RESTS)) };
        }
        let mut status = -1;
        // SAFETY: a child of this process, and a valid place.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
    }
}
