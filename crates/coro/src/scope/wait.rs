// SPDX-License-Identifier: BSD-3-Clause
//! The wait of a scope's owner for its children, which nothing cuts short.
//!
//! When a runtime ends, what waits is unwound. An owner must not be, while its children borrow from
//! its stack; but they can only be unwound by the worker that the owner may be keeping. So the owner
//! goes on parking, as if its runtime did not end, and is unwound when the last child is gone.
//!
//! An owner that is being unwound already would be given that by the scheduler: what waits in a
//! destructor really waits. This wait is outside of any unwinding, unless a panic has left the scope
//! before it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{context, job::Job};

/// Waits until `job` has ended. Returns what would have unwound the caller meanwhile, for it to go
/// on with.
pub(super) fn wait_to_the_end(job: &Job) -> Option<Box<dyn Any + Send>> {
    let slot = context::slot();
    let mut interrupted = None;
    let mut ending = false;
    while !job.over().is_cancelled() {
        // The sign by which a park knows that it should unwind. Set once, when the runtime ends.
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
