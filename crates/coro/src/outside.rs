// SPDX-License-Identifier: BSD-3-Clause
//! Where wakes come from that no thread of this process brings: memory shared with another process.
//!
//! A thread of its own could wait for such a source and wake coroutines, at the price of one more
//! switch for each message. A worker that has nothing to run can do it itself: it looks at the
//! sources for as long as it looks for work anyway, and if there is just one, sleeps where that is
//! rung.
//!
//! ```text
//!   nothing to run ──claim, resume──► look: poll, poll, … ──found──► retain ──► run
//!                                     │ in vain
//!                                     ├── several sources ──► release ──► sleep
//!                                     └── one ──► sleep in the source ──► retain ──► run, or again
//! ```
//!
//! # Invariants
//!
//! 1. A source is claimed by one worker at a time, and a worker that has claimed it looks at it, or
//!    sleeps in it, until it retains or releases it. A source that is retained sees to it itself that
//!    somebody looks at it if the worker does not come back soon.
//! 2. A worker that sleeps in a source is kicked by whoever wakes it.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;

/// A worker looks after so many sources; the others are left to whoever else waits for them.
const LOOKED_AT_MAX: usize = 8;

/// Something that wakes coroutines when it is polled. Nothing here may wait but `sleep`.
pub trait Source: Send + Sync {
    /// The calling worker wants to look after it. False: somebody does already.
    fn claim(&self) -> bool;

    /// The worker has something to run, and will be back soon.
    fn retain(self: Arc<Self>);

    /// It is back. False: somebody else looks after it meanwhile.
    fn resume(&self) -> bool;

    /// It does not look after it any more: others must be woken from now on for what comes.
    fn release(self: Arc<Self>);

    /// Takes what has come; true if there was anything.
    fn poll(self: Arc<Self>) -> bool;

    /// Whether it is worth looking for a moment: who sends runs now, on another CPU.
    fn may_come_soon(&self) -> bool;

    /// Sleeps until something comes, somebody [`kick`](Self::kick)s, or the deadline has passed; not at
    /// all if `is_awake` says so after whatever `kick` needs has been set up. May return early.
    fn sleep(&self, deadline: Option<Instant>, is_awake: &dyn Fn() -> bool);

    /// Ends the sleep of a worker that sleeps in it.
    fn kick(&self);
}

/// A source that workers look at, until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the looking"]
pub struct Registered(usize);

struct Sources {
    next: usize,
    all: Vec<(usize, Weak<dyn Source>)>,
}

static SOURCES: Mutex<Sources> = Mutex::new(Sources { next: 0, all: Vec::new() });
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Has idle workers look at a source. Those that sleep learn of it when they are woken for something
/// else; until then whoever else waits for the source does.
pub fn register(source: Weak<dyn Source>) -> Registered {
    let mut sources = SOURCES.lock();
    let number = sources.next;
    sources.next += 1;
    sources.all.push((number, source));
    COUNT.store(sources.all.len(), Ordering::Release);
    Registered(number)
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut sources = SOURCES.lock();
        let place = sources.all.iter().position(|(number, _)| *number == self.0);
        // Dropped after the lock: it may be the last to know the source.
        let _source = place.map(|place| sources.all.swap_remove(place));
        COUNT.store(sources.all.len(), Ordering::Release);
        drop(sources);
    }
}

/// The sources that the calling worker looks after, until it drops this.
pub(crate) struct Claimed {
    sources: Vec<Arc<dyn Source>>,
    /// How many there were.
    known: usize,
    /// There are no others.
    is_all: bool,
}

impl Claimed {
    /// Claims what nobody looks after.
    #[inline]
    pub(crate) fn claim() -> Self {
        if COUNT.load(Ordering::Acquire) == 0 {
            return Self { sources: Vec::new(), known: 0, is_all: true };
        }
        Self::claim_some()
    }

    fn claim_some() -> Self {
        let known: Vec<_> = {
            let sources = SOURCES.lock();
            sources.all.iter().take(LOOKED_AT_MAX).filter_map(|(_, one)| one.upgrade()).collect()
        };
        let count = COUNT.load(Ordering::Acquire);
        let is_all = known.len() == count;
        let sources: Vec<_> = known.into_iter().filter(|source| source.claim()).collect();
        Self { sources, known: count, is_all }
    }

    /// The worker goes to run something.
    #[inline]
    pub(crate) fn retain(self) -> Option<Self> {
        for source in &self.sources {
            source.clone().retain();
        }
        (!self.sources.is_empty()).then_some(self)
    }

    /// It is back, and looks after what it still has; or after others, if those have changed.
    #[inline]
    pub(crate) fn resume(retained: Option<Self>) -> Self {
        let Some(mut claimed) = retained else { return Self::claim() };
        claimed.sources.retain(|source| source.resume());
        if claimed.sources.is_empty() || claimed.known != COUNT.load(Ordering::Acquire) {
            drop(claimed);
            return Self::claim();
        }
        claimed
    }

    /// Looks at each.
    #[inline]
    pub(crate) fn poll(&self) -> bool {
        let mut found = false;
        for source in &self.sources {
            found |= source.clone().poll();
        }
        found
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Whether looking may pay, as far as the sources go.
    pub(crate) fn may_come_soon(&self) -> bool {
        self.sources.iter().any(|source| source.may_come_soon())
    }

    /// The one in which the worker can sleep: there is no other to be woken by.
    pub(crate) fn single(&self) -> Option<&Arc<dyn Source>> {
        match self.sources.as_slice() {
            [single] if self.is_all && self.known == 1 => Some(single),
            _ => None,
        }
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        for source in self.sources.drain(..) {
            source.release();
        }
    }
}
