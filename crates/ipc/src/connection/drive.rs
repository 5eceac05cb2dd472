// SPDX-License-Identifier: BSD-3-Clause
//! A thread that waits for its own connection, in place of the I/O thread.
//!
//! Frames in shared memory need not pass through another thread: a thread that waits for one polls the
//! link, and sleeps at the doorbell that the peer rings. One thread at a time drives a connection; it
//! wakes the other waiting threads.
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

use becket_coro::outside::Source;
use parking_lot::Mutex;

use super::claim::Tick;
use super::waking::take_turn;
use super::{Connection, Side};
use crate::reactor::{self, Guarded};
use crate::shm::Doorbell;

/// Polls before it yields this CPU to a peer that needs it.
const LOOKS_PACKED: u32 = 16;
/// The maximum spin before a sleep: about the cost of a sleep and a wake.
const LOOK_MAX: Duration = Duration::from_micros(50);
/// Polls between two reads of the clock, and before a sleep when spinning has not paid off: longer than
/// an answer takes from a peer that is awake.
const LOOKS: u32 = 256;
/// Yields to a peer on the same CPU before a sleep.
const YIELDS: u32 = 4;
/// One in this many polls takes the lock, whatever is seen without it.
const FULL_LOOK_EVERY: u32 = 8;
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
    static IN_VAIN: Cell<u32> = const { Cell::new(0) };
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
    /// Waits until the parker is woken: drives the connection if no other thread does and its link has
    /// a doorbell, parks otherwise.
    pub(crate) fn drive(self: &Arc<Self>, parker: &Arc<Parker>) {
        if !self.resume() && !self.claim() {
            while !parker.is_woken() {
                std::thread::park();
            }
            return;
        }
        while !self.look(parker) {
            if let Some(doorbell) = &self.doorbell {
                *parker.sleeps_at.lock() = Some(doorbell.clone());
            }
            // A wake from here on sees the doorbell, and kicks it; an earlier wake has set the flag.
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

    /// Spins until the parker is woken, or for as long as spinning may pay off.
    fn look(self: &Arc<Self>, parker: &Parker) -> bool {
        let mut until = None;
        // A peer that needs this CPU cannot answer while this thread spins.
        let looks = if self.may_come_soon() { LOOKS } else { LOOKS_PACKED };
        loop {
            for _ in 0..looks {
                if self.look_once() {
                    until = None;
                }
                if parker.is_woken() {
                    IN_VAIN.set(0);
                    return true;
                }
                std::hint::spin_loop();
            }
            let in_vain = IN_VAIN.get();
            let is_worth_it = in_vain < 2 || in_vain.is_multiple_of(PROBE_EVERY);
            if !is_worth_it {
                IN_VAIN.set(in_vain.wrapping_add(1));
                return false;
            }
            if !self.may_come_soon() {
                // The peer needs this CPU: yield, as it may be done in a moment.
                for _ in 0..YIELDS {
                    std::thread::yield_now();
                    if self.look_once() && parker.is_woken() {
                        return true;
                    }
                }
                return parker.is_woken();
            }
            let now = Instant::now();
            if now >= *until.get_or_insert(now + LOOK_MAX) {
                IN_VAIN.set(in_vain.wrapping_add(1));
                return false;
            }
        }
    }

    /// Takes frames that have arrived. False: there were none, or the lock is held.
    #[inline]
    fn look_once(self: &Arc<Self>) -> bool {
        if !self.may_have_news() {
            return false;
        }
        let Some(mut core) = self.core.try_lock() else { return false };
        let some = core.step(&self.woken);
        self.leave(core);
        some
    }
}

impl<S: Side> Connection<S> {
    /// What can be seen without the lock. The link itself is polled now and then: it has a socket.
    #[inline]
    fn may_have_news(&self) -> bool {
        let Some(lookout) = &self.lookout else { return true };
        // One thread at a time drives it.
        let looks = self.looks.load(Ordering::Relaxed).wrapping_add(1);
        self.looks.store(looks, Ordering::Relaxed);
        lookout.has_news()
            || self.woken.any()
            || self.is_blocked.load(Ordering::Relaxed)
            || looks.is_multiple_of(FULL_LOOK_EVERY)
    }
}

impl<S: Side> Guarded for Connection<S> {
    fn tick(self: Arc<Self>) -> bool {
        let tick = self.claim.tick();
        if tick == Tick::Lost {
            self.ask_for_wake();
        }
        tick == Tick::Active
    }
}

impl<S: Side> Connection<S> {
    /// No thread drives it any more: arms the socket, which wakes the I/O thread.
    fn ask_for_wake(self: Arc<Self>) {
        if self.locked(|core| core.ended.is_none() && core.link.prepare_wait()) {
            take_turn(self);
        }
    }
}

impl<S: Side> Source for Connection<S> {
    fn claim(&self) -> bool {
        self.doorbell.is_some() && self.claim.claim()
    }

    fn retain(self: Arc<Self>) {
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
        self.ask_for_wake();
    }

    fn poll(self: Arc<Self>) -> bool {
        self.look_once()
    }

    fn may_come_soon(&self) -> bool {
        self.locked(|core| {
            core.ended.is_none() && core.link.bell().is_some_and(|bell| bell.may_answer_soon())
        })
    }

    fn sleep(&self, deadline: Option<Instant>, is_awake: &dyn Fn() -> bool) {
        let Some(doorbell) = &self.doorbell else { return };
        let ticket = self.locked(|core| {
            core.waits = false;
            let bell = core.ended.is_none().then(|| core.link.bell());
            bell.flatten().and_then(|bell| bell.prepare_sleep())
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
