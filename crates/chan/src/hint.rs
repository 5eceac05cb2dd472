// SPDX-License-Identifier: BSD-3-Clause
//! The readiness hint: what a check without the lock finds out about a channel whose ring is slow.

use crate::sync::{AtomicU32, Ordering};
use crate::transfer::Direction;

/// What an operation would find under the lock, as of the lock's last release.
///
/// While the ring is fast, both answers are true, and they are set before the ring goes fast. So an
/// operation that finds the ring slow reads either a value stored since, or a `true` that the lock
/// corrects; never an answer from before a send that happened before the operation.
#[derive(Debug)]
pub(crate) struct ReadinessHint(AtomicU32);

impl ReadinessHint {
    #[inline]
    pub(crate) fn set(&self, send: bool, recv: bool) {
        self.0.store(u32::from(send) | u32::from(recv) << 1, Ordering::Release);
    }

    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(3))
    }

    #[inline]
    pub(crate) fn may<D: Direction>(&self) -> bool {
        self.may_now(D::SENDS)
    }

    #[inline]
    pub(crate) fn may_now(&self, sends: bool) -> bool {
        self.0.load(Ordering::Acquire) & if sends { 1 } else { 2 } != 0
    }
}
