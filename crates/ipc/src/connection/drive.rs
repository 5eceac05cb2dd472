// SPDX-License-Identifier: BSD-3-Clause
//! A thread that waits for its own connection, in place of the I/O thread.
//!
//! What comes over shared memory need not pass through another thread: whoever waits for it looks
//! for it, and sleeps where the peer rings. One thread at a time drives a connection; others that
//! wait are woken by it.
//!
//! ```text
//!            ┌── nothing, and the peer may answer soon: look again (bounded, learnt)
//!            ▼
//!   take ── serve ── send ──► woken? ──yes──► retain: back soon
//!            ▲                  │ no
//!            └── rung, kicked ◄─┴─ ask for a ring, sleep at the doorbell
//! ```
//!
//! # Invariants
//!
//! 1. While it is [claimed](super::claim), others take what has come without asking for a wake, and
//!    kick the doorbell if they took anything.
//! 2. Who drives holds the lock only while it takes; never while it looks or sleeps.

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

/// Looks before the peer is let have this CPU, if it wants that.
const LOOKS_PACKED: u32 = 16;
/// It looks at most so long before it sleeps: what a sleep and a wake cost.
const LOOK_MAX: Duration = Duration::from_micros(50);
/// Looks between two looks at the clock, and before a sleep when looking has not paid: longer than an
/// answer takes from a peer that is awake.
const LOOKS: u32 = 256;
/// So often it lets a peer on the same CPU run before it sleeps.
const YIELDS: u32 = 4;
/// Every so many looks are with the lock, whatever is seen without it.
const FULL_LOOK_EVERY: u32 = 8;
/// Every so many times it looks for long although it has not paid.
const PROBE_EVERY: u32 = 64;

/// How a thread that waits is woken.
pub(crate) struct Parker {
    woken: AtomicBool,
    thread: Thread,
    /// Where it sleeps, while it does so for a connection that it drives.
    sleeps_at: Mutex<Option<Arc<Doorbell>>>,
}

thread_local! {
    static PARKER: RefCell<Option<Arc<Parker>>> = const { RefCell::new(None) };
    /// How often looking was in vain in a row.
    static IN_VAIN: Cell<u32> = const { Cell::new(0) };
}

impl Parker {
    /// The calling thread's.
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

    /// Whether it was woken since it was asked last.
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
    /// Waits until the parker is woken: drives the connection if nobody does and its link can be
    /// waited for so, sleeps otherwise.
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
            // Whoever wakes from here on sees where it sleeps, and kicks; before, the flag is seen.
            Source::sleep(&**self, None, &|| parker.is_woken());
            *parker.sleeps_at.lock() = None;
            if self.ended().is_some() {
                // Whoever waits is woken with the end, if it has not been already.
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

    /// Looks until the parker is woken, as long as that may pay.
    fn look(self: &Arc<Self>, parker: &Parker) -> bool {
        let mut until = None;
        // A peer that wants this CPU cannot answer while this thread looks.
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
                // The peer wants this CPU: it is let have it, and may be through in a moment.
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

    /// Takes what has come. False: nothing, or somebody else has the lock.
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
    /// What can be seen without the lock. Now and then the link itself is to look: it has a socket.
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
    /// It is nobody's: the socket tells the I/O thread when there is something.
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
            // An error is a wake for nothing: whoever slept looks again.
            let _woken = doorbell.sleep(ticket, deadline);
        }
    }

    fn kick(&self) {
        if let Some(doorbell) = &self.doorbell {
            doorbell.kick();
        }
    }
}
