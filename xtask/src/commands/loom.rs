// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask loom`: the models of becket-chan, becket-coro and becket-ipc, each under every
//! interleaving of its threads in which at most so many of them are preempted.
//!
//! They are built from `crates/{chan,coro,ipc}/loom`, packages over the same sources.

use std::process::{Command, ExitCode};

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo};

const PACKAGES: [&str; 3] = ["crates/chan/loom", "crates/coro/loom", "crates/ipc/loom"];

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
    let mut found = false;
    for package in PACKAGES {
        let list = output.read(tests(context, package).arg("--").args(parts).arg("--list"))?;
        if list.lines().any(|line| line.ends_with(": test")) {
            found = true;
            let mut tests = tests(context, package);
            output.run(tests.env("LOOM_MAX_PREEMPTIONS", preemptions).arg("--").args(parts))?;
        } else if parts.is_empty() {
            return Err(Error::Rules(vec![format!("{package} has models: there is none")]));
        }
    }
    if found {
        return Ok(());
    }
    Err(Error::Unknown {
        what: "model",
        name: parts.join(" "),
        known: "any part of a name that `cargo xtask loom` prints".into(),
    })
}

fn tests(context: &Context, package: &str) -> Command {
    let mut command = cargo();
    command
        .current_dir(context.root())
        .args(["test", "--release", "--locked", "--manifest-path"])
        .arg(format!("{package}/Cargo.toml"))
        .arg("--target-dir")
        .arg(context.target().join("loom"));
    command
}
