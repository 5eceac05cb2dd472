// SPDX-License-Identifier: BSD-3-Clause
//! Close, reasons, draining, the undelivered hook.

use becket_chan::{Builder, RecvError, SendError, TryRecvError, bounded, unlimited};

use crate::Shown;

pub(crate) fn show() -> Shown {
    draining()?;
    last_handles()?;
    undelivered()
}

// ANCHOR: draining
fn draining() -> Shown {
    let (tx, rx) = bounded(4);
    tx.try_send(1)?;
    tx.try_send(2)?;

    assert!(rx.close_with("maintenance"), "either side may close; this call did");
    assert!(!tx.close(), "and this one came late");
    assert_eq!(tx.send(3).wait(), Err(SendError::Closed(3)));
    assert_eq!(tx.closed_reason().as_deref(), Some("maintenance"));

    // Queued values are still received. Then comes the end.
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(1), Ok(2)));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(rx.recv().wait(), Err(RecvError::Closed));
    Ok(())
}
// ANCHOR_END: draining

// ANCHOR: handles
fn last_handles() -> Shown {
    let (tx, rx) = unlimited();
    let second = tx.clone();
    tx.try_send(1)?;
    drop(tx);
    assert!(!rx.is_closed(), "there is another sender");
    drop(second);
    assert!(rx.is_closed());
    assert!(rx.iter().eq([1]), "it ends instead of waiting for ever");
    Ok(())
}
// ANCHOR_END: handles

// ANCHOR: undelivered
fn undelivered() -> Shown {
    let (lost, undelivered) = unlimited();
    let (tx, rx) = Builder::bounded(4).on_undelivered(move |job| _ = lost.try_send(job)).build();
    for job in ["a", "b", "c"] {
        tx.try_send(job)?;
    }
    assert_eq!(rx.try_recv(), Ok("a"), "delivered: not the hook's");
    drop(rx);
    assert!(undelivered.try_iter().eq(["b", "c"]), "no receiver is left for these");
    let done = tx.snapshot();
    assert_eq!(done.sends, done.receives + done.len as u64 + done.undelivered);
    // A send that fails returns its value instead.
    assert_eq!(tx.send("d").wait(), Err(SendError::Closed("d")));
    assert!(undelivered.is_empty());
    Ok(())
}
// ANCHOR_END: undelivered
