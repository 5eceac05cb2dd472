// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask example gateway`: filters in several languages in front of a small service; `cargo xtask example pingora`: some
//! of them in a Pingora proxy, in front of two.
//!
//! What is in front replaces this process, so it gets the signals, and the exit status is its own. Its stdin is the other
//! end of the services', which end with that: however it ends, no service is left over.

use std::io::{PipeReader, pipe};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};

use crate::commands::pingora;
use crate::commands::run::{self, PROFILE};
use crate::context::Context;
use crate::error::Error;
use crate::example;
use crate::process::{Output, spawn_error};

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
    /// Filters in C++, Go, Rust, Zig and C in front of a service in Python.
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
    let pipe_error = |source| spawn_error(&Command::new("python3"), source);
    let (stdin, end) = pipe().map_err(pipe_error)?;
    let mut server = match arguments.name {
        Name::Gateway => {
            output.run(&mut run::becket(context))?;
            let mut gateway = Command::new(context.target().join(PROFILE).join("becket"));
            gateway.args(["serve", "--listen", &arguments.listen, "--config"]).arg(config);
            service(context, "9000", stdin)?;
            gateway
        }
        Name::Pingora => {
            let mut proxy = Command::new(pingora::proxy(context, output)?);
            proxy.arg(config).arg(&arguments.listen);
            service(context, "9000", stdin.try_clone().map_err(pipe_error)?)?;
            service(context, "9001", stdin)?;
            proxy
        }
    };
    let failure = server.stdin(end).exec();
    Err(spawn_error(&server, failure))
}

/// Starts the service at a port. It ends with its stdin.
fn service(context: &Context, port: &str, stdin: PipeReader) -> Result<(), Error> {
    let mut service = Command::new("python3");
    service.arg(context.path(example::SOURCES).join("service.py"));
    service
        .args([port, "--until-stdin-ends"])
        .stdin(stdin)
        .stdout(Stdio::null())
        .spawn()
        .map(drop)
        .map_err(|source| spawn_error(&service, source))
}
