// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask miri`: tests of becket-chan in miri, which finds undefined behaviour, data races
//! and leaks on every path that a test takes.
//!
//! A test that sets a timer leaves the process's thread for timers behind, which miri counts as a
//! leak. Such tests have one of [`TIMED`] in their names and run apart, without that check; one
//! that lacks the word fails here.

use std::env;
use std::process::{Command, ExitCode};

use crate::context::Context;
use crate::error::Error;
use crate::nightly::Nightly;
use crate::process::Output;

/// What is run: the unit tests, and those integration tests that are short enough.
const TARGETS: [&str; 2] = ["--lib", "--test=smoke"];

/// Tests of the timers themselves: safe code, and the longest of all.
const SAFE: &str = "timer::";

/// Words in the names of tests that set a timer.
const TIMED: [&str; 4] = ["deadline", "limit", "timed", "timeout"];

const WITHOUT_LEAKS: &str = "-Zmiri-ignore-leaks";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only the tests with one of these in their names, leaks not looked for.
    #[arg(value_name = "PART")]
    parts: Vec<String>,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let output = &mut Output::Screen;
    if arguments.parts.is_empty() {
        check(context, output)?;
    } else {
        let miri = Miri::find(context)?;
        output.run(miri.tests(Some(WITHOUT_LEAKS)).args(arguments.parts))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every test that miri can run.
pub(crate) fn check(context: &Context, output: &mut Output) -> Result<(), Error> {
    let miri = Miri::find(context)?;
    let skipped = TIMED.iter().chain([&SAFE]).flat_map(|word| ["--skip", word]);
    output.run(miri.tests(None).args(skipped))?;
    output.run(miri.tests(Some(WITHOUT_LEAKS)).args(TIMED).args(["--skip", SAFE]))
}

struct Miri<'a> {
    context: &'a Context,
    nightly: Nightly,
}

impl<'a> Miri<'a> {
    fn find(context: &'a Context) -> Result<Self, Error> {
        let nightly = Nightly::find()?;
        nightly.need_miri()?;
        nightly.need_sources()?;
        Ok(Self { context, nightly })
    }

    /// The tests; arguments that are added go to them.
    fn tests(&self, flag: Option<&str>) -> Command {
        let mut flags = env::var("MIRIFLAGS").unwrap_or_default();
        if let Some(flag) = flag {
            flags.push(' ');
            flags.push_str(flag);
        }
        let mut command = self.nightly.cargo();
        command
            .current_dir(self.context.root())
            .args(["miri", "test", "--locked", "--package=becket-chan", "--all-features"])
            .args(TARGETS)
            .arg("--target-dir")
            .arg(self.context.target().join("miri"))
            .arg("--")
            .env("MIRIFLAGS", flags);
        command
    }
}
