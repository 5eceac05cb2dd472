// SPDX-License-Identifier: BSD-3-Clause
//! The requests to the I/O thread, and whether it has to be woken for them.
//!
//! ```text
//!   a requesting thread                    the I/O thread
//!   1. push into a list                    a. sleep, if nothing is guarded
//!   2. set `is_called`; was it clear?      b. woken: clear `is_called`
//!   3. wake the thread                     c. take the lists
//! ```
//!
//! # Invariants
//!
//! 1. No list holds a request while the thread sleeps. A thread that finds `is_called` clear wakes
//!    the I/O thread. If a thread finds it set, there are two cases. Its push precedes c: c takes
//!    the request. Its push follows c: by the list's lock, b happened before its step 2, so another
//!    thread has set the flag after b, and wakes the I/O thread.
//! 2. The I/O thread is woken once, for all requests until it has taken them.

use crate::sync::{AtomicBool, Mutex, Ordering};

#[derive(Debug)]
pub(crate) struct Calls<A, G> {
    again: Mutex<Vec<A>>,
    guarded: Mutex<Vec<G>>,
    is_called: AtomicBool,
}

impl<A, G> Calls<A, G> {
    pub(crate) fn new() -> Self {
        let (again, guarded) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        Self { again, guarded, is_called: AtomicBool::new(false) }
    }

    /// Requests another `ready` call. True: the thread has to be woken.
    #[must_use]
    pub(crate) fn again(&self, one: A) -> bool {
        self.again.lock().push(one);
        self.call()
    }

    /// Requests a check at each tick. True: the thread has to be woken.
    #[must_use]
    pub(crate) fn guard(&self, one: G) -> bool {
        self.guarded.lock().push(one);
        self.call()
    }

    /// Takes the requests for another `ready` call. The thread does so each time it was awake; a
    /// request from here on wakes it.
    pub(crate) fn take_again(&self) -> Vec<A> {
        self.is_called.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.again.lock())
    }

    /// Whether anything is to be checked at the next tick.
    pub(crate) fn is_guarding(&self) -> bool {
        !self.guarded.lock().is_empty()
    }

    /// A tick: checks each guarded item, and removes those for which `check` returns false.
    pub(crate) fn tick(&self, mut check: impl FnMut(&G) -> bool) {
        let guarded = std::mem::take(&mut *self.guarded.lock());
        for one in guarded {
            if check(&one) {
                self.guarded.lock().push(one);
            }
        }
    }

    fn call(&self) -> bool {
        !self.is_called.swap(true, Ordering::Relaxed)
    }
}
