// SPDX-License-Identifier: BSD-3-Clause
//! Every kind of channel against a reference model, step by step.
//!
//! proptest generates a sequence of steps: operations that do not wait, operations that are started
//! as futures, polled again with the same or another waker or dropped, batches, selects of both
//! sides, requeued values, removal of the newest values, changes of the overflow policy, tokens,
//! closing, handles that are cloned and dropped. The channel and the reference (`reference.rs`) run the same steps. After each step
//! these must agree: the result of every operation, the undelivered values, the number of wakes of
//! every waker, length, room, the waiters, and every counter. At the end no value is alive and none
//! was dropped twice.
//!
//! Each kind runs twice, with its ring and with `timing`, which does everything under the lock: so
//! the first is compared with the second, through the reference.
//!
//! One thread, no clock: a failure shrinks, and its seed replays it.

mod reference;
mod system;

use crate::common::or_long;
use becket_chan::{Kind, Overflow};
use proptest::collection::vec;
use proptest::prelude::*;

use self::reference::Side;
use self::system::System;

#[derive(Debug, Clone)]
enum Step {
    TrySend,
    TryRecv,
    TrySendMany(usize),
    TryRecvMany(usize),
    /// With no token, the root or the child; with a deadline that has passed.
    Send(usize, bool),
    Recv(usize, bool),
    SendMany(usize),
    RecvMany(usize),
    Select,
    /// Puts back up to that many of the received values, the last ones.
    PutBack(usize),
    SplitOff(usize),
    SetOverflow(Overflow),
    /// Polls a pending operation with its first or second waker.
    Poll(usize, usize),
    GiveUp(usize),
    Cancel(usize),
    Close(Side),
    Clone(Side),
    Drop(Side),
}

fn step() -> impl Strategy<Value = Step> {
    let limits = || (0..3_usize, prop::bool::weighted(0.1));
    let overflow = || {
        let any = prop_oneof![
            Just(Overflow::Suspend),
            Just(Overflow::DropOldest),
            Just(Overflow::DropLatest),
        ];
        any.prop_map(Step::SetOverflow)
    };
    let side = || prop_oneof![Just(Side::Sending), Just(Side::Receiving)];
    prop_oneof![
        8 => Just(Step::TrySend),
        8 => Just(Step::TryRecv),
        3 => (0..6_usize).prop_map(Step::TrySendMany),
        3 => (0..6_usize).prop_map(Step::TryRecvMany),
        8 => limits().prop_map(|(token, late)| Step::Send(token, late)),
        8 => limits().prop_map(|(token, late)| Step::Recv(token, late)),
        3 => (0..6_usize).prop_map(Step::SendMany),
        3 => (0..6_usize).prop_map(Step::RecvMany),
        3 => Just(Step::Select),
        4 => (0..6_usize).prop_map(Step::PutBack),
        3 => (0..6_usize).prop_map(Step::SplitOff),
        1 => overflow(),
        10 => (any::<usize>(), 0..2_usize).prop_map(|(which, waker)| Step::Poll(which, waker)),
        10 => any::<usize>().prop_map(Step::GiveUp),
        1 => (1..3_usize).prop_map(Step::Cancel),
        1 => side().prop_map(Step::Close),
        2 => side().prop_map(Step::Clone),
        2 => side().prop_map(Step::Drop),
    ]
}

/// Runs the steps on a channel and its reference.
fn agree(kind: Kind, capacity: usize, overflow: Overflow, steps: &[Step]) {
    for timing in [false, true] {
        for weighed in [false, true] {
            let mut system = System::new(kind, capacity, overflow, timing, weighed);
            for step in steps {
                system.step(step);
                system.check();
            }
            system.finish();
        }
    }
}

fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    if cfg!(miri) {
        return ProptestConfig { cases: 4, failure_persistence: None, ..usual };
    }
    // `PROPTEST_CASES` makes it more.
    let is_asked_for = std::env::var_os("PROPTEST_CASES").is_some();
    let cases = if is_asked_for { usual.cases } else { or_long(usual.cases / 4, usual.cases) };
    ProptestConfig { cases, ..usual }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn rendezvous_agrees(steps in vec(step(), 1..60)) {
        agree(Kind::Rendezvous, 0, Overflow::Suspend, &steps);
    }

    #[test]
    fn conflated_agrees(steps in vec(step(), 1..60)) {
        agree(Kind::Conflated, 1, Overflow::Suspend, &steps);
    }

    #[test]
    fn unlimited_agrees(steps in vec(step(), 1..60)) {
        agree(Kind::Unlimited, usize::MAX, Overflow::Suspend, &steps);
    }

    #[test]
    fn bounded_that_suspends_agrees(capacity in 1..5_usize, steps in vec(step(), 1..60)) {
        agree(Kind::Bounded, capacity, Overflow::Suspend, &steps);
    }

    #[test]
    fn bounded_that_drops_the_oldest_agrees(capacity in 1..5_usize, steps in vec(step(), 1..60)) {
        agree(Kind::Bounded, capacity, Overflow::DropOldest, &steps);
    }

    #[test]
    fn bounded_that_drops_the_latest_agrees(capacity in 1..5_usize, steps in vec(step(), 1..60)) {
        agree(Kind::Bounded, capacity, Overflow::DropLatest, &steps);
    }
}
