// SPDX-License-Identifier: BSD-3-Clause
//! Helpers of the tests: runtimes, waits for a condition, dice, counted values.
#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use becket_coro::{Clock, Handle, Id, Row, Runtime, State, VirtualClock};

pub(crate) fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// A runtime whose clock jumps to the next timer.
pub(crate) fn in_virtual_time(workers: usize) -> Runtime {
    let clock = Clock::Virtual(VirtualClock::automatic());
    Runtime::builder().workers(workers).clock(clock).build().unwrap()
}

/// `count`; a twentieth of it under miri, which is slower.
pub(crate) const fn times(count: usize) -> usize {
    if cfg!(miri) { count.div_ceil(20) } else { count }
}

/// The value for the form of a test that is asked for: `BECKET_TEST_LONG` asks for the long one.
pub(crate) fn or_long<T>(short: T, long: T) -> T {
    static LONG: LazyLock<bool> = LazyLock::new(|| std::env::var_os("BECKET_TEST_LONG").is_some());
    if *LONG { long } else { short }
}

/// Yields until `ready`, on a thread.
pub(crate) fn until(ready: impl Fn() -> bool) {
    while !ready() {
        thread::yield_now();
    }
}

pub(crate) fn row(handle: &Handle, id: Id) -> Option<Row> {
    handle.dump().into_iter().find(|row| row.id == id)
}

/// Waits, on a thread, until the coroutine is parked.
pub(crate) fn until_parked(handle: &Handle, id: Id) {
    until(|| row(handle, id).is_some_and(|row| row.state == State::Parked));
}

/// Waits, on a thread, until `count` of the runtime's coroutines are parked.
pub(crate) fn until_all_parked(handle: &Handle, count: usize) {
    until(|| handle.dump().iter().filter(|row| row.state == State::Parked).count() == count);
}

/// Runs code that may hang. The timeout measures nothing: it only lets the other tests run if this
/// one hangs.
pub(crate) fn must_end<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    const AT_LAST: Duration = Duration::from_secs(if cfg!(miri) { 3600 } else { 300 });
    let (ended, end) = mpsc::channel();
    let thread = thread::spawn(move || {
        let result = run();
        let _ = ended.send(());
        result
    });
    if end.recv_timeout(AT_LAST) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("it hangs");
    }
    match thread.join() {
        Ok(result) => result,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

/// Counts the values that live.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<AtomicI64>);

pub(crate) struct Counted {
    tally: Tally,
    _owned: Box<u64>,
}

impl Tally {
    pub(crate) fn item(&self) -> Counted {
        self.0.fetch_add(1, Ordering::SeqCst);
        Counted { tally: self.clone(), _owned: Box::new(7) }
    }

    /// Negative: something was dropped twice.
    pub(crate) fn alive(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.tally.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs a closure when it is dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A small generator, the same on every machine (Marsaglia's xorshift).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to `n` - 1.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }
}
