// SPDX-License-Identifier: BSD-3-Clause
//! The ring by itself: sends and receives that race, and the holder of the lock, which takes the
//! words from them.

use std::mem::{ManuallyDrop, MaybeUninit};

use loom::sync::Arc;
use loom::thread;

use super::{Value, join, large_model, model, sorted, spawn};
use crate::ring::{Ring, RingOutcome};
use crate::sync::heavy;

fn push(ring: &Ring<Value>, number: u32) -> RingOutcome {
    let value = ManuallyDrop::new(Value::new(number));
    // SAFETY: the value is ours, and dropped only if it was not moved out.
    let pushed = unsafe { ring.push(&raw const *value) };
    if !matches!(pushed, RingOutcome::Done | RingOutcome::DoneSlow) {
        drop(ManuallyDrop::into_inner(value));
    }
    pushed
}

fn pop(ring: &Ring<Value>) -> (RingOutcome, Option<u32>) {
    let mut value = MaybeUninit::uninit();
    // SAFETY: the slot is ours.
    let popped = unsafe { ring.pop(value.as_mut_ptr()) };
    let done = matches!(popped, RingOutcome::Done | RingOutcome::DoneSlow);
    // SAFETY: on these two outcomes there is a value.
    (popped, done.then(|| unsafe { value.assume_init() }.open()))
}

/// # Safety
///
/// The words are slow, and the caller's.
unsafe fn push_locked(ring: &Ring<Value>, number: u32) -> RingOutcome {
    let value = ManuallyDrop::new(Value::new(number));
    // SAFETY: the caller's promise; the value is ours.
    let pushed = unsafe { ring.push_locked(&raw const *value) };
    if pushed != RingOutcome::Done {
        drop(ManuallyDrop::into_inner(value));
    }
    pushed
}

/// # Safety
///
/// The words are slow, and the caller's.
unsafe fn pop_locked(ring: &Ring<Value>) -> (RingOutcome, Option<u32>) {
    let mut value = MaybeUninit::uninit();
    // SAFETY: the caller's promise; the slot is ours.
    let popped = unsafe { ring.pop_locked(value.as_mut_ptr()) };
    // SAFETY: on `Done` there is a value.
    (popped, (popped == RingOutcome::Done).then(|| unsafe { value.assume_init() }.open()))
}

fn push_until_done(ring: &Ring<Value>, number: u32) {
    while push(ring, number) != RingOutcome::Done {
        thread::yield_now();
    }
}

fn pop_until_done(ring: &Ring<Value>) -> u32 {
    loop {
        if let (RingOutcome::Done, Some(number)) = pop(ring) {
            return number;
        }
        thread::yield_now();
    }
}

fn in_order(ring: Ring<Value>, values: u32) {
    let ring = Arc::new(ring);
    let sender = {
        let ring = ring.clone();
        spawn(move || (0..values).for_each(|number| push_until_done(&ring, number)))
    };
    (0..values).for_each(|number| assert_eq!(pop_until_done(&ring), number));
    join(sender);
    assert_eq!((ring.pushed(), ring.popped(), ring.len()), (values.into(), values.into(), 0));
}

#[test]
fn a_ring_of_one_keeps_order_over_three_laps() {
    model(|| in_order(Ring::new(1), 3));
}

#[test]
fn a_ring_of_two_keeps_order() {
    model(|| in_order(Ring::new(2), 3));
}

/// Over the end of the first lap: a slot is fresh once.
#[test]
fn a_ring_of_fresh_slots_keeps_order_over_its_first_lap() {
    model(|| in_order(Ring::fresh(2), 4));
}

/// Beside a receiver that has the slot before it: neither push writes into a slot of the other, and no receiver
/// receives from a slot that is only claimed.
#[test]
fn two_pushes_race_for_fresh_slots_beside_a_receiver() {
    large_model(|| {
        let ring = Arc::new(Ring::fresh(3));
        assert_eq!(push(&ring, 0), RingOutcome::Done);
        let threads: Vec<_> = (1..3)
            .map(|number| {
                let ring = ring.clone();
                spawn(move || assert_eq!(push(&ring, number), RingOutcome::Done))
            })
            .collect();
        let mut taken: Vec<_> = (0..2).filter_map(|_| pop(&ring).1).collect();
        threads.into_iter().for_each(join);
        taken.extend(std::iter::from_fn(|| pop(&ring).1));
        assert_eq!(taken.first(), Some(&0));
        assert_eq!(sorted(taken), [0, 1, 2]);
        assert_eq!((push(&ring, 4), pop(&ring).1), (RingOutcome::Done, Some(4)));
    });
}

