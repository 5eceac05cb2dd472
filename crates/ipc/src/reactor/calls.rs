// SPDX-License-Identifier: BSD-3-Clause
//! What the I/O thread was asked for, and whether it is to be woken for that.
//!
//! ```text
//!   who asks                               the I/O thread
//!   1. push into a list                    a. sleep, if nothing is guarded
//!   2. called: set it; was it not?         b. woken: called = false
//!   3. wake the thread                     c. take the lists
//! ```
//!
//! # Invariants
//!
//! 1. Nothing lies in a list while the thread sleeps. Who finds *called* set has done so before b, and
//!    by the list's lock pushed before c: if c had come first, so had b. Who set it wakes the thread.
//! 2. The thread is woken once, whoever asks until it has looked.

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

    /// To be told again. True: the thread is to be woken.
    #[must_use]
    pub(crate) fn again(&self, one: A) -> bool {
        self.again.lock().push(one);
        self.call()
    }

    /// To be looked at at each tick. True: the thread is to be woken.
    #[must_use]
    pub(crate) fn guard(&self, one: G) -> bool {
        self.guarded.lock().push(one);
        self.call()
    }

    /// Those that are to be told again. The thread takes them each time that it was awake; who asks
    /// from here on wakes it.
    pub(crate) fn take_again(&self) -> Vec<A> {
        self.is_called.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.again.lock())
    }

    /// Whether something is to be looked at at the next tick.
    pub(crate) fn is_guarding(&self) -> bool {
        !self.guarded.lock().is_empty()
    }

    /// A tick: looks at each, and forgets those of which it says false.
    pub(crate) fn tick(&self, mut look: impl FnMut(&G) -> bool) {
        let guarded = std::mem::take(&mut *self.guarded.lock());
        for one in guarded {
            if look(&one) {
                self.guarded.lock().push(one);
            }
        }
    }

    fn call(&self) -> bool {
        !self.is_called.swap(true, Ordering::Relaxed)
    }
}
