// SPDX-License-Identifier: BSD-3-Clause
//! Calls that block their thread; dispatchers.

use std::fs;

use becket_coro::{Dispatcher, spawn, spawn_blocking};

use crate::Shown;

pub(crate) fn show() -> Shown {
    off_the_worker()?;
    dispatchers()
}

// ANCHOR: blocking
fn off_the_worker() -> Shown {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let reader = spawn(move || {
        // The file is read on a thread that may block. This coroutine is parked, and its worker
        // runs others.
        spawn_blocking(move || fs::read_to_string(manifest)).join()
    });
    assert!(reader.join()???.contains("becket-coro"));
    Ok(())
}
// ANCHOR_END: blocking

// ANCHOR: dispatchers
fn dispatchers() -> Shown {
    // Two workers of their own, until the last clone is dropped.
    let crunch = Dispatcher::new("crunch", 2)?;
    let places = [Dispatcher::current(), Dispatcher::io(), crunch];
    for place in &places {
        assert_eq!(place.spawn(|| 6 * 7).join()?, 42);
    }
    Ok(())
}
// ANCHOR_END: dispatchers
