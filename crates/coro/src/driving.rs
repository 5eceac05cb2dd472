// SPDX-License-Identifier: BSD-3-Clause
//! A thread that waits for a future, and drives what the future waits for.
//!
//! While its future was polled, the thread may have passed work on to a source outside of the
//! process ([`outside`]): what ends the wait then comes from that source. The thread polls it
//! itself, for as long as that may pay off, and then sleeps in it: no other thread has to be woken.
//!
//! ```text
//!   poll ── pending ──► used a source? ──no──► park
//!     ▲                  │ claim, resume
//!     │                  ▼
//!     └── retain ◄──woken── spin: poll the source ──nothing──► sleep in it ──► again
//! ```
//!
//! # Invariants
//!
//! 1. A wake is never lost: it sets the state to [`WOKEN`], and the thread sleeps only after it has
//!    exchanged [`AWAKE`] for the state of its sleep.
//! 2. A thread that drives a source has claimed it until it retains or releases it. It parks
//!    without a claim.

use std::{
    cell::RefCell,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::outside::{self, Source};

const AWAKE: u32 = 0;
const WOKEN: u32 = 1;
const PARKED: u32 = 2;
const IN_SOURCE: u32 = 3;

/// Polls between two reads of the clock, and before a sleep when spinning has not paid off.
const POLLS: u32 = 256;
/// Polls before the thread yields its CPU to a sender that needs it.
const POLLS_PACKED: u32 = 16;
/// Yields to a sender on the same CPU before a sleep.
const YIELDS: u32 = 4;
/// The maximum spin before a sleep: about the cost of a sleep and a wake.
const SPIN_MAX: Duration = Duration::from_micros(50);
/// One in this many waits spins for the full time although spinning has not paid off.
const PROBE_EVERY: u32 = 64;

thread_local! {
    /// Borrowed while a wait of this thread uses it: a wait inside of that one makes its own.
    static WAITER: RefCell<(Waker, Waiter)> = RefCell::new(Waiter::new());
}

/// Whether the calling thread is inside of [`block_on`].
pub(crate) fn is_waiting() -> bool {
    WAITER.try_with(|kept| kept.try_borrow_mut().is_err()).unwrap_or(false)
}

/// Restores which source the thread has used when a wait inside of another ends, also by a panic.
struct Outer(Option<usize>);

impl Drop for Outer {
    fn drop(&mut self) {
        outside::set_used(self.0);
    }
}

/// Drives a future to its end on a thread that is no coroutine.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let _outer = Outer(outside::take_used());
    let done = WAITER.try_with(|kept| {
        let kept = &mut *kept.try_borrow_mut().ok()?;
        Some(drive(kept, future.as_mut()))
    });
    match done {
        Ok(Some(output)) => output,
        // A wait inside of another, or the thread ends.
        _ => drive(&mut Waiter::new(), future),
    }
}

#[inline]
fn drive<F: Future>((waker, waiter): &mut (Waker, Waiter), mut future: Pin<&mut F>) -> F::Output {
    let context = &mut Context::from_waker(waker);
    let mut used = None;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return output;
        }
        waiter.wait(&mut used);
    }
}

/// How a thread waits.
struct Waiter {
    parker: Arc<Parker>,
    /// The source that was driven last, and its number.
    known: Option<(usize, Weak<dyn Source>)>,
    /// That one was retained.
    has_retained: bool,
    /// Consecutive full spins without success.
    futile: u32,
}

struct Parker {
    state: AtomicU32,
    thread: Thread,
    sleeps_in: Mutex<Option<Arc<dyn Source>>>,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        match self.state.swap(WOKEN, Ordering::SeqCst) {
            PARKED => self.thread.unpark(),
            IN_SOURCE => {
                let source = self.sleeps_in.lock().clone();
                if let Some(source) = source {
                    source.kick();
                }
            }
            _ => {}
        }
    }
}

