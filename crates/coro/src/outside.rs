// SPDX-License-Identifier: BSD-3-Clause
//! Sources of wakes that come from no thread of this process: memory shared with another process.
//!
//! A thread of its own could wait for such a source and wake coroutines, at the cost of one more
//! switch per message. An idle worker can do it itself: it polls the sources for as long as it
//! spins for work anyway, and if there is exactly one, it sleeps in that source.
//!
//! ```text
//!   nothing to run ──claim, resume──► spin: poll, poll, … ──found──► retain ──► run
//!                                     │ nothing found
//!                                     ├── several sources ──► release ──► sleep
//!                                     └── one ──► sleep in the source ──► retain ──► run, or again
//! ```
//!
//! A thread that waits for a future does the same with the source that it has passed work on to
//! ([`Registered::mark_used`]).
//!
//! # Invariants
//!
//! 1. A source is claimed by one worker at a time, and a worker that has claimed it polls it, or
//!    sleeps in it, until it retains or releases it. A retained source is itself responsible for
//!    being polled if the worker does not return soon.
//! 2. A worker that sleeps in a source is kicked by every wake.

use std::{
    cell::Cell,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;

use crate::{driving, slot::CoroutineKey};

/// The largest number of sources that a worker polls; the others are left to other waiters.
const POLLED_MAX: usize = 8;

/// A source that wakes coroutines when it is polled. No method may block except `sleep`.
pub trait Source: Send + Sync {
    /// Claims it for the calling worker, which then polls it. False: another worker or thread polls
    /// it already.
    fn claim(&self) -> bool;

    /// The worker that has claimed it stops polling, since it has something to run; it will return
    /// soon.
    fn retain(self: Arc<Self>);

    /// The worker polls it again. False: another thread has taken it over meanwhile.
    fn resume(&self) -> bool;

    /// The worker gives up the claim: from now on other waiters must be woken for events.
    fn release(self: Arc<Self>);

    /// Processes pending events; true if there were any.
    fn poll(self: Arc<Self>) -> bool;

    /// Whether a short spin is worth it: the sender runs now, on another CPU.
    fn may_come_soon(&self) -> bool;

    /// Sleeps until an event comes, [`kick`](Self::kick) is called, or the deadline has passed; not
    /// at all if `is_awake` returns true after everything that `kick` needs has been set up. May
    /// return early.
    fn sleep(&self, deadline: Option<Instant>, is_awake: &dyn Fn() -> bool);

    /// Ends the sleep of a worker that sleeps in it.
    fn kick(&self);
}

/// A source that workers poll, until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the looking"]
pub struct Registered(usize);

struct Sources {
    next: usize,
    all: Vec<(usize, Weak<dyn Source>)>,
}

static SOURCES: Mutex<Sources> = Mutex::new(Sources { next: 0, all: Vec::new() });
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Lets idle workers poll a source. Sleeping workers notice it when they are woken for something
/// else; until then other waiters of the source poll it.
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
        // Dropped after the lock: it may be the last reference to the source.
        let _source = place.map(|place| sources.all.swap_remove(place));
        COUNT.store(sources.all.len(), Ordering::Release);
        drop(sources);
    }
}

thread_local! {
    /// The source that the calling thread used last, by its number plus one; 0: none.
    static USED: Cell<usize> = const { Cell::new(0) };
}

impl Registered {
    /// A future that the calling thread polls has passed work on to the source. If the thread then
    /// waits for the future ([`block_on`](crate::block_on)), it polls the source meanwhile.
    #[inline]
    pub fn mark_used(&self) {
        set_used(Some(self.0));
    }
}

/// Whether what the calling thread polls is waited for by a coroutine, or by a thread in
/// [`block_on`](crate::block_on): then the waiter polls the source that it has used. Any other
/// executor does not.
#[must_use]
pub fn is_polled_by_waiter() -> bool {
    crate::context::key() != CoroutineKey::NONE || driving::is_waiting()
}

#[inline]
pub(crate) fn set_used(number: Option<usize>) {
    // A thread that ends waits no more.
    let _ = USED.try_with(|used| used.set(number.map_or(0, |number| number + 1)));
}

#[inline]
pub(crate) fn take_used() -> Option<usize> {
    USED.try_with(Cell::take).ok()?.checked_sub(1)
}

/// The source of this number, if it is still registered.
pub(crate) fn find(number: usize) -> Option<Weak<dyn Source>> {
    let sources = SOURCES.lock();
    let source = sources.all.iter().find(|(known, _)| *known == number);
    source.map(|(_, source)| source.clone())
}

/// The sources that the calling worker has claimed, until it drops this.
pub(crate) struct Claimed {
    sources: Vec<Arc<dyn Source>>,
    /// The number of sources at the time of the claim.
    known: usize,
    /// All sources that existed at the claim are in `sources`, unless another claim holds them.
    is_all: bool,
}

impl Claimed {
    /// Claims the sources that are free.
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
            sources.all.iter().take(POLLED_MAX).filter_map(|(_, one)| one.upgrade()).collect()
        };
        let count = COUNT.load(Ordering::Acquire);
        let is_all = known.len() == count;
        let sources: Vec<_> = known.into_iter().filter(|source| source.claim()).collect();
        Self { sources, known: count, is_all }
    }

    /// Retains all: the worker has something to run.
    #[inline]
    pub(crate) fn retain(self) -> Option<Self> {
        for source in &self.sources {
            source.clone().retain();
        }
        (!self.sources.is_empty()).then_some(self)
    }

    /// Resumes those that it still has; or claims anew, if the set of sources has changed.
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

    /// Polls each.
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

    /// Whether spinning may pay, as far as the sources are concerned.
    pub(crate) fn may_come_soon(&self) -> bool {
        self.sources.iter().any(|source| source.may_come_soon())
    }

    /// The one in which the worker can sleep: there is no other source that could wake it.
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
