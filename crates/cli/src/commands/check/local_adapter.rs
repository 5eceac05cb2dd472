// SPDX-License-Identifier: BSD-3-Clause
//! `becket check local-adapter`: pairs of adapters, under every rule.

use super::checked::{self, Plan};
use super::common::{Effort, Outputs, Required, exit_of};
use super::text;
use crate::commands::lab::adapter::{self, DEFAULT, LIST, is_plugin};
use crate::commands::supervised::Process;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Check pairs of adapters: scenarios, faults and ten gates, all decided by a seed
///
/// Every profile is drawn from its seed: limits, carrier, faults, who goes next. In each the
/// scenarios are run, twice here and once in a fresh process, and each flow alone; what happened is
/// judged by the rules of `becket lab rules`. Replays of failed runs are kept at once, then made
/// small. Several adapters make a matrix.
#[derive(Debug, clap::Args)]
#[command(after_long_help = crate::exit::lab_table())]
pub(crate) struct Args {
    #[command(flatten)]
    effort: Effort,
    #[command(flatten)]
    required: Required,
    /// What is checked: a name, or `list`, which lists the names; may be given several times
    /// [default: memory]
    #[arg(long, short, value_name = "NAME")]
    adapter: Vec<String>,
    #[command(flatten)]
    outputs: Outputs,
    #[command(flatten)]
    process: Process,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let Args { effort, required, adapter: mut names, outputs, process } = args;
    if names.iter().any(|name| name == LIST) {
        return adapter::say_list(ui);
    }
    if names.is_empty() {
        names.push(DEFAULT.to_owned());
    }
    let has_plugin = names.iter().any(|name| is_plugin(name));
    let places = outputs.places();
    process.run(has_plugin, &places, ui, || check((effort, required), names, process, &outputs, ui))
}

/// Checks them all, and writes what came of it.
pub(super) fn check(
    (effort, required): (Effort, Required),
    names: Vec<String>,
    process: Process,
    outputs: &Outputs,
    ui: &Ui,
) -> Result<Exit, Failure> {
    required.are_known()?;
    let plan = Plan {
        effort,
        required,
        process,
        expected: outputs.expected()?,
        artefacts: outputs.artefacts.clone(),
        has_timing: outputs.timing,
    };
    let opened = outputs.open(ui)?;
    let Some(reports) = checked::all(plan, names, ui)? else { return Ok(Exit::Interrupted) };
    opened.write(&reports, &text::of(&reports), ui)?;
    Ok(exit_of(&reports))
}
