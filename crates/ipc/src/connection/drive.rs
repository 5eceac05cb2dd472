// SPDX-License-Identifier: BSD-3-Clause
//! A thread that waits for its own connection, in place of the I/O thread.
//!
//! What comes over shared memory need not pass through another thread: whoever waits for it looks
//! for it, and sleeps where the peer rings. One thread at a time drives a connection; others that
//! wait are woken by it. When it has what it waited for, the connection is the I/O thread's again.
//!
//! ```text
//!            ┌── nothing, and the peer may answer soon: look again (bounded, learnt)
//!            ▼
//!   take ── serve ── send ──► woken? ──yes──► resign: ask for a wake by the socket
//!            ▲                  │ no
//!            └── rung, kicked ◄─┴─ ask for a ring, sleep at the doorbell
//! ```
//!
//! # Invariants
//!
//! 1. While `driven` is set, its owner is about to look or has asked for a ring; others take what has
//!    come without asking for a wake, and kick the doorbell if they took anything.
//! 2. Who drives holds the lock only while it takes; never while it looks or sleeps.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Connection, Side};
use crate::shm::Doorbell;

/// It looks at most so long before it sleeps: what a sleep and a wake cost.
const LOOK_MAX: Duration = Duration::from_micros(50);
/// Looks between two looks at the clock.
const LOOKS: u32 = 32;
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
        if !self.can_be_driven || self.driven.swap(true, Ordering::SeqCst) {
            while !parker.is_woken() {
                std::thread::park();
            }
            return;
        }
        loop {
            if self.look(parker) {
                break;
            }
            self.sleep(parker);
            if parker.is_woken() {
                break;
            }
        }
        self.driven.store(false, Ordering::SeqCst);
        self.hand_over();
    }

    /// Looks until the parker is woken, as long as that may pay.
    fn look(self: &Arc<Self>, parker: &Parker) -> bool {
        let mut until = None;
        loop {
            for _ in 0..LOOKS {
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
            let is_worth_it = in_vain < 2 || in_vain % PROBE_EVERY == 0;
            if !is_worth_it || !self.may_answer_soon() {
                IN_VAIN.set(in_vain.wrapping_add(1));
                return false;
            }
            let now = std::time::Instant::now();
            if now >= *until.get_or_insert(now + LOOK_MAX) {
                IN_VAIN.set(in_vain.wrapping_add(1));
                return false;
            }
        }
    }

    /// Takes what has come. False: nothing, or somebody else has the lock.
    #[inline]
    fn look_once(self: &Arc<Self>) -> bool {
        let Some(mut core) = self.core.try_lock() else { return false };
        let some = core.step(&self.woken);
        if some {
            self.leave(core);
        }
        some
    }

    fn may_answer_soon(&self) -> bool {
        let mut core = self.core.lock();
        core.ended.is_none() && core.link.bell().is_some_and(|bell| bell.may_answer_soon())
    }

    /// Sleeps until the peer rings or the parker is woken.
    fn sleep(self: &Arc<Self>, parker: &Parker) {
        let (doorbell, ticket) = {
            let mut core = self.core.lock();
            if core.ended.is_some() {
                // Whoever waits is woken with the end, if it has not been already.
                drop(core);
                while !parker.is_woken() {
                    std::thread::park();
                }
                return;
            }
            let Some(bell) = core.link.bell() else { return };
            let Some(ticket) = bell.prepare_sleep() else { return };
            (bell.doorbell(), ticket)
        };
        *parker.sleeps_at.lock() = Some(doorbell.clone());
        // Whoever wakes from here on sees where it sleeps, and kicks; before, the flag is seen.
        if !parker.is_woken() {
            // What the system does not do is done by looking again.
            let _woken = doorbell.sleep(ticket, None);
        }
        *parker.sleeps_at.lock() = None;
    }

    /// From now on the I/O thread looks after it, or whoever drives it next.
    fn hand_over(self: &Arc<Self>) {
        let ready = {
            let mut core = self.core.lock();
            core.ended.is_none() && core.link.prepare_wait()
        };
        if ready || self.again.load(Ordering::SeqCst) {
            super::take_turn(self.clone());
        }
    }
}