/// The holder of the lock fills a fresh slot while a sender claims one, and the lap ends.
#[test]
fn fresh_slots_pass_between_slow_and_fast() {
    model(|| {
        let ring = Arc::new(Ring::fresh(2));
        let sender = {
            let ring = ring.clone();
            spawn(move || push(&ring, 1))
        };
        ring.go_slow();
        // SAFETY: the words are slow, and no other thread makes them slow.
        let mine = unsafe { push_locked(&ring, 2) };
        ring.go_fast();
        let theirs = join(sender);
        assert_eq!(mine, RingOutcome::Done);
        let mut taken: Vec<_> = std::iter::from_fn(|| pop(&ring).1).collect();
        let sent = !matches!(theirs, RingOutcome::Slow);
        assert_eq!(taken.len(), if sent { 2 } else { 1 }, "{theirs:?} {taken:?}");
        assert_eq!((push(&ring, 3), push(&ring, 4)), (RingOutcome::Done, RingOutcome::Done));
        assert_eq!(push(&ring, 5), RingOutcome::Blocked);
        taken.extend(std::iter::from_fn(|| pop(&ring).1));
        assert_eq!(taken.iter().rev().take(2).collect::<Vec<_>>(), [&4, &3]);
    });
}

#[test]
fn two_pushes_race_for_the_last_slot() {
    model(|| {
        let ring = Arc::new(Ring::new(1));
        let other = {
            let ring = ring.clone();
            spawn(move || push(&ring, 1))
        };
        let mine = push(&ring, 2);
        let other = join(other);
        assert!((mine == RingOutcome::Done) != (other == RingOutcome::Done), "{mine:?} {other:?}");
        let (_, number) = pop(&ring);
        assert_eq!(number, Some(if mine == RingOutcome::Done { 2 } else { 1 }));
    });
}

#[test]
fn two_pops_race_for_the_last_value() {
    model(|| {
        let ring = Arc::new(Ring::new(2));
        assert_eq!(push(&ring, 7), RingOutcome::Done);
        let other = {
            let ring = ring.clone();
            spawn(move || pop(&ring).1)
        };
        let mine = pop(&ring).1;
        assert_eq!([mine, join(other)].into_iter().flatten().collect::<Vec<_>>(), [7]);
    });
}

/// Of a push and a waiter that makes the ring slow, one sees the other.
#[test]
fn a_receiver_about_to_wait_is_seen_or_sees_the_value() {
    model(|| {
        let ring = Arc::new(Ring::new(1));
        let sender = {
            let ring = ring.clone();
            spawn(move || push(&ring, 1))
        };
        ring.go_slow();
        // SAFETY: the words are slow, and no other thread makes them slow.
        let mut taken = unsafe { pop_locked(&ring) };
        if taken.0 == RingOutcome::Busy {
            heavy();
            // SAFETY: as above.
            taken = unsafe { pop_locked(&ring) };
        }
        let pushed = join(sender);
        match taken.1 {
            Some(number) => assert_eq!(number, 1),
            None => {
                assert!(matches!(pushed, RingOutcome::DoneSlow | RingOutcome::Slow), "{pushed:?}")
            }
        }
        // SAFETY: as above.
        let rest = unsafe { pop_locked(&ring) };
        assert_eq!(taken.1.is_some() || rest.1.is_some(), pushed != RingOutcome::Slow);
    });
}

#[test]
fn a_sender_about_to_wait_is_seen_or_sees_the_room() {
    model(|| {
        let ring = Arc::new(Ring::new(1));
        assert_eq!(push(&ring, 1), RingOutcome::Done);
        let receiver = {
            let ring = ring.clone();
            spawn(move || pop(&ring))
        };
        ring.go_slow();
        // SAFETY: the words are slow, and no other thread makes them slow.
        let mut pushed = unsafe { push_locked(&ring, 2) };
        if pushed == RingOutcome::Busy {
            heavy();
            // SAFETY: as above.
            pushed = unsafe { push_locked(&ring, 2) };
        }
        let (popped, number) = join(receiver);
        assert_eq!(number.is_some(), popped != RingOutcome::Slow, "{popped:?}");
        if pushed != RingOutcome::Done {
            assert!(matches!(popped, RingOutcome::DoneSlow | RingOutcome::Slow), "{popped:?}");
        }
        // SAFETY: as above.
        let rest: Vec<_> = std::iter::from_fn(|| unsafe { pop_locked(&ring) }.1).collect();
        let all = [number.as_slice(), &rest].concat();
        assert_eq!(all, if pushed == RingOutcome::Done { &[1, 2][..] } else { &[1] });
    });
}

