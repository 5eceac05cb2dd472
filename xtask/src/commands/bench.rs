// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask bench`: the benchmarks, side by side with their peers, from their own workspace.

use std::process::ExitCode;

use crate::commands::pingora;
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

/// The group that is a program of its own, as it alone needs a NATS server and its client.
const CLUSTER: &str = "cluster";
/// Filters of a Pingora proxy and of the gateway: instructions, in the workspace that has Pingora. Run by its name alone.
const PINGORA: &str = "pingora";

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let mut words: Vec<&str> = arguments.group.as_deref().into_iter().collect();
    words.extend(arguments.check.then_some("--check"));
    words.extend(arguments.quick.then_some("--quick"));
    if let Some(part) = &arguments.only {
        words.extend(["--only", part]);
    }
    if arguments.group.as_deref() == Some(PINGORA) {
        pingora::cost(context, arguments.quick, &mut Output::Screen)?;
        return Ok(ExitCode::SUCCESS);
    }
    let wants =
        |start: &str| arguments.group.as_deref().is_none_or(|group| group.starts_with(start));
    if arguments.group.as_deref() != Some(CLUSTER) {
        // Only the groups of coroutines run goroutines.
        start(context, &words, wants("coroutines"), &mut Output::Screen)?;
    }
    if wants(CLUSTER) {
        start_cluster(context, &words, &mut Output::Screen)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs every group; an error if a row falls behind its peer.
pub(crate) fn check(context: &Context, output: &mut Output) -> Result<(), Error> {
    start(context, &["--check"], true, output)?;
    start_cluster(context, &["--check"], output)
}

fn start(context: &Context, words: &[&str], goes: bool, output: &mut Output) -> Result<(), Error> {
    let mut command = cargo();
    if goes {
        command.env("BECKET_GO", context.tools.go(output)?);
    }
    command.current_dir(context.path("bench")).args(["run", "--release", "--"]).args(words);
    output.run(&mut command)
}

fn start_cluster(context: &Context, words: &[&str], output: &mut Output) -> Result<(), Error> {
    let mut command = cargo();
    command.env("BECKET_NATS_SERVER", context.tools.nats_server(output)?);
    command.current_dir(context.path("bench/cluster")).args(["run", "--release", "--"]).args(words);
    output.run(&mut command)
}
