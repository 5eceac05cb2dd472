// SPDX-License-Identifier: BSD-3-Clause
//! The end of a coroutine, and of a worker.
//!
//! When a runtime ends, coroutines that have not started are dropped, and waiting ones are unwound:
//! their park panics (see `unwinding`), so that everything on their stacks is dropped, and they end
//! as any others that panicked. Code that catches that panic and waits again is unwound again. A
//! wait in a destructor during the unwinding really waits: it may need other coroutines to end
//! first. The worker continues until the last coroutine has ended.
//!
//! Frames of another language may not be unwound. Code between them and a park catches the panic
//! and calls [`abandon`]: the stack is freed as it is.

use std::sync::atomic::Ordering;

use becket_chan::park;

use super::{Worker, wait::HOOK};
use crate::{
    context,
    error::JoinError,
    local, names,
    runtime::Counters,
    slot::{self, Slot, State},
    unwinding::{self, contain},
};

/// Ends the running coroutine in place. The values on its stack are never dropped.
pub(crate) fn abandon() -> ! {
    let slot = context::slot();
    local::clear(slot);
    if let Some(slot) = slot
        && !slot.is_manual()
    {
        // SAFETY: the running coroutine holds its slot, and its task is there while it runs. The
        // frames that used it are never returned to.
        let task = unsafe { slot.take_task() };
        contain(|| {
            task.never(JoinError::Cancelled);
            drop(task);
        });
    }
    unwinding::leave_for_good();
    loop {
        if let Some(slot) = slot {
            slot.set_state(State::Abandoned);
            // SAFETY: this coroutine runs on its stack.
            unsafe { slot.suspend() };
        } else {
            // A thread can only wait for good.
            std::thread::park();
        }
    }
}

impl Worker {
    /// Frees the stack and the slot of a coroutine that has ended.
    #[inline]
    pub(super) fn finish(&self, slot: &'static Slot) {
        // SAFETY: it is this worker's, and ended.
        if let Some(stack) = unsafe { slot.take_switch() }.into_stack() {
            self.stacks.put(stack);
        }
        self.let_go(slot);
    }

    /// Frees the slot of a coroutine of which nothing else is left.
    #[inline]
    fn let_go(&self, slot: &'static Slot) {
        if slot.is_named() {
            names::remove(slot.index());
        }
        if slot.wake.close() {
            self.bury_closed(slot);
        } else {
            slot.set_state(State::Zombie);
        }
    }

    /// Frees the slot of an ended coroutine whose last wake has arrived.
    #[cold]
    pub(super) fn bury(&self, slot: &'static Slot) {
        // Another wake may be in flight again; then the slot is found once more.
        if slot.wake.close() {
            self.bury_closed(slot);
        }
    }

    #[inline]
    fn bury_closed(&self, slot: &'static Slot) {
        slot.set_state(State::Free);
        self.slots.give(slot);
        self.owned.set(self.owned.get() - 1);
        self.counters.owned.store(self.owned.get() as u64, Ordering::Relaxed);
        self.shared.one_ended();
        Counters::add(&self.counters.finished, 1);
    }

    /// Starts the end of the runtime.
    #[cold]
    pub(super) fn begin_to_stop(&self) {
        self.stopping.set(true);
        // Every waiting coroutine is unwound at its wait. One that catches the panic, or waits in a
        // destructor, waits again.
        for index in 0..slot::given_out() {
            let Some(slot) = slot::get(index) else { break };
            if slot.wake.owner() != self.number {
                continue;
            }
            slot.ending.set(true);
            if matches!(slot.state(), State::Parked | State::Sleeping) {
                slot.set_state(State::Ready);
                self.ready.push(slot);
            }
        }
    }

    /// Drops coroutines that have not started and will not.
    pub(super) fn drop_all_fresh(&self) -> bool {
        let mut any = false;
        while let Some(slot) = self.pop_fresh() {
            any = true;
            self.own(slot);
            self.drop_fresh(slot, JoinError::Cancelled);
        }
        any
    }

    /// Drops a coroutine that will never run.
    #[cold]
    pub(super) fn drop_fresh(&self, slot: &'static Slot, why: JoinError) {
        // SAFETY: fresh, and now this worker's.
        let task = unsafe { slot.take_task() };
        // User code, on the thread's own stack: there it waits as a thread.
        park::set_hook(None);
        contain(|| {
            task.never(why);
            drop(task);
        });
        park::set_hook(Some(&HOOK));
        self.let_go(slot);
    }
}
