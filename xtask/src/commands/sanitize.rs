// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask sanitize`: the tests of becket-chan and becket-coro at full speed under an LLVM
//! sanitizer, with the standard library built for it.
//!
//! AddressSanitizer is notified of each stack switch. ThreadSanitizer has no such call: for it a
//! coroutine runs on a thread of its own.
//!
//! Tests that miri cannot run, or not often enough, run here: many threads, system calls, stress.

use std::process::{Command, ExitCode};

use clap::ValueEnum;

use crate::context::Context;
use crate::error::Error;
use crate::nightly::Nightly;
use crate::process::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which one; both if not given.
    sanitizer: Option<Sanitizer>,
    /// Only the tests with one of these in their names.
    #[arg(value_name = "PART", requires = "sanitizer")]
    parts: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Sanitizer {
    /// Accesses outside of objects or after their end, and leaks.
    Address,
    /// Data races.
    Thread,
}

/// Of a test's thread: 16 MiB.
const STACK_BYTES: &str = "16777216";

/// Skipped: the sanitizers install their own fault handlers, reserve much of the address space, and
/// keep memory of their own for each byte that is touched.
const SKIPPED: [&str; 4] = [
    "--skip=stack::tests::faults",
    "--skip=stack::tests::limits",
    "--skip=takes_its_memory_as_it_fills",
    "--skip=a_crowd_waits_for_nothing_and_leaves_nothing",
];

const ALL: [Sanitizer; 2] = [Sanitizer::Address, Sanitizer::Thread];

const CHANNELS: &[&str] = &["--package=becket-chan", "--all-features"];

impl Sanitizer {
    const fn coroutines(self) -> &'static [&'static str] {
        match self {
            Self::Address => &["--package=becket-coro", "--features=sanitizer"],
            Self::Thread => &["--package=becket-coro", "--features=threads"],
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Thread => "thread",
        }
    }
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let chosen = arguments.sanitizer.as_ref().map_or(&ALL[..], std::slice::from_ref);
    under(context, chosen, &arguments.parts, &mut Output::Screen)?;
    Ok(ExitCode::SUCCESS)
}

/// Both, and all tests.
pub(crate) fn check(context: &Context, output: &mut Output) -> Result<(), Error> {
    under(context, &ALL, &[], output)
}

fn under(
    context: &Context,
    sanitizers: &[Sanitizer],
    parts: &[String],
    output: &mut Output,
) -> Result<(), Error> {
    let nightly = Nightly::find()?;
    nightly.need_sources()?;
    for sanitizer in sanitizers {
        // With each the leaks that its tests make on purpose.
        let suites = [(CHANNELS, "channels"), (sanitizer.coroutines(), "coroutines")];
        for (suite, leaks) in suites {
            let leaks = context.root().join(format!("xtask/src/commands/sanitize/{leaks}.supp"));
            let mut command = tests(context, &nightly, *sanitizer, suite);
            command.env("LSAN_OPTIONS", format!("suppressions={}", leaks.display()));
            output.run(command.arg("--").args(parts).args(SKIPPED))?;
        }
    }
    Ok(())
}

fn tests(context: &Context, nightly: &Nightly, sanitizer: Sanitizer, suite: &[&str]) -> Command {
    let mut command = nightly.cargo();
    command
        .current_dir(context.root())
        .args(["test", "--locked", "--no-fail-fast", "--lib", "--tests"])
        .args(suite)
        .args(["-Zbuild-std", "--target", &nightly.host])
        .arg("--target-dir")
        .arg(context.target().join("sanitize").join(sanitizer.name()))
        .env("RUSTFLAGS", format!("-Zsanitizer={}", sanitizer.name()))
        // Frames are a multiple as large, and one that passes over the guard page is not noticed.
        .env("RUST_MIN_STACK", STACK_BYTES);
    command
}
