// SPDX-License-Identifier: BSD-3-Clause
//! Wakers that record, during a call, what must be polled.
//!
//! ```text
//!   thing ── wake ──► WakerFlag ── set, if the scope is open ──► the bridge checks it after each call
//!                         └─────── counted otherwise
//! ```
//!
//! An adapter has no thread of its own: every wake-up happens while it is called. A wake-up at
//! another time, or from another thread, would come at a moment that no seed decides. It is counted
//! and has no other effect: the flow that waits for it makes no progress, which violates the
//! liveness rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Wake, Waker};
use std::thread::{self, ThreadId};

/// Whether wake-ups are accepted: during calls, on the thread of the adapter.
#[derive(Debug)]
pub(super) struct Scope {
    owner: ThreadId,
    is_open: AtomicBool,
    ignored: AtomicU64,
}

/// Set by a waker.
#[derive(Debug)]
struct WakerFlag {
    scope: Arc<Scope>,
    is_set: AtomicBool,
}

/// A flag and the waker that sets it.
#[derive(Debug)]
pub(super) struct FlagWaker {
    flag: Arc<WakerFlag>,
    waker: Waker,
}

impl Scope {
    pub(super) fn new() -> Arc<Self> {
        let owner = thread::current().id();
        Arc::new(Self { owner, is_open: AtomicBool::new(false), ignored: AtomicU64::new(0) })
    }

    pub(super) fn set_open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::Relaxed);
    }

    /// Wake-ups from other threads, or between calls.
    pub(super) fn ignored(&self) -> u64 {
        self.ignored.load(Ordering::Relaxed)
    }

    fn accepts(&self) -> bool {
        self.is_open.load(Ordering::Relaxed) && thread::current().id() == self.owner
    }
}

impl Wake for WakerFlag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.scope.accepts() {
            self.is_set.store(true, Ordering::Relaxed);
        } else {
            self.scope.ignored.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl FlagWaker {
    pub(super) fn new(scope: &Arc<Scope>) -> Self {
        let flag = Arc::new(WakerFlag { scope: Arc::clone(scope), is_set: AtomicBool::new(false) });
        Self { waker: Waker::from(Arc::clone(&flag)), flag }
    }

    pub(super) const fn waker(&self) -> &Waker {
        &self.waker
    }

    pub(super) fn is_set(&self) -> bool {
        self.flag.is_set.load(Ordering::Relaxed)
    }

    /// Whether it was set since the last call of this function.
    pub(super) fn take(&self) -> bool {
        self.flag.is_set.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_is_heard_during_a_call_on_its_thread_and_else_counted() {
        let scope = Scope::new();
        let line = FlagWaker::new(&scope);
        line.waker().wake_by_ref();
        assert_eq!((line.take(), scope.ignored()), (false, 1));
        scope.set_open(true);
        line.waker().wake_by_ref();
        assert_eq!((line.take(), line.take(), scope.ignored()), (true, false, 1));
        thread::scope(|scope| {
            scope.spawn(|| line.waker().wake_by_ref());
        });
        assert_eq!((line.take(), scope.ignored()), (false, 2));
    }
}
