// SPDX-License-Identifier: BSD-3-Clause
//! The smallest host: loads a plugin, calls an entry, prints the answer.
//!
//! The host needs no particular executor; `block_on` is enough.
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use becket_example_hosts::{finish, plugin};
use becket_host::{Host, Request};
use futures_lite::future::block_on;

fn main() -> ExitCode {
    finish(block_on(run()))
}

// ANCHOR: run
async fn run() -> Result<(), Box<dyn Error>> {
    let host = Host::new();
    let sample = host.load(plugin())?;

    let request = Request::new("hello").method("POST").path("/greet").header("accept", "*/*");
    let answer = sample.call("unary", request).timeout(Duration::from_secs(1)).await?;
    println!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body));

    // An entry is looked up once and then called without comparing names.
    let echo = sample.entry("echo")?;
    for payload in ["one", "two", "three"] {
        let answer = echo.call_raw(payload.as_bytes()).await?;
        println!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }

    // Ends every plugin, after its calls.
    host.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
// ANCHOR_END: run
