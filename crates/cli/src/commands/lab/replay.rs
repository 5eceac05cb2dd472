// SPDX-License-Identifier: BSD-3-Clause
//! `becket lab replay FILE`: a run from its file: shown, compared, turned into a test.

use std::path::{Path, PathBuf};

use becket_lab::adapters::HEALTHY;
use becket_lab::check::{Repeated, is_broken_again};
use becket_lab::mutant;
use becket_lab::replay::{Diff, Replay, as_test};
use becket_lab::rules::Exit as LabExit;

use super::adapter::{Adapter, DEFAULT, is_plugin};
use super::watch::{Board, listen};
use super::{load, once, show, step};
use crate::commands::supervised::Process;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{GOOD, Ui, WARN, paint};

/// Repeat a run from its file, event by event
///
/// The file holds all inputs of the run and every choice in it, so it repeats the run even after
/// seeds and scenarios have changed. Exits with 0 if the rule that it was kept for is broken again,
/// with 1 if it is not, and with 5 if the run differs each time.
#[derive(Debug, clap::Args)]
#[command(after_long_help = crate::exit::lab_table())]
pub(crate) struct Args {
    /// The file, which `becket check`, `lab run --save` or `lab shrink` has written; `-` is stdin
    file: PathBuf,
    /// Show one event after the other: Enter the next, n the next of the same flow, q ends it
    #[arg(long, conflicts_with_all = ["diff", "as_test", "json"])]
    step: bool,
    /// Show it beside the same run with healthy adapters
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
    /// Use these adapters instead of those in the file
    #[arg(long, short, value_name = "NAME")]
    adapter: Option<String>,
    /// Show the events of this flow alone
    #[arg(long, value_name = "N")]
    only_flow: Option<u32>,
    #[command(flatten)]
    process: Process,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let (process, ours) = (args.process, *ui);
    let has_plugin = load::may_be_of_a_plugin(&args.file, args.adapter.as_deref())
        || args.diff && is_plugin(&args.against)
        || args.diff_with.as_ref().is_some_and(|other| load::may_be_of_a_plugin(other, None));
    // Ctrl-C must also end the process of a foreign adapter.
    process.run(has_plugin, &[], ui, || listen(move |board| one(&args, &ours, board)))
}

fn one(args: &Args, ui: &Ui, board: &Board) -> Result<Exit, Failure> {
    let (replay, adapter) = loaded(&args.file, args.adapter.as_deref(), args.process, board)?;
    if args.as_test {
        ui.text(&as_test(&replay, &expression(&adapter.name)))?;
        return Ok(Exit::Ok);
    }
    show::has(&replay, args.only_flow)?;
    let repeated = once::judge(&adapter, &replay);
    board.begin("");
    once::note_mishaps(&adapter, ui);
    let exit = match is_broken_again(&replay, &repeated) {
        true => LabExit::Ok,
        false if repeated.is_nondeterministic() => LabExit::Nondeterministic,
        false => LabExit::Conformance,
    };
    if ui.json() {
        show::lines(&replay, &repeated, args.only_flow, exit, ui)?;
        return Ok(Exit::Lab(exit));
    }
    if args.diff {
        begin(&args.against, args.process, board);
        let healthy = once::judge(&Adapter::of_name(&args.against)?, &replay);
        board.begin("");
        let diff = Diff::new(&healthy.trace, &repeated.trace);
        ui.text(&format!("{diff}\n{}", end(&replay, &repeated)))?;
        return Ok(Exit::Lab(exit));
    }
    if let Some(other) = &args.diff_with {
        let (of_other, its_adapter) = loaded(other, None, args.process, board)?;
        let beside = once::judge(&its_adapter, &of_other);
        board.begin("");
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

/// Reads a replay and makes its adapters; from here on they are called.
fn loaded(
    file: &Path,
    adapter: Option<&str>,
    process: Process,
    board: &Board,
) -> Result<(Replay, Adapter), Failure> {
    let replay = load::replay(file)?;
    begin(adapter.unwrap_or(&replay.adapter), process, board);
    let adapter = load::adapter(&replay, adapter)?;
    Ok((replay, adapter))
}

/// Starts to watch calls of the adapters of this name.
fn begin(name: &str, process: Process, board: &Board) {
    board.begin_within(process.idle_timeout(name), &format!("repeating with {name}"));
}

/// The violations, and whether the run is the one that was kept.
fn end(replay: &Replay, repeated: &Repeated) -> String {
    let mut said = once::verdict(repeated);
    let mended = replay.expected.rule.as_ref().filter(|_| !is_broken_again(replay, repeated));
    said.push_str(&match mended {
        _ if repeated.is_nondeterministic() => format!(
            "{} it is not decided by its choices, and differs from one time to the next\n",
            paint(WARN, "another run each time:")
        ),
        Some(rule) => format!("{}\n", paint(GOOD, &format!("{rule} is no longer violated"))),
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
    match mutant::of_name(name) {
        Some(known) => {
            format!("(becket_lab::mutant::of_name({:?}).unwrap().make)(limits)", known.name)
        }
        None => "my_adapters(limits)".to_owned(),
    }
}
