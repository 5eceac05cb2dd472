// SPDX-License-Identifier: BSD-3-Clause
//! Wakes of tasks that are deferred until a lock is released.
//!
//! A waker is user code, and may use whatever it can reach. A channel fires wakes after it has
//! released its own lock. A caller that operates on channels under a lock of its own
//! [defers](defer) them further:
//!
//! ```
//! # let lock = std::sync::Mutex::new(());
//! # let (tx, _rx) = becket_chan::bounded(1);
//! let deferral = becket_chan::wakes::defer();
//! let locked = lock.lock();
//! let _sent = tx.try_send(1); // A task that waits for it is not woken yet.
//! drop(locked);
//! drop(deferral); // It is woken here.
//! ```
//!
//! Threads and coroutines are woken at once: waking them runs no user code.
//!
//! # Invariants
//!
//! 1. While a [`Deferral`] lives, its thread wakes no task; when the last one is dropped, the
//!    thread fires the deferred wakes in their order.
//! 2. Wakers run with no deferral of their thread alive: the tasks that they wake are woken at
//!    once.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::task::Waker;

use crate::contain::contain;

thread_local! {
    /// The number of deferrals that live.
    static DEFERRALS: Cell<usize> = const { Cell::new(0) };
    /// How many outermost deferrals there were.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
    static DEFERRED: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

/// Defers the wakes of its thread for as long as it lives. See [`defer`].
#[derive(Debug)]
#[must_use = "wakes are deferred while it lives"]
pub struct Deferral(PhantomData<*const ()>);

/// Defers the wakes of tasks on this thread. Deferrals nest: the tasks are woken when the last one
/// is dropped, which must happen after the caller's locks are released. The caller does not wait in
/// between.
#[inline]
pub fn defer() -> Deferral {
    let outer = DEFERRALS.get();
    DEFERRALS.set(outer + 1);
    if outer == 0 {
        NUMBER.set(NUMBER.get() + 1);
    }
    Deferral(PhantomData)
}

/// Which deferral the calling thread is in, counted from 1: the outermost one, if they are nested.
/// `None`: no deferral of this thread lives.
#[inline]
pub fn deferral() -> Option<u64> {
    is_deferring().then(|| NUMBER.get())
}

/// Wakes a task, now or when the last deferral of this thread is dropped.
#[inline]
pub fn wake(waker: Waker) {
    if is_deferring() { defer_wake(waker) } else { waker.wake() }
}

/// Whether a deferral of this thread lives.
#[inline]
pub(crate) fn is_deferring() -> bool {
    DEFERRALS.get() != 0
}

#[cold]
pub(crate) fn defer_wake(waker: Waker) {
    let mut waker = Some(waker);
    // Gone: the thread's locals are destroyed, so the task is woken now.
    let is_gone = DEFERRED.try_with(|deferred| deferred.borrow_mut().extend(waker.take())).is_err();
    if is_gone && let Some(waker) = waker {
        contain(|| waker.wake());
    }
}

impl Deferral {
    /// Whether dropping it wakes a task, unless another deferral of its thread lives.
    #[inline]
    #[must_use]
    pub fn has_wakes(&self) -> bool {
        DEFERRED.try_with(|deferred| !deferred.borrow().is_empty()) == Ok(true)
    }
}

impl Drop for Deferral {
    #[inline]
    fn drop(&mut self) {
        let others = DEFERRALS.get() - 1;
        DEFERRALS.set(others);
        if others == 0 && self.has_wakes() {
            fire();
        }
    }
}

fn fire() {
    // A waker may use channels, and defer wakes too.
    let mut wakers = DEFERRED.try_with(RefCell::take).unwrap_or_default();
    for waker in wakers.drain(..) {
        contain(|| waker.wake());
    }
    // The list keeps its storage.
    let _gone = DEFERRED.try_with(|deferred| {
        let mut deferred = deferred.borrow_mut();
        if deferred.is_empty() {
            *deferred = wakers;
        }
    });
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::future::Future as _;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Wake};

    use parking_lot::Mutex;

    use super::*;
    use crate::unlimited;

    struct Noted(u8, Arc<Mutex<Vec<u8>>>);

    impl Wake for Noted {
        fn wake(self: Arc<Self>) {
            assert_eq!(DEFERRALS.get(), 0);
            // It may defer too.
            let _deferral = defer();
            self.1.lock().push(self.0);
            assert!(self.0 != 2, "a panic keeps no other task from being woken");
        }
    }

    #[test]
    fn tasks_are_woken_in_order_when_the_last_deferral_is_dropped() {
        let woken = Arc::new(Mutex::new(Vec::new()));
        let (tx, rx) = unlimited();
        let mut receives = [1, 2, 3].map(|number| {
            let waker = Waker::from(Arc::new(Noted(number, woken.clone())));
            let mut recv = Box::pin(rx.recv());
            assert!(recv.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            recv
        });
        let outer = defer();
        let inner = defer();
        for at in 0..3 {
            tx.try_send(at).unwrap();
        }
        drop(inner);
        // The values were passed; the tasks are woken later.
        let mut context = Context::from_waker(Waker::noop());
        assert!(receives.iter_mut().all(|recv| recv.as_mut().poll(&mut context).is_ready()));
        assert!(woken.lock().is_empty());
        drop(outer);
        assert_eq!(*woken.lock(), [1, 2, 3]);
        // Without a deferral a task is woken at once.
        let waker = Waker::from(Arc::new(Noted(4, woken.clone())));
        let mut recv = pin!(rx.recv());
        assert!(recv.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        tx.try_send(4).unwrap();
        assert_eq!(*woken.lock(), [1, 2, 3, 4]);
    }
}
