// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask miri`: tests of becket-chan, becket-zcopy and becket-coro in miri, which finds
//! undefined behaviour, data races and leaks on every path that a test takes.
//!
//! Under miri a coroutine is a thread of its own, with the same scheduler. The deques that workers
//! steal from are accepted only by the newer of miri's two aliasing models (tree borrows), and a
//! worker's thread-locals are dropped after the leak check; so the tests of becket-coro run with
//! tree borrows and without that check.
//!
//! In becket-chan a test that sets a timer leaves the timer thread of the process behind, which
//! miri counts as a leak. Such tests have one of [`TIMED`] in their names and run separately,
//! without the leak check; one without such a word fails here. In becket-zcopy such tests are
//! marked as ignored under miri.

use std::env;
use std::process::{Command, ExitCode};

use crate::context::Context;
use crate::error::Error;
use crate::nightly::Nightly;
use crate::process::Output;

/// The tests that run: the unit tests, and integration tests that are short enough.
const CHANNELS: [&str; 4] = ["--package=becket-chan", "--all-features", "--lib", "--test=smoke"];
const ZERO_COPY: [&str; 3] = ["--package=becket-zcopy", "--lib", "--test=it"];
const COROUTINES: [&str; 3] = ["--package=becket-coro", "--lib", "--test=smoke"];

/// Tests of the timers themselves: safe code, and the longest of all.
const SAFE: &str = "timer::";

/// Words in the names of tests that set a timer.
const TIMED: [&str; 4] = ["deadline", "limit", "timed", "timeout"];

const WITHOUT_LEAKS: &str = "-Zmiri-ignore-leaks";
const FOR_COROUTINES: &str = "-Zmiri-ignore-leaks -Zmiri-tree-borrows -Zmiri-disable-isolation";

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
        output.run(miri.tests(&CHANNELS, WITHOUT_LEAKS).args(&arguments.parts))?;
        output.run(miri.tests(&ZERO_COPY, WITHOUT_LEAKS).args(&arguments.parts))?;
        output.run(miri.tests(&COROUTINES, FOR_COROUTINES).args(&arguments.parts))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every test that miri can run.
pub(crate) fn check(context: &Context, output: &mut Output) -> Result<(), Error> {
    let miri = Miri::find(context)?;
    let skipped = TIMED.iter().chain([&SAFE]).flat_map(|word| ["--skip", word]);
    output.run(miri.tests(&CHANNELS, "").args(skipped))?;
    output.run(miri.tests(&CHANNELS, WITHOUT_LEAKS).args(TIMED).args(["--skip", SAFE]))?;
    output.run(&mut miri.tests(&ZERO_COPY, ""))?;
    output.run(&mut miri.tests(&COROUTINES, FOR_COROUTINES))
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

    /// The tests of some targets; arguments that are added go to them.
    fn tests(&self, targets: &[&str], more: &str) -> Command {
        let mut flags = env::var("MIRIFLAGS").unwrap_or_default();
        flags.push(' ');
        flags.push_str(more);
        let mut command = self.nightly.cargo();
        command
            .current_dir(self.context.root())
            .args(["miri", "test", "--locked"])
            .args(targets)
            .arg("--target-dir")
            .arg(self.context.target().join("miri"))
            .arg("--")
            .env("MIRIFLAGS", flags);
        command
    }
}
