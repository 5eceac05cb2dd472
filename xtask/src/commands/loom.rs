// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask loom`: the models of becket-chan, becket-coro, becket-host, becket-ipc and becket-zcopy, each
//! under every interleaving of its threads with a bounded number of preemptions.
//!
//! They are built from `crates/{chan,coro,host,ipc,zcopy}/loom`, packages over the same sources.

use std::process::{Command, ExitCode};

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo};

const PACKAGES: [&str; 5] = [
    "crates/chan/loom",
    "crates/coro/loom",
    "crates/host/loom",
    "crates/ipc/loom",
    "crates/zcopy/loom",
];

/// Variables of loom: the most preemptions in a run, and the most runs of a model (no bound if
/// unset).
const PREEMPTIONS: &str = "LOOM_MAX_PREEMPTIONS";
const RUNS_MAX: &str = "LOOM_MAX_PERMUTATIONS";

/// How far the models are explored: each pass is a set of variables.
type Passes = &'static [&'static [(&'static str, &'static str)]];

/// Every run with one preemption, and the first 1500 of each model with two: the models that have more
/// take nearly all of the time of [`WHOLE`].
const SHORT: Passes = &[&[(PREEMPTIONS, "1")], &[(PREEMPTIONS, "2"), (RUNS_MAX, "1500")]];
const WHOLE: Passes = &[&[(PREEMPTIONS, "2")]];
const DEEP: Passes = &[&[(PREEMPTIONS, "3")]];

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
    let passes = if arguments.deep { DEEP } else { WHOLE };
    explore(context, passes, &arguments.parts, &mut Output::Screen)?;
    Ok(ExitCode::SUCCESS)
}

/// Every model, in the short form or whole. A model that fails is an error, and so is a package
/// without models.
pub(crate) fn check(context: &Context, output: &mut Output) -> Result<(), Error> {
    explore(context, if context.is_full { WHOLE } else { SHORT }, &[], output)
}

fn explore(
    context: &Context,
    passes: Passes,
    parts: &[String],
    output: &mut Output,
) -> Result<(), Error> {
    let mut found = false;
    for package in PACKAGES {
        let list = output.read(tests(context, package).arg("--").args(parts).arg("--list"))?;
        if list.lines().any(|line| line.ends_with(": test")) {
            found = true;
            for pass in passes {
                let mut tests = tests(context, package);
                output.run(tests.envs(pass.iter().copied()).arg("--").args(parts))?;
            }
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
