// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask example gateway`: filters in several languages in front of a small service.
//!
//! The service and the gateway are processes of their own in this one's group, so that Ctrl-C ends all three.

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
    /// Filters in C++, Go, Zig and C in front of a service in Python.
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
    service.arg(context.path(example::SOURCES).join("service.py"));
    let mut serves = service
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|source| spawn_error(&service, source))?;
    let mut gateway = Command::new(context.target().join(PROFILE).join("becket"));
    gateway.args(["serve", "--listen", &arguments.listen, "--config"]);
    let ended = Output::Screen.run(gateway.arg(example::folder(context).join("becket.toml")));
    // An error means that it has ended already.
    let _ended = serves.kill();
    let _status = serves.wait();
    ended.map(|()| ExitCode::SUCCESS)
}
