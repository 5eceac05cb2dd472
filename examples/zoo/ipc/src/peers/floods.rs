// SPDX-License-Identifier: BSD-3-Clause
//! Too many allowed requests.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use super::hand::{DATA, FIRST, Hand, Head, JOBS, OPEN, PING, REQUEST, SEND};

/// Frames of a flood.
const FRAMES: u64 = 50_000;
/// Writes in a row without room: the server does not read on.
const REFUSED_MAX: u32 = 10_000;

/// Sends frames without reading, until the server closes the connection or reads no more, or all
/// were sent.
fn flood(hand: &mut Hand, frame: impl Fn(u64) -> Vec<u8>) {
    if hand.0.set_nonblocking(true).is_err() {
        return;
    }
    let mut refused = 0;
    for number in 0..FRAMES {
        let bytes = frame(number);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match hand.0.write(rest) {
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    refused = 0;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock && refused < REFUSED_MAX => {
                    refused += 1;
                    std::thread::yield_now();
                }
                Err(_) => return,
            }
        }
    }
}

/// The reply to each is a page of channels.
pub(super) fn flood_of_requests(path: &Path) {
    let mut hand = Hand::in_session(path);
    flood(&mut hand, |number| {
        let sequence = (number % 1024) | ((number / 1024 + 1) << 32);
        Head { code: 2, sequence, ..Head::of(REQUEST) }.with(br#"{"after":null}"#)
    });
}

pub(super) fn flood_of_opens(path: &Path) {
    let mut hand = Hand::in_session(path);
    flood(&mut hand, |number| {
        let stream = FIRST | (number as u32 & 0xffff) << 1;
        Head { code: SEND, stream, flags: 1, ..Head::of(OPEN) }.with(JOBS)
    });
}

pub(super) fn flood_of_pings(path: &Path) {
    let mut hand = Hand::in_session(path);
    flood(&mut hand, |sequence| Head { sequence, ..Head::of(PING) }.bytes());
}

/// As much as the credit allows: 16 MiB, of which the channel takes none.
pub(super) fn flood_of_elements(path: &Path) {
    let mut hand = Hand::with_stream(path, SEND, JOBS, 0);
    for sequence in 1..=250 {
        let head = Head { stream: FIRST, sequence, ..Head::of(DATA) };
        if !hand.say(&head.with(&[9; 60_000])) {
            return;
        }
    }
    hand.is_borne();
}

/// As many as it may have at a time, and then others in their place.
pub(super) fn flood_of_connections(path: &Path) {
    let mut open = VecDeque::new();
    for _ in 0..10_000 {
        open.push_back(Hand::connect(path));
        if open.len() > 500 {
            open.pop_front();
        }
    }
}
