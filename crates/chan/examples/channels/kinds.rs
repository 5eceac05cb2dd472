// SPDX-License-Identifier: BSD-3-Clause
//! The four kinds.

use std::thread;

use becket_chan::{TrySendError, bounded, conflated, rendezvous, unlimited};

use crate::Shown;

pub(crate) fn show() -> Shown {
    buffered()?;
    meeting()?;
    latest()?;
    growing()
}

// ANCHOR: bounded
fn buffered() -> Shown {
    let (tx, rx) = bounded(2);
    tx.try_send("one")?;
    tx.try_send("two")?;
    assert_eq!(tx.try_send("three"), Err(TrySendError::Full("three")));
    assert_eq!(rx.try_recv(), Ok("one"));
    tx.try_send("three")?;
    Ok(())
}
// ANCHOR_END: bounded

// ANCHOR: rendezvous
fn meeting() -> Shown {
    let (tx, rx) = rendezvous();
    assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)), "no receiver waits");
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(rx.recv().wait(), Ok(2)));
        // Returns when the other thread has the value.
        tx.send(2).wait()
    })?;
    assert_eq!((tx.len(), tx.snapshot().matches), (0, 1));
    Ok(())
}
// ANCHOR_END: rendezvous

// ANCHOR: conflated
fn latest() -> Shown {
    let (position, watcher) = conflated();
    for percent in [10, 20, 30] {
        position.try_send(percent)?;
    }
    assert_eq!(watcher.try_recv(), Ok(30), "what is old is of no interest");
    assert_eq!(position.snapshot().conflated, 2);
    Ok(())
}
// ANCHOR_END: conflated

// ANCHOR: unlimited
fn growing() -> Shown {
    let (tx, rx) = unlimited();
    for n in 0..10_000 {
        tx.try_send(n)?;
    }
    assert_eq!((rx.len(), rx.capacity()), (10_000, None));
    assert!(rx.try_iter().eq(0..10_000));
    assert!(rx.snapshot().high_water >= 9_000, "how far it had to grow stays visible");
    Ok(())
}
// ANCHOR_END: unlimited
