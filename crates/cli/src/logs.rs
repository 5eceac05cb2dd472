// SPDX-License-Identifier: BSD-3-Clause
//! Logs, on stderr, so that stdout is data alone.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{Command, Global};

/// Starts logging: `--log-level`, else `RUST_LOG`, else what suits the command.
pub(crate) fn start(global: &Global, command: &Command) {
    let default = match command {
        _ if global.quiet => "error",
        Command::Serve(_) => "info",
        _ => "warn",
    };
    let asked = global.log_level.clone().or_else(|| std::env::var("RUST_LOG").ok());
    let filter = EnvFilter::new(asked.as_deref().unwrap_or(default));
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber cannot be there: this runs once, first thing in `main`.
    let _ = if global.log_json {
        builder.json().finish().try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal() && colour()).finish().try_init()
    };
}

/// `NO_COLOR` set to anything but nothing turns colours off.
fn colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
