// SPDX-License-Identifier: BSD-3-Clause
//! Ten thousand coroutines at once.

use std::time::{Duration, Instant};

use becket_chan::bounded;
use becket_coro::{Handle, sleep, spawn};

use crate::Shown;

// ANCHOR: hello
pub(crate) fn show() -> Shown {
    let begun = Instant::now();
    let (results, inbox) = bounded(16);

    // Each is a plain function with a stack of its own. While it waits, its thread runs others.
    let coroutines: Vec<_> = (0..10_000u64)
        .map(|n| {
            let results = results.clone();
            spawn(move || {
                sleep(Duration::from_millis(100));
                results.send(n).wait()
            })
        })
        .collect();
    drop(results);

    // This thread is not a coroutine, and uses the same channel.
    assert_eq!(inbox.iter().sum::<u64>(), 49_995_000);
    let count = coroutines.len();
    for coroutine in coroutines {
        coroutine.join()??;
    }
    let (threads, ms) = (Handle::current()?.workers(), begun.elapsed().as_millis());
    println!("{count} coroutines slept for 100 ms each, on {threads} threads: {ms} ms");
    Ok(())
}
// ANCHOR_END: hello
