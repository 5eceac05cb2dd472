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
    /// Take a short look; print only.
    #[arg(long, conflicts_with = "check")]
    quick: bool,
    /// Only the rows whose name has this in it; print only.
    #[arg(long, value_name = "PART")]
    only: Option<String>,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let mut words: Vec<&str> = arguments.group.as_deref().into_iter().collect();
    words.extend(arguments.check.then_some("--check"));
    words.extend(arguments.quick.then_some("--quick"));
    if let Some(part) = &arguments.only {
        words.extend(["--only", part]);
    }
    // Only the groups of coroutines run goroutines.
    let goes = arguments.group.as_deref().is_none_or(|group| group.starts_with("coroutines"));
    start(context, &words, goes, &mut Output::Screen)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs every group; an error if a row falls behind its peer.
pub(crate) fn check(context: &Context, output: &mut Output) -> Result<(), Error> {
    start(context, &["--check"], true, output)
}

fn start(context: &Context, words: &[&str], goes: bool, output: &mut Output) -> Result<(), Error> {
    let mut command = cargo();
    if goes {
        command.env("BECKET_GO", context.tools.go(output)?);
    }
    command.current_dir(context.path("bench")).args(["run", "--release", "--"]).args(words);
    output.run(&mut command)
}
