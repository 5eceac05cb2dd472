// SPDX-License-Identifier: BSD-3-Clause
//! A coroutine's end, and a worker's.
//!
//! When a runtime ends, what has not started is dropped, and what waits is unwound: its park panics
//! (see `unwinding`), so that everything on its stack is dropped, and it ends as any other that
//! panicked. What catches that panic and waits again is unwound again. What waits while it is being
//! unwound, in a destructor, really waits: it may need the others to end first. The worker goes on
//! until the last coroutine has ended.
//!
//! Frames of another language may not be unwound. Whoever stands between them and a park catches
//! the panic and calls [`abandon`]: the stack is given back as it is.

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

/// Ends the running coroutine where it stands. What is on its stack is never dropped.
pub(crate) fn abandon() -> ! {
    let slot = context::slot();
    local::clear(slot);
    if let Some(slot) = slot
        && !slot.is_by_hand()
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
            // On a thread there is no way out but to wait for good.
            std::thread::park();
        }
    }
}

impl Worker {
    /// A coroutine has ended: its stack and its slot are free.
    #[inline]
    pub(super) fn finish(&self, slot: &'static Slot) {
        // SAFETY: it is this worker's, and ended.
        if let Some(stack) = unsafe { slot.take_switch() }.into_stack() {
            self.stacks.put(stack);
        }
        self.let_go(slot);
    }

    /// Nothing is left of a coroutine but its slot.
    #[inline]
    fn let_go(&self, slot: &'static Slot) {
        if slot.is_named() {
            names::remove(slot.index());
        }
        if slot.gate.close() {
            self.bury_closed(slot);
        } else {
            slot.set_state(State::Zombie);
        }
    }

    /// The last wake of an ended coroutine has arrived.
    #[cold]
    pub(super) fn bury(&self, slot: &'static Slot) {
        // Another wake may be on its way again; then it is met once more.
        if slot.gate.close() {
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

    /// The runtime ends.
    #[cold]
    pub(super) fn begin_to_stop(&self) {
        self.stopping.set(true);
        // Everything that waits is unwound. What does not want to end, or waits in a destructor,
        // waits again.
        for index in 0..slot::given_out() {
            let Some(slot) = slot::get(index) else { break };
            if slot.gate.owner() != self.number {
                continue;
            }
            slot.ending.set(true);
            if matches!(slot.state(), State::Parked | State::Sleeping) {
                slot.set_state(State::Ready);
                self.ready.push(slot);
            }
        }
    }

    /// Drops what has not started and will not.
    pub(super) fn drop_all_fresh(&self) -> bool {
        let mut any = false;
        while let Some(slot) = self.pop_fresh() {
            any = true;
            self.own(slot);
            self.drop_fresh(slot, JoinError::Cancelled);
        }
        any
    }

    /// Drops one that will never run.
    #[cold]
    pub(super) fn drop_fresh(&self, slot: &'static Slot, why: JoinError) {
        // SAFETY: fresh, and now this worker's.
        let task = unsafe { slot.take_task() };
        // Code of the user's, on the thread's own stack: there it waits as a thread.
        park::set_hook(None);
        contain(|| {
            task.never(why);
            drop(task);
        });
        park::set_hook(Some(&HOOK));
        self.let_go(slot);
    }
}
