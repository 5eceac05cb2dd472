// SPDX-License-Identifier: BSD-3-Clause
//! `becket lab …`: the rules of the lab, single runs, and the test of the lab itself.
//!
//! | module | what lives there |
//! |---|---|
//! | `rules`, `explain` | the catalogue, and one rule of it |
//! | `run`, `replay`, `shrink` | one run: made, repeated from its file, shrunk |
//! | `selftest`, `compare` | the test of the lab itself; two reports |
//! | `generate` | a backend of one profile, as a crate |
//! | `demo` | a run as a plot |
//! | `fresh_process` | the fresh process by which a check proves that it repeats |
//! | [`adapter`] | `--adapter` |
//! | `once`, `show` | one run, judged; its events |
//! | `load` | replays from files |
//! | `step`, `plot` | a run event by event; flows plotted over time |
//! | `foreign` | adapters that do not come with the lab: processes, plugins |
//! | [`files`] | files that are written whole or not at all |
//! | [`watch`] | long work, its progress, and Ctrl-C |

pub(super) mod adapter;
mod compare;
mod demo;
mod explain;
pub(super) mod files;
mod foreign;
pub(super) mod fresh_process;
mod generate;
pub(super) mod load;
mod once;
mod plot;
mod replay;
mod rules;
mod run;
mod selftest;
mod show;
mod shrink;
mod step;
pub(super) mod watch;

use clap::Subcommand;

use self::watch::listen;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Look into the lab: its rules, one run step by step, shrinking a failure
#[derive(Debug, Subcommand)]
#[command(after_long_help = crate::exit::lab_table())]
pub(crate) enum Command {
    Rules(rules::Args),
    Explain(explain::Args),
    Run(run::Args),
    Replay(replay::Args),
    Shrink(shrink::Args),
    Generate(generate::Args),
    Demo(demo::Args),
    Selftest(selftest::Args),
    Compare(compare::Args),
    #[command(hide = true)]
    FreshProcess(fresh_process::Args),
}

/// Runs one of them.
pub(crate) fn run(command: Command, ui: &Ui) -> Result<Exit, Failure> {
    match command {
        Command::Rules(args) => rules::run(args, ui),
        Command::Explain(args) => explain::run(args, ui),
        Command::Run(args) => run::run(args, ui),
        Command::Replay(args) => replay::run(args, ui),
        Command::Shrink(args) => shrink::run(args, ui),
        Command::Generate(args) => generate::run(args, ui),
        Command::Demo(args) => demo::run(args, ui),
        Command::Selftest(args) => selftest::run(args, ui),
        Command::Compare(args) => compare::run(args, ui),
        Command::FreshProcess(args) => listen(move |_| fresh_process::run(args)),
    }
}
