// SPDX-License-Identifier: BSD-3-Clause
//! User code that must not unwind into the code that calls it.

use std::any::Any;
use std::mem::ManuallyDrop;
use std::panic::{self, AssertUnwindSafe};

/// Runs user code in the middle of an operation. A panic ends here, after the process's panic hook
/// has reported it: it must neither keep other waiters from being woken nor unwind through an
/// operation that is half done.
#[inline]
pub(crate) fn contain(code: impl FnOnce()) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(code)) {
        panicked(payload);
    }
}

/// Drops what a panic carried: user code too, which may panic again, as may the drop of what that
/// panic carries.
#[cold]
fn panicked(payload: Box<dyn Any + Send>) {
    if let Err(second) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        let _kept = ManuallyDrop::new(second);
    }
}
