// SPDX-License-Identifier: BSD-3-Clause
//! A stream from a plugin: five frames, in order, then the end.
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use becket_example_hosts::{finish, plugin};
use becket_host::{Host, Plugin, Request};
use futures_lite::future::block_on;

fn main() -> ExitCode {
    finish(block_on(run()))
}

async fn run() -> Result<(), Box<dyn Error>> {
    let host = Host::new();
    let sample = host.load(plugin())?;
    listen(&sample).await?;
    host.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

// ANCHOR: listen
async fn listen(plugin: &Plugin) -> Result<(), Box<dyn Error>> {
    // The whole stream has ten seconds, and no frame may keep it waiting for more than one.
    let mut stream = plugin
        .stream("stream", Request::new(""))
        .timeout(Duration::from_secs(10))
        .idle(Duration::from_secs(1))
        .await?;
    while let Some(frame) = stream.next().await? {
        println!("{}", String::from_utf8_lossy(&frame.body));
    }
    println!("the end");
    Ok(())
}
// ANCHOR_END: listen
