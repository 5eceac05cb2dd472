// SPDX-License-Identifier: BSD-3-Clause
//! Defects of protocol 1.0, over bytes.

use std::io::{Read as _, Write as _};
use std::path::Path;

use super::hand::{Hand, greeting, old_frame, random_bytes};

/// It has greeted.
fn greeted(path: &Path) -> Hand {
    let mut hand = Hand::connect(path);
    hand.say(&greeting(1, 0));
    let mut answer = [0; 24];
    hand.0.read_exact(&mut answer).unwrap();
    hand
}

/// More bytes than a payload may have: where a random header claims a length that is allowed, they
/// complete that frame, and the next header is of them.
const LONGER_THAN_ANY_PAYLOAD: usize = 128 << 10;

/// Each is answered with an error; a length that is too long at last puts it out.
pub(super) fn old_garbage(path: &Path) {
    let mut hand = greeted(path);
    for command in [0_u16, 7, 99, u16::MAX, 11, 30] {
        hand.say(&old_frame(command, 64, &random_bytes(64)));
    }
    hand.say(&random_bytes(4096));
    hand.say(&vec![0xff; LONGER_THAN_ANY_PAYLOAD]);
    hand.until_put_out();
}

pub(super) fn old_huge_length(path: &Path) {
    let mut hand = greeted(path);
    hand.say(&old_frame(11, u32::MAX, &[]));
    hand.until_put_out();
}

/// It is answered with an error, and goes.
pub(super) fn old_cut_off(path: &Path) {
    let mut hand = greeted(path);
    hand.say(&old_frame(11, 7, &[0, 20, 0, 4, 0, 0, 3]));
    let mut answer = [0; 8];
    hand.0.read_exact(&mut answer).unwrap();
}

/// Until the server reads no more.
pub(super) fn old_flood(path: &Path) {
    let hand = greeted(path);
    if hand.0.set_nonblocking(true).is_err() {
        return;
    }
    let (frame, mut refused) = (old_frame(6, 0, &[]), 0);
    for _ in 0..50_000 {
        while (&hand.0).write_all(&frame).is_err() {
            refused += 1;
            if refused > 10_000 {
                return;
            }
            std::thread::yield_now();
        }
    }
}
