// SPDX-License-Identifier: BSD-3-Clause
//! `becket lab shrink FILE`: shrinks a failure.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use becket_lab::check::smaller;
use becket_lab::replay::Replay;
use becket_lab::rules::Exit as LabExit;
use becket_lab::shrink::{Progress, Shrunk};
use serde::Serialize;

use super::files::Output;
use super::watch::{Board, watch};
use super::{load, once, show};
use crate::commands::program;
use crate::commands::supervised::Process;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{DIM, GOOD, Ui, paint, text};

/// The default number of runs.
const TRIES: u32 = 1000;
/// Events of the shrunk run that are shown.
const SHOWN_MAX: usize = 60;

/// Shrink a failure: the same rule is broken in fewer events
///
/// Flows, chunks, faults and choices are removed as long as the rule is still broken. The result is
/// written as a replay.
#[derive(Debug, clap::Args)]
#[command(after_long_help = crate::exit::lab_table())]
pub(crate) struct Args {
    /// The replay of a run in which a rule is broken; `-` is stdin
    file: PathBuf,
    /// Where the result is written; `-` is stdout [default: beside the file, as NAME.small.replay]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How many runs it may take
    #[arg(long, value_name = "N", default_value_t = TRIES, value_parser = clap::value_parser!(u32).range(1..))]
    tries: u32,
    /// Use these adapters instead of those in the file
    #[arg(long, short, value_name = "NAME")]
    adapter: Option<String>,
    #[command(flatten)]
    process: Process,
}

/// The result, for programs.
#[derive(Debug, Serialize)]
struct Small {
    rule: Option<String>,
    events_before: usize,
    events: usize,
    flows: usize,
    bytes: u64,
    tries: u32,
    is_minimal: bool,
    file: String,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let has_plugin = load::may_be_of_a_plugin(&args.file, args.adapter.as_deref());
    let place = args.out.clone().unwrap_or_else(|| small(&args.file));
    let process = args.process;
    process.run(has_plugin, std::slice::from_ref(&place), ui, || made_small(args, &place, ui))
}

fn made_small(args: Args, place: &Path, ui: &Ui) -> Result<Exit, Failure> {
    let replay = load::replay(&args.file)?;
    let output = Output::open(place)?;
    let board = Arc::<Board>::default();
    let (shown, tries) = (Arc::clone(&board), args.tries);
    let named = args.adapter;
    let idle_timeout = args.process.idle_timeout(named.as_deref().unwrap_or(&replay.adapter));
    board.begin_within(idle_timeout, "shrinking");
    let work = move || -> Result<_, Failure> {
        let adapter = load::adapter(&replay, named.as_deref())?;
        let heard = |progress: &Progress| {
            let said = format!("{} events, {}", progress.size.events, progress.step);
            shown.step(progress.tries.into(), progress.tries_max.into(), &said);
        };
        let shrunk = smaller(adapter.make(), &replay, tries, heard);
        let shrunk = shrunk.map(|(small, shrunk)| {
            let repeated = once::judge(&adapter, &small);
            (small, shrunk, repeated)
        });
        Ok((adapter, replay, shrunk))
    };
    let Some(done) = watch(ui, &board, work)? else { return Ok(Exit::Interrupted) };
    let (adapter, replay, shrunk) = done?;
    once::note_mishaps(&adapter, ui);
    let Some((small, shrunk, repeated)) = shrunk else { return Err(nothing(&replay, &args.file)) };
    let is_stdout = output.is_stdout();
    output.write(&small.to_text(), ui)?;
    if !is_stdout {
        tell(&small, &shrunk, place, ui)?;
        if !ui.json() {
            if repeated.trace.events().len() <= SHOWN_MAX {
                ui.text(&show::events(&repeated.trace, None))?;
            }
            let again = text::shell_word(&place.display().to_string());
            let line = format!("{} lab replay {again} --diff", program());
            ui.text(&format!("{} {line}\n", paint(GOOD, "look:")))?;
        }
    }
    Ok(Exit::Ok)
}

/// The default path of the result: beside the file; stdout if the replay was read from stdin.
fn small(file: &Path) -> PathBuf {
    if file == Path::new("-") {
        return file.to_owned();
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".replay").unwrap_or(&name);
    file.with_file_name(format!("{stem}.small.replay"))
}

fn tell(small: &Replay, shrunk: &Shrunk, place: &Path, ui: &Ui) -> Result<(), Failure> {
    let said = Small {
        rule: small.expected.rule.clone(),
        events_before: shrunk.before.events,
        events: shrunk.size.events,
        flows: shrunk.size.flows,
        bytes: shrunk.size.bytes,
        tries: shrunk.tries,
        is_minimal: shrunk.is_minimal,
        file: place.display().to_string(),
    };
    if ui.json() {
        return ui.data(&said);
    }
    let more = if said.is_minimal { "nothing simpler fails" } else { "the tries were used up" };
    ui.text(&format!(
        "{}: {} became {} {}\n",
        said.file,
        text::plural(said.events_before as u64, "event"),
        text::count(said.events as u64),
        paint(
            DIM,
            &format!(
                "({}, {}, {}, {} after {}: {more})",
                said.rule.as_deref().unwrap_or("no rule"),
                text::plural(said.flows as u64, "flow"),
                text::plural(said.bytes, "byte"),
                if said.is_minimal { "done" } else { "ended" },
                text::plural(said.tries.into(), "run"),
            )
        ),
    ))
}

fn nothing(replay: &Replay, file: &Path) -> Failure {
    let (error, cause) = match &replay.expected.rule {
        Some(rule) => (
            format!("{rule} is not violated in {}", file.display()),
            "the run was made again, and the rule held",
        ),
        None => (
            format!("no rule is violated in {}", file.display()),
            "there is nothing to keep while it is shrunker",
        ),
    };
    Failure::new(Exit::Lab(LabExit::Inconclusive), error).cause(cause).hint(format!(
        "`{} lab replay {}` shows the run",
        program(),
        text::shell_word(&file.display().to_string())
    ))
}
