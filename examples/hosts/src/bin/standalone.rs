// SPDX-License-Identifier: BSD-3-Clause
//! A host in one file: loads the plugin in the file named on the command line, under limits of its
//! own, and calls it.
#![forbid(unsafe_code)]

use std::env;
use std::error::Error;
use std::time::Duration;

use becket_host::{Host, Limits, PluginSpec, Request};
use futures_lite::future::block_on;

fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args_os().nth(1).ok_or("name a plugin's file")?;
    let limits = Limits { deadline_ms: 2_000, ..Limits::default() };
    let spec = PluginSpec::path("greeter", file).limits(limits);

    let host = Host::new();
    let greeter = host.load(spec)?;
    let request = Request::new("hello").method("POST").path("/greet");
    // Any executor does: this one runs the future on this thread.
    let answer = block_on(greeter.call("echo", request))?;
    println!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body));

    block_on(host.shutdown(Duration::from_secs(5)));
    Ok(())
}
