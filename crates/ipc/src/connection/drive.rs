// SPDX-License-Identifier: BSD-3-Clause
//! A thread that waits for its own connection, in place of the I/O thread.
//!
//! Frames in shared memory need not pass through another thread: a thread that waits for one polls
//! the link, and sleeps at the doorbell that the peer rings. One thread at a time drives a
//! connection; it wakes the other waiting threads.
//!
//! ```text
//!            ┌── nothing, and the peer may answer soon: spin (bounded, adaptive)
//!            ▼
//!   take ── serve ── send ──► woken? ──yes──► retain: back soon
//!            ▲                  │ no
//!            └── rung, kicked ◄─┴─ arm the doorbell, sleep
//! ```
//!
//! # Invariants
//!
//! 1. While it is [claimed](super::claim), other threads take frames without arming the link for a
//!    wake, and kick the doorbell if they took any.
//! 2. The driving thread holds the lock only while it takes frames; never while it spins or sleeps.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use becket_chan::wakes;
use becket_coro::outside::{self, Source};
use parking_lot::Mutex;

use super::claim::Tick;
use super::waking::run_or_enqueue;
use super::{Connection, Side};
use crate::reactor::{self, Guarded};
use crate::shm::Doorbell;
use crate::sync::thread_number;

/// Polls before it yields this CPU to a peer that needs it.
const POLLS_PACKED: u32 = 16;
/// The maximum spin before a sleep: about the cost of a sleep and a wake.
const SPIN_MAX: Duration = Duration::from_micros(50);
/// Polls between two reads of the clock, and before a sleep when spinning has not paid off: longer
/// than an answer takes from a peer that is awake.
const POLLS: u32 = 256;
/// Yields to a peer on the same CPU before a sleep.
const YIELDS: u32 = 4;
/// One in this many polls takes the lock, whatever is seen without it.
const LOCKED_POLL_EVERY: u32 = 8;
/// One in this many waits spins for the full time although spinning has not paid off.
const PROBE_EVERY: u32 = 64;

/// Wakes a waiting thread.
pub(crate) struct Parker {
    woken: AtomicBool,
    thread: Thread,
    /// The doorbell at which it sleeps, while it drives a connection.
    sleeps_at: Mutex<Option<Arc<Doorbell>>>,
}

thread_local! {
    static PARKER: RefCell<Option<Arc<Parker>>> = const { RefCell::new(None) };
    /// Consecutive spins without success.
    static FUTILE_SPINS: Cell<u32> = const { Cell::new(0) };
}

impl Parker {
    /// The calling thread's parker.
    pub(crate) fn current() -> Arc<Self> {
        let new = || {
            let sleeps_at = Mutex::default();
            Arc::new(Self {
                woken: AtomicBool::new(false),
                thread: std::thread::current(),
                sleeps_at,
            })
        };
        let kept = PARKER.try_with(|kept| kept.borrow_mut().get_or_insert_with(new).clone());
        kept.unwrap_or_else(|_| new())
    }

    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        self.clone().into()
    }

    /// Whether it was woken since the last call.
    pub(crate) fn take(&self) -> bool {
        self.woken.swap(false, Ordering::AcqRel)
    }

    fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.woken.swap(true, Ordering::SeqCst) {
            return;
        }
        self.thread.unpark();
        let sleeps_at = self.sleeps_at.lock().clone();
        if let Some(doorbell) = sleeps_at {
            doorbell.kick();
        }
    }
}

impl<S: Side> Connection<S> {
    /// Waits until the parker is woken: drives the connection if no other thread does and its link
    /// has a doorbell, parks otherwise.
    pub(crate) fn drive(self: &Arc<Self>, parker: &Arc<Parker>) {
        if !self.resume() && !self.claim() {
            while !parker.is_woken() {
                std::thread::park();
            }
            return;
        }
        while !self.spin(parker) {
            if let Some(doorbell) = &self.doorbell {
                *parker.sleeps_at.lock() = Some(doorbell.clone());
            }
            // A wake from here on sees the doorbell, and kicks it; an earlier wake has set the
            // flag.
            Source::sleep(&**self, None, &|| parker.is_woken());
            *parker.sleeps_at.lock() = None;
            if self.ended().is_some() {
                // The end wakes the waiting operation, if it has not yet.
                while !parker.is_woken() {
                    std::thread::park();
                }
            }
            if parker.is_woken() {
                break;
            }
        }
        if self.ended().is_some() { self.clone().release() } else { self.clone().retain() }
    }

    /// Polls for the answer to what this thread has just sent, for some microseconds and only if
    /// that has paid off lately: for a caller whose executor does not poll the connection.
    /// `is_alone`: nothing else is awaited, so the next frame is the answer.
    pub(crate) fn poll_for_answer(self: &Arc<Self>, is_alone: bool) {
        if outside::is_polled_by_waiter() {
            return;
        }
        let futile = self.futile_polls.load(Ordering::Relaxed);
        if !is_alone || futile >= 2 && !futile.is_multiple_of(PROBE_EVERY) {
            self.futile_polls.store(futile.wrapping_add(is_alone.into()), Ordering::Relaxed);
            // This thread may not come back for the answer.
            if self.claim.is_taken() && self.resume() {
                self.clone().release();
            }
            return;
        }
        if !self.resume() && !Source::claim(&**self) {
            return;
        }
        let is_found = self.may_come_soon()
            && (0..POLLS).any(|_| {
                std::hint::spin_loop();
                self.poll_once()
            });
        let futile = if is_found { 0 } else { futile.wrapping_add(1) };
        self.futile_polls.store(futile, Ordering::Relaxed);
        if is_found { self.clone().retain() } else { self.clone().release() }
    }

