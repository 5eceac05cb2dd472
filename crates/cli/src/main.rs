// SPDX-License-Identifier: BSD-3-Clause
//! The command `becket`: serves plugins over HTTP, and inspects, calls, measures, checks and starts
//! them.
//!
//! Each command is one file under `commands/`. A command returns the exit of the process, an
//! [`exit::Exit`], or a [`failure::Failure`]; only `main` prints failures and makes exit codes.
//!
//! # Invariants
//!
//! 1. Data goes to stdout; logs, progress and failures go to stderr.
//! 2. With `--json`, stdout carries only JSON, and a failure is one JSON object on stderr.
//! 3. Calling plugins and routing requests is left to the host and the gateway.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod embedded;
mod exit;
mod failure;
mod logs;
#[cfg(all(test, feature = "cluster", feature = "ipc", feature = "lab"))]
mod reference;
mod ui;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::Cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let (ui, outcome) = match Cli::try_parse_from(&args) {
        Ok(cli) => {
            let ui = Ui::new(&cli.global);
            logs::start(&cli.global, &cli.command);
            let outcome = commands::run(cli.command, &ui);
            (ui, outcome)
        }
        Err(error) if shows_text(error.kind()) => {
            // Help, version: clap writes them to the right stream; a closed reader is not a
            // failure.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
        // The arguments could not be parsed, so `--json` is searched for directly.
        Err(error) => {
            (Ui::plain(args.iter().any(|arg| arg == "--json")), Err(Failure::usage(&error)))
        }
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            ui.failure(&failure);
            failure.exit().into()
        }
    }
}

/// True for errors of clap that are pages of text: help, requested or not, and version.
fn shows_text(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayVersion
    )
}
