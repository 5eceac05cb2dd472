// SPDX-License-Identifier: BSD-3-Clause
//! The deadlines of calls: one timer for each slot of the call table, which outlives its call.
//!
//! Almost every call is answered long before its deadline, and the next call in its slot has a
//! later one. So the timer of a slot stays set when its call ends, and the next call uses it: it
//! sets one only if there is none, or one that is too late.
//!
//! ```text
//!   calls   ├─a──┤ ├b┤ ├──c──┤         ├──────────d──────── ─ ─
//!   due          ·    ·      ·  a b c                          d
//!   timer   ─────────────────── ▲ ──── set again, for d ────── ▲ the call is over
//! ```
//!
//! A timer that finds no call that waits is not set again.
//!
//! # Invariants
//!
//! 1. A call that waits and has a deadline has a timer that is not later, from the end of
//!    [`Deadline::set`] on.
//! 2. A slot has at most one timer: the one in `timer`, set for `timer_ns`. A thread that changes
//!    either holds the lock.
//! 3. The thread that begins a call writes `due_ns` and `sid`, then reads `timer_ns`; the timer's
//!    thread clears `timer_ns`, then reads those. The fences between exclude store-buffer
//!    reordering: either the caller sees that there is no timer, or the timer's thread sees the
//!    call. The caller's is free ([`fence::light`]), since the other side runs so rarely.
//! 4. A call is ended by its id, whose generation no later call in the slot has.
//! 5. A call that its timer ends needs no fence, which is a system call that interrupts every thread,
//!    and many calls may run out of time at once: the slot was that call's until then, so the next call
//!    in it begins behind the end, and sees that there is no timer.

use std::sync::atomic::{AtomicU64, Ordering};

use becket_chan::fence;

use crate::{
    reentry::Mutex,
    table::{self, Slot},
    timer::{self, Key, Task},
};

/// The deadline of the call in one slot, and the slot's timer.
pub(crate) struct Deadline {
    /// The call that set it last; 0: none has.
    sid: AtomicU64,
    /// When that call is over, by [`timer::now_ns`].
    due_ns: AtomicU64,
    /// What the timer is set for; 0: it is not.
    timer_ns: AtomicU64,
    timer: Mutex<Option<Key>>,
}

impl Deadline {
    pub(crate) const fn new() -> Self {
        Self {
            sid: AtomicU64::new(0),
            due_ns: AtomicU64::new(0),
            timer_ns: AtomicU64::new(0),
            timer: Mutex::new(None),
        }
    }

    /// Call `sid`, which is in slot `slot`, is over at `due_ns`.
    #[inline]
    pub(crate) fn set(&self, slot: u32, sid: u64, due_ns: u64) {
        self.due_ns.store(due_ns, Ordering::Relaxed);
        // Release: a thread that reads the id finds its deadline, or that of a later call.
        self.sid.store(sid, Ordering::Release);
        fence::light();
        if !self.is_covered(due_ns) {
            self.set_timer(slot, due_ns);
        }
    }

    #[inline]
    fn is_covered(&self, due_ns: u64) -> bool {
        let timer_ns = self.timer_ns.load(Ordering::Relaxed);
        timer_ns != 0 && timer_ns <= due_ns
    }

    #[cold]
    fn set_timer(&self, slot: u32, due_ns: u64) {
        let mut timer = self.timer.lock();
        if !self.is_covered(due_ns) {
            self.replace(&mut timer, slot, due_ns);
        }
    }

    /// Sets the timer for another time.
    fn replace(&self, timer: &mut Option<Key>, slot: u32, at_ns: u64) {
        if let Some(earlier) = timer.take() {
            timer::cancel(earlier);
        }
        *timer = timer::set(timer::instant_of_ns(at_ns), Task::CallDeadline { slot, at_ns });
        let timer_ns = if timer.is_some() { at_ns } else { 0 };
        self.timer_ns.store(timer_ns, Ordering::Relaxed);
    }

    /// The call that waits, and when it is over.
    fn waiting(&self, slot: &Slot) -> Option<(u64, u64)> {
        let sid = self.sid.load(Ordering::Acquire);
        let due_ns = self.due_ns.load(Ordering::Relaxed);
        (sid != 0 && slot.is_open(sid)).then_some((sid, due_ns))
    }
}

/// The timer of this slot, set for `at_ns`, has run out.
pub(crate) fn passed(slot: u32, at_ns: u64) {
    let Some(slot) = table::slot(slot) else { return };
    let deadline = slot.deadline();
    let mut timer = deadline.timer.lock();
    if deadline.timer_ns.load(Ordering::Relaxed) != at_ns {
        // Another one was set while this one was about to run.
        return;
    }
    *timer = None;
    deadline.timer_ns.store(0, Ordering::Relaxed);
    if let Some((sid, due_ns)) = deadline.waiting(slot)
        && due_ns <= timer::now_ns()
    {
        drop(timer);
        if end(slot, sid) {
            return;
        }
        // Answered at this very moment. The next call may have set a timer.
        timer = deadline.timer.lock();
        if deadline.timer_ns.load(Ordering::Relaxed) != 0 {
            return;
        }
    }
    fence::heavy();
    let Some((sid, due_ns)) = deadline.waiting(slot) else { return };
    if due_ns > timer::now_ns() {
        return deadline.replace(&mut timer, slot.index(), due_ns);
    }
    drop(timer);
    end(slot, sid);
}

/// Ends a call that has run out of time; false if it was over.
fn end(slot: &Slot, sid: u64) -> bool {
    let mut has_ended = false;
    slot.owner().end_and_notify(sid, || {
        has_ended = slot.expire(sid);
        has_ended
    });
    has_ended
}
