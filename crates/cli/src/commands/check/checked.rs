// SPDX-License-Identifier: BSD-3-Clause
//! Checks, one adapter after the other.
//!
//! ```text
//!   a thread of its own: check, check, …        the first thread
//!     progress ───────────────────────────────► a line on the terminal
//!     a run failed: its replay ─► DIR/          Ctrl-C: done, files are whole
//!     fresh_process ─► becket lab fresh-process …       a fresh process: the same hashes?
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use becket_lab::check::{self, Artefact, Expectations, Options, Progress};
use becket_lab::report::{Report, Timing};

use super::common::{Effort, Required};
use super::local_adapter::Calls;
use crate::commands::lab::adapter::Adapter;
use crate::commands::lab::files::Output;
use crate::commands::lab::watch::{Board, watch};
use crate::failure::Failure;
use crate::ui::{DIM, Ui, paint};

/// The settings that all checked adapters share.
pub(super) struct Plan {
    pub(super) effort: Effort,
    pub(super) required: Required,
    pub(super) calls: Calls,
    pub(super) expected: Option<Expectations>,
    /// Where replays of failed runs are kept.
    pub(super) artefacts: PathBuf,
    /// Reports have durations.
    pub(super) has_timing: bool,
}

/// Checks them all, by their names. `None`: it was interrupted.
pub(super) fn all(plan: Plan, names: Vec<String>, ui: &Ui) -> Result<Option<Vec<Report>>, Failure> {
    let board = Arc::<Board>::default();
    let (shown, writes) = (Arc::clone(&board), *ui);
    let work = move || {
        let found = names.iter().enumerate().map(|(number, name)| {
            plan.calls.reporter.at(number);
            shown.begin_within(plan.calls.process.idle_timeout(name), &format!("loading {name}"));
            Adapter::of_name(name)
        });
        let adapters: Vec<Adapter> = found.collect::<Result<_, _>>()?;
        let all = adapters.iter().enumerate().map(|(number, one)| {
            plan.calls.reporter.at(number);
            checked(&plan, one, &shown, &writes)
        });
        Ok(all.collect())
    };
    watch(ui, &board, work)?.transpose()
}

fn checked(plan: &Plan, adapter: &Adapter, board: &Board, ui: &Ui) -> Report {
    let name = &adapter.name;
    board.begin_within(plan.calls.process.idle_timeout(name), &format!("checking {name}"));
    let progress = |progress: Progress| {
        let seed = progress.seed.map(|seed| format!(", seed {seed}")).unwrap_or_default();
        let what = format!("{}{seed}", progress.what);
        board.step(progress.done as u64, progress.total as u64, &what);
    };
    let keep = |artefact: &Artefact<'_>| {
        let path = plan.artefacts.join(kept_name(&adapter.name, artefact.name));
        match write(&path, &artefact.replay.to_text(), ui) {
            Ok(()) => {
                plan.calls.reporter.kept(&path.display().to_string());
                board.note(paint(DIM, &format!("kept {}", path.display())));
            }
            Err(failure) => board.note(format!("{failure}: {}", failure.why().unwrap_or_default())),
        }
    };
    let fresh_process = || match in_a_fresh_process(&plan.effort, adapter) {
        Ok(said) => Some(said),
        Err(why) => {
            board.note(format!("no fresh process can be asked: {why}"));
            None
        }
    };
    let require: Vec<&str> = plan.required.names.iter().map(String::as_str).collect();
    let begun = Instant::now();
    let options = Options {
        require: &require,
        progress: Some(&progress),
        expect: plan.expected.as_ref(),
        artefacts: Some(&keep),
        fresh_process: Some(&fresh_process),
        ..plan.effort.options(adapter)
    };
    let mut report = check::run(&options);
    if let Some(mishaps) = adapter.mishaps() {
        board.note(format!("{}:\n{mishaps}", report.adapter));
    }
    report.timing = plan.has_timing.then(|| {
        let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Timing { elapsed_ms }
    });
    for failure in &mut report.failures {
        let kept =
            failure.replay.take().map(|name| plan.artefacts.join(kept_name(&adapter.name, &name)));
        failure.replay = kept.filter(|path| path.is_file()).map(|path| path.display().to_string());
    }
    report
}

/// The name of a file: letters, digits and a few marks.
fn kept_name(adapter: &str, name: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
    let adapter: String =
        adapter.chars().map(|char| if is_plain(char) { char } else { '_' }).take(64).collect();
    format!("{adapter}-{name}")
}

fn write(path: &Path, text: &str, ui: &Ui) -> Result<(), Failure> {
    if let Some(dir) = path.parent() {
        let made = fs::create_dir_all(dir);
        made.map_err(|error| Failure::file("written", path, &error))?;
    }
    Output::open(path)?.write(text, ui)
}

/// The hashes of the same check in a fresh process, by `becket lab fresh-process`.
fn in_a_fresh_process(effort: &Effort, adapter: &Adapter) -> Result<String, String> {
    let mut arguments = vec!["--adapter".to_owned(), adapter.name.clone()];
    arguments.extend(effort.arguments());
    ask_fresh_process(&arguments)
}

/// The output of `becket lab fresh-process` with these arguments.
pub(in crate::commands) fn ask_fresh_process(arguments: &[String]) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(program)
        .args(["lab", "fresh-process"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or_default();
        return Err(format!("{}: {said}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::kept_name;

    #[test]
    fn names_of_files_have_nothing_in_them_that_leads_elsewhere() {
        assert_eq!(
            kept_name("ring", "INT-05-slow_drip-1.replay"),
            "ring-INT-05-slow_drip-1.replay"
        );
        let kept = kept_name("exec:../../bin/sh -c 'x'", "a.replay");
        assert!(!kept.contains('/') && !kept.contains('\''), "{kept}");
        assert!(kept_name(&"n".repeat(500), "a").len() < 100);
    }
}
