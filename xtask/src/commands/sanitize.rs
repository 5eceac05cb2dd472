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

/// Skipped: the sanitizers install their own fault handlers, and reserve much of the address space.
const SKIPPED: [&str; 2] = ["--skip=stack::tests::faults", "--skip=stack::tests::limits"];

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
    let nightly = Nightly::find()?;
    nightly.need_sources()?;
    let all = [Sanitizer::Address, Sanitizer::Thread];
    let chosen = arguments.sanitizer.as_ref().map_or(&all[..], std::slice::from_ref);
    for sanitizer in chosen {
        for suite in [CHANNELS, sanitizer.coroutines()] {
            let mut command = tests(context, &nightly, *sanitizer, suite);
            Output::Screen.run(command.arg("--").args(&arguments.parts).args(SKIPPED))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn tests(context: &Context, nightly: &Nightly, sanitizer: Sanitizer, suite: &[&str]) -> Command {
    let mut command = nightly.cargo();
    command
        .current_dir(context.root())
        .args(["test", "--locked", "--lib", "--tests"])
        .args(suite)
        .args(["-Zbuild-std", "--target", &nightly.host])
        .arg("--target-dir")
        .arg(context.target().join("sanitize").join(sanitizer.name()))
        .env("RUSTFLAGS", format!("-Zsanitizer={}", sanitizer.name()));
    command
}
