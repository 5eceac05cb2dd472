// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask cluster-demo`: three NATS servers and three gateways on loopback, a node that is killed, and the
//! count of what was lost, by the program in `xtask/cluster-demo`.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use crate::commands::run::PROFILE;
use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo, spawn_error};
use crate::samples::{self, Language};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The length of the measured load, in seconds: a quarter each before the kills, after the server is back,
    /// while the gateway is away, and after it is back.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let mut program = build(context, &mut Output::Screen)?;
    program.arg(format!("--seconds={}", arguments.seconds));
    // It replaces this process, so it gets the signals, and the exit status is its own.
    let failure = program.exec();
    Err(spawn_error(&program, failure))
}

/// An error if something did not hold.
pub(crate) fn check(context: &Context, output: &mut Output) -> Result<(), Error> {
    let mut program = build(context, output)?;
    output.run(&mut program)
}

/// Builds what is needed; returns the program.
fn build(context: &Context, output: &mut Output) -> Result<Command, Error> {
    let nats_server = context.tools.nats_server(output)?;
    let plugin = samples::build(context, Language::C, output)?;
    output.run(cargo().current_dir(context.root()).args([
        "build",
        "--profile",
        PROFILE,
        "--locked",
        "--no-default-features",
        "--package=becket",
        "--features=becket/cluster",
        "--package=becket-cluster-demo",
    ]))?;
    let folder = context.target().join(PROFILE);
    let mut program = Command::new(folder.join("becket-cluster-demo"));
    program.arg("--becket").arg(folder.join("becket"));
    program.arg("--nats-server").arg(nats_server).arg("--plugin").arg(plugin);
    Ok(program)
}
