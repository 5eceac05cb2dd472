// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask bench`: the benchmarks, side by side with their peers, from their own workspace.

use std::process::ExitCode;

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only this group.
    group: Option<String>,
    /// Fail if a row falls behind its peer.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    bench(context, arguments.group.as_deref(), arguments.check, &mut Output::Screen)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the benchmarks; with `check`, a row behind its peer is an error.
pub(crate) fn bench(
    context: &Context,
    group: Option<&str>,
    check: bool,
    output: &mut Output,
) -> Result<(), Error> {
    let mut command = cargo();
    command.current_dir(context.path("bench")).args(["run", "--release", "--"]);
    command.args(group).args(check.then_some("--check"));
    output.run(&mut command)
}
