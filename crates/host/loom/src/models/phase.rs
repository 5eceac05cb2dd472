// SPDX-License-Identifier: BSD-3-Clause
//! A caller that leaves, the timer of its deadline, and an answer, at one moment.

use std::{
    sync::Arc,
    task::{Poll, Wake, Waker},
};

use loom::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::{
    sid::INDEX_BITS,
    table::{Outcome, Slot},
};

const SID: u64 = 5 << INDEX_BITS;

/// Counts its wakes.
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the caller has come to.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    /// It has the outcome.
    Over(Option<Outcome>),
    /// It has left; true: and notifies the plugin.
    Abandoned(bool),
}

/// Polls so many times, and leaves.
fn call(slot: &Slot, polls: usize) -> Left {
    let task = Arc::new(Task(AtomicUsize::new(0)));
    let waker = Waker::from(task);
    for _ in 0..polls {
        if let Poll::Ready((outcome, _)) = slot.poll(SID, &waker) {
            return Left::Over(outcome);
        }
    }
    Left::Abandoned(slot.abandon(SID))
}

#[test]
fn one_notifies_the_plugin_when_the_caller_leaves_at_the_deadline() {
    for polls in 0..=2 {
        loom::model(move || {
            let slot = Arc::new(Slot::new(SID));
            assert_eq!(slot.open(), SID);
            let of_timer = slot.clone();
            let timer = thread::spawn(move || of_timer.expire(SID));
            let left = call(&slot, polls);
            let has_expired = timer.join().unwrap();
            match left {
                Left::Abandoned(notifies) => assert_ne!(notifies, has_expired),
                Left::Over(outcome) => {
                    assert_eq!((outcome, has_expired), (Some(Outcome::DeadlineExceeded), true));
                }
            }
            assert_eq!(slot.released(), 1);
        });
    }
}

/// The timer is late: the next call in the slot is not its call.
#[test]
fn a_late_timer_does_not_end_the_next_call() {
    loom::model(|| {
        let slot = Arc::new(Slot::new(SID));
        slot.open();
        let of_timer = slot.clone();
        let timer = thread::spawn(move || of_timer.expire(SID));
        let left = slot.abandon(SID);
        let next = left.then(|| slot.open());
        assert_ne!(timer.join().unwrap(), left);
        let next = next.unwrap_or_else(|| slot.open());
        assert_eq!(next, 6 << INDEX_BITS);
        assert!(slot.is_open(next));
        assert!(!slot.expire(SID) && !slot.abandon(SID) && slot.is_open(next));
    });
}

/// The plugin is notified of no call that it has answered in time, and of any other once.
#[test]
fn an_answer_at_the_deadline_is_the_outcome_or_too_late() {
    for polls in 0..=1 {
        // Three threads have too many orders.
        let mut orders = loom::model::Builder::new();
        orders.preemption_bound.get_or_insert(2);
        orders.check(move || {
            let slot = Arc::new(Slot::new(SID));
            slot.open();
            let (of_timer, of_plugin) = (slot.clone(), slot.clone());
            let timer = thread::spawn(move || of_timer.expire(SID));
            let plugin = thread::spawn(move || of_plugin.complete(SID, || Outcome::Answered));
            let left = call(&slot, polls);
            let has_expired = timer.join().unwrap();
            let has_answered = plugin.join().unwrap().is_ok();
            match left {
                Left::Over(Some(Outcome::Answered)) => assert!(has_answered && !has_expired),
                Left::Over(outcome) => {
                    assert_eq!(outcome, Some(Outcome::DeadlineExceeded));
                    assert!(has_expired && !has_answered);
                }
                Left::Abandoned(true) => assert!(!has_expired && !has_answered),
                // Answered or expired before it left, or answered too late.
                Left::Abandoned(false) => assert!(!(has_expired && has_answered)),
            }
            assert_eq!(slot.released(), 1);
        });
    }
}
