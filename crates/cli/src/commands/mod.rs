// SPDX-License-Identifier: BSD-3-Clause
//! The commands, one a file.
//!
//! | module | what lives there |
//! |---|---|
//! | [`serve`] | the gateway, until a signal ends it |
//! | [`plugin`] | inspect, call, bench, check and new |
//! | [`config`] | check a configuration, print the example |
//! | [`ws`] | a WebSocket client for lines |
//! | [`admin`] | actions of a running gateway |
//! | `ipc` | channels between processes: serve, send, recv, pipe, stat |
//! | `mon` | watch a process |
//! | `check` | adapters, plugins and channels under the rules of the lab |
//! | `lab` | rules, single runs, replays, and the lab itself |
//! | `cluster` | what is on other machines: servers, plugins, channels |
//! | [`completions`] | a shell's completions |
//! | [`man`] | the manual page |
//! | `left_out` | the commands that this build does not have |
//! | `child` | this command again, as a process in which a plugin is called |
//! | `pick` | a name on the command line, as one of the known names |
//! | `program` | a plugin that is a program: the command that starts it |
//! | `runtime` | the async runtime that the commands run on |
//! | `secret` | secrets in files and in the environment |
//! | `signals` | the signals that end a command |
//! | `stdin` | lines of stdin as messages |
//! | `supervised` | a command of the lab that calls plugins, in a child process |
//! | `worker` | the process of a plugin with the placement `process` |

pub(crate) mod admin;
#[cfg(feature = "lab")]
pub(crate) mod check;
mod child;
#[cfg(feature = "cluster")]
pub(crate) mod cluster;
pub(crate) mod completions;
pub(crate) mod config;
#[cfg(feature = "ipc")]
pub(crate) mod ipc;
#[cfg(feature = "lab")]
pub(crate) mod lab;
#[cfg(any(test, not(all(feature = "cluster", feature = "ipc", feature = "lab"))))]
pub(crate) mod left_out;
pub(crate) mod man;
#[cfg(feature = "ipc")]
pub(crate) mod mon;
pub(crate) mod pick;
pub(crate) mod plugin;
pub(crate) mod program;
mod runtime;
mod secret;
pub(crate) mod serve;
mod signals;
mod stdin;
#[cfg(feature = "lab")]
mod supervised;
#[cfg(feature = "process")]
pub(crate) mod worker;
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
        Command::Admin(command) => admin::run(command, ui),
        #[cfg(feature = "cluster")]
        Command::Cluster(command) => cluster::run(command, ui),
        #[cfg(not(feature = "cluster"))]
        Command::Cluster(args) => args.refuse("cluster", "cluster"),
        #[cfg(feature = "process")]
        Command::PluginWorker(args) => worker::run(&args),
        #[cfg(feature = "ipc")]
        Command::Ipc(command) => ipc::run(command, ui),
        #[cfg(feature = "ipc")]
        Command::Mon(args) => mon::run(args, ui),
        #[cfg(feature = "lab")]
        Command::Check(command) => check::run(command, ui),
        #[cfg(feature = "lab")]
        Command::Lab(command) => lab::run(command, ui),
        #[cfg(not(feature = "ipc"))]
        Command::Ipc(args) => args.refuse("ipc", "ipc"),
        #[cfg(not(feature = "ipc"))]
        Command::Mon(args) => args.refuse("mon", "ipc"),
        #[cfg(not(feature = "lab"))]
        Command::Check(args) => args.refuse("check", "lab"),
        #[cfg(not(feature = "lab"))]
        Command::Lab(args) => args.refuse("lab", "lab"),
        Command::Completions(args) => completions::run(args, ui),
        Command::Man(args) => man::run(args, ui),
    }
}

/// The command to type to run this program again: `becket` if the shell finds this binary by that
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
