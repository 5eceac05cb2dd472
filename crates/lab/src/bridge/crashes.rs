// SPDX-License-Identifier: BSD-3-Clause
//! Whether the process behind an adapter crashed, as seen by the thread that called it. Threads that make
//! runs side by side learn of their own runs only, so that a crash belongs to the run that it ended.

use std::cell::Cell;

thread_local! {
    static CRASH: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// A process crashed in the middle of what it was asked to do. The first crash is kept.
pub(crate) fn note(how: &'static str) {
    CRASH.set(CRASH.get().or(Some(how)));
}

/// Whether one did since [`during`] began.
pub(crate) fn has_crashed() -> bool {
    CRASH.get().is_some()
}

/// How the first one crashed that did while `work` was done.
pub(crate) fn during<T>(work: impl FnOnce() -> T) -> (T, Option<&'static str>) {
    CRASH.set(None);
    let done = work();
    (done, CRASH.take())
}
