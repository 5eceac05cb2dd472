// SPDX-License-Identifier: BSD-3-Clause
//! `becket ipc …`: channels between processes, from the shell.
//!
//! ```text
//!   producer | becket ipc send jobs ──► becket ipc serve ──► becket ipc recv jobs | consumer
//!                                        │  channels  │
//!                                        └── stat ◄───┘
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | `serve` | a server of channels, until a signal ends it |
//! | `send`, `recv`, `pipe` | stdin into a channel, a channel to stdout, from one into another |
//! | `stat` | what channels hold and did; gates for CI |
//! | `place` | where the socket is |
//! | `shape` | `KIND[:CAPACITY]` on the command line |
//! | `framing` | where an element ends in a stream of bytes |
//! | `input`, `output` | stdin as elements; stdout that tells when its reader has gone |
//! | `opening` | connecting, opening channels, and why it failed |
//! | `stop` | signals |
//! | `tally` | counts, and the line that shows them |

mod framing;
mod input;
mod opening;
mod output;
mod pipe;
mod place;
mod recv;
mod send;
mod serve;
mod shape;
mod stat;
mod stop;
mod tally;

use std::time::Duration;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Channels between processes: serve them, send, receive, look at them
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Serve(serve::Args),
    Send(send::Args),
    Recv(recv::Args),
    Pipe(pipe::Args),
    Stat(stat::Args),
}

pub(super) fn run(command: Command, ui: &Ui) -> Result<Exit, Failure> {
    match command {
        Command::Serve(args) => serve::run(args, ui),
        Command::Send(args) => send::run(args, ui),
        Command::Recv(args) => recv::run(args, ui),
        Command::Pipe(args) => pipe::run(args, ui),
        Command::Stat(args) => stat::run(args, ui),
    }
}

/// A time on the command line: `30`, `1.5s`, `250ms`, `2m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let why = || "write it as 30, 1.5s, 250ms, 2m or 1h".to_owned();
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(at).ok_or_else(why)?;
    let scale = match unit {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(why()),
    };
    let seconds = number.parse::<f64>().map_err(|_| why())? * scale;
    if !(seconds > 0.0 && seconds <= 31_536_000.0) {
        return Err("it must be above nothing and at most a year".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}
