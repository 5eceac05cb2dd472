// SPDX-License-Identifier: BSD-3-Clause
//! What other threads know of a worker: by its number, its inbox and whether it sleeps.
//!
//! The number is what a coroutine's gate names as its owner. A worker ends only after the last of
//! its coroutines, and a coroutine not while a wake is on its way to it (`gate`, invariant 3). So
//! whoever read a number from a gate and set QUEUED there finds the worker it means. The memory
//! stays, for the next worker of that number.

use std::{
    ptr,
    sync::{
        Arc,
        atomic::{AtomicPtr, Ordering},
    },
};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use crate::{gate::Inbox, outside::Source, runtime::Counters, sleep::Sleeper};

/// As many workers can run in a process at once.
pub(crate) const WORKERS_MAX: usize = 4096;

static REMOTES: [AtomicPtr<Remote>; WORKERS_MAX] =
    [const { AtomicPtr::new(ptr::null_mut()) }; WORKERS_MAX];

/// Numbers of workers that ended, and the first that was never used. 0 is nobody's.
static NUMBERS: Mutex<(Vec<u16>, u16)> = Mutex::new((Vec::new(), 1));

/// One worker, from outside.
pub(crate) struct Remote {
    pub(crate) number: u16,
    pub(crate) inbox: CachePadded<Inbox>,
    pub(crate) sleeper: CachePadded<Sleeper>,
    pub(crate) counters: &'static CachePadded<Counters>,
    /// The source that it sleeps in, if it sleeps in one. Set before it says that it sleeps.
    sleeps_in: Mutex<Option<Arc<dyn Source>>>,
}

impl Remote {
    /// The remote of a worker to be. `None`: there are [`WORKERS_MAX`].
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

    /// Wakes it if it sleeps, wherever it does.
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

    /// Where its worker will sleep next.
    pub(crate) fn sleep_in(&self, source: Option<Arc<dyn Source>>) {
        *self.sleeps_in.lock() = source;
    }

    /// Its worker has ended, or never began.
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
