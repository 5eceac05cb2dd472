// SPDX-License-Identifier: BSD-3-Clause
//! What the supervisor sees of a worker's session without its lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use becket_ipc::Ended;
use parking_lot::{Condvar, Mutex};

use crate::reported::Stuck;
use crate::share::Given;

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Watch {
    /// It takes calls.
    pub(crate) is_live: AtomicBool,
    /// Calls and streams that it has.
    pub(crate) in_hand: AtomicU32,
    /// Calls, streams and requests of the host's own that it was given; written under the session's lock.
    begun: AtomicU64,
    /// The same of notifications.
    notified: AtomicU64,
    /// Its threads that are in the scheduler's idle class.
    pub(crate) lowered: AtomicU32,
    /// How the session ended, and how many calls and streams it had then.
    pub(crate) end: Mutex<Option<(Ended, u64)>>,
    /// It has just been set.
    pub(crate) ended: Condvar,
    /// Its threads that are stuck in the plugin.
    pub(crate) stuck: Arc<Stuck>,
}

impl Watch {
    pub(crate) fn new(stuck: Arc<Stuck>) -> Self {
        Self { stuck, ..Self::default() }
    }

    /// What it was given, for its [share](crate::share) of the processors.
    pub(crate) fn given(&self) -> Given {
        Given {
            in_hand: self.in_hand.load(Ordering::Relaxed),
            begun: self.begun.load(Ordering::Relaxed),
            notified: self.notified.load(Ordering::Relaxed),
        }
    }

    /// It was given one more; under the session's lock.
    #[inline]
    pub(super) fn count_begun(&self) {
        self.begun.store(self.begun.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// The same for a notification.
    pub(super) fn count_notified(&self) {
        self.notified
            .store(self.notified.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}
