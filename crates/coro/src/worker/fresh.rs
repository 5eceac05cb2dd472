// SPDX-License-Identifier: BSD-3-Clause
//! The coroutines of a worker that have not started.
//!
//! With several workers they are in a deque of Chase and Lev's, from which idle workers steal: its
//! owner pays for a full fence, and for one read-modify-write more when it takes the last. A single
//! worker has no thieves, and keeps them in a plain queue. In a long one, most data has left the
//! caches, and the plain queue, where those that come next are at hand, prefetches it.

use std::{cell::RefCell, collections::VecDeque};

use crossbeam_deque::{Injector, Steal, Stealer, Worker as Deque};

use crate::slot::Slot;

pub(super) enum Fresh {
    /// The only worker's.
    Alone(RefCell<VecDeque<&'static Slot>>),
    Stealable(Deque<&'static Slot>),
}

/// The queue length from which data is prefetched.
const LONG: usize = 64;
/// The number of starts ahead at which the slot is prefetched, and the code's allocation.
const SLOT_AHEAD: usize = 5;
const TASK_AHEAD: usize = 2;
/// The capacity above which an empty queue frees its memory.
const KEPT: usize = 4096;

impl Fresh {
    /// `deque`: the worker's, which stays empty if it is `alone`.
    pub(super) fn new(deque: Deque<&'static Slot>, alone: bool) -> Self {
        if alone { Self::Alone(RefCell::default()) } else { Self::Stealable(deque) }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Alone(queue) => queue.borrow().is_empty(),
            Self::Stealable(deque) => deque.is_empty(),
        }
    }

    /// Adds a coroutine. It is in no other place.
    #[inline]
    pub(super) fn push(&self, slot: &'static Slot) {
        match self {
            Self::Alone(queue) => queue.borrow_mut().push_back(slot),
            Self::Stealable(deque) => deque.push(slot),
        }
    }

    /// Takes the newest.
    #[inline]
    pub(super) fn pop(&self) -> Option<&'static Slot> {
        match self {
            Self::Alone(queue) => {
                let mut queue = queue.borrow_mut();
                let slot = queue.pop_back();
                if queue.len() > LONG {
                    prefetch(&queue);
                }
                slot
            }
            Self::Stealable(deque) => deque.pop(),
        }
    }

    /// Takes the oldest; `own`: of the deque.
    pub(super) fn pop_oldest(&self, own: Option<&Stealer<&'static Slot>>) -> Option<&'static Slot> {
        match self {
            Self::Alone(queue) => queue.borrow_mut().pop_front(),
            Self::Stealable(_) => retry(|| own.map_or(Steal::Empty, Stealer::steal)),
        }
    }

    /// Takes one that was spawned from outside. With several workers some more are moved to the
    /// deque, where others find them without contention.
    pub(super) fn take_injected(
        &self,
        injector: &Injector<&'static Slot>,
    ) -> Option<&'static Slot> {
        retry(|| match self {
            Self::Alone(_) => injector.steal(),
            Self::Stealable(deque) => injector.steal_batch_and_pop(deque),
        })
    }

    /// Takes one that this worker alone starts.
    pub(super) fn take_pinned(pinned: &Injector<&'static Slot>) -> Option<&'static Slot> {
        retry(|| pinned.steal())
    }

    /// Takes one of another worker's, and moves some more to the deque.
    pub(super) fn steal(&self, other: &Stealer<&'static Slot>) -> Option<&'static Slot> {
        match self {
            Self::Alone(_) => None,
            Self::Stealable(deque) => retry(|| other.steal_batch_and_pop(deque)),
        }
    }

    /// Frees memory that a long queue has needed. For a worker that is about to sleep.
    pub(super) fn trim(&self) {
        if let Self::Alone(queue) = self
            && queue.borrow().capacity() > KEPT
        {
            queue.borrow_mut().shrink_to(KEPT);
        }
    }
}

/// Prefetches the data of those that are started soon.
fn prefetch(queue: &VecDeque<&'static Slot>) {
    let ahead = |starts| queue.get(queue.len().wrapping_sub(starts));
    if let Some(slot) = ahead(SLOT_AHEAD) {
        slot.prefetch();
    }
    if let Some(slot) = ahead(TASK_AHEAD) {
        // SAFETY: fresh, so it was given a task, and is in the queue of the calling worker.
        unsafe { slot.prefetch_task() };
    }
}

fn retry<T>(mut steal: impl FnMut() -> Steal<T>) -> Option<T> {
    loop {
        match steal() {
            Steal::Success(found) => return Some(found),
            Steal::Empty => return None,
            Steal::Retry => {}
        }
    }
}
