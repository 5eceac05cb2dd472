// SPDX-License-Identifier: BSD-3-Clause
//! Defects of frames.

use std::fs::File;
use std::path::Path;

use super::hand::{HELLO, Hand, Head, PING, REPLY, attributes, random_bytes};

pub(super) fn garbage_frames(path: &Path) {
    let mut hand = Hand::greeted(path, 0);
    hand.say(&random_bytes(100_000));
    hand.until_put_out();
}

pub(super) fn huge_length(path: &Path) {
    let mut hand = Hand::in_session(path);
    hand.say(&Head { length: u32::MAX, sequence: 1, ..Head::of(PING) }.bytes());
    hand.until_put_out();
}

/// It is borne as long as it goes on with other frames; this one does not.
pub(super) fn frame_never_ends(path: &Path) {
    let mut hand = Hand::in_session(path);
    hand.say(&Head { length: 60_000, sequence: 1, ..Head::of(PING) }.bytes());
    hand.say(&[0; 59_999]);
    hand.until_put_out();
}

pub(super) fn attributes_cut_off(path: &Path) {
    let mut hand = Hand::greeted(path, 0);
    let whole = attributes();
    hand.say(&Head { aux: 2, ..Head::of(HELLO) }.with(&whole[..whole.len() - 1]));
    hand.until_put_out();
}

pub(super) fn second_hello(path: &Path) {
    let mut hand = Hand::in_session(path);
    hand.say(&Head { aux: 2, ..Head::of(HELLO) }.with(&attributes()));
    hand.until_put_out();
}

pub(super) fn reply_to_nothing(path: &Path) {
    let mut hand = Hand::in_session(path);
    hand.say(&Head { sequence: 1 << 32, ..Head::of(REPLY) }.bytes());
    hand.until_put_out();
}

/// They are closed, and it is borne.
pub(super) fn descriptors_without_need(path: &Path) {
    let mut hand = Hand::in_session(path);
    for _ in 0..64 {
        let files = (0..4).map(|_| File::open("/dev/null").unwrap().into());
        let files: Vec<_> = files.collect();
        let ping = Head { sequence: 5, ..Head::of(PING) }.bytes();
        if !hand.hand_over(&ping, &files) || hand.frame().is_none() {
            return;
        }
    }
}
