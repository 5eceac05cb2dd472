// SPDX-License-Identifier: BSD-3-Clause
//! Logs, on stderr, so that stdout is data alone.
//!
//! As text, a record is one line whatever its fields hold: line breaks and terminal control
//! characters are escaped, also in error texts of libraries and in paths. As JSON, the encoding
//! does that.

use std::fmt::Debug;
use std::io::IsTerminal;

use becket_host::escape_controls;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{Command, Global};

/// Starts logging with `--log-level`, else `RUST_LOG`, else the default level of the command.
pub(crate) fn start(global: &Global, command: &Command) {
    let default = match command {
        _ if global.quiet => "error",
        // The client of the cluster logs what becket logs itself; HTTP/2 has a warning for each of some frames of a client.
        Command::Serve(_) => "info,async_nats=error,h2=error",
        _ => "warn,async_nats=error,h2=error",
    };
    let asked = global.log_level.clone().or_else(|| std::env::var("RUST_LOG").ok());
    let filter = EnvFilter::new(asked.as_deref().unwrap_or(default));
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // There is no other subscriber: this runs once, at the start of `main`.
    let _ = if global.log_json {
        builder.json().finish().try_init()
    } else {
        let fields = debug_fn(field).delimited(" ");
        let ansi = std::io::stderr().is_terminal() && colour();
        builder.fmt_fields(fields).with_ansi(ansi).finish().try_init()
    };
}

/// One field of a record: the message as it is, any other as `name=value`.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    let value = format!("{value:?}");
    let value = escape_controls(&value);
    match field.name() {
        "message" => write!(writer, "{value}"),
        name if writer.has_ansi_escapes() => {
            write!(writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}")
        }
        name => write!(writer, "{name}={value}"),
    }
}

/// `NO_COLOR` set to anything but nothing turns colours off.
fn colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
