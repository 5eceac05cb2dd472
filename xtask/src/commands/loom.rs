// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask loom`: the models of becket-chan, each under every interleaving of its threads in
//! which at most so many of them are preempted.
//!
//! They are built from `crates/chan/loom`, a package over the same sources.

use std::process::{Command, ExitCode};

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo};

const PREEMPTIONS: &str = "2";
const PREEMPTIONS_DEEP: &str = "3";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// With up to 3 preemptions instead of 2: many times as long.
    #[arg(long)]
    deep: bool,
    /// Only the models with one of these in their names.
    #[arg(value_name = "PART")]
    parts: Vec<String>,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let preemptions = if arguments.deep { PREEMPTIONS_DEEP } else { PREEMPTIONS };
    explore(context, preemptions, &arguments.parts, &mut Output::Screen)?;
    Ok(ExitCode::SUCCESS)
}

/// Every model; one that fails is an error, and so is it if there is none.
pub(crate) fn check(context: &Context, output: &mut Output) -> Result<(), Error> {
    explore(context, PREEMPTIONS, &[], output)
}

fn explore(
    context: &Context,
    preemptions: &str,
    parts: &[String],
    output: &mut Output,
) -> Result<(), Error> {
    let list = output.read(tests(context).arg("--").args(parts).arg("--list"))?;
    if !list.lines().any(|line| line.ends_with(": test")) {
        return Err(match parts {
            [] => Error::Rules(vec!["becket-chan has models: there is none".into()]),
            parts => Error::Unknown {
                what: "model",
                name: parts.join(" "),
                known: "any part of a name that `cargo xtask loom` prints".into(),
            },
        });
    }
    output.run(tests(context).env("LOOM_MAX_PREEMPTIONS", preemptions).arg("--").args(parts))
}

fn tests(context: &Context) -> Command {
    let mut command = cargo();
    command
        .current_dir(context.root())
        .args(["test", "--release", "--locked", "--manifest-path", "crates/chan/loom/Cargo.toml"])
        .arg("--target-dir")
        .arg(context.target().join("loom"));
    command
}
