// SPDX-License-Identifier: BSD-3-Clause
//! What a call to a plugin costs, in instructions: the thread that makes the calls is run step by step.
//!
//! ```text
//!   this ── step ──▶ host ── session ──▶ worker
//! ```
//!
//! Wall time depends on what else a machine does, instructions hardly do; and unlike an emulator of the processor,
//! steps (`ptrace`) leave the kernel and the other threads as they are: the memory that both processes share,
//! and the waits, are the real ones. The thread that runs by steps is slower than the other side by far, so
//! it finds each answer as soon as it looks.
//!
//! `cargo xtask process-calls` builds what this needs and runs it.

mod calls;
mod count;
mod error;
mod step;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::error::Error;

/// What a call to a plugin costs, in instructions.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Counts what a call costs.
    Count(Count),
    /// Makes calls: started by `count`.
    Call(calls::Calls),
    /// Serves a plugin: started by `call`.
    Serve,
}

#[derive(Debug, clap::Args)]
struct Count {
    /// Lines of the list of functions, and of that of locked instructions.
    #[arg(long, default_value_t = 30)]
    lines: usize,
    /// After this time no more calls are counted.
    #[arg(long, default_value_t = 40)]
    seconds: u64,
    #[command(flatten)]
    calls: calls::Calls,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Placement {
    Process,
    Inline,
}

impl Placement {
    const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Inline => "inline",
        }
    }
}

/// A plugin with an entry `echo`.
#[derive(Debug, clap::Args)]
struct Subject {
    /// The plugin's file.
    #[arg(long)]
    plugin: PathBuf,
    #[arg(long, default_value = "process")]
    placement: Placement,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Count(count) => count::run(&count),
        Command::Call(calls) => calls::run(&calls),
        Command::Serve => becket_process::worker::run_on_stdin().map_err(Error::Worker),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
