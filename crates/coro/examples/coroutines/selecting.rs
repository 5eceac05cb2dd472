// SPDX-License-Identifier: BSD-3-Clause
//! Select in a coroutine.

use std::time::Duration;

use becket_chan::{Token, rendezvous, select};
use becket_coro::spawn;

use crate::Shown;

// ANCHOR: select
pub(crate) fn show() -> Shown {
    let (chat, messages) = rendezvous();
    let (clock, ticks) = rendezvous();
    let hang_up = Token::new();
    let token = hang_up.clone();

    let log = spawn(move || {
        let mut log = Vec::new();
        loop {
            // One of them completes, the others leave no trace. The coroutine is parked meanwhile.
            select! {
                wait;
                text = messages.recv() => log.extend(text),
                _tick = ticks.recv() => log.push("tick"),
                cancelled(&token) => { return log; }
                timeout(Duration::from_secs(60)) => log.push("no value"),
            }
        }
    });
    chat.send("hello").wait()?;
    clock.send(()).wait()?;
    chat.send("bye").wait()?;
    hang_up.cancel();
    assert_eq!(log.join()?, ["hello", "tick", "bye"]);
    Ok(())
}
// ANCHOR_END: select
