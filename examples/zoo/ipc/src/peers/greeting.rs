// SPDX-License-Identifier: BSD-3-Clause
//! Defects of the first bytes.

use std::path::Path;

use super::hand::{Hand, greeting, old_frame, random_bytes};

pub(super) fn garbage(path: &Path) {
    let mut hand = Hand::connect(path);
    hand.say(&random_bytes(4096));
    hand.until_put_out();
}

pub(super) fn greeting_too_long(path: &Path) {
    let mut hand = Hand::connect(path);
    hand.say(&old_frame(1, u32::MAX, &[0; 1024]));
    hand.until_put_out();
}

/// A byte each time that the server may have forgotten the last one.
pub(super) fn greeting_never_ends(path: &Path) {
    let mut hand = Hand::connect(path);
    let whole = greeting(2, 0);
    for byte in &whole[..whole.len() - 1] {
        hand.say(&[*byte]);
        std::thread::yield_now();
    }
    hand.until_put_out();
}

pub(super) fn greeting_cut_off(path: &Path) {
    let mut hand = Hand::connect(path);
    hand.say(&old_frame(1, 7, &[0, 1, 0, 4, 0, 0, 0]));
    hand.until_put_out();
}

pub(super) fn silence(path: &Path) {
    Hand::connect(path).until_put_out();
}

pub(super) fn silence_after_hello(path: &Path) {
    Hand::greeted(path, 0).until_put_out();
}

pub(super) fn silence_before_memory(path: &Path) {
    Hand::greeted(path, 1).until_put_out();
}
