// SPDX-License-Identifier: BSD-3-Clause
//! How a coroutine gives up its turn, and gets it again.
//!
//! A park uses up a wake that came before it, or waits for one. Wakes that come while the coroutine
//! does not wait are remembered as one. So whoever waits for something looks, parks, and looks
//! again.

use std::time::Instant;

use becket_chan::park::{Park, Unparker};

use super::{Worker, end, remote::Remote};
use crate::{
    context, fiber,
    gate::Notified,
    slot::{self, Flow, Slot, State},
};

/// How channels wait on a thread that runs coroutines.
pub(crate) static HOOK: Hook = Hook;

pub(crate) struct Hook;

impl Park for Hook {
    #[inline]
    fn unparker(&self) -> Unparker {
        Unparker::new(unpark, context::get().flow.bits())
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
    if let Some(worker) = context::get().worker()
        && slot.gate.is_owned(worker.number, flow.generation())
    {
        worker.wake(flow.index(), slot);
        return;
    }
    unpark_elsewhere(flow, slot);
}

#[cold]
fn unpark_elsewhere(flow: Flow, slot: &Slot) {
    if let Notified::Push(owner) = slot.gate.notify(flow.generation())
        && let Some(remote) = Remote::of(owner)
    {
        remote.inbox.push(flow.index(), &slot.gate);
        remote.sleeper.wake();
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
    let context = context::get();
    match (context.slot(), context.worker()) {
        (Some(slot), Some(worker))
            if slot.gate.is_owned(worker.number, context.flow.generation()) =>
        {
            worker.park(slot, context.flow, deadline, state);
        }
        (Some(slot), _) => fiber::park(slot),
        // What never ran is dropped on a worker's own stack, and waits there.
        (None, _) => std::thread::yield_now(),
    }
}

/// Lets the others of its worker run first. False: this is no coroutine.
pub(crate) fn yield_current() -> bool {
    let context = context::get();
    match (context.slot(), context.worker()) {
        (Some(slot), Some(worker))
            if slot.gate.is_owned(worker.number, context.flow.generation()) =>
        {
            worker.give_way(slot, context.flow);
            true
        }
        (Some(_), _) => {
            fiber::suspend();
            true
        }
        (None, _) => false,
    }
}

impl Worker {
    #[inline]
    fn park(&self, slot: &'static Slot, flow: Flow, deadline: Option<Instant>, state: State) {
        if slot.ending.get() {
            end::unwind();
        }
        if slot.token.take() {
            return;
        }
        let timer = deadline.and_then(|at| {
            let at = self.shared.clock.nanos(at);
            self.timers.borrow_mut().insert(at, flow).ok()
        });
        if deadline.is_some() && timer.is_none() {
            // No memory for a timer: the caller looks at the clock and comes again.
            self.give_way(slot, flow);
            return;
        }
        slot.set_state_at(state, self.now.get());
        // SAFETY: this coroutine runs on its stack.
        unsafe { slot.suspend() };
        if let Some(timer) = timer {
            self.timers.borrow_mut().remove(timer);
        }
        if slot.ending.get() {
            end::unwind();
        }
    }

    #[inline]
    fn give_way(&self, slot: &'static Slot, flow: Flow) {
        slot.set_state_at(State::Ready, self.now.get());
        self.ready.push(flow.index(), slot);
        // SAFETY: this coroutine runs on its stack.
        unsafe { slot.suspend() };
        if slot.ending.get() {
            end::unwind();
        }
    }
}
