// SPDX-License-Identifier: BSD-3-Clause
//! What happens to a value whose operation is dropped.

use std::pin::pin;

use becket_chan::{Builder, bounded, rendezvous, unlimited};
use futures_lite::future::{block_on, poll_once};

use crate::Shown;

pub(crate) fn show() -> Shown {
    block_on(async {
        a_receive().await?;
        a_send().await?;
        a_send_that_was_matched().await
    })
}

// ANCHOR: receive
async fn a_receive() -> Shown {
    let (tx, rx) = bounded(4);
    {
        let mut receive = pin!(rx.recv());
        assert_eq!(poll_once(&mut receive).await, None, "it waits, first in line");
        tx.try_send(1)?;
        tx.try_send(2)?;
        // The 1 was handed to it. It has not returned the value: it is dropped here.
    }
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(1), Ok(2)), "back in front of all others");
    Ok(())
}
// ANCHOR_END: receive

// ANCHOR: send
async fn a_send() -> Shown {
    let (lost, heard) = unlimited();
    let (tx, rx) = Builder::bounded(1).on_undelivered(move |n| _ = lost.try_send(n)).build();
    tx.try_send(1)?;
    {
        let mut send = pin!(tx.send(2));
        assert_eq!(poll_once(&mut send).await, None, "there is no room");
    }
    assert_eq!(heard.try_recv(), Ok(2), "it was not sent; the hook has its value");
    assert!(rx.try_iter().eq([1]));
    assert_eq!((tx.snapshot().sends, tx.snapshot().senders_waiting), (1, 0), "no trace is left");
    Ok(())
}
// ANCHOR_END: send

// ANCHOR: matched
async fn a_send_that_was_matched() -> Shown {
    let (tx, rx) = rendezvous();
    {
        let mut send = pin!(tx.send("letter"));
        assert_eq!(poll_once(&mut send).await, None);
        assert_eq!(rx.try_recv(), Ok("letter"));
        // The task has not been polled since, and is dropped here.
    }
    assert_eq!(tx.snapshot().sends, 1, "the send has happened all the same");
    Ok(())
}
// ANCHOR_END: matched
