// SPDX-License-Identifier: BSD-3-Clause
//! How a coroutine suspends and is resumed.
//!
//! A park consumes a wake that came before it, or waits for one. Wakes that come while the
//! coroutine does not wait are recorded as one. So code that waits for a condition checks it,
//! parks, and checks again.

use std::{panic::Location, task::Waker, time::Instant};

use becket_chan::park::{Park, Unparker};

use super::{Worker, remote::Remote};
use crate::{
    context, fiber,
    launch::Options,
    runtime::Handle,
    scope::Alarm,
    slot::{self, CoroutineKey, Slot, State},
    unwinding,
    wake_state::Notified,
};

/// The park hook of channels on a thread that runs coroutines.
pub(crate) static HOOK: Hook = Hook;

pub(crate) struct Hook;

impl Park for Hook {
    #[inline]
    fn unparker(&self) -> Unparker {
        Unparker::new(unpark, context::key().bits())
    }

    #[inline]
    fn park(&self, deadline: Option<Instant>) {
        park_current(deadline);
    }

    fn now(&self) -> Instant {
        crate::clock::now()
    }

    fn wake_at(&self, at: Instant, waker: &Waker) -> Option<Box<dyn Send + Sync>> {
        let runtime = context::with_worker(|worker| {
            let shared = &worker?.shared;
            shared.clock.as_virtual().map(|_| Handle::of(shared))
        })?;
        let options = Options { runtime: Some(runtime), ..Options::at(Location::caller()) };
        let waker = waker.clone();
        let alarm = Alarm::set(&options, at, move || waker.wake()).ok()?;
        Some(Box::new(alarm))
    }
}

/// Wakes a coroutine by its key. Any thread, at any time, also after the coroutine's end.
pub(crate) fn unpark(key: usize) {
    let key = CoroutineKey::from_bits(key);
    let Some(slot) = slot::get(key.index()) else { return };
    let own = context::with_worker(|worker| match worker {
        Some(worker) if slot.wake.is_owned(worker.number, key.generation()) => {
            worker.wake(slot);
            true
        }
        Some(_) | None => false,
    });
    if !own {
        unpark_elsewhere(key, slot);
    }
}

#[cold]
fn unpark_elsewhere(key: CoroutineKey, slot: &Slot) {
    if let Notified::Push(owner) = slot.wake.notify(key.generation())
        && let Some(remote) = Remote::of(owner)
    {
        remote.inbox.push(key.index(), &slot.wake);
        remote.wake();
    }
}

/// Parks the running coroutine until it is woken or the deadline has passed; may return early.
/// Outside of a coroutine, it yields to other threads.
pub(crate) fn park_current(deadline: Option<Instant>) {
    wait(deadline, State::Parked);
}

/// As [`park_current`], shown as sleeping in a listing.
pub(crate) fn sleep_current(deadline: Instant) {
    wait(Some(deadline), State::Sleeping);
}

#[inline]
fn wait(deadline: Option<Instant>, state: State) {
    let Some(slot) = context::slot() else {
        // A coroutine that never ran is dropped on a worker's own stack, and waits there.
        std::thread::yield_now();
        return;
    };
    if slot.is_manual() {
        fiber::park(slot, deadline);
        return;
    }
    context::with_worker(|worker| {
        if let Some(worker) = worker {
            worker.park(slot, deadline, state);
        }
    });
}

/// Whether this instant had passed at the last clock read of the calling coroutine's worker.
pub(crate) fn has_come(at: Instant) -> bool {
    context::with_worker(|worker| {
        worker.is_some_and(|worker| worker.now() >= worker.shared.clock.nanos(at))
    })
}

/// Lets the other coroutines of its worker run first. False: the caller is no coroutine.
#[inline]
pub(crate) fn yield_current() -> bool {
    let Some(slot) = context::slot() else { return false };
    if slot.is_manual() {
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
        Self::unwind_if_ending(slot);
        if slot.token.take() {
            return;
        }
        let timer = deadline.and_then(|at| {
            let at = self.shared.clock.nanos(at);
            self.timers.borrow_mut().insert(at, slot.key()).ok()
        });
        if deadline.is_some() && timer.is_none() {
            // No memory for a timer: the caller checks the clock and comes again.
            self.give_way(slot);
            return;
        }
        slot.set_state_at(state, self.now.get());
        Self::leave(slot);
        if let Some(timer) = timer
            && !slot.take_fired()
        {
            self.timers.borrow_mut().remove(timer);
        }
        Self::unwind_if_ending(slot);
    }

    #[inline]
    fn give_way(&self, slot: &'static Slot) {
        slot.set_state_at(State::Ready, self.now.get());
        self.ready.push(slot);
        self.gave_way.set(self.has_fresh.get());
        Self::leave(slot);
        Self::unwind_if_ending(slot);
    }

    #[inline]
    fn leave(slot: &'static Slot) {
        // SAFETY: this coroutine runs on its stack.
        unwinding::leave(|| unsafe { slot.suspend() });
    }

    /// Unwinds the running coroutine if its runtime ends.
    #[inline]
    fn unwind_if_ending(slot: &'static Slot) {
        if slot.ending.get() {
            unwinding::end();
        }
    }
}
