// SPDX-License-Identifier: BSD-3-Clause
//! What a look without the lock tells about a channel whose ring is slow.

use crate::sync::{AtomicU32, Ordering};

/// What an operation would find under the lock, when it was last free.
///
/// While the ring is fast it promises everything, and it does so before the ring goes fast. So who
/// finds the ring slow reads either what was told since, or a promise that the lock will correct;
/// never what was true before a value that it knows of was sent.
#[derive(Debug)]
pub(crate) struct Hint(AtomicU32);

impl Hint {
    #[inline]
    pub(crate) fn set(&self, send: bool, recv: bool) {
        self.0.store(u32::from(send) | u32::from(recv) << 1, Ordering::Release);
    }

    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(3))
    }

    #[inline]
    pub(crate) fn may_send(&self) -> bool {
        self.0.load(Ordering::Acquire) & 1 != 0
    }

    #[inline]
    pub(crate) fn may_recv(&self) -> bool {
        self.0.load(Ordering::Acquire) & 2 != 0
    }
}
