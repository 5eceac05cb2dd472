// SPDX-License-Identifier: BSD-3-Clause
//! The wait of a scope's owner for its children, which cannot be interrupted.
//!
//! When a runtime ends, waiting coroutines are unwound. An owner must not be, while its children
//! borrow from its stack; but they can only be unwound by the worker that the owner may be
//! blocking. So the owner continues to park, as if its runtime did not end, and is unwound when the
//! last child is gone.
//!
//! For an owner that is being unwound already the scheduler would do the same: a wait in a
//! destructor really waits. This wait is outside of any unwinding, unless a panic has left the
//! scope before it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{context, job::Job};

/// Waits until `job` has ended. Returns the payload that would have unwound the caller meanwhile,
/// for the caller to resume.
pub(super) fn wait_to_the_end(job: &Job) -> Option<Box<dyn Any + Send>> {
    let slot = context::slot();
    let mut interrupted = None;
    let mut ending = false;
    while !job.over().is_cancelled() {
        // The flag by which a park detects that it should unwind. Set once, when the runtime ends.
        ending |= slot.is_some_and(|slot| slot.ending.replace(false));
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job.ended().wait())) {
            job.cancel("the runtime was shut down");
            interrupted.get_or_insert(payload);
        }
    }
    if ending && let Some(slot) = slot {
        slot.ending.set(true);
    }
    interrupted
}
