// SPDX-License-Identifier: BSD-3-Clause
//! How often things hung, as seen by the thread that waited for them: each time it waited until its
//! patience was over, which is the only thing in a run that takes time. Who makes runs on several
//! threads learns so what its own have cost, whatever those of others do.

use std::cell::Cell;

thread_local! {
    static HANGS: Cell<u64> = const { Cell::new(0) };
}

/// Something hung.
pub(crate) fn count() {
    HANGS.set(HANGS.get() + 1);
}

/// How often, while `work` was done.
pub(crate) fn during<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = HANGS.get();
    let done = work();
    (done, HANGS.get() - before)
}
