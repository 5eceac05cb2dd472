// SPDX-License-Identifier: BSD-3-Clause
//! A thread, a coroutine and a task, with channels between them.

use std::thread;

use becket_chan::{SendError, bounded};
use becket_coro::spawn;
use futures_lite::{StreamExt, future::block_on};

use crate::Shown;

// ANCHOR: meeting
pub(crate) fn show() -> Shown {
    let (words, inbox) = bounded(4);
    let (lengths, outbox) = bounded(4);

    // A thread: sleeps while the channel is full.
    thread::spawn(move || {
        ["to", "be", "or not"].into_iter().try_for_each(|w| words.send(w).wait())
    });

    // A coroutine: is parked while there is no word, and while there is no room for a length.
    let measure = spawn(move || {
        for word in inbox {
            lengths.send(word.len()).wait()?;
        }
        Ok::<(), SendError<usize>>(())
    });

    // A task: is pending.
    let sum = block_on(outbox.stream().fold(0, |sum, length| sum + length));
    assert_eq!(sum, 10);
    measure.join()??;
    Ok(())
}
// ANCHOR_END: meeting
