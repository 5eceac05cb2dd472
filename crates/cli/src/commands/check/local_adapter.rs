// SPDX-License-Identifier: BSD-3-Clause
//! `becket check local-adapter`: pairs of adapters, under every rule.

use becket_lab::check::Mode;
use becket_lab::rules::Exit as LabExit;

use super::checked::{self, Plan};
use super::common::{Effort, Opened, Outputs, Required, exit_of};
use super::text;
use super::unended::{ProgressReporter, SoFar};
use crate::commands::lab::adapter::{self, DEFAULT, LIST, is_of_channels, is_plugin};
use crate::commands::supervised::{Ended, Process};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Check pairs of adapters: scenarios, faults and ten gates, all decided by a seed
///
/// Every profile is drawn from its seed: limits, link, faults, scheduling. In each profile the
/// scenarios are run, twice here and once in a fresh process, and each flow alone; the traces are
/// judged by the rules of `becket lab rules`. Replays of failed runs are kept at once, then shrunk.
/// Several adapters make a matrix.
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
    supervised((effort, required), &names, process, &outputs, ui)
}

/// Checks them all; in a child process, if one of them may end its process.
pub(super) fn supervised(
    (effort, required): (Effort, Required),
    names: &[String],
    process: Process,
    outputs: &Outputs,
    ui: &Ui,
) -> Result<Exit, Failure> {
    let may_end = names.iter().any(|name| is_plugin(name) || is_of_channels(name));
    let (places, begun) = (outputs.places(), effort.begun());
    let work = |pipe| {
        let calls = Calls { process, reporter: ProgressReporter::new(pipe) };
        check((effort, required), names, calls, outputs, ui)
    };
    match process.run_reporting(may_end, &places, ui, work)? {
        Ended::With(exit) => Ok(exit),
        Ended::Early(early) => {
            let so_far = SoFar::of(&early.lines);
            let failure = match so_far.name(names).is_some_and(is_plugin) {
                true => early.failure(),
                false => early.failure_of_ours(),
            };
            Err(unended(&so_far, names, begun, failure, outputs.open(ui), ui))
        }
    }
}

/// How adapters are called, and where progress is reported.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls {
    pub(super) process: Process,
    pub(super) reporter: ProgressReporter,
}

/// Checks them all, and writes the reports.
pub(super) fn check(
    (effort, required): (Effort, Required),
    names: &[String],
    calls: Calls,
    outputs: &Outputs,
    ui: &Ui,
) -> Result<Exit, Failure> {
    required.are_known()?;
    let (begun, reporter) = (effort.begun(), calls.reporter.clone());
    let plan = Plan {
        effort,
        required,
        calls,
        expected: outputs.expected()?,
        artefacts: outputs.artefacts(),
        has_timing: outputs.timing,
    };
    let opened = outputs.open(ui)?;
    let reports = match checked::all(plan, names.to_vec(), ui) {
        Ok(Some(reports)) => reports,
        Ok(None) => return Ok(Exit::Interrupted),
        // An adapter hangs: no other failure has this exit before there are reports.
        Err(hangs) if hangs.exit() == Exit::Lab(LabExit::Conformance) => {
            return Err(unended(&reporter.so_far(), names, begun, hangs, Ok(opened), ui));
        }
        Err(failure) => return Err(failure),
    };
    opened.write(&reports, &text::of(&reports), ui)?;
    Ok(exit_of(&reports))
}

/// Writes reports with the failure that ended the check early.
fn unended(
    so_far: &SoFar,
    names: &[String],
    begun: (Mode, u64),
    failure: Failure,
    opened: Result<Opened, Failure>,
    ui: &Ui,
) -> Failure {
    let why = failure.why().unwrap_or_default().to_owned();
    let reports = so_far.reports(names, begun, &format!("{failure}: {why}"));
    match opened.and_then(|opened| opened.write_unended(&reports, ui)) {
        Err(error) if !error.is_silent() => failure.cause(format!("{why}; no report: {error}")),
        _ => failure,
    }
}
