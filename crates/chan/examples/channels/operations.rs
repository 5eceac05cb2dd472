// SPDX-License-Identifier: BSD-3-Clause
//! Operations are values: limits, ways to drive them, errors.

use std::time::{Duration, Instant};

use becket_chan::{RecvError, SendError, Token, bounded};
use futures_lite::future::block_on;

use crate::Shown;

pub(crate) fn show() -> Shown {
    limits()?;
    ranks();
    Ok(())
}

// ANCHOR: limits
fn limits() -> Shown {
    let (tx, rx) = bounded(1);
    let stop = Token::new();

    // Nothing happens until an operation is driven: `wait` on a thread, `await` in a task.
    tx.send("first").wait()?;
    let second = tx.send("second").timeout(Duration::from_millis(1)).cancel_on(&stop);
    // A send that fails gives its value back.
    assert_eq!(second.wait(), Err(SendError::TimedOut("second")));

    block_on(async {
        assert_eq!(rx.recv().timeout(Duration::from_secs(1)).await, Ok("first"));
        assert_eq!(rx.recv().deadline(Instant::now()).await, Err(RecvError::TimedOut));
    });
    Ok(())
}
// ANCHOR_END: limits

// ANCHOR: ranks
fn ranks() {
    let (tx, rx) = bounded(1);
    assert_eq!(tx.try_send(7), Ok(()));
    let (past, set) = (Instant::now(), Token::new());
    set.cancel();

    // A token that is set wins over everything: over a value that is there, over a deadline.
    assert_eq!(rx.recv().cancel_on(&set).wait(), Err(RecvError::Cancelled));
    assert_eq!(rx.recv().cancel_on(&set).deadline(past).wait(), Err(RecvError::Cancelled));
    // What can happen at once does, whatever the time.
    assert_eq!(rx.recv().deadline(past).wait(), Ok(7));
    // The end of the channel is known at once too.
    tx.close();
    assert_eq!(rx.recv().deadline(past).wait(), Err(RecvError::Closed));
}
// ANCHOR_END: ranks
