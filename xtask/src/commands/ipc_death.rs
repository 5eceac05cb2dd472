// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask ipc-death`: kill -9 of servers and clients of channels between processes, at random
//! points, under load. It is the test `death` of `becket-ipc`, or with `--c` that of the C library, for
//! longer.

use std::process::ExitCode;

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo};

/// Rounds of `cargo xtask test --full`, and the default.
const ROUNDS: u32 = 1000;
/// Those of servers and clients in C.
const ROUNDS_C: u32 = 500;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many are killed, over all transports and both sides [default: 1000; with --c 500].
    #[arg(long)]
    rounds: Option<u32>,
    /// Servers and clients of protocol 2 in C, over shared memory.
    #[arg(long)]
    c: bool,
    /// Repeats the choices of a run, not its schedule.
    #[arg(long)]
    seed: Option<u64>,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    start(context, &arguments, &mut Output::Screen)?;
    Ok(ExitCode::SUCCESS)
}

/// Both tests, with as many rounds as by default.
pub(crate) fn check(context: &Context, output: &mut Output) -> Result<(), Error> {
    for c in [false, true] {
        start(context, &Arguments { rounds: None, c, seed: None }, output)?;
    }
    Ok(())
}

fn start(context: &Context, arguments: &Arguments, output: &mut Output) -> Result<(), Error> {
    let (tests, rounds) = match arguments.c {
        true => (["--package=libkcoro", "--test=it", "death::"], ROUNDS_C),
        false => (["--package=becket-ipc", "--test=death", ""], ROUNDS),
    };
    let mut command = cargo();
    command
        .current_dir(context.root())
        .args(["test", "--locked"])
        .args(tests.iter().filter(|argument| !argument.is_empty()))
        .args(["--", "--nocapture"])
        .env("BECKET_DEATH_ROUNDS", arguments.rounds.unwrap_or(rounds).to_string());
    if let Some(seed) = arguments.seed {
        command.env("BECKET_DEATH_SEED", seed.to_string());
    }
    output.run(&mut command)
}
