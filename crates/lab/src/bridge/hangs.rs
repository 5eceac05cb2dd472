// SPDX-License-Identifier: BSD-3-Clause
//! Number of hangs, per calling thread: each of them waited for a whole idle timeout, which is the
//! only thing in a run that takes time. With runs on several threads, each thread counts the cost
//! of its own runs.

use std::cell::Cell;

thread_local! {
    static HANGS: Cell<u64> = const { Cell::new(0) };
}

/// Records a hang.
pub(crate) fn count() {
    HANGS.set(HANGS.get() + 1);
}

/// Runs `work` and returns the number of hangs in it.
pub(crate) fn during<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = HANGS.get();
    let done = work();
    (done, HANGS.get() - before)
}
