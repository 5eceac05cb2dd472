// SPDX-License-Identifier: BSD-3-Clause
//! Helpers of the tests: counted values, counted wakes, a clock of CPU time.
#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use becket_chan::{Builder, Kind, Receiver, Sender};

/// The value for the form of a test that is asked for: `BECKET_TEST_LONG` asks for the long one.
pub(crate) fn or_long<T>(short: T, long: T) -> T {
    static LONG: LazyLock<bool> = LazyLock::new(|| std::env::var_os("BECKET_TEST_LONG").is_some());
    if *LONG { long } else { short }
}

/// The kinds, with capacities that are and are no power of two.
pub(crate) const KINDS: [(Kind, usize); 6] = [
    (Kind::Rendezvous, 0),
    (Kind::Bounded, 1),
    (Kind::Bounded, 3),
    (Kind::Bounded, 64),
    (Kind::Conflated, 0),
    (Kind::Unlimited, 0),
];

/// The kinds on which no value is replaced.
pub(crate) const QUEUES: [(Kind, usize); 5] =
    [KINDS[0], KINDS[1], KINDS[2], KINDS[3], (Kind::Unlimited, 0)];

pub(crate) fn builder<T>((kind, capacity): (Kind, usize)) -> Builder<T> {
    match kind {
        Kind::Rendezvous => Builder::rendezvous(),
        Kind::Bounded => Builder::bounded(capacity),
        Kind::Conflated => Builder::conflated(),
        Kind::Unlimited => Builder::unlimited(),
        other => panic!("a kind that the tests do not know: {other:?}"),
    }
}

pub(crate) fn channel<T>(kind: (Kind, usize)) -> (Sender<T>, Receiver<T>) {
    builder(kind).build()
}

/// Counts the values that are alive, and those that were created.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<(AtomicI64, AtomicU64)>);

/// A counted value that owns memory, so that the allocator detects a double drop too.
pub(crate) struct Counted {
    pub(crate) id: u64,
    tally: Tally,
    _owned: Box<u64>,
}

impl Tally {
    pub(crate) fn item(&self, id: u64) -> Counted {
        self.0.0.fetch_add(1, Ordering::Relaxed);
        self.0.1.fetch_add(1, Ordering::Relaxed);
        Counted { id, tally: self.clone(), _owned: Box::new(id) }
    }

    /// The number of values that are alive. Negative: some were dropped twice.
    pub(crate) fn alive(&self) -> i64 {
        self.0.0.load(Ordering::Relaxed)
    }

    pub(crate) fn made(&self) -> u64 {
        self.0.1.load(Ordering::Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.tally.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A waker that counts its wakes.
#[derive(Default)]
pub(crate) struct Wakes(AtomicU64);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub(crate) fn poll<F: Future + ?Sized>(
    future: &mut Pin<Box<F>>,
    wakes: &Arc<Wakes>,
) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(&Waker::from(wakes.clone())))
}

/// Polls with a waker that does nothing.
pub(crate) fn poll_once<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Yields until `ready`.
pub(crate) fn until(ready: impl Fn() -> bool) {
    while !ready() {
        thread::yield_now();
    }
}

/// CPU time that the calling thread has used.
pub(crate) fn thread_cpu() -> Duration {
    cpu(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time that the process has used.
pub(crate) fn process_cpu() -> Duration {
    cpu(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn cpu(clock: libc::clockid_t) -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid for a write.
    let result = unsafe { libc::clock_gettime(clock, &raw mut now) };
    assert_eq!(result, 0, "the kernel has a clock of CPU time");
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
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