/// The holder of the lock uses the words while both sides race for them, and returns them.
#[test]
fn slow_and_fast_operations_keep_order_between_them() {
    model(|| {
        let ring = Arc::new(Ring::new(2));
        let receiver = {
            let ring = ring.clone();
            spawn(move || [pop(&ring).1, pop(&ring).1])
        };
        ring.go_slow();
        // SAFETY: the words are slow, and no other thread makes them slow.
        assert_eq!(unsafe { push_locked(&ring, 1) }, RingOutcome::Done);
        ring.go_fast();
        let second = push(&ring, 2);
        assert_eq!(second, RingOutcome::Done);
        let early = join(receiver);
        let late = [pop(&ring).1, pop(&ring).1];
        let all: Vec<_> = early.into_iter().chain(late).flatten().collect();
        assert_eq!(all, [1, 2]);
    });
}

#[test]
fn the_holder_of_the_lock_owns_the_words_during_a_push() {
    model(|| {
        let ring = Arc::new(Ring::new(1));
        assert_eq!(push(&ring, 1), RingOutcome::Done);
        let sender = {
            let ring = ring.clone();
            spawn(move || (push(&ring, 2), push(&ring, 3)))
        };
        ring.go_slow();
        // SAFETY: the words are slow, and no other thread makes them slow.
        let (_, first) = unsafe { pop_locked(&ring) };
        ring.go_fast();
        let (two, three) = join(sender);
        let second = pop(&ring).1;
        assert_eq!(first, Some(1));
        assert!(!(two == RingOutcome::Done && three == RingOutcome::Done));
        let expected = match (two, three) {
            (RingOutcome::Done | RingOutcome::DoneSlow, _) => Some(2),
            (_, RingOutcome::Done | RingOutcome::DoneSlow) => Some(3),
            _ => None,
        };
        assert_eq!(second, expected, "{two:?} {three:?}");
    });
}

#[test]
fn runs_race_with_single_operations() {
    model(|| {
        let ring = Arc::new(Ring::new(2));
        let run = {
            let ring = ring.clone();
            spawn(move || {
                let mut numbers = 1..;
                ring.push_run(2, || Value::new(numbers.next().unwrap())).0
            })
        };
        let single = push(&ring, 9);
        let mut taken = Vec::new();
        ring.pop_run(2, |value| taken.push(value.open()));
        let pushed = join(run);
        ring.pop_run(2, |value| taken.push(value.open()));
        ring.pop_run(2, |value| taken.push(value.open()));
        let mut expected: Vec<u32> = (1..=pushed as u32).collect();
        expected.extend((single == RingOutcome::Done).then_some(9));
        assert!(!expected.is_empty());
        assert_eq!(sorted(taken.clone()), sorted(expected), "{taken:?}");
        assert!(taken.iter().filter(|number| **number != 9).is_sorted(), "{taken:?}");
    });
}

#[test]
fn runs_go_around_the_end_of_the_lap() {
    model(|| {
        let ring = Arc::new(Ring::new(2));
        assert_eq!(push(&ring, 0), RingOutcome::Done);
        assert_eq!(pop(&ring).1, Some(0));
        let sender = {
            let ring = ring.clone();
            spawn(move || {
                let mut sent = 0;
                while sent < 3 {
                    let mut numbers = sent as u32..;
                    sent += ring.push_run(3 - sent, || Value::new(numbers.next().unwrap())).0;
                    thread::yield_now();
                }
            })
        };
        let mut taken = Vec::new();
        while taken.len() < 3 {
            ring.pop_run(2, |value| taken.push(value.open()));
            thread::yield_now();
        }
        join(sender);
        assert_eq!(taken, [0, 1, 2]);
    });
}
