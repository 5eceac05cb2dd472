// SPDX-License-Identifier: BSD-3-Clause
//! Defects of what frames say of streams.

use std::path::Path;

use super::hand::{ACK, CREDIT, DATA, FIRST, Hand, Head, JOBS, RECEIVE, RETURN, SEND, STOCK};

/// The element's number `sequence` of the stream.
fn element(stream: u32, sequence: u64) -> Head {
    Head { stream, sequence, ..Head::of(DATA) }
}

pub(super) fn without_credit(path: &Path) {
    let mut hand = Hand::with_stream(path, SEND, JOBS, 0);
    // There was credit for 256, and the channel has room for 8.
    for sequence in 1..100_000 {
        if !hand.say(&element(FIRST, sequence).with(&[7; 100])) {
            break;
        }
    }
    hand.until_put_out();
}

pub(super) fn returns_never_sent(path: &Path) {
    let mut hand = Hand::with_stream(path, RECEIVE, STOCK, 0);
    for sequence in [1, 2, 1 << 40, u64::MAX] {
        hand.say(&Head { stream: FIRST, sequence, ..Head::of(RETURN) }.with(b"made up"));
    }
    hand.until_put_out();
}

pub(super) fn returns_twice(path: &Path) {
    let mut hand = Hand::with_stream(path, RECEIVE, STOCK, 2);
    let mut came = Vec::new();
    while came.len() < 2 {
        let (head, body) = hand.frame().unwrap();
        if head.kind == DATA {
            came.push((head.sequence, body));
        }
    }
    // In order, as they were; and then once more.
    for (sequence, body) in came.iter().rev().chain(came.iter().rev()) {
        let head = Head { stream: FIRST, sequence: *sequence, ..Head::of(RETURN) };
        hand.say(&head.with(body));
    }
    hand.until_put_out();
}

/// Of streams that are over it is borne, of those that never were it is put out.
pub(super) fn stale_stream(path: &Path) {
    let mut hand = Hand::in_session(path);
    for stream in [FIRST, FIRST | 2, 1, u32::MAX, 0] {
        if !hand.say(&element(stream, 1).with(b"not sent")) {
            break;
        }
    }
    hand.until_put_out();
}

pub(super) fn credit_overflows(path: &Path) {
    let mut hand = Hand::with_stream(path, RECEIVE, STOCK, 0);
    for _ in 0..3 {
        let sequence = u64::MAX;
        hand.say(&Head { aux: u32::MAX, sequence, ..Head::of(CREDIT) }.bytes());
    }
    hand.until_put_out();
}

pub(super) fn pieces_without_end(path: &Path) {
    let mut hand = Hand::with_stream(path, SEND, JOBS, 0);
    let piece = Head { flags: 1, aux: u32::MAX, ..element(FIRST, 1) }.with(&[1; 60_000]);
    while hand.say(&piece) {}
    hand.until_put_out();
}

pub(super) fn acknowledges_the_future(path: &Path) {
    let mut hand = Hand::with_stream(path, RECEIVE, STOCK, 1);
    hand.say(&Head { stream: FIRST, sequence: 1 << 50, ..Head::of(ACK) }.bytes());
    hand.until_put_out();
}
