// SPDX-License-Identifier: BSD-3-Clause
//! Frames arrive whole, once and in order; what is refused is not taken (rules 1, 2 and 4).

use std::collections::VecDeque;

use becket_wire::Full;
use fastrand::Rng;

use super::LinkFactory;
use super::waiting::{Waiting, frame, numbers, or_long, put, take};
use crate::transport::LinkError;

/// Against a simple model: a queue.
pub fn frames_arrive_whole_once_and_in_order<F: LinkFactory>() {
    for seed in 0..or_long(48, 256) {
        let mut rng = Rng::with_seed(seed);
        let (mut from, to) = F::pair();
        let body_bytes_max = from.body_bytes_max();
        let mut to = Waiting::new(to);
        let mut model = VecDeque::new();
        let mut number = 0;
        for _ in 0..rng.usize(0..200) {
            match rng.u8(..10) {
                0..5 => {
                    let body_bytes = match rng.u8(..7) {
                        0..4 => rng.usize(0..64),
                        4 | 5 => rng.usize(0..=body_bytes_max),
                        _ => body_bytes_max,
                    };
                    if put(&mut *from, number, body_bytes).is_ok() {
                        model.push_back((number, body_bytes));
                        number += 1;
                    }
                }
                5 | 6 => drop(from.flush().unwrap()),
                _ => {
                    for came in take(&mut *to.link, rng.usize(0..12)).unwrap() {
                        let was = model.pop_front();
                        assert_eq!(Some((came.number, came.body_bytes)), was, "seed {seed}");
                    }
                }
            }
        }
        while !model.is_empty() {
            from.flush().unwrap();
            for came in to.receive(7).unwrap() {
                let was = model.pop_front();
                assert_eq!(Some((came.number, came.body_bytes)), was, "seed {seed}");
            }
        }
        assert!(from.flush().unwrap(), "seed {seed}");
        assert_eq!(take(&mut *to.link, 1).unwrap().len(), 0, "seed {seed}");
    }
}

/// Bodies of any length up to `body_bytes_max`; a longer one ends the link.
pub fn any_size_up_to_the_limit_and_none_above<F: LinkFactory>() {
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

/// A head whose length is not its body's ends the link.
pub fn a_head_with_a_wrong_length_is_no_frame<F: LinkFactory>() {
    let (mut from, _to) = F::pair();
    let (mut head, body) = frame(1, 10);
    head.length = 11;
    assert_eq!(from.put(&head, &body), Err(Full));
    assert!(matches!(from.flush(), Err(LinkError::OwnFrame { bytes: 10, .. })));
}

/// A link is bounded, takes nothing when it is full, and says when there is room.
pub fn a_full_outlet_takes_nothing_and_room_comes_back<F: LinkFactory>() {
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

/// `take` passes at most as many frames as it is asked for, and those that are left are no wait.
pub fn no_more_frames_than_requested<F: LinkFactory>() {
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

/// The counters of both sides agree.
pub fn both_sides_count_the_same<F: LinkFactory>() {
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
