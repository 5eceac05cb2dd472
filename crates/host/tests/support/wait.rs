// SPDX-License-Identifier: BSD-3-Clause
//! Waiting for the event itself.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

/// Reached by a hang alone.
pub const LIMIT: Duration = Duration::from_secs(60);

struct Parker(Thread);

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, parking it in between: the smallest executor there is.
pub fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Parker(thread::current())));
    let mut context = Context::from_waker(&waker);
    let limit = Instant::now() + LIMIT;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        let left = limit.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "nothing happened for {LIMIT:?}");
        thread::park_timeout(left);
    }
}

/// Polls a future once, without waiting for it.
pub fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Waits until `is_so`, of what nothing can be waited for: another process, or a handler that has answered.
pub fn until(mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < limit, "it was not so for {LIMIT:?}");
        thread::yield_now();
    }
}

/// A count that threads wait for.
#[derive(Default)]
pub struct Tally {
    value: Mutex<u64>,
    changed: Condvar,
}

impl Tally {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn add(&self) {
        *self.value.lock() += 1;
        self.changed.notify_all();
    }

    pub fn get(&self) -> u64 {
        *self.value.lock()
    }

    /// Blocks until the count is at least `wanted`.
    pub fn reach(&self, wanted: u64) {
        let mut value = self.value.lock();
        let limit = Instant::now() + LIMIT;
        while *value < wanted {
            let timed_out = self.changed.wait_until(&mut value, limit).timed_out();
            assert!(!timed_out, "count {} of {wanted} after {LIMIT:?}", *value);
        }
    }
}

/// A place where something is left for another thread.
#[derive(Debug)]
pub struct Mailbox<T> {
    letters: Mutex<Vec<T>>,
    changed: Condvar,
}

impl<T> Mailbox<T> {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { letters: Mutex::new(Vec::new()), changed: Condvar::new() })
    }

    pub fn put(&self, letter: T) {
        self.letters.lock().push(letter);
        self.changed.notify_all();
    }

    /// Takes the oldest; blocks until there is one.
    pub fn take(&self) -> T {
        let mut letters = self.letters.lock();
        let limit = Instant::now() + LIMIT;
        while letters.is_empty() {
            let timed_out = self.changed.wait_until(&mut letters, limit).timed_out();
            assert!(!timed_out, "nothing came for {LIMIT:?}");
        }
        letters.remove(0)
    }

    /// Everything that is there.
    pub fn take_all(&self) -> Vec<T> {
        std::mem::take(&mut *self.letters.lock())
    }
}
