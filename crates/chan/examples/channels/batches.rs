// SPDX-License-Identifier: BSD-3-Clause
//! Many values at a time.

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use becket_chan::{SendManyError, bounded, unlimited};

use crate::Shown;

pub(crate) fn show() -> Shown {
    batches()?;
    back()
}

// ANCHOR: batches
fn batches() -> Shown {
    let (tx, rx) = bounded(8);
    let mut queue: VecDeque<u32> = (0..10).collect();

    // Without waiting.
    assert_eq!(tx.try_send_many(&mut queue), Ok(8));
    // Unsent values of a failed batch are still in the queue, in order.
    let rest = tx.send_many(&mut queue).timeout(Duration::from_millis(1));
    assert_eq!(rest.wait(), Err(SendManyError::TimedOut));
    assert!(queue.iter().eq(&[8, 9]));

    thread::scope(|scope| {
        scope.spawn(|| tx.send_many(&mut queue).wait());
        let (mut seen, mut batch) = (Vec::new(), Vec::new());
        while seen.len() < 10 {
            // Waits for one and takes up to four.
            let count = rx.recv_many(&mut batch, 4).wait()?;
            assert_eq!(count, batch.len());
            seen.append(&mut batch);
        }
        assert!(seen.into_iter().eq(0..10));
        Ok(())
    })
}
// ANCHOR_END: batches

// ANCHOR: back
fn back() -> Shown {
    let (tx, rx) = unlimited();
    for n in 1..=5 {
        tx.try_send(n)?;
    }
    let taken = [rx.try_recv()?, rx.try_recv()?];
    assert_eq!(taken, [1, 2]);
    rx.put_back_many(taken);

    // All except the two oldest.
    assert_eq!(rx.split_off(2), [3, 4, 5]);
    assert!(rx.try_iter().eq([1, 2]));
    Ok(())
}
// ANCHOR_END: back
