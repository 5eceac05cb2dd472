// SPDX-License-Identifier: BSD-3-Clause
//! How a coroutine gives up its turn, and gets it again.
//!
//! A park uses up a wake that came before it, or waits for one. Wakes that come while the coroutine
//! does not wait are remembered as one. So whoever waits for something looks, parks, and looks
//! again.

use std::time::Instant;

use becket_chan::park::{Park, Unparker};

use super::{Worker, remote::Remote};
use crate::{
    context, fiber,
    gate::Notified,
    slot::{self, Flow, Slot, State},
    unwinding,
};

/// How channels wait on a thread that runs coroutines.
pub(crate) static HOOK: Hook = Hook;

pub(crate) struct Hook;

impl Park for Hook {
    #[inline]
    fn unparker(&self) -> Unparker {
        Unparker::new(unpark, context::flow().bits())
    }

    #[inline]
    fn park(&self, deadline: Option<Instant>) {
        park_current(deadline);
    }

    fn now(&self) -> Instant {
        crate::clock::now()
    }
}

/// Wakes a coroutine by its name. Any thread, at any time, also when it is gone.
pub(crate) fn unpark(flow: usize) {
    let flow = Flow::from_bits(flow);
    let Some(slot) = slot::get(flow.index()) else { return };
    let own = context::with_worker(|worker| match worker {
        Some(worker) if slot.gate.is_owned(worker.number, flow.generation()) => {
            worker.wake(slot);
            true
        }
        Some(_) | None => false,
    });
    if !own {
        unpark_elsewhere(flow, slot);
    }
}

#[cold]
fn unpark_elsewhere(flow: Flow, slot: &Slot) {
    if let Notified::Push(owner) = slot.gate.notify(flow.generation())
        && let Some(remote) = Remote::of(owner)
    {
        remote.inbox.push(flow.index(), &slot.gate);
        remote.wake();
    }
}

/// Parks the running coroutine until it is woken or the deadline has passed; may return early. In no
/// coroutine, it lets other threads run.
pub(crate) fn park_current(deadline: Option<Instant>) {
    wait(deadline, State::Parked);
}

/// As [`park_current`], for a listing: it sleeps.
pub(crate) fn sleep_current(deadline: Instant) {
    wait(Some(deadline), State::Sleeping);
}

#[inline]
fn wait(deadline: Option<Instant>, state: State) {
    let Some(slot) = context::slot() else {
        // What never ran is dropped on a worker's own stack, and waits there.
        std::thread::yield_now();
        return;
    };
    if slot.is_by_hand() {
        fiber::park(slot, deadline);
        return;
    }
    context::with_worker(|worker| {
        if let Some(worker) = worker {
            worker.park(slot, deadline, state);
        }
    });
}

/// Whether this instant had come when the calling coroutine's worker read its clock last.
pub(crate) fn has_come(at: Instant) -> bool {
    context::with_worker(|worker| {
        worker.is_some_and(|worker| worker.now() >= worker.shared.clock.nanos(at))
    })
}

/// Lets the others of its worker run first. False: this is no coroutine.
#[inline]
pub(crate) fn yield_current() -> bool {
    let Some(slot) = context::slot() else { return false };
    if slot.is_by_hand() {
        fiber::suspend();
        return true;
    }
    context::with_worker(|worker| {
        if let Some(worker) = worker {
            worker.give_way(slot);
        }
    });
    true
}

impl Worker {
    #[inline]
    fn park(&self, slot: &'static Slot, deadline: Option<Instant>, state: State) {
        Self::end_if_told(slot);
        if slot.token.take() {
            return;
        }
        let timer = deadline.and_then(|at| {
            let at = self.shared.clock.nanos(at);
            self.timers.borrow_mut().insert(at, slot.flow()).ok()
        });
        if deadline.is_some() && timer.is_none() {
            // No memory for a timer: the caller looks at the clock and comes again.
            self.give_way(slot);
            return;
        }
        slot.set_state_at(state, self.now.get());
        Self::leave(slot);
        if let Some(timer) = timer {
            self.timers.borrow_mut().remove(timer);
        }
        Self::end_if_told(slot);
    }

    #[inline]
    fn give_way(&self, slot: &'static Slot) {
        slot.set_state_at(State::Ready, self.now.get());
        self.ready.push(slot);
        self.gave_way.set(true);
        Self::leave(slot);
        Self::end_if_told(slot);
    }

    #[inline]
    fn leave(slot: &'static Slot) {
        // SAFETY: this coroutine runs on its stack.
        unwinding::leave(|| unsafe { slot.suspend() });
    }

    /// Unwinds the running coroutine if its runtime ends.
    #[inline]
    fn end_if_told(slot: &'static Slot) {
        if slot.ending.get() {
            unwinding::end();
        }
    }
}
