// SPDX-License-Identifier: BSD-3-Clause
//! Snapshots, rates, metrics.

use std::time::Duration;

use becket_chan::{Builder, bounded, rate};

use crate::Shown;

pub(crate) fn show() -> Shown {
    snapshots()?;
    metrics()
}

// ANCHOR: snapshots
fn snapshots() -> Shown {
    let (tx, rx) = Builder::bounded(4).weigh(|text: &String| text.len() as u64).build();
    let before = tx.snapshot();
    for text in ["one", "two", "three", "four"] {
        tx.try_send(text.to_owned())?;
    }
    assert!(tx.try_send("five".to_owned()).is_err());
    rx.try_recv()?;

    let now = tx.snapshot();
    assert_eq!((now.sends, now.receives, now.len, now.high_water), (4, 1, 3, 4));
    assert_eq!((now.bytes_sent, now.bytes_received), (15, 3));
    assert_eq!(now.send_failures.would_block, 1);
    let between = rate(&before, &now);
    assert_eq!((between.sends, between.receives, between.send_failures), (4, 1, 1));
    Ok(())
}
// ANCHOR_END: snapshots

// ANCHOR: metrics
fn metrics() -> Shown {
    let (tx, rx) = bounded(64);
    let metrics = rx.metrics(Duration::from_millis(5));

    let mut last = metrics.recv().wait()?;
    for n in 0..10 {
        tx.try_send(n)?;
    }
    drop(tx);
    rx.iter().for_each(drop);
    // It ends after the snapshot that shows the channel closed and drained.
    let mut received = 0;
    for snapshot in &metrics {
        received += rate(&last, &snapshot).receives;
        last = snapshot;
    }
    assert_eq!(received, 10);
    assert!(last.closed && last.len == 0);
    Ok(())
}
// ANCHOR_END: metrics
