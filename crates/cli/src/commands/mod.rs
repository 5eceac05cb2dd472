// SPDX-License-Identifier: BSD-3-Clause
//! The commands, one a file.
//!
//! | module | what lives there |
//! |---|---|
//! | [`serve`] | the gateway, until a signal ends it |
//! | [`plugin`] | inspect, call, bench, check and new |
//! | [`config`] | check a configuration, print the example |
//! | [`ws`] | a WebSocket client for lines |
//! | [`ipc`] | channels between processes: serve, send, recv, pipe, stat |
//! | [`mon`] | watch a process |
//! | [`check`] | adapters, plugins and channels under the rules of the lab |
//! | [`lab`] | rules, single runs, replays, and the lab itself |
//! | [`completions`] | a shell's completions |
//! | [`man`] | the manual page |
//! | `apart` | the process in which a plugin is checked |
//! | `runtime` | the async runtime that the commands run on |
//! | `stdin` | lines of stdin as messages |
//! | `supervised` | a command that calls plugins, in a process that somebody waits for |

mod apart;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod ipc;
pub(crate) mod lab;
pub(crate) mod man;
pub(crate) mod mon;
pub(crate) mod plugin;
mod runtime;
pub(crate) mod serve;
mod stdin;
mod supervised;
pub(crate) mod ws;

use std::env;

use crate::args::Command;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{Ui, text};

/// Runs one command to its end.
pub(crate) fn run(command: Command, ui: &Ui) -> Result<Exit, Failure> {
    match command {
        Command::Serve(args) => serve::run(args, ui),
        Command::Plugin(command) => plugin::run(command, ui),
        Command::Config(command) => config::run(command, ui),
        Command::Ws(args) => ws::run(args, ui),
        Command::Ipc(command) => ipc::run(command, ui),
        Command::Mon(args) => mon::run(args, ui),
        Command::Check(command) => check::run(command, ui),
        Command::Lab(command) => lab::run(command, ui),
        Command::Completions(args) => completions::run(args, ui),
        Command::Man(args) => man::run(args, ui),
    }
}

/// What to type to run this command again: `becket` if a shell finds this very binary under that
/// name, else its path.
pub(crate) fn program() -> String {
    let Ok(this) = env::current_exe().and_then(|path| path.canonicalize()) else {
        return "becket".to_owned();
    };
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .map(|dir| dir.join("becket"))
        .find(|candidate| candidate.is_file())
        .and_then(|candidate| candidate.canonicalize().ok());
    if found.as_ref() == Some(&this) {
        return "becket".to_owned();
    }
    text::shell_word(&this.display().to_string())
}
