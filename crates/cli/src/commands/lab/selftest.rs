// SPDX-License-Identifier: BSD-3-Clause
//! `becket lab selftest`: does the lab find every faulty adapter, and pass every healthy one?

use std::path::PathBuf;
use std::sync::Arc;

use becket_lab::check::{Mode, Progress};
use becket_lab::selftest::{self, Options, SelfTest};

use super::files::{self, Output, as_json};
use super::watch::{Board, watch};
use crate::commands::check::checked::ask_fresh_process;
use crate::commands::check::common::{Effort, exit_of_code};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{BAD, GOOD, Ui, WARN, paint};

/// Examine the lab itself: healthy adapters pass, every mutant is killed, nothing differs
///
/// Exits with 4 if the lab fails: its verdicts on adapters are not reliable then.
#[derive(Debug, clap::Args)]
#[command(after_long_help = crate::exit::lab_table())]
pub(crate) struct Args {
    /// Few seeds, three scenarios [the default]
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// The seeds and scenarios of a full check
    #[arg(long)]
    full: bool,
    /// How many threads, from 1 to 64 [default: one a core]
    #[arg(long, short, value_name = "N", value_parser = crate::commands::check::common::jobs)]
    jobs: Option<usize>,
    /// Write the report as JSON into this file; `-` is stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let output = args.out.as_deref().map(Output::open).transpose()?;
    let board = Arc::<Board>::default();
    board.begin("self-test");
    let shown = Arc::clone(&board);
    let (mode, jobs) =
        (if args.full { Mode::Full } else { Mode::Quick }, Effort::threads(args.jobs));
    let work = move || {
        let progress = |progress: Progress| {
            shown.step(progress.done as u64, progress.total as u64, progress.what);
        };
        let fresh_process = || match ask_fresh_process(&["--selftest".to_owned()]) {
            Ok(said) => Some(said),
            Err(why) => {
                shown.note(format!("no fresh process can be asked: {why}"));
                None
            }
        };
        let (progress, fresh_process) = (Some(&progress as _), Some(&fresh_process as _));
        selftest::run(&Options { mode, jobs, progress, fresh_process })
    };
    let Some(report) = watch(ui, &board, work)? else { return Ok(Exit::Interrupted) };
    let json = as_json(serde_json::to_string_pretty(&report))? + "\n";
    files::report(output, &json, || coloured(&report), ui)?;
    Ok(Exit::Lab(exit_of_code(report.exit_code)))
}

/// Its text, verdicts in their colours.
fn coloured(report: &SelfTest) -> String {
    let verdicts = [("lab-error", BAD), ("not-exercised", WARN), ("pass", GOOD)];
    let line = |line: &str| {
        let found = verdicts.iter().find(|(name, _)| {
            !line.starts_with(' ') && line.split_whitespace().any(|word| word == *name)
        });
        let line = match found {
            Some((name, style)) => line.replacen(name, &paint(*style, name), 1),
            None => line.to_owned(),
        };
        format!("{line}\n")
    };
    report.text().lines().map(line).collect()
}
