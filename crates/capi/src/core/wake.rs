// SPDX-License-Identifier: BSD-3-Clause
//! Wakes by number, and at an instant.
//!
//! A channel keeps two words of a waiter and may use them after the waiter has ended. So a manually
//! driven coroutine is identified there by a number, never reused, and found in a table while it
//! lives.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use becket_chan::timer::{Key, Timers};
use parking_lot::Mutex;

use super::object::{Coro, CoroRef};
use super::{manual, park};

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Pointers to live objects: [`retire`] removes one before its object is freed.
static MANUAL: LazyLock<Mutex<HashMap<u64, Listed>>> = LazyLock::new(Mutex::default);

#[derive(Clone, Copy)]
struct Listed(*const Coro);

// SAFETY: only followed under the table's lock, where the object is alive.
unsafe impl Send for Listed {}

/// The number of a manually driven coroutine, assigned on first use.
pub(crate) fn number(coro: &Coro) -> u64 {
    let number = coro.number.load(Ordering::Relaxed);
    if number != 0 {
        return number;
    }
    // By the coroutine itself alone.
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    MANUAL.lock().insert(number, Listed(coro));
    coro.number.store(number, Ordering::Relaxed);
    number
}

/// Removes the object before it is freed: wakes do not find it any more.
pub(crate) fn retire(coro: &Coro) {
    let number = coro.number.load(Ordering::Relaxed);
    if number != 0 {
        MANUAL.lock().remove(&number);
    }
}

/// Wakes the coroutine of this number from the operation it waits in, if it still lives.
pub(crate) fn by_number(number: usize) {
    let table = MANUAL.lock();
    if let Some(listed) = table.get(&(number as u64)) {
        // SAFETY: listed, so alive while the lock is held.
        manual::wake(unsafe { &*listed.0 });
    }
}

/// The action at an instant.
pub(crate) enum Alarm {
    /// The deadline of an operation of a manually driven coroutine.
    Wait(u64),
    /// `kc_sched_timer_*`; called with the object.
    Unpark { coro: CoroRef, then: Box<dyn FnOnce() + Send> },
}

static ALARMS: Timers<Alarm> = Timers::new("kcoro-timers", ring);

fn ring(alarm: Alarm, _now: Instant) {
    match alarm {
        Alarm::Wait(number) => by_number(number as usize),
        Alarm::Unpark { coro, then } => {
            then();
            park::unpark(&coro);
        }
    }
}

/// Sets one; `None`: it could not be set.
pub(crate) fn set_alarm(at: Instant, alarm: Alarm) -> Option<Key> {
    ALARMS.set(at, alarm).ok()
}

/// Cancels one. True: it will not fire.
pub(crate) fn cancel_alarm(key: Key) -> bool {
    ALARMS.cancel(key).is_some()
}
