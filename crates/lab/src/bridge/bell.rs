// SPDX-License-Identifier: BSD-3-Clause
//! Wakers that say, during a call, who is to be polled.
//!
//! ```text
//!   thing ── wake ──► Bell ── rung, if the desk listens ──► the bridge looks behind each call
//!                       └──── counted, if it does not
//! ```
//!
//! An adapter has no thread of its own: what is to wake it happens while it is called. A wake at another
//! time, or from another thread, would come at a moment that no seed decides. It is counted and has
//! no other effect: the flow that waits for it stands still, and the rules of liveness say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Wake, Waker};
use std::thread::{self, ThreadId};

/// Whether somebody listens: during calls, for the thread on which the adapter lives.
#[derive(Debug)]
pub(super) struct Desk {
    owner: ThreadId,
    listens: AtomicBool,
    unheard: AtomicU64,
}

/// What is rung by a waker.
#[derive(Debug)]
struct Bell {
    desk: Arc<Desk>,
    is_rung: AtomicBool,
}

/// A bell and the waker that rings it.
#[derive(Debug)]
pub(super) struct Line {
    bell: Arc<Bell>,
    waker: Waker,
}

impl Desk {
    pub(super) fn new() -> Arc<Self> {
        let owner = thread::current().id();
        Arc::new(Self { owner, listens: AtomicBool::new(false), unheard: AtomicU64::new(0) })
    }

    pub(super) fn listen(&self, listens: bool) {
        self.listens.store(listens, Ordering::Relaxed);
    }

    /// Wakes that came from elsewhere, or between calls.
    pub(super) fn unheard(&self) -> u64 {
        self.unheard.load(Ordering::Relaxed)
    }

    fn hears(&self) -> bool {
        self.listens.load(Ordering::Relaxed) && thread::current().id() == self.owner
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.desk.hears() {
            self.is_rung.store(true, Ordering::Relaxed);
        } else {
            self.desk.unheard.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Line {
    pub(super) fn new(desk: &Arc<Desk>) -> Self {
        let bell = Arc::new(Bell { desk: Arc::clone(desk), is_rung: AtomicBool::new(false) });
        Self { waker: Waker::from(Arc::clone(&bell)), bell }
    }

    pub(super) const fn waker(&self) -> &Waker {
        &self.waker
    }

    pub(super) fn is_rung(&self) -> bool {
        self.bell.is_rung.load(Ordering::Relaxed)
    }

    /// Whether it was rung since this was asked last.
    pub(super) fn take(&self) -> bool {
        self.bell.is_rung.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_is_heard_during_a_call_on_its_thread_and_else_counted() {
        let desk = Desk::new();
        let line = Line::new(&desk);
        line.waker().wake_by_ref();
        assert_eq!((line.take(), desk.unheard()), (false, 1));
        desk.listen(true);
        line.waker().wake_by_ref();
        assert_eq!((line.take(), line.take(), desk.unheard()), (true, false, 1));
        thread::scope(|scope| {
            scope.spawn(|| line.waker().wake_by_ref());
        });
        assert_eq!((line.take(), desk.unheard()), (false, 2));
    }
}
