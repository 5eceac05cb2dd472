// SPDX-License-Identifier: BSD-3-Clause
//! A worker as other threads see it: its number, its inbox and its sleeping flag.
//!
//! The number is the owner in a coroutine's wake state. A worker ends only after the last of its
//! coroutines, and a coroutine does not end while a wake to it is in flight (`wake_state`,
//! invariant 3). So a thread that read a number from a wake state and set QUEUED there finds the
//! worker it means. The memory stays, for the next worker of that number.

use std::{
    ptr,
    sync::{
        Arc,
        atomic::{AtomicPtr, Ordering},
    },
};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use crate::{outside::Source, runtime::Counters, sleep::Sleeper, wake_state::Inbox};

/// The largest number of workers that run in a process at once.
pub(crate) const WORKERS_MAX: usize = 4095;

/// By number, of which 0 is no worker.
static REMOTES: [AtomicPtr<Remote>; WORKERS_MAX + 1] =
    [const { AtomicPtr::new(ptr::null_mut()) }; WORKERS_MAX + 1];

/// Numbers of workers that ended, and the first that was never used.
static NUMBERS: Mutex<(Vec<u16>, u16)> = Mutex::new((Vec::new(), 1));

/// One worker, as other threads see it.
pub(crate) struct Remote {
    pub(crate) number: u16,
    pub(crate) inbox: CachePadded<Inbox>,
    pub(crate) sleeper: CachePadded<Sleeper>,
    pub(crate) counters: &'static CachePadded<Counters>,
    /// The source that it sleeps in, if any. Set before it announces its sleep.
    sleeps_in: Mutex<Option<Arc<dyn Source>>>,
}

impl Remote {
    /// The remote of a new worker. `None`: every number is in use.
    pub(crate) fn claim() -> Option<&'static Self> {
        let mut numbers = NUMBERS.lock();
        if let Some(number) = numbers.0.pop() {
            return Self::of(number);
        }
        let number = numbers.1;
        let place = REMOTES.get(usize::from(number))?;
        let remote = Box::leak(Box::new(Self {
            number,
            inbox: CachePadded::new(Inbox::new()),
            sleeper: CachePadded::new(Sleeper::new()),
            counters: Box::leak(Box::default()),
            sleeps_in: Mutex::new(None),
        }));
        place.store(remote, Ordering::Release);
        numbers.1 += 1;
        Self::of(number)
    }

    /// Wakes it if it sleeps, wherever it sleeps.
    #[inline]
    pub(crate) fn wake(&self) {
        if self.sleeper.wake() {
            self.kick();
        }
    }

    #[cold]
    fn kick(&self) {
        let source = self.sleeps_in.lock().clone();
        if let Some(source) = source {
            source.kick();
        }
    }

    /// Sets where its worker will sleep next.
    pub(crate) fn sleep_in(&self, source: Option<Arc<dyn Source>>) {
        *self.sleeps_in.lock() = source;
    }

    /// Its worker has ended, or never started.
    pub(crate) fn release(&self) {
        NUMBERS.lock().0.push(self.number);
    }

    /// The worker of this number.
    #[inline]
    pub(crate) fn of(number: u16) -> Option<&'static Self> {
        let remote = REMOTES.get(usize::from(number))?.load(Ordering::Acquire);
        // SAFETY: null, or leaked above.
        unsafe { remote.as_ref() }
    }
}
