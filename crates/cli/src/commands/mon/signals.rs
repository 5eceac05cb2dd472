// SPDX-License-Identifier: BSD-3-Clause
//! Signals that end the monitor, as news. In raw mode Ctrl-C is a key; otherwise, and from other
//! processes, it is a signal.

use std::thread;

use becket_chan::Sender;
use tokio::runtime::Builder;

use super::driver::News;
use crate::commands::signals::Signals;
use crate::exit::Exit;
use crate::failure::Failure;

/// Sends news of the first signal.
pub(super) fn listen(news: Sender<News>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Failure, "signals cannot be received").cause(error.to_string())
    };
    let runtime = Builder::new_current_thread().enable_io().build().map_err(failed)?;
    let entered = runtime.enter();
    let mut signals = Signals::new()?;
    drop(entered);
    thread::Builder::new()
        .name("becket-mon-signals".to_owned())
        .spawn(move || {
            runtime.block_on(signals.next());
            // Closed: the monitor is already ending.
            let _ = news.send(News::Signal).wait();
        })
        .map_err(failed)?;
    Ok(())
}
