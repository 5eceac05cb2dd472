// SPDX-License-Identifier: BSD-3-Clause
//! Commands to try next, which work as they are printed, one after the other.

use std::path::Path;

use becket_chan::Kind;
use serde_json::json;

use super::place;
use crate::commands::ipc::shape::{Named, Shape};
use crate::commands::program;
use crate::failure::Failure;
use crate::ui::{DIM, GOOD, HEAD, Ui, paint, text};

/// The channel in the lines when the server has none.
const EXAMPLE: &str = "jobs";

/// Prints it; one JSON object with `--json`.
pub(super) fn show(path: &Path, channels: &[Named], ui: &Ui) -> Result<(), Failure> {
    if ui.json() {
        let channels: Vec<_> = channels.iter().map(|named| named.name.as_str()).collect();
        return ui.data(&json!({
            "event": "started",
            "socket": path.display().to_string(),
            "pid": std::process::id(),
            "channels": channels,
        }));
    }
    let becket = program();
    let version = env!("CARGO_PKG_VERSION");
    let socket = if path == place::default() { String::new() } else { place::option(path) };
    let mut out =
        format!("{} {version} serves channels at {}\n", paint(HEAD, "becket"), path.display());
    let mut section = |heading: &str, lines: &[String]| {
        out.push_str(&format!("\n{}\n", paint(DIM, heading)));
        for line in lines {
            out.push_str(&format!("    {}\n", paint(GOOD, line)));
        }
    };
    match channels {
        [] => {
            let make = " --make bounded:64";
            section(
                "There is no channel yet: a sender can make one.",
                &lines(&becket, EXAMPLE, &socket, make, Kind::Bounded, 64),
            );
        }
        channels => {
            for Named { name, shape } in channels {
                let Shape { kind, capacity } = *shape;
                let name_word = text::shell_word(name);
                section(
                    &format!("{name} is {shape}"),
                    &lines(&becket, &name_word, &socket, "", kind, capacity),
                );
            }
        }
    }
    let at = place::option(path);
    section(
        "What channels hold and did, once and live",
        &[format!("{becket} ipc stat{socket}"), format!("{becket} mon{at}")],
    );
    out.push_str(&format!("\n{}\n", paint(DIM, "Ctrl-C ends it.")));
    ui.text(&out)
}

/// Two elements in and out again. The sender waits if the channel does not hold both; a conflated
/// one keeps the newer.
fn lines(
    becket: &str,
    channel: &str,
    socket: &str,
    make: &str,
    kind: Kind,
    capacity: usize,
) -> [String; 2] {
    let waits = match kind {
        Kind::Rendezvous => " &",
        Kind::Bounded if capacity < 2 => " &",
        _ => "",
    };
    let count = if kind == Kind::Conflated { 1 } else { 2 };
    [
        format!("printf 'one\\ntwo\\n' | {becket} ipc send {channel}{socket}{make}{waits}"),
        format!("{becket} ipc recv {channel}{socket} --count {count}"),
    ]
}
