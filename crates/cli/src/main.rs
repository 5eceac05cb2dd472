// SPDX-License-Identifier: BSD-3-Clause
//! The command `becket`: serves plugins over HTTP, and inspects, calls, measures, checks and starts
//! them.
//!
//! Each command is one file under `commands/`. A command returns what the process ends with, an
//! [`exit::Exit`], or a [`failure::Failure`]; `main` alone prints failures and makes exit codes.
//!
//! # Invariants
//!
//! 1. Data goes to stdout; logs, progress and failures go to stderr.
//! 2. With `--json`, stdout carries JSON alone and a failure is one JSON object on stderr.
//! 3. Nothing here knows how a plugin is called or a request routed: that is the host's and the
//!    gateway's.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod embedded;
mod exit;
mod failure;
mod logs;
#[cfg(all(test, feature = "ipc", feature = "lab"))]
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
            // Help, version: clap writes them where they belong; a reader who left is no failure.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
        // The arguments could not be read, so whether JSON was asked for is looked up by hand.
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

/// True for what clap calls an error but is a page of text: help, asked for or not, and version.
fn shows_text(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayVersion
    )
}
