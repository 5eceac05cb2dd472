// SPDX-License-Identifier: BSD-3-Clause
//! Waiting: for time, for a wake, for a future.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, RawWaker, RawWakerVTable, Waker},
    time::{Duration, Instant},
};

use crate::{clock, context, driving, slot::CoroutineKey, worker};

/// Lets other coroutines of this worker run first; on a plain thread, other threads.
pub fn yield_now() {
    if !worker::yield_current() {
        std::thread::yield_now();
    }
}

/// Waits for a duration. A coroutine is parked, by its runtime's clock; a thread sleeps.
///
/// A wait of more than a century is one of a century.
pub fn sleep(duration: Duration) {
    const DURATION_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 3600);
    sleep_until(clock::now() + duration.min(DURATION_MAX));
}

/// Waits until this instant of the calling coroutine's clock. One in the past: returns at once.
pub fn sleep_until(at: Instant) {
    let coroutine = context::slot().is_some();
    loop {
        // After its timer has fired, the worker has the time already.
        let come = coroutine && worker::has_come(at);
        let now = if come { at } else { clock::now() };
        if now >= at {
            return;
        }
        if coroutine {
            worker::sleep_current(at);
        } else {
            std::thread::park_timeout(at - now);
        }
    }
}

/// Waits until the calling coroutine (or thread) is unparked. If it was unparked since the last
/// park, returns at once. May return early.
pub fn park() {
    if context::slot().is_some() {
        worker::park_current(None);
    } else {
        std::thread::park();
    }
}

/// As [`park`], but no longer than until this instant of the calling coroutine's clock.
pub fn park_deadline(deadline: Instant) {
    if context::slot().is_some() {
        worker::park_current(Some(deadline));
    } else {
        std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// Drives a future to its end: the calling coroutine is parked while it is pending, a thread
/// sleeps, or polls the source [outside](crate::outside) of the process that it waits for. So straight-line code can use any asynchronous library.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let key = context::key();
    if key == CoroutineKey::NONE {
        return driving::block_on(future);
    }
    let mut future = pin!(future);
    let waker = waker(key);
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        worker::park_current(None);
    }
}

/// A waker that is the coroutine's key: nothing to count, nothing to free.
fn waker(key: CoroutineKey) -> Waker {
    const fn raw(key: usize) -> RawWaker {
        RawWaker::new(std::ptr::without_provenance(key), &VTABLE)
    }
    const VTABLE: RawWakerVTable = RawWakerVTable::new(
        raw_of,
        |data| worker::unpark(data.addr()),
        |data| worker::unpark(data.addr()),
        |_| {},
    );
    fn raw_of(data: *const ()) -> RawWaker {
        raw(data.addr())
    }
    // SAFETY: the data is a number and not a pointer, which any thread may hold and drop, and
    // `unpark` accepts any number.
    unsafe { Waker::from_raw(raw(key.bits())) }
}