    /// Spins for frames, for as long as that may pay off: `futile` counts the full spins since the
    /// last frame. True: `poll` took some.
    pub(super) fn spin_for_frames(
        self: &Arc<Self>,
        futile: &mut u32,
        poll: &mut impl FnMut() -> bool,
    ) -> bool {
        let is_elsewhere = self.may_come_soon();
        let polls = if is_elsewhere { POLLS } else { POLLS_PACKED };
        let mut until = None;
        loop {
            for _ in 0..polls {
                if poll() {
                    *futile = 0;
                    return true;
                }
                std::hint::spin_loop();
            }
            if !is_elsewhere {
                return (0..YIELDS).any(|_| {
                    std::thread::yield_now();
                    poll()
                });
            }
            let is_worth_it = *futile < 2 || futile.is_multiple_of(PROBE_EVERY);
            let now = Instant::now();
            if !is_worth_it || now >= *until.get_or_insert(now + SPIN_MAX) {
                *futile = futile.wrapping_add(1);
                return false;
            }
        }
    }

    /// Spins until the parker is woken, or for as long as spinning may pay off.
    fn spin(self: &Arc<Self>, parker: &Parker) -> bool {
        let mut until = None;
        // A peer that needs this CPU cannot answer while this thread spins.
        let polls = if self.may_come_soon() { POLLS } else { POLLS_PACKED };
        loop {
            for _ in 0..polls {
                if self.poll_once() {
                    until = None;
                }
                if parker.is_woken() {
                    FUTILE_SPINS.set(0);
                    return true;
                }
                std::hint::spin_loop();
            }
            let futile = FUTILE_SPINS.get();
            let is_worth_it = futile < 2 || futile.is_multiple_of(PROBE_EVERY);
            if !is_worth_it {
                FUTILE_SPINS.set(futile.wrapping_add(1));
                return false;
            }
            if !self.may_come_soon() {
                // The peer needs this CPU: yield, as it may be done in a moment.
                for _ in 0..YIELDS {
                    std::thread::yield_now();
                    if self.poll_once() && parker.is_woken() {
                        return true;
                    }
                }
                return parker.is_woken();
            }
            let now = Instant::now();
            if now >= *until.get_or_insert(now + SPIN_MAX) {
                FUTILE_SPINS.set(futile.wrapping_add(1));
                return false;
            }
        }
    }

    /// Takes frames that have arrived. False: there were none, or the lock is held.
    #[inline]
    fn poll_once(self: &Arc<Self>) -> bool {
        if !self.may_have_news() {
            return false;
        }
        let deferral = wakes::defer();
        let Some(mut core) = self.core.try_lock() else { return false };
        let some = core.step(&self.woken);
        self.unlock_and_recheck(core, deferral);
        some
    }
}

impl<S: Side> Connection<S> {
    /// What can be seen without the lock. The link itself is polled now and then: it has a socket.
    #[inline]
    pub(super) fn may_have_news(&self) -> bool {
        let Some(probe) = &self.probe else { return true };
        // One thread at a time drives it.
        let polls = self.polls.load(Ordering::Relaxed).wrapping_add(1);
        self.polls.store(polls, Ordering::Relaxed);
        probe.has_news()
            || self.woken.any()
            || self.is_blocked.load(Ordering::Relaxed)
            || polls.is_multiple_of(LOCKED_POLL_EVERY)
    }
}

impl<S: Side> Guarded for Connection<S> {
    fn tick(self: Arc<Self>) -> bool {
        let tick = self.claim.tick();
        if tick == Tick::Lost {
            self.arm_socket();
        }
        tick == Tick::Active
    }
}

impl<S: Side> Connection<S> {
    /// No thread drives it any more: arms the socket, which wakes the I/O thread.
    pub(super) fn arm_socket(self: Arc<Self>) {
        if self.locked(|core| core.ended.is_none() && core.link.prepare_wait()) {
            run_or_enqueue(self);
        }
    }
}

impl<S: Side> Source for Connection<S> {
    fn claim(&self) -> bool {
        self.doorbell.is_some() && self.claim.claim()
    }

    fn retain(self: Arc<Self>) {
        let thread = thread_number();
        if S::IS_SHARED && self.locked(|core| core.side.awaits_for_others(thread)) {
            return self.release();
        }
        if self.claim.retain() {
            let guarded: Arc<dyn Guarded> = self;
            reactor::guard(Arc::downgrade(&guarded));
        }
    }

    fn resume(&self) -> bool {
        self.claim.resume()
    }

    fn release(self: Arc<Self>) {
        self.claim.release();
        self.arm_socket();
    }

    fn poll(self: Arc<Self>) -> bool {
        self.poll_once()
    }

    fn may_come_soon(&self) -> bool {
        self.locked(|core| {
            core.ended.is_none()
                && core.link.direct_wait().is_some_and(|wait| wait.may_answer_soon())
        })
    }

    fn sleep(&self, deadline: Option<Instant>, is_awake: &dyn Fn() -> bool) {
        let Some(doorbell) = &self.doorbell else { return };
        let ticket = self.locked(|core| {
            core.is_armed = false;
            let may_sleep = core.ended.is_none() && !core.side.has_work();
            let wait = may_sleep.then(|| core.link.direct_wait());
            wait.flatten().and_then(|wait| wait.prepare_sleep())
        });
        if let Some(ticket) = ticket
            && !is_awake()
        {
            // An error is a spurious wakeup: the caller polls again.
            let _woken = doorbell.sleep(ticket, deadline);
        }
    }

    fn kick(&self) {
        if let Some(doorbell) = &self.doorbell {
            doorbell.kick();
        }
    }
}
