// SPDX-License-Identifier: BSD-3-Clause
//! A plugin on another machine: `remote offer URL NAME FILE` there, `remote call URL NAME ENTRY TEXT` here.

use std::error::Error;
use std::io::Read as _;
use std::sync::Arc;

use becket_cluster::{ClusterPlugin, Connection};
use becket_host::{Host, PluginSpec};
use futures_lite::future::block_on;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match &arguments[..] {
        ["offer", url, name, file] => block_on(offer(url, name, file)),
        ["call", url, name, entry, text] => block_on(call(url, name, entry, text)),
        _ => Err("usage: remote offer URL NAME FILE | remote call URL NAME ENTRY TEXT".into()),
    }
}

// ANCHOR: offer
async fn offer(url: &str, name: &str, file: &str) -> Result<(), Box<dyn Error>> {
    let connection = Connection::connect(url).await?;
    let host = Host::new();
    let plugin = host.load(PluginSpec::path(name, file))?;
    let offer = becket_cluster::offer(&connection, &plugin).await?;

    // Until stdin ends.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    offer.withdraw(std::time::Duration::from_secs(30)).await;
    Ok(())
}
// ANCHOR_END: offer

// ANCHOR: call
async fn call(url: &str, name: &str, entry: &str, text: &str) -> Result<(), Box<dyn Error>> {
    let connection = Connection::connect(url).await?;
    let host = Host::new();
    let plugin = Arc::new(ClusterPlugin::new(&connection, name));
    let plugin = host.load(PluginSpec::remote(name, plugin))?;
    let answer = plugin.call_raw(entry, text.as_bytes()).await?;
    println!("{}", String::from_utf8_lossy(&answer.body));
    Ok(())
}
// ANCHOR_END: call
