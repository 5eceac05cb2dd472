// SPDX-License-Identifier: BSD-3-Clause
//! Whether the process of an adapter crashed, per calling thread. Threads that make runs in
//! parallel see only their own crashes, so that a crash belongs to the run that it ended.

use std::cell::Cell;

thread_local! {
    static CRASH: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Records that a process crashed during a request. The first crash is kept.
pub(crate) fn note(how: &'static str) {
    CRASH.set(CRASH.get().or(Some(how)));
}

/// Whether a process crashed since [`during`] began.
pub(crate) fn has_crashed() -> bool {
    CRASH.get().is_some()
}

/// Runs `work` and returns how the first process crashed in it, if one did.
pub(crate) fn during<T>(work: impl FnOnce() -> T) -> (T, Option<&'static str>) {
    CRASH.set(None);
    let done = work();
    (done, CRASH.take())
}
