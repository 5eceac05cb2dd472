// SPDX-License-Identifier: BSD-3-Clause
//! The rules of `transport::link`, for any transport.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::thread;

use becket_ipc::transport::{Link, LinkError};
use becket_wire::Full;
use fastrand::Rng;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::factory::LinkFactory;
use super::waiting::{Waiting, frame, numbers, or_long, put, take};

/// One module of tests for a transport.
macro_rules! conforms {
    ($name:ident, $factory:ty) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            $crate::conformance::conforms!(@ $factory,
                conformance::frames_arrive_whole_once_and_in_order,
                conformance::any_size_up_to_the_limit_and_none_above,
                conformance::a_head_with_a_wrong_length_is_no_frame,
                conformance::a_full_outlet_takes_nothing_and_room_comes_back,
                conformance::no_more_frames_than_requested,
                conformance::no_wake_is_lost_to_and_fro,
                conformance::no_wake_is_lost_both_ways_at_once,
                conformance::no_wake_is_lost_for_room,
                conformance::both_sides_count_the_same,
                conformance::a_drop_is_reported_after_all_that_was_sent,
                conformance::a_close_is_reported_after_all_that_was_flushed,
                conformance::a_drop_is_reported_despite_unread_frames,
                conformance::a_drop_during_a_take_is_reported_last,
                conformance::a_drop_wakes_a_waiting_side,
                conformance::frames_put_after_the_disconnect_are_discarded,
                descriptors::arrive_with_their_frame,
                descriptors::are_closed_if_not_taken,
                descriptors::too_many_are_refused,
            );
        }
    };
    (@ $factory:ty, $($module:ident :: $test:ident,)*) => {
        $(#[test] fn $test() { $crate::$module::$test::<$factory>(); })*
    };
}
pub(crate) use conforms;

#[derive(Debug, Clone)]
enum Step {
    Put { body_bytes: usize },
    Flush,
    Take { frames_max: usize },
}

fn step(body_bytes_max: usize) -> impl Strategy<Value = Step> {
    let size = prop_oneof![
        4 => 0..64_usize,
        2 => 0..=body_bytes_max,
        1 => Just(body_bytes_max),
    ];
    prop_oneof![
        5 => size.prop_map(|body_bytes| Step::Put { body_bytes }),
        2 => Just(Step::Flush),
        3 => (0..12_usize).prop_map(|frames_max| Step::Take { frames_max }),
    ]
}

/// Against a simple model: a queue.
pub(crate) fn frames_arrive_whole_once_and_in_order<F: LinkFactory>() {
    let body_bytes_max = F::pair().0.body_bytes_max();
    let steps = proptest::collection::vec(step(body_bytes_max), 0..200);
    let config =
        ProptestConfig { cases: or_long(24, 64), failure_persistence: None, ..Default::default() };
    TestRunner::new(config)
        .run(&steps, |steps| {
            let (mut from, to) = F::pair();
            let mut to = Waiting::new(to);
            let mut model = VecDeque::new();
            let mut number = 0;
            for step in steps {
                match step {
                    Step::Put { body_bytes } => {
                        if put(&mut *from, number, body_bytes).is_ok() {
                            model.push_back((number, body_bytes));
                            number += 1;
                        }
                    }
                    Step::Flush => drop(from.flush().unwrap()),
                    Step::Take { frames_max } => {
                        for came in take(&mut *to.link, frames_max).unwrap() {
                            let was = model.pop_front();
                            prop_assert_eq!(Some((came.number, came.body_bytes)), was);
                        }
                    }
                }
            }
            while !model.is_empty() {
                from.flush().unwrap();
                for came in to.receive(7).unwrap() {
                    prop_assert_eq!(Some((came.number, came.body_bytes)), model.pop_front());
                }
            }
            prop_assert!(from.flush().unwrap());
            prop_assert_eq!(take(&mut *to.link, 1).unwrap().len(), 0);
            Ok(())
        })
        .unwrap();
}

pub(crate) fn any_size_up_to_the_limit_and_none_above<F: LinkFactory>() {
    let (from, to) = F::pair();
    let (mut from, mut to) = (Waiting::new(from), Waiting::new(to));
    let limit = from.link.body_bytes_max();
    for (number, body_bytes) in (0..).zip([0, 1, 23, 24, 25, 4095, 4096, limit - 1, limit]) {
        from.send(number, body_bytes);
        let came = to.receive(1).unwrap();
        assert_eq!((came[0].number, came[0].body_bytes), (number, body_bytes));
    }
    assert_eq!(put(&mut *from.link, 99, limit + 1), Err(Full));
    let error = LinkError::OwnFrame { bytes: limit + 1, bytes_max: limit };
    assert_eq!(from.link.flush(), Err(error));
}

pub(crate) fn a_head_with_a_wrong_length_is_no_frame<F: LinkFactory>() {
    let (mut from, _to) = F::pair();
    let (mut head, body) = frame(1, 10);
    head.length = 11;
    assert_eq!(from.put(&head, &body), Err(Full));
    assert!(matches!(from.flush(), Err(LinkError::OwnFrame { bytes: 10, .. })));
}

