// SPDX-License-Identifier: BSD-3-Clause
//! A bidirectional stream with a plugin: this side sends while it reads, then closes its sending
//! half.
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use becket_example_hosts::{finish, plugin};
use becket_host::{Host, Plugin, Request};
use futures_lite::future::{block_on, try_zip};

const MESSAGES: u32 = 1000;

fn main() -> ExitCode {
    finish(block_on(run()))
}

async fn run() -> Result<(), Box<dyn Error>> {
    let host = Host::new();
    let sample = host.load(plugin())?;
    talk(&sample).await?;
    host.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

// ANCHOR: talk
async fn talk(plugin: &Plugin) -> Result<(), Box<dyn Error>> {
    let mut chat = plugin.stream("chat", Request::new("")).await?;
    let to_plugin = chat.sender();

    // Both queues are bounded: `send` waits while the plugin's is full, and the plugin waits while
    // no side reads. So the two directions run side by side, never one after the other.
    let sending = async {
        for number in 1..=MESSAGES {
            to_plugin.send(format!("message {number}").as_bytes()).await?;
        }
        to_plugin.close()?;
        Ok::<_, Box<dyn Error>>(())
    };
    let reading = async {
        let mut echoes = 0;
        while let Some(frame) = chat.next().await? {
            let text = String::from_utf8_lossy(&frame.body).into_owned();
            if text == format!("echo: message {}", echoes + 1) {
                echoes += 1;
            } else {
                println!("{text}");
            }
        }
        Ok(echoes)
    };
    let ((), echoes) = try_zip(sending, reading).await?;
    println!("{echoes} messages came back, in order");
    Ok(())
}
// ANCHOR_END: talk
