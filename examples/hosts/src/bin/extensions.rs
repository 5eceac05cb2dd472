// SPDX-License-Identifier: BSD-3-Clause
//! Values that travel with a request inside the host and never reach the plugin.
//!
//! Each stage of a host stores its results for later stages, by type: the principal, the time of
//! the request. The plugin receives only method, path, query, headers and body.
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use becket_example_hosts::{finish, plugin};
use becket_host::{Host, Plugin, Request, Response};
use futures_lite::future::block_on;

fn main() -> ExitCode {
    finish(block_on(run()))
}

// ANCHOR: stages
/// The principal, set by the first stage.
#[derive(Debug, Clone)]
struct Principal(&'static str);

/// First stage: turns the secret in a header into a name, and removes the header.
fn authenticate(mut request: Request) -> Result<Request, &'static str> {
    let token = request.headers.iter().position(|(name, _)| name == "authorization");
    let token = token.map(|at| request.headers.remove(at).1);
    let principal = match token.as_deref() {
        Some("Bearer ada's token") => Principal("ada"),
        _ => return Err("no valid token"),
    };
    request.extensions.insert(principal);
    Ok(request)
}

/// Last stage: calls the plugin, and prints the principal with the answer.
async fn audited(plugin: &Plugin, request: &Request) -> Result<Response, Box<dyn Error>> {
    let principal = request.extensions.get::<Principal>().map_or("anonymous", |found| found.0);
    let answer = plugin.call("unary", request).await?;
    println!("{principal} asked for {}: {}", request.path, answer.status);
    Ok(answer)
}
// ANCHOR_END: stages

async fn run() -> Result<(), Box<dyn Error>> {
    let host = Host::new();
    let sample = host.load(plugin())?;

    let request = Request::new("").method("GET").path("/invoices");
    let known = request.clone().header("authorization", "Bearer ada's token");
    let answer = audited(&sample, &authenticate(known)?).await?;
    println!("the plugin saw: {}", String::from_utf8_lossy(&answer.body));
    if let Err(refusal) = authenticate(request) {
        println!("without a token: {refusal}");
    }

    host.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
