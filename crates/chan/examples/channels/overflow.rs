// SPDX-License-Identifier: BSD-3-Clause
//! The policies of a full bounded channel.

use becket_chan::{Builder, Overflow, Receiver, TrySendError};

use crate::Shown;

// ANCHOR: overflow
fn fill(overflow: Overflow) -> (Vec<Result<(), TrySendError<u32>>>, Receiver<u32>) {
    let (tx, rx) = Builder::bounded(2).overflow(overflow).build();
    (vec![tx.try_send(1), tx.try_send(2), tx.try_send(3)], rx)
}

pub(crate) fn show() -> Shown {
    let (sent, rx) = fill(Overflow::Suspend);
    assert_eq!(sent, [Ok(()), Ok(()), Err(TrySendError::Full(3))]);
    assert!(rx.try_iter().eq([1, 2]));

    let (sent, rx) = fill(Overflow::DropOldest);
    assert_eq!(sent, [Ok(()); 3]);
    assert!(rx.try_iter().eq([2, 3]));

    let (sent, rx) = fill(Overflow::DropLatest);
    assert_eq!(sent, [Ok(()); 3]);
    assert!(rx.try_iter().eq([1, 2]));
    assert_eq!(rx.snapshot().dropped, 1);
    Ok(())
}
// ANCHOR_END: overflow
