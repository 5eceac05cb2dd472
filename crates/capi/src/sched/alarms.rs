// SPDX-License-Identifier: BSD-3-Clause
//! `kc_sched_timer_*`: unparks a coroutine at an instant.
//!
//! An id is never reused. A timer is in the table from when it is set until it fires, is cancelled,
//! or its scheduler ends; the code that removes it from the table owns it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use becket_chan::timer::Key;
use parking_lot::Mutex;

use crate::core::object::CoroRef;
use crate::core::wake::{Alarm, cancel_alarm, set_alarm};

static IDS: AtomicU64 = AtomicU64::new(1);

/// The timers of one scheduler.
#[derive(Default)]
pub(super) struct Alarms {
    set: Mutex<HashMap<u64, Key>>,
}

impl Alarms {
    /// Sets one; 0: it could not be set.
    pub(super) fn set(self: &Arc<Self>, at: Instant, coro: CoroRef) -> u64 {
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        let alarms = Arc::clone(self);
        let then = Box::new(move || {
            alarms.set.lock().remove(&id);
        });
        // Locked while it is set, so that it is in the table before it fires.
        let mut set = self.set.lock();
        match set_alarm(at, Alarm::Unpark { coro, then }) {
            Some(key) => {
                set.insert(id, key);
                id
            }
            None => 0,
        }
    }

    /// True: it will not fire.
    pub(super) fn cancel(&self, id: u64) -> bool {
        let key = self.set.lock().remove(&id);
        key.is_some_and(cancel_alarm)
    }

    pub(super) fn cancel_all(&self) {
        let keys: Vec<Key> = self.set.lock().drain().map(|(_, key)| key).collect();
        for key in keys {
            cancel_alarm(key);
        }
    }
}
