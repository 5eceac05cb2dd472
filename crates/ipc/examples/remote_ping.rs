// SPDX-License-Identifier: BSD-3-Clause
//! A round trip between two processes, through remote channels.
//!
//! ```sh
//! cargo run --release -p becket-ipc --example remote_ping -- [--threads] [--exact] [--socket]
//! ```
//!
//! The second process serves two channels, and a coroutine there returns what it receives. Here a
//! coroutine (or a thread) sends and receives, one element at a time.

mod common;

use std::path::Path;
use std::time::Instant;

use becket_chan::bounded;
use becket_ipc::{Client, Element, ReceiverOptions, Server};
use common::{Arguments, Error};

const ROUNDS: u32 = 100_000;

fn main() -> Result<(), Error> {
    common::run(serve, measure)
}

fn measure(client: &Client, arguments: &Arguments) -> Result<(), Error> {
    let exact = arguments.has("--exact");
    let window = if exact { 0 } else { 16 };
    let tx = client.sender("ping").wait()?;
    let rx = client.receiver_with("pong", ReceiverOptions::window(window)).wait()?;
    let ahead = tx.ahead();
    let element = Element::from(vec![7_u8; 64]);
    let mut began = Instant::now();
    for round in 0..ROUNDS + ROUNDS / 10 {
        if round == ROUNDS / 10 {
            began = Instant::now();
        }
        if exact {
            tx.send(element.clone()).wait()?;
        } else {
            ahead.send(element.clone()).wait()?;
        }
        if rx.recv().wait()?.len() != 64 {
            return Err("another element came back".into());
        }
    }
    let each = began.elapsed().as_nanos() as f64 / f64::from(ROUNDS);
    println!("{each:.0} ns a round trip");
    Ok(())
}

/// Returns received elements, until standard input ends.
fn serve(path: &Path) -> Result<(), Error> {
    let server = Server::bind(path)?;
    let (ping_tx, ping_rx) = bounded::<Element>(64);
    let (pong_tx, pong_rx) = bounded::<Element>(64);
    server.export("ping", Some(ping_tx), None)?;
    server.export("pong", None, Some(pong_rx))?;
    let runtime = becket_coro::Runtime::builder().workers(1).build()?;
    let echo = runtime.spawn(move || {
        while let Ok(element) = ping_rx.recv().wait() {
            if pong_tx.send(element).wait().is_err() {
                break;
            }
        }
    });
    common::serve_until_stdin_ends()?;
    drop(server);
    echo.join().map_err(|error| error.to_string())?;
    Ok(())
}
