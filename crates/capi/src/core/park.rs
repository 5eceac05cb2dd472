// SPDX-License-Identifier: BSD-3-Clause
//! `kcoro_park` and `kcoro_unpark`.
//!
//! One word decides, whatever is behind the object:
//!
//! ```text
//!   EMPTY ──park──► PARKED ──unpark──► NOTIFIED ──the park returns──► EMPTY
//!     └─────unpark───► NOTIFIED ──park returns at once──► EMPTY
//! ```
//!
//! Any number of unparks before a park count as one. An unpark that finds PARKED wakes the
//! coroutine, by its role: a scheduled coroutine by its worker, a thread by its handle; a manually
//! driven one becomes READY, and if a scheduler drives it, its driver is woken. A park sets PARKED
//! in the state before it does in the word, so that the unpark that takes it out of the word can
//! change the state.

use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use super::object::{Coro, Role, state};
use super::{main, manual};

const EMPTY: i32 = 0;
const NOTIFIED: i32 = 1;
const PARKED: i32 = 2;

/// Announces a park. False: a wake has come, and is consumed.
pub(crate) fn announce(gate: &AtomicI32) -> bool {
    if gate.compare_exchange(EMPTY, PARKED, Ordering::AcqRel, Ordering::Acquire).is_ok() {
        return true;
    }
    gate.store(EMPTY, Ordering::Release);
    false
}

/// Records a wake. True: the other side is parked.
pub(crate) fn notify(gate: &AtomicI32) -> bool {
    gate.swap(NOTIFIED, Ordering::AcqRel) == PARKED
}

/// Ends a park, for any reason; a wake is consumed.
pub(crate) fn end(gate: &AtomicI32) {
    gate.store(EMPTY, Ordering::Release);
}

fn is_notified(gate: &AtomicI32) -> bool {
    gate.load(Ordering::Acquire) == NOTIFIED
}

/// Parks the caller, which is the object's coroutine or thread.
pub(crate) fn park(coro: &Coro) {
    let gate = &coro.park_gate;
    match coro.role() {
        Role::Scheduled => {
            coro.set_state(state::PARKED);
            if announce(gate) {
                while !is_notified(gate) {
                    becket_coro::park();
                }
                end(gate);
            }
            coro.set_state(state::RUNNING);
        }
        Role::Manual => {
            coro.set_state(state::PARKED);
            if announce(gate) {
                manual::give_back();
                end(gate);
            } else {
                coro.set_state(state::RUNNING);
            }
        }
        Role::Main => {
            if main::is_this_thread(coro) && announce(gate) {
                while !is_notified(gate) {
                    thread::park();
                }
                end(gate);
            }
        }
    }
}

/// Wakes the object's coroutine or thread from its park, or from its next one.
pub(crate) fn unpark(coro: &Coro) {
    if coro.is_finished() || !notify(&coro.park_gate) {
        return;
    }
    match coro.role() {
        Role::Scheduled | Role::Manual => {
            coro.becomes_ready();
            if let Some(waker) = coro.waker.get() {
                waker.unpark();
            }
        }
        Role::Main => {
            if let Some(thread) = coro.thread.get() {
                thread.unpark();
            }
        }
    }
}
