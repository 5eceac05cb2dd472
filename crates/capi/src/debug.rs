// SPDX-License-Identifier: BSD-3-Clause
//! `KCORO_DEBUG`, `KC_SCHED_DEBUG`, `KCORO_REF_DEBUG`: lines on standard error for a person.
//!
//! | variable | a line for |
//! |---|---|
//! | `KCORO_DEBUG` | each channel and coroutine that is made, and that ends |
//! | `KC_SCHED_DEBUG` | each scheduler that starts and ends; what starts there, is refused, and ends |
//! | `KCORO_REF_DEBUG` | each change of a coroutine's reference count |
//!
//! ```text
//!   kcoro: 81734712345678 chan 0x55d0c8a3f2d0: closed, reason -5
//! ```
//!
//! A variable is on if it is neither empty nor `0`. They are read once, at the first line that one
//! of them could ask for. Without them such a place is one load and one branch.

use std::env;
use std::fmt::Display;
use std::io::Write as _;
use std::sync::LazyLock;

use crate::clock;

/// `KCORO_DEBUG`.
pub(crate) const OBJECTS: u8 = 1;
/// `KC_SCHED_DEBUG`.
pub(crate) const SCHED: u8 = 2;
/// `KCORO_REF_DEBUG`.
pub(crate) const REFS: u8 = 4;

static WANTED: LazyLock<u8> = LazyLock::new(|| {
    [("KCORO_DEBUG", OBJECTS), ("KC_SCHED_DEBUG", SCHED), ("KCORO_REF_DEBUG", REFS)]
        .into_iter()
        .filter(|(name, _)| {
            env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
        })
        .map(|(_, flag)| flag)
        .sum()
});

/// Writes the line, if it is asked for.
#[inline]
pub(crate) fn log<D: Display>(flag: u8, line: impl FnOnce() -> D) {
    if *WANTED & flag != 0 {
        write(&line());
    }
}

#[cold]
fn write(line: &dyn Display) {
    // One write, so that lines of several threads do not mix. Standard error may be closed.
    let text = format!("kcoro: {} {line}\n", clock::now_ns());
    let _ = std::io::stderr().write_all(text.as_bytes());
}
