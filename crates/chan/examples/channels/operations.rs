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

    // An operation does nothing until it is driven: `wait` on a thread, `await` in a task.
    tx.send("first").wait()?;
    let second = tx.send("second").timeout(Duration::from_millis(1)).cancel_on(&stop);
    // A send that fails returns its value.
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

    // A cancelled token wins over everything: over an available value, over a deadline.
    assert_eq!(rx.recv().cancel_on(&set).wait(), Err(RecvError::Cancelled));
    assert_eq!(rx.recv().cancel_on(&set).deadline(past).wait(), Err(RecvError::Cancelled));
    // An operation that can complete at once does, even if the deadline has passed.
    assert_eq!(rx.recv().deadline(past).wait(), Ok(7));
    // The close of the channel is reported at once too.
    tx.close();
    assert_eq!(rx.recv().deadline(past).wait(), Err(RecvError::Closed));
}
// ANCHOR_END: ranks
