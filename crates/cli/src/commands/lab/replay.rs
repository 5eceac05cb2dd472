// SPDX-License-Identifier: BSD-3-Clause
//! `becket lab replay FILE`: a run from its file: shown, compared, turned into a test.

use std::path::PathBuf;

use becket_lab::adapters::HEALTHY;
use becket_lab::check::Repeated;
use becket_lab::replay::{Diff, Replay, as_test};
use becket_lab::rules::Exit as LabExit;
use becket_lab::saboteur;

use super::adapter::{Adapter, DEFAULT};
use super::{load, once, show, step};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{GOOD, Ui, WARN, paint};

/// Repeat a run from its file, event by event
///
/// The file holds all that the run is made of and every choice in it, so it repeats whatever
/// becomes of seeds and scenarios. Exits with 0 if the rule that it was kept for is broken again,
/// and with 1 if it is broken no more.
#[derive(Debug, clap::Args)]
#[command(after_long_help = crate::exit::lab_table())]
pub(crate) struct Args {
    /// The file, which `becket check`, `lab run --save` or `lab shrink` has written; `-` is stdin
    file: PathBuf,
    /// Show one event after the other: Enter the next, n the next of the same flow, q ends it
    #[arg(long, conflicts_with_all = ["diff", "as_test", "json"])]
    step: bool,
    /// Show it beside the same run with adapters in which nothing is wrong
    #[arg(long, conflicts_with_all = ["as_test", "json"])]
    diff: bool,
    /// Which adapters --diff shows it beside
    #[arg(long, value_name = "NAME", default_value = DEFAULT, requires = "diff")]
    against: String,
    /// Show it beside the run of another file, with the adapters that it names
    #[arg(long, value_name = "OTHER", conflicts_with_all = ["diff", "step", "as_test", "json"])]
    diff_with: Option<PathBuf>,
    /// Print it as a test in Rust, which fails as long as the rule is broken
    #[arg(long, conflicts_with = "json")]
    as_test: bool,
    /// With these adapters, in place of those in the file
    #[arg(long, short, value_name = "NAME")]
    adapter: Option<String>,
    /// Show the events of this flow alone
    #[arg(long, value_name = "N")]
    only_flow: Option<u32>,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let (replay, adapter) = load::replay(&args.file, args.adapter.as_deref())?;
    if args.as_test {
        ui.text(&as_test(&replay, &expression(&adapter.name)))?;
        return Ok(Exit::Ok);
    }
    show::has(&replay, args.only_flow)?;
    let repeated = once::judge(&adapter, &replay);
    once::note_mishaps(&adapter, ui);
    let exit = if is_again(&replay, &repeated) { LabExit::Ok } else { LabExit::Conformance };
    if ui.json() {
        show::lines(&replay, &repeated, args.only_flow, exit, ui)?;
        return Ok(Exit::Lab(exit));
    }
    if args.diff {
        let healthy = once::judge(&Adapter::of_name(&args.against)?, &replay);
        let diff = Diff::new(&healthy.trace, &repeated.trace);
        ui.text(&format!("{diff}\n{}", end(&replay, &repeated)))?;
        return Ok(Exit::Lab(exit));
    }
    if let Some(other) = &args.diff_with {
        let (of_other, its_adapter) = load::replay(other, None)?;
        let beside = once::judge(&its_adapter, &of_other);
        let names = [other, &args.file].map(|path| path.display().to_string());
        let diff = Diff::named(names, &beside.trace, &repeated.trace);
        ui.text(&format!("{diff}\n{}", end(&replay, &repeated)))?;
        return Ok(Exit::Lab(exit));
    }
    if args.step && step::can() {
        ui.text(&format!("{}\n", once::about(&replay)))?;
        step::through(&repeated, ui)?;
    } else {
        let events = show::events(&repeated.trace, args.only_flow);
        ui.text(&format!("{}\n{events}\n", once::about(&replay)))?;
    }
    ui.text(&end(&replay, &repeated))?;
    Ok(Exit::Lab(exit))
}

/// Whether the rule is broken that the run was kept for.
fn is_again(replay: &Replay, repeated: &Repeated) -> bool {
    let Some(rule) = &replay.expected.rule else { return true };
    repeated.findings.iter().any(|finding| finding.rule == rule)
}

/// What was broken, and whether it is the run that was kept.
fn end(replay: &Replay, repeated: &Repeated) -> String {
    let mut said = once::verdict(repeated);
    let mended = replay.expected.rule.as_ref().filter(|_| !is_again(replay, repeated));
    said.push_str(&match mended {
        Some(rule) => format!("{}\n", paint(GOOD, &format!("{rule} is broken no more"))),
        None if replay.is_repeated_by(&repeated.trace) => {
            format!("{}\n", paint(GOOD, "the same run as was kept, to the last event"))
        }
        None => format!(
            "{} the adapters or the lab have changed, or it is not decided by its choices\n",
            paint(WARN, "another run than was kept:")
        ),
    });
    said
}

/// The adapters as an expression of Rust.
fn expression(name: &str) -> String {
    if let Some(at) = HEALTHY.iter().position(|healthy| healthy.name == name) {
        return format!("(becket_lab::adapters::HEALTHY[{at}].make)(limits)");
    }
    match saboteur::of_name(name) {
        Some(known) => {
            format!("(becket_lab::saboteur::of_name({:?}).unwrap().make)(limits)", known.name)
        }
        None => "my_adapters(limits)".to_owned(),
    }
}