impl Parker {
    fn is_woken(&self) -> bool {
        self.state.load(Ordering::Acquire) == WOKEN
    }

    /// Before a sleep. False: it was woken.
    fn announce(&self, sleep: u32) -> bool {
        self.state.compare_exchange(AWAKE, sleep, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    fn park(&self) {
        if self.announce(PARKED) {
            while !self.is_woken() {
                std::thread::park();
            }
        }
    }
}

impl Waiter {
    fn new() -> (Waker, Self) {
        let parker = Arc::new(Parker {
            state: AtomicU32::new(AWAKE),
            thread: std::thread::current(),
            sleeps_in: Mutex::new(None),
        });
        let waker = parker.clone().into();
        (waker, Self { parker, known: None, has_retained: false, futile: 0 })
    }

    /// Waits until it was woken since the last wait. `used`: the source that was used since the
    /// first.
    #[inline(never)]
    fn wait(&mut self, used: &mut Option<usize>) {
        *used = outside::take_used().or(*used);
        if !self.parker.is_woken() {
            match used.and_then(|number| self.source(number)) {
                Some((number, source)) => self.drive(number, source),
                None => self.parker.park(),
            }
        }
        self.parker.state.swap(AWAKE, Ordering::Acquire);
    }

    fn source(&mut self, number: usize) -> Option<(usize, Arc<dyn Source>)> {
        if self.known.as_ref().is_none_or(|(known, _)| *known != number) {
            let before = self.known.take().and_then(|(_, source)| source.upgrade());
            if let Some(before) = before
                && std::mem::take(&mut self.has_retained)
                && before.resume()
            {
                // This thread does not come back to it soon: others are to be woken for it.
                before.release();
            }
            self.known = outside::find(number).map(|source| (number, source));
        }
        let (_, source) = self.known.as_ref()?;
        Some((number, source.upgrade()?))
    }

    fn drive(&mut self, number: usize, source: Arc<dyn Source>) {
        let is_resumed = std::mem::take(&mut self.has_retained) && source.resume();
        if !is_resumed && !source.claim() {
            return self.parker.park();
        }
        while !self.spin(&source) {
            *self.parker.sleeps_in.lock() = Some(source.clone());
            if self.parker.announce(IN_SOURCE) {
                source.sleep(None, &|| self.parker.is_woken());
                let state = &self.parker.state;
                // Woken: that is what the loop looks at.
                let _ =
                    state.compare_exchange(IN_SOURCE, AWAKE, Ordering::SeqCst, Ordering::Relaxed);
            }
            *self.parker.sleeps_in.lock() = None;
            if self.parker.is_woken() {
                break;
            }
            if outside::find(number).is_none() {
                // It has ended, and wakes no more.
                source.release();
                return self.parker.park();
            }
        }
        source.retain();
        self.has_retained = true;
    }

    /// Polls the source until the thread is woken, or for as long as spinning may pay off.
    fn spin(&mut self, source: &Arc<dyn Source>) -> bool {
        let may_come_soon = source.may_come_soon();
        let polls = if may_come_soon { POLLS } else { POLLS_PACKED };
        let mut until = None;
        loop {
            for _ in 0..polls {
                if source.clone().poll() {
                    until = None;
                }
                if self.parker.is_woken() {
                    self.futile = 0;
                    return true;
                }
                std::hint::spin_loop();
            }
            if !may_come_soon {
                // The sender needs this CPU: it may be done in a moment.
                return (0..YIELDS).any(|_| {
                    std::thread::yield_now();
                    source.clone().poll();
                    self.parker.is_woken()
                });
            }
            let is_worth_it = self.futile < 2 || self.futile.is_multiple_of(PROBE_EVERY);
            let now = Instant::now();
            if !is_worth_it || now >= *until.get_or_insert(now + SPIN_MAX) {
                self.futile = self.futile.wrapping_add(1);
                return false;
            }
        }
    }
}