pub(crate) fn a_full_outlet_takes_nothing_and_room_comes_back<F: LinkFactory>() {
    for body_bytes in [0, 100, 9_000] {
        let (from, to) = F::pair();
        let (mut from, mut to) = (Waiting::new(from), Waiting::new(to));
        for round in 1..4_u64 {
            let mut sent = 0;
            // Until the outlet is full, and the buffers behind it too.
            let mut is_full = false;
            while !is_full {
                if put(&mut *from.link, sent, body_bytes).is_ok() {
                    sent += 1;
                    assert!(sent < 10_000_000, "a link is bounded");
                } else {
                    is_full = !from.link.flush().unwrap()
                        && put(&mut *from.link, sent, body_bytes).map(|()| sent += 1).is_err();
                }
            }
            let before = from.link.counters();
            assert_eq!(put(&mut *from.link, sent, body_bytes), Err(Full));
            assert_eq!(from.link.counters().frames_out, before.frames_out);
            assert_eq!(from.link.counters().bytes_out, before.bytes_out);
            let mut came = Vec::new();
            while (came.len() as u64) < sent {
                came.extend(numbers(&to.receive(16).unwrap()));
                from.link.flush().unwrap();
            }
            assert!(came.iter().copied().eq(0..sent), "exactly what was taken arrives");
            while !from.link.flush().unwrap() {
                from.wait();
            }
            put(&mut *from.link, round, body_bytes).unwrap();
            from.link.flush().unwrap();
            assert_eq!(numbers(&to.receive(16).unwrap()), [round]);
        }
    }
}

pub(crate) fn no_more_frames_than_requested<F: LinkFactory>() {
    let (mut from, to) = F::pair();
    let mut to = Waiting::new(to);
    for number in 0..5 {
        put(&mut *from, number, 10).unwrap();
    }
    assert!(from.flush().unwrap());
    assert_eq!(take(&mut *to.link, 0).unwrap().len(), 0);
    assert_eq!(numbers(&to.receive(2).unwrap()), [0, 1]);
    // Frames that are left do not make a wait hang.
    to.wait();
    let mut rest = Vec::new();
    while rest.len() < 3 {
        rest.extend(numbers(&to.receive(2).unwrap()));
    }
    assert_eq!(rest, [2, 3, 4]);
}

/// Each answer waits for its question: both sides sleep after every frame.
pub(crate) fn no_wake_is_lost_to_and_fro<F: LinkFactory>() {
    const ROUNDS: u64 = 5_000;
    let (asks, answers) = F::pair();
    let answerer = thread::spawn(move || {
        let mut link = Waiting::new(answers);
        for number in 0..ROUNDS {
            assert_eq!(numbers(&link.receive(1).unwrap()), [number]);
            link.send(number, 8);
        }
        link
    });
    let mut link = Waiting::new(asks);
    for number in 0..ROUNDS {
        link.send(number, 16);
        assert_eq!(numbers(&link.receive(1).unwrap()), [number]);
    }
    answerer.join().unwrap();
}

/// Both sides send and receive all the time, at the bounds of the link.
pub(crate) fn no_wake_is_lost_both_ways_at_once<F: LinkFactory>() {
    const FRAMES: u64 = 20_000;
    let (one, other) = F::pair();
    let sides = [(one, 1_u64), (other, 2)].map(|(link, seed)| {
        thread::spawn(move || {
            let mut side = Waiting::new(link);
            let mut rng = Rng::with_seed(seed);
            let (mut sent, mut received) = (0, 0);
            loop {
                for _ in 0..rng.u64(1..40) {
                    let body_bytes = if rng.u8(..) == 0 { rng.usize(..9_000) } else { 16 };
                    if sent == FRAMES || put(&mut *side.link, sent, body_bytes).is_err() {
                        break;
                    }
                    sent += 1;
                }
                let flushed = side.link.flush().unwrap();
                let came = take(&mut *side.link, rng.usize(1..40)).unwrap();
                for came in &came {
                    assert_eq!(came.number, received);
                    received += 1;
                }
                if sent == FRAMES && received == FRAMES && flushed {
                    break;
                }
                let may_send = sent < FRAMES && flushed;
                if came.is_empty() && !may_send {
                    side.wait();
                }
            }
            side
        })
    });
    // Neither link closes before both sides are done: a side that has received all frames may
    // call `take` once more.
    let _links = sides.map(|side| side.join().unwrap());
}

