// SPDX-License-Identifier: BSD-3-Clause
//! One completion that one task, thread or coroutine waits for.
//!
//! ```text
//!   EMPTY ──── complete ───────────────► DONE
//!     │ ▲                                 ▲
//!     ▼ │ another waker                   │
//!   WAITING ── complete, takes the waker ─┘
//! ```
//!
//! The waker belongs to the waiter while the state is EMPTY, and to the completing thread while it
//! is WAITING. One read-modify-write each for the wait and for the completion. Writes before
//! `complete` are visible to a waiter that has seen DONE.

use std::{mem::MaybeUninit, task::Waker};

use crate::sync::{AtomicU32, Ordering, UnsafeCell};

const EMPTY: u32 = 0;
const WAITING: u32 = 1;
const DONE: u32 = 2;

pub(crate) struct Done {
    state: AtomicU32,
    waker: UnsafeCell<MaybeUninit<Waker>>,
}

impl Done {
    pub(crate) fn new() -> Self {
        Self { state: AtomicU32::new(EMPTY), waker: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }

    /// Whether it is done; if not, `waker` will be woken.
    ///
    /// # Safety
    ///
    /// One caller at a time.
    pub(crate) unsafe fn poll(&self, waker: &Waker) -> bool {
        let state = self.state.load(Ordering::Acquire);
        if state == DONE {
            return true;
        }
        if state == WAITING {
            // SAFETY: initialised; the completing thread may be reading the two words out at the
            // same time, and no thread writes them; they are compared and not dereferenced.
            if self.waker.with(|cell| unsafe { (*cell).assume_init_ref() }.will_wake(waker)) {
                return self.is_done();
            }
            if self
                .state
                .compare_exchange(WAITING, EMPTY, Ordering::AcqRel, Ordering::Acquire)
                .is_err()
            {
                return true;
            }
            // SAFETY: EMPTY again, so the waker is ours and initialised.
            drop(unsafe { self.read() });
        }
        let waker = waker.clone();
        self.waker.with_mut(|cell| {
            // SAFETY: EMPTY, so the cell is ours, and empty.
            unsafe { (*cell).write(waker) };
        });
        if self.state.compare_exchange(EMPTY, WAITING, Ordering::AcqRel, Ordering::Acquire).is_err()
        {
            // SAFETY: the state became DONE instead: no completion took the waker, and none will.
            drop(unsafe { self.read() });
            return true;
        }
        false
    }

    /// Completes it, once. Returns the waker of the waiter.
    pub(crate) fn complete(&self) -> Option<Waker> {
        let waiting = self.state.swap(DONE, Ordering::AcqRel) == WAITING;
        // SAFETY: it was WAITING, so it is initialised and ours now.
        waiting.then(|| unsafe { self.read() })
    }

    /// # Safety
    ///
    /// The waker is initialised and the caller's, which does not read it again.
    unsafe fn read(&self) -> Waker {
        // SAFETY: the caller's promise.
        self.waker.with(|cell| unsafe { (*cell).assume_init_read() })
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if self.state.load(Ordering::Relaxed) == WAITING {
            // SAFETY: WAITING, so it is initialised; no other thread can reach it any more.
            drop(unsafe { self.read() });
        }
    }
}
