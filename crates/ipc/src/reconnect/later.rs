// SPDX-License-Identifier: BSD-3-Clause
//! A waker that wakes another one on the I/O thread.
//!
//! A keeper waits for local channels too, whose other ends may be used, filled and closed anywhere:
//! in a connection's turn, under its lock. A task is polled by whoever wakes it, and a keeper needs
//! that lock: so it is woken elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;

use crate::reactor::{self, Ready};

#[derive(Default)]
pub(super) struct Later {
    target: Mutex<Option<Waker>>,
    is_queued: AtomicBool,
}

impl Later {
    /// The waker that wakes `target`, from now on instead of any other.
    pub(super) fn of(self: &Arc<Self>, target: &Waker) -> Waker {
        let mut current = self.target.lock();
        if !current.as_ref().is_some_and(|current| current.will_wake(target)) {
            *current = Some(target.clone());
        }
        self.clone().into()
    }
}

impl Wake for Later {
    fn wake(self: Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            // Without an I/O thread there has never been a connection to wait for.
            let _asked = reactor::again(self);
        }
    }
}

impl Ready for Later {
    fn ready(self: Arc<Self>) {
        self.is_queued.store(false, Ordering::Release);
        let target = self.target.lock().clone();
        if let Some(target) = target {
            target.wake();
        }
    }
}
