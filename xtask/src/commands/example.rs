// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask example gateway`: filters in several languages in front of a small service.
//!
//! The gateway replaces this process, so it gets the signals, and the exit status is its own. Its stdin is the other end
//! of the service's, which ends with that: however the gateway ends, the service is not left over.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};

use crate::commands::run::PROFILE;
use crate::context::Context;
use crate::error::Error;
use crate::example;
use crate::process::{Output, cargo, spawn_error};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which example.
    name: Name,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: String,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Name {
    /// Filters in C++, Go, Rust, Zig and C in front of a service in Python.
    Gateway,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let Name::Gateway = arguments.name;
    for (name, missing) in example::build(context, &mut Output::Screen)? {
        eprintln!("without the filter {name}: {missing}");
        eprintln!("  cause: {}", missing.cause);
        eprintln!("   hint: {}", missing.hint);
    }
    let mut command = cargo();
    command.current_dir(context.root()).args(["build", "--profile", PROFILE, "--locked"]);
    Output::Screen.run(command.args(["--no-default-features", "--package=becket"]))?;
    let mut service = Command::new("python3");
    service.arg(context.path(example::SOURCES).join("service.py")).arg("--until-stdin-ends");
    let mut serves = service
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|source| spawn_error(&service, source))?;
    let mut gateway = Command::new(context.target().join(PROFILE).join("becket"));
    gateway.args(["serve", "--listen", &arguments.listen, "--config"]);
    gateway.arg(example::folder(context).join("becket.toml"));
    if let Some(end) = serves.stdin.take() {
        gateway.stdin(end);
    }
    let failure = gateway.exec();
    Err(spawn_error(&gateway, failure))
}
