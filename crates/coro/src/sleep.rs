// SPDX-License-Identifier: BSD-3-Clause
//! How a worker sleeps and is woken.
//!
//! The worker announces its sleep, then checks once more for work, then sleeps. A thread that
//! brings work stores it, then checks whether the worker sleeps. Each side writes and then reads
//! what the other side writes; both in the one order of sequentially consistent operations (an
//! inbox, an injector), or with the asymmetric fence between the two (a worker's own deque, whose
//! owner must not pay for a fence with every spawn). So one of the two sees the other (store-buffer
//! reordering).
//!
//! A worker sleeps in the parking lot of `parking_lot_core` under the address of its word.

use std::time::Instant;

use crate::sync::{AtomicU32, Ordering};

const AWAKE: u32 = 0;
const SLEEPING: u32 = 1;

/// The sleeping flag of one worker.
#[derive(Debug)]
pub(crate) struct Sleeper {
    state: AtomicU32,
}

impl Sleeper {
    #[cfg(not(feature = "loom"))]
    pub(crate) const fn new() -> Self {
        Self { state: AtomicU32::new(AWAKE) }
    }

    #[cfg(feature = "loom")]
    pub(crate) fn new() -> Self {
        Self { state: AtomicU32::new(AWAKE) }
    }

    /// The worker is about to sleep: it must check for work once more now.
    pub(crate) fn announce(&self) {
        self.state.store(SLEEPING, Ordering::SeqCst);
    }

    /// The worker found work after all, or woke.
    pub(crate) fn retract(&self) {
        self.state.store(AWAKE, Ordering::SeqCst);
    }

    /// Whether the sleep is announced, and the worker was not woken since.
    pub(crate) fn is_announced(&self) -> bool {
        self.state.load(Ordering::SeqCst) == SLEEPING
    }

    /// Sleeps until woken or the deadline has passed; may return early.
    #[cfg(not(feature = "loom"))]
    pub(crate) fn sleep(&self, deadline: Option<Instant>) {
        // SAFETY: the key is the address of a word of this crate, under which no other code parks;
        // the closures neither panic nor call into the parking lot.
        unsafe {
            parking_lot_core::park(
                self.key(),
                || self.state.load(Ordering::SeqCst) == SLEEPING,
                || {},
                |_, _| {},
                parking_lot_core::DEFAULT_PARK_TOKEN,
                deadline,
            );
        }
    }

    #[cfg(feature = "loom")]
    pub(crate) fn sleep(&self, _deadline: Option<Instant>) {
        while self.state.load(Ordering::SeqCst) == SLEEPING {
            loom::thread::yield_now();
        }
    }

    /// Wakes it if it sleeps. The caller has stored the work before. True: this call woke it.
    #[inline]
    pub(crate) fn wake(&self) -> bool {
        self.state.load(Ordering::SeqCst) == SLEEPING && self.wake_asleep()
    }

    #[cold]
    fn wake_asleep(&self) -> bool {
        let slept = self.state.swap(AWAKE, Ordering::SeqCst) == SLEEPING;
        if slept {
            // SAFETY: as in `sleep`.
            #[cfg(not(feature = "loom"))]
            unsafe {
                parking_lot_core::unpark_one(self.key(), |_| {
                    parking_lot_core::DEFAULT_UNPARK_TOKEN
                });
            }
        }
        slept
    }

    #[cfg(not(feature = "loom"))]
    fn key(&self) -> usize {
        std::ptr::from_ref(&self.state).addr()
    }
}
