// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask ipc-death`: kill -9 of servers and clients of channels between processes, at random
//! points, under load. It is the test `death` of `becket-ipc`, for longer.

use std::process::ExitCode;

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo};

/// Rounds of `cargo xtask test --full`, and the default.
const ROUNDS: u32 = 1000;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many are killed, over all transports and both sides.
    #[arg(long, default_value_t = ROUNDS)]
    rounds: u32,
    /// Repeats the choices of a run, not its schedule.
    #[arg(long)]
    seed: Option<u64>,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    start(context, &arguments, &mut Output::Screen)?;
    Ok(ExitCode::SUCCESS)
}

/// The test with [`ROUNDS`] rounds.
pub(crate) fn check(context: &Context, output: &mut Output) -> Result<(), Error> {
    start(context, &Arguments { rounds: ROUNDS, seed: None }, output)
}

fn start(context: &Context, arguments: &Arguments, output: &mut Output) -> Result<(), Error> {
    let mut command = cargo();
    command
        .current_dir(context.root())
        .args(["test", "--locked", "--package=becket-ipc", "--test=death", "--", "--nocapture"])
        .env("BECKET_DEATH_ROUNDS", arguments.rounds.to_string());
    if let Some(seed) = arguments.seed {
        command.env("BECKET_DEATH_SEED", seed.to_string());
    }
    output.run(&mut command)
}
