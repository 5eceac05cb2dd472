// SPDX-License-Identifier: BSD-3-Clause
//! As in `crates/host/src/thread.rs`: a thread that is not lent, and reads no clock.

use std::task::Waker;

pub(crate) struct ThreadRecord;

pub(crate) const fn current() -> &'static ThreadRecord {
    &ThreadRecord
}

impl ThreadRecord {
    pub(crate) const fn answers_came(&self) -> u64 {
        0
    }

    pub(crate) fn wake(&self, waker: Waker) {
        waker.wake();
    }
}
