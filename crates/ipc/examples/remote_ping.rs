// SPDX-License-Identifier: BSD-3-Clause
//! A round trip between two processes, through remote channels.
//!
//! ```sh
//! cargo run --release -p becket-ipc --example remote_ping -- [--threads] [--exact] [--socket]
//! ```
//!
//! The second process serves two channels, and a coroutine there sends back what it receives. Here a
//! coroutine (or a thread) sends and receives, one element at a time.

use std::process::{Command, Stdio};
use std::time::Instant;

use becket_chan::bounded;
use becket_ipc::{Client, Element, Options, ReceiverOptions, Server};

type Error = Box<dyn std::error::Error + Send + Sync>;

const ROUNDS: u32 = 100_000;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, path] = arguments.as_slice()
        && role == "--serve"
    {
        return serve(path);
    }
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let directory = std::env::temp_dir().join(format!("becket-ping-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    std::fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    let path = directory.join("socket");
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--serve")
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut ready = [0];
    if let Some(out) = &mut child.stdout {
        std::io::Read::read_exact(out, &mut ready)?;
    }
    let mut options = Options::default();
    options.shared_memory = !has("--socket");
    let client = Client::connect_with(&path, options).wait()?;
    let (exact, window) = (has("--exact"), if has("--exact") { 0 } else { 16 });
    let tx = client.sender("ping").wait()?;
    let rx = client.receiver_with("pong", ReceiverOptions::window(window)).wait()?;
    let ahead = tx.ahead();
    let rounds = move || -> Result<f64, Error> {
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
        Ok(began.elapsed().as_nanos() as f64 / f64::from(ROUNDS))
    };
    let each = if has("--threads") {
        rounds()?
    } else {
        let runtime = becket_coro::Runtime::builder().workers(1).build()?;
        runtime.spawn(rounds).join().map_err(|error| error.to_string())??
    };
    println!("{each:.0} ns a round trip");
    drop(client);
    drop(child.stdin.take());
    child.wait()?;
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

/// Sends back what comes, until standard input ends.
fn serve(path: &str) -> Result<(), Error> {
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
    print!("+");
    std::io::Write::flush(&mut std::io::stdout())?;
    std::io::Read::read_to_end(&mut std::io::stdin(), &mut Vec::new())?;
    drop(server);
    echo.join().map_err(|error| error.to_string())?;
    Ok(())
}
