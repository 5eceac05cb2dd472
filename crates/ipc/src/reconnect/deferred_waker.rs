// SPDX-License-Identifier: BSD-3-Clause
//! A waker that wakes another waker on the I/O thread.
//!
//! A reconnect task waits for local channels too, whose other ends may be used anywhere: also in a
//! connection's dispatch, under its lock. A task is polled by its wakes, and a reconnect task needs
//! that lock: so its wake is deferred to the I/O thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;

use crate::reactor::{self, Ready};

#[derive(Default)]
pub(super) struct DeferredWaker {
    target: Mutex<Option<Waker>>,
    is_queued: AtomicBool,
}

impl DeferredWaker {
    /// A waker that wakes `target`, which replaces an earlier target.
    pub(super) fn of(self: &Arc<Self>, target: &Waker) -> Waker {
        let mut current = self.target.lock();
        if !current.as_ref().is_some_and(|current| current.will_wake(target)) {
            *current = Some(target.clone());
        }
        self.clone().into()
    }
}

impl Wake for DeferredWaker {
    fn wake(self: Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            // Without an I/O thread there has never been a connection to wait for.
            let _asked = reactor::again(self);
        }
    }
}

impl Ready for DeferredWaker {
    fn ready(self: Arc<Self>) {
        self.is_queued.store(false, Ordering::Release);
        let target = self.target.lock().clone();
        if let Some(target) = target {
            target.wake();
        }
    }
}