/// The sender has nothing to receive: only room can wake it.
pub(crate) fn no_wake_is_lost_for_room<F: LinkFactory>() {
    const ROUNDS: u64 = 100;
    let (from, to) = F::pair();
    let (is_full, full) = mpsc::channel();
    let sender = thread::spawn(move || {
        let mut from = Waiting::new(from);
        let mut sent = 0;
        for _ in 0..ROUNDS {
            loop {
                if put(&mut *from.link, sent, 500).is_ok() {
                    sent += 1;
                } else if !from.link.flush().unwrap() {
                    break;
                }
            }
            is_full.send(sent).unwrap();
            while !from.link.flush().unwrap() {
                from.wait();
            }
        }
        from
    });
    let mut to = Waiting::new(to);
    let mut received = 0;
    for sent in full {
        // Some frames still wait at the sender's side: wait only for those that have arrived.
        while received < sent {
            for came in to.receive(16).unwrap() {
                assert_eq!(came.number, received);
                received += 1;
            }
        }
    }
    sender.join().unwrap();
}

pub(crate) fn both_sides_count_the_same<F: LinkFactory>() {
    let (from, to) = F::pair();
    let (mut from, mut to) = (Waiting::new(from), Waiting::new(to));
    for number in 0..30 {
        from.send(number, number as usize * 13);
        to.receive(1).unwrap();
    }
    let (sent, received) = (from.link.counters(), to.link.counters());
    assert_eq!((sent.frames_out, received.frames_in), (30, 30));
    let bytes = (0..30).map(|number| 24 + number * 13).sum::<u64>();
    assert_eq!((sent.bytes_out, received.bytes_in), (bytes, bytes));
    assert_eq!((sent.frames_in, received.frames_out), (0, 0));
}

pub(crate) fn a_drop_is_reported_after_all_that_was_sent<F: LinkFactory>() {
    let (mut from, to) = F::pair();
    let mut to = Waiting::new(to);
    for number in 0..20 {
        put(&mut *from, number, 100).unwrap();
    }
    assert!(from.flush().unwrap());
    drop(from);
    let (came, error) = to.receive_all();
    assert_eq!(numbers(&came), Vec::from_iter(0..20));
    assert_eq!(error, LinkError::Closed);
    assert!(to.link.prepare_wait(), "the end is nothing to wait for");
    assert_eq!(to.link.take(1, &mut |_, _| {}), Err(LinkError::Closed));
}

pub(crate) fn a_close_is_reported_after_all_that_was_flushed<F: LinkFactory>() {
    let (mut from, to) = F::pair();
    let mut to = Waiting::new(to);
    for number in 0..20 {
        put(&mut *from, number, 100).unwrap();
    }
    assert!(from.flush().unwrap());
    from.close();
    let (came, error) = to.receive_all();
    assert_eq!(numbers(&came), Vec::from_iter(0..20));
    assert_eq!(error, LinkError::Closed);
    assert_eq!(from.take(1, &mut |_, _| {}), Err(LinkError::Closed));
}

pub(crate) fn a_drop_is_reported_despite_unread_frames<F: LinkFactory>() {
    let (mut gone, left) = F::pair();
    let mut left = Waiting::new(left);
    left.send(0, 50);
    for number in 0..20 {
        put(&mut *gone, number, 100).unwrap();
    }
    assert!(gone.flush().unwrap());
    drop(gone);
    let (came, error) = left.receive_all();
    assert_eq!(numbers(&came), Vec::from_iter(0..20));
    assert_eq!(error, LinkError::Closed);
}

/// Between finding nothing and checking whether the peer is connected, the peer sends and
/// disconnects.
pub(crate) fn a_drop_during_a_take_is_reported_last<F: LinkFactory>() {
    let (goes, gone) = mpsc::sync_channel::<Box<dyn Link>>(0);
    let goer = thread::spawn(move || {
        for mut link in gone {
            put(&mut *link, 1, 8).unwrap();
            link.flush().unwrap();
        }
    });
    for _ in 0..or_long(100, 500) {
        let (one, mut left) = F::pair();
        goes.send(one).unwrap();
        let mut came = 0;
        let end = loop {
            match take(&mut *left, 5) {
                Ok(some) => came += some.len(),
                Err(end) => break end,
            }
        };
        assert_eq!((came, end), (1, LinkError::Closed));
    }
    drop(goes);
    goer.join().unwrap();
}

pub(crate) fn a_drop_wakes_a_waiting_side<F: LinkFactory>() {
    for _ in 0..50 {
        let (gone, left) = F::pair();
        let waiter = thread::spawn(move || Waiting::new(left).receive_all().1);
        drop(gone);
        assert_eq!(waiter.join().unwrap(), LinkError::Closed);
    }
}

pub(crate) fn frames_put_after_the_disconnect_are_discarded<F: LinkFactory>() {
    let (mut gone, left) = F::pair();
    let mut left = Waiting::new(left);
    put(&mut *gone, 7, 100).unwrap();
    assert!(gone.flush().unwrap());
    drop(gone);
    // Far more than any link holds: the sender does not wait for room that never comes.
    for number in 0..2_000 {
        left.send(number, 1_000);
    }
    assert!(left.link.counters().bytes_discarded > 1_000_000, "and none of it is kept");
    let (came, error) = left.receive_all();
    assert_eq!(numbers(&came), [7]);
    assert_eq!(error, LinkError::Closed);
}
