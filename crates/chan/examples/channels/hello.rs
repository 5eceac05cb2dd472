// SPDX-License-Identifier: BSD-3-Clause
//! A thread and a task on one channel.

use std::thread;

use becket_chan::{bounded, unlimited};
use futures_lite::StreamExt;
use futures_lite::future::block_on;

use crate::Shown;

// ANCHOR: hello
pub(crate) fn show() -> Shown {
    let (jobs, inbox) = bounded::<u64>(16);
    let (results, outbox) = unlimited();

    // A thread: sleeps until there is a job, ends when no sender is left.
    thread::spawn(move || {
        for job in inbox {
            let _ = results.try_send(job * job);
        }
    });

    // A task, on any executor: the same channels, awaited.
    block_on(async {
        for job in 1..=4 {
            jobs.send(job).await?;
        }
        drop(jobs);
        let squares: Vec<u64> = outbox.stream().collect().await;
        assert_eq!(squares, [1, 4, 9, 16]);
        Ok(())
    })
}
// ANCHOR_END: hello
