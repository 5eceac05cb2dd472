// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask example gateway`: filters in several languages in front of a small service; `cargo xtask example pingora`: some
//! of them in a Pingora proxy, in front of two.
//!
//! The services and what is in front of them are processes of their own in this one's group, so that Ctrl-C ends all.

use std::process::{Child, Command, ExitCode, Stdio};

use crate::commands::pingora;
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
    /// Build the filters and nothing else. What is serving them loads those that have changed.
    #[arg(long)]
    build: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Name {
    /// Filters in C++, Go, Zig and C in front of a service in Python.
    Gateway,
    /// Filters in C++, Go and Zig of a Pingora proxy with two upstream servers.
    Pingora,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let output = &mut Output::Screen;
    let example = match arguments.name {
        Name::Gateway => &example::GATEWAY,
        Name::Pingora => &example::PINGORA,
    };
    for (name, missing) in example::build(context, example, output)? {
        eprintln!("without the filter {name}: {missing}");
        eprintln!("  cause: {}", missing.cause);
        eprintln!("   hint: {}", missing.hint);
    }
    if arguments.build {
        return Ok(ExitCode::SUCCESS);
    }
    let config = example::folder(context, example).join("becket.toml");
    let (mut server, services) = match arguments.name {
        Name::Gateway => {
            let mut command = cargo();
            command.current_dir(context.root()).args(["build", "--profile", PROFILE, "--locked"]);
            output.run(command.args(["--no-default-features", "--package=becket"]))?;
            let mut gateway = Command::new(context.target().join(PROFILE).join("becket"));
            gateway.args(["serve", "--listen", &arguments.listen, "--config"]).arg(config);
            (gateway, vec![service(context, &[])?])
        }
        Name::Pingora => {
            let mut proxy = Command::new(pingora::proxy(context, output)?);
            proxy.arg(config).arg(&arguments.listen);
            let first = service(context, &["9000"])?;
            (proxy, vec![first, service(context, &["9001"])?])
        }
    };
    let ended = output.run(&mut server);
    for mut service in services {
        // An error means that it has ended already.
        let _ended = service.kill();
        let _status = service.wait();
    }
    ended.map(|()| ExitCode::SUCCESS)
}

/// The service, with these arguments.
fn service(context: &Context, arguments: &[&str]) -> Result<Child, Error> {
    let mut service = Command::new("python3");
    service.arg(context.path(example::SOURCES).join("service.py")).args(arguments);
    service
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|source| spawn_error(&service, source))
}
