// SPDX-License-Identifier: BSD-3-Clause
//! Results, panics, settings of one coroutine.

use std::sync::Arc;

use becket_chan::rendezvous;
use becket_coro::{JoinError, JoinHandle, Spawn, current, spawn};

use crate::Shown;

pub(crate) fn show() -> Shown {
    results()?;
    panics();
    settings()
}

// ANCHOR: results
fn results() -> Shown {
    let answer = spawn(|| 6 * 7);
    assert_eq!(answer.join()?, 42, "a thread sleeps here; a coroutine would be parked");

    // The handle is a future too: a task awaits it, on any executor.
    let text = spawn(|| "done");
    assert_eq!(futures_lite::future::block_on(text)?, "done");

    // Dropping the handle lets the coroutine continue by itself.
    let (tx, rx) = rendezvous();
    drop(spawn(move || tx.send("still here").wait()));
    assert_eq!(rx.recv().wait()?, "still here");
    Ok(())
}
// ANCHOR_END: results

#[expect(clippy::panic, reason = "to show what becomes of it")]
// ANCHOR: panics
fn panics() {
    let held = Arc::new(());
    let also = Arc::clone(&held);
    let broken: JoinHandle<()> = spawn(move || {
        let _on_its_stack = also;
        panic!("no table {}", 13);
    });
    let error = broken.join().err();
    assert_eq!(error.as_ref().and_then(JoinError::message), Some("no table 13"));
    assert_eq!(Arc::strong_count(&held), 1, "its destructors have run");
}
// ANCHOR_END: panics

// ANCHOR: settings
fn settings() -> Shown {
    let parser = Spawn::new()
        .name("parser")
        .stack_size(256 * 1024)
        .spawn(|| current().map(|me| (me.name(), me.stack_size())))?;
    let (name, stack_size) = parser.join()?.unwrap_or_default();
    assert_eq!((name.as_deref(), stack_size), (Some("parser"), 256 * 1024));
    Ok(())
}
// ANCHOR_END: settings
