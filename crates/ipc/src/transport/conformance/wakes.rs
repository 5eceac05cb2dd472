// SPDX-License-Identifier: BSD-3-Clause
//! No wake is lost (rule 5). A lost one hangs the test: no wait here has a time limit.

use std::sync::mpsc;
use std::thread;

use fastrand::Rng;

use super::LinkFactory;
use super::waiting::{Waiting, numbers, put, take};

/// Each answer waits for its question: both sides sleep after every frame.
pub fn no_wake_is_lost_to_and_fro<F: LinkFactory>() {
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
pub fn no_wake_is_lost_both_ways_at_once<F: LinkFactory>() {
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
pub fn no_wake_is_lost_for_room<F: LinkFactory>() {
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
