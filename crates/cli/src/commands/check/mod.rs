// SPDX-License-Identifier: BSD-3-Clause
//! `becket check …`: adapters, plugins and channels under the rules of the lab.
//!
//! | module | what lives there |
//! |---|---|
//! | `local_adapter` | pairs of adapters, by name |
//! | `channel` | kinds of channels, and zero-copy backends |
//! | [`codegen`] | generated code, against its profile |
//! | [`common`] | how much is tried, and where reports go |
//! | [`checked`] | checks, one adapter after the other: progress, kept failures, a fresh process |
//! | `plugin` | a plugin, by the rules of the ABI |
//! | `text` | a report for people |
//! | `unended` | the reports of a check that ended early |

mod channel;
pub(super) mod checked;
pub(super) mod codegen;
pub(super) mod common;
mod local_adapter;
mod plugin;
mod text;
mod unended;

use clap::Subcommand;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

pub(super) use self::common::seed;

/// Check adapters against every rule of the lab: one seed decides everything
#[derive(Debug, Subcommand)]
#[command(after_long_help = crate::exit::lab_table())]
pub(crate) enum Command {
    #[command(alias = "localadapter")]
    LocalAdapter(local_adapter::Args),
    Codegen(codegen::Args),
    Channel(channel::Args),
    Plugin(plugin::Args),
}

/// Runs one of them.
pub(crate) fn run(command: Command, ui: &Ui) -> Result<Exit, Failure> {
    match command {
        Command::LocalAdapter(args) => local_adapter::run(args, ui),
        Command::Codegen(args) => codegen::run(args, ui),
        Command::Channel(args) => channel::run(args, ui),
        Command::Plugin(args) => plugin::run(args, ui),
    }
}
