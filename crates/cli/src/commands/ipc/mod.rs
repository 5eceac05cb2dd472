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
//! | `input`, `output` | stdin as elements; stdout, with notification when its reader is gone |
//! | `opening` | connecting, opening channels, and why it failed |
//! | `tally` | counts, and the line that shows them |

mod framing;
mod input;
pub(super) mod opening;
mod output;
mod pipe;
pub(super) mod place;
mod recv;
mod send;
mod serve;
mod shape;
mod stat;
mod tally;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Channels between processes: serve them, send, receive, inspect them
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
