// SPDX-License-Identifier: BSD-3-Clause
//! Iterators, streams, sinks.

use std::thread;

use becket_chan::{bounded, unlimited};
use futures_lite::StreamExt;
use futures_lite::future::block_on;

use crate::Shown;

pub(crate) fn show() -> Shown {
    iterators()?;
    streams()?;
    #[cfg(feature = "sink")]
    block_on(sinks())?;
    Ok(())
}

// ANCHOR: iterators
fn iterators() -> Shown {
    let (tx, rx) = bounded(4);
    thread::scope(|scope| {
        scope.spawn(move || (0..10).try_for_each(|n| tx.send(n).wait()));
        let first: Vec<u32> = rx.iter().take(3).collect();
        assert_eq!(first, [0, 1, 2]);
        // Continues where that stopped, and ends with the channel.
        let sum: u32 = (&rx).into_iter().sum();
        assert_eq!(sum, (3..10).sum());
    });
    assert_eq!(rx.try_iter().next(), None);
    Ok(())
}
// ANCHOR_END: iterators

// ANCHOR: streams
fn streams() -> Shown {
    let (tx, rx) = unlimited();
    for word in ["to", "be", "or"] {
        tx.try_send(word)?;
    }
    block_on(async {
        let mut words = rx.stream();
        assert_eq!(words.next().await, Some("to"));
        drop(words);
        // A stream that owns its receiver may go anywhere.
        drop(tx);
        let rest: Vec<_> = rx.into_stream().map(str::len).collect().await;
        assert_eq!(rest, [2, 2]);
    });
    Ok(())
}
// ANCHOR_END: streams

#[cfg(feature = "sink")]
// ANCHOR: sinks
async fn sinks() -> Shown {
    use futures_util::SinkExt;

    let (tx, rx) = bounded(2);
    let mut sink = tx.into_sink();
    sink.feed("one").await?;
    sink.send("two").await?;
    rx.close();
    let refused = sink.send("three").await;
    assert_eq!(refused.map_err(|error| error.into_inner()), Err("three"));
    assert!(rx.try_iter().eq(["one", "two"]));
    Ok(())
}
// ANCHOR_END: sinks
