// SPDX-License-Identifier: BSD-3-Clause
//! `becket plugin …`: one plugin at a time, without a server.
//!
//! | module | what lives there |
//! |---|---|
//! | [`inspect`] | the description of a file, without starting the plugin |
//! | [`call`] | one call, stream or bidirectional stream |
//! | [`mod@bench`] | calls per second and latencies |
//! | [`check`] | the obligations of every plugin |
//! | [`crashes`] | how the processes of a served plugin ended |
//! | [`new`] | a project that builds |
//! | `load` | the options that load a plugin |

mod bench;
mod call;
pub(super) mod check;
mod crashes;
mod inspect;
mod load;
mod new;

use clap::Subcommand;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Inspect, call, measure, check or start a plugin
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Inspect(inspect::Args),
    Call(call::Args),
    Bench(bench::Args),
    Check(check::Args),
    Crashes(crashes::Args),
    New(new::Args),
}

/// Runs one of them.
pub(crate) fn run(command: Command, ui: &Ui) -> Result<Exit, Failure> {
    match command {
        Command::Inspect(args) => inspect::run(args, ui),
        Command::Call(args) => call::run(args, ui),
        Command::Bench(args) => bench::run(args, ui),
        Command::Check(args) => check::run(&args, ui),
        Command::Crashes(args) => crashes::run(&args, ui),
        Command::New(args) => new::run(args, ui),
    }
}
