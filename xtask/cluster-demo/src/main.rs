// SPDX-License-Identifier: BSD-3-Clause
//! Three servers, three gateways, one plugin, one channel: a node is killed, and what was lost is counted.
//!
//! ```text
//!   calls ──► gateway 1   gateway 2   gateway 3        values ──► sender     receiver ──► acknowledged
//!             greeter         │           │                         │           ▲
//!                ▲            │           │                         ▼           │
//!                └────────────┴───────────┴───── n1 ═══ n2 ═══ n3 ──┴───────────┘
//!                                                the channel is on all three
//! ```
//!
//! | phase | what is killed | must hold |
//! |---|---|---|
//! | 1 | nothing | no call fails |
//! | 2 | the server that leads the channel; it starts again | a call fails with 502, 503 or 504, or not at all; the channel and all gateways go on without it, and it catches up |
//! | 3 | the gateway with the plugin; it starts again | calls fail with 502, 503 or 504 while it is away, its own with no connection; all gateways answer when it is back |
//!
//! Throughout: each value whose send was acknowledged is received, each call is answered in time, and with the
//! right body. If not, the exit status is 1.
//!
//! | module | contents |
//! |---|---|
//! | `phases` | what is done, in order |
//! | `process` | a process that does not outlive this program |
//! | `servers`, `gateways` | three of each |
//! | `load`, `http` | calls and values; a client of a gateway |
//! | `record` | what became of each of them |
//! | `report` | tables, and what did not hold |
//!
//! `cargo xtask cluster-demo` builds what this needs and runs it.
#![forbid(unsafe_code)]

mod error;
mod gateways;
mod http;
mod load;
mod phases;
mod process;
mod record;
mod report;
mod servers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{interval, timeout};

use crate::error::Error;

/// Longer than anything takes, also on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// From one question to the next.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Three servers, three gateways: a node is killed, and what was lost is counted.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    programs: Programs,
    /// The length of the measured load, in seconds: a quarter each before the kills, after the server is back,
    /// while the gateway is away, and after it is back.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
}

#[derive(Debug, clap::Args)]
struct Programs {
    /// The command `becket`, with the feature `cluster`.
    #[arg(long)]
    becket: PathBuf,
    /// The NATS server.
    #[arg(long)]
    nats_server: PathBuf,
    /// A sample plugin.
    #[arg(long)]
    plugin: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{}", error.report());
            // As a shell reports a program that an interrupt has ended.
            if matches!(error, Error::Interrupted) {
                ExitCode::from(130)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Whether all that must hold did.
fn run(arguments: &Arguments) -> Result<bool, Error> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(Error::system("start threads"))?.block_on(async {
        tokio::select! {
            done = phases::run(arguments) => done,
            interrupted = interrupted() => interrupted,
        }
    })
}

/// Returns with the first signal that asks this program to end.
async fn interrupted() -> Result<bool, Error> {
    let on = |kind| signal(kind).map_err(Error::system("wait for signals"));
    let mut interrupt = on(SignalKind::interrupt())?;
    let mut terminate = on(SignalKind::terminate())?;
    let mut hangup = on(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Err(Error::Interrupted)
}

/// Asks until there is an answer: neither servers nor gateways announce what is asked for.
async fn wait_for<T>(
    what: impl FnOnce() -> String,
    question: impl AsyncFn() -> Option<T>,
) -> Result<T, Error> {
    let mut again = interval(ASK_EVERY);
    let asking = async {
        loop {
            again.tick().await;
            if let Some(answer) = question().await {
                return answer;
            }
        }
    };
    timeout(WAIT_MAX, asking).await.map_err(|_| Error::TooLong(what()))
}
