// SPDX-License-Identifier: BSD-3-Clause
//! A command that calls plugins, in a supervised child process.
//!
//! ```text
//!   becket … --adapter plugin:… ──spawns──▶ the same … --in-process
//!            ▲                                  │ the same stdin, stdout, stderr, terminal
//!            └───── lines; "done CODE" ─────────┘ the report pipe
//! ```
//!
//! A plugin carries flows in the process that makes the check, so a flow costs no more than calls.
//! A plugin that ends the process can choose any exit code. So the exit code does not count, only
//! the line "done CODE" that the command itself writes. Everything else that the process knew is
//! lost with it, except for the lines that it has reported.
//!
//! A plugin that does not return from a call is detected inside the child, which watches its own
//! progress: see [`watch`](super::lab::watch). A child that is done and does not end is killed, and
//! so is a child that gets a second signal.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use becket_lab::rules::Exit as LabExit;
use rustix::process::{Signal, set_parent_process_death_signal};

use super::child::{self, Child, ReportPipe, Wait, Why};
use super::lab::adapter::is_plugin;
use super::lab::files;
use super::program;
use crate::exit::{Exit, LAB};
use crate::failure::Failure;
use crate::ui::Ui;

/// Precedes the exit code in the last line of the child.
const DONE: &str = "done ";
/// How long the child may take to end when it is done: the plugin's work at the end is not awaited.
const END: Duration = Duration::from_secs(10);

/// Where plugins are called, and how long one call may take.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(super) struct Process {
    /// Call plugins in this process, for one that waits for it
    #[arg(long, hide = true)]
    in_process: bool,
    /// How long a plugin may make no progress. A fresh process that repeats all runs of a full
    /// check reports nothing before its end
    #[arg(long, value_name = "N", hide = true, default_value_t = 300_000)]
    idle_timeout_ms: u64,
}

/// How the command ended.
pub(super) enum Ended {
    /// It completed.
    With(Exit),
    /// The plugin ended it.
    Early(Early),
}

/// A child that was ended before it was done.
pub(super) struct Early {
    /// The lines that it had reported.
    pub(super) lines: Vec<String>,
    status: ExitStatus,
}

impl Early {
    /// The failure of a plugin that ended the process.
    pub(super) fn failure(&self) -> Failure {
        let goes_on =
            format!("`{} check plugin` tries rule after rule, and goes on behind it", program());
        self.failure_of("the plugin").hint(goes_on)
    }

    /// The failure of an adapter of the lab that ended the process.
    pub(super) fn failure_of_ours(&self) -> Failure {
        let hint = "a panic that another panic meets ends a process: stderr has both";
        self.failure_of("the adapter").hint(hint)
    }

    fn failure_of(&self, what: &str) -> Failure {
        let error = format!("{what} ended the process that it ran in");
        Failure::new(Exit::Lab(LabExit::Conformance), error).cause(child::how(self.status))
    }
}

impl Process {
    /// How long this adapter may make no progress; without a limit unless it is a plugin.
    pub(super) fn idle_timeout(self, adapter: &str) -> Option<Duration> {
        is_plugin(adapter).then(|| Duration::from_millis(self.idle_timeout_ms))
    }

    /// Does the work: in a child process, if it calls a plugin. Temporary files for `places` that
    /// an ended child has left are removed.
    pub(super) fn run(
        self,
        has_plugin: bool,
        places: &[PathBuf],
        ui: &Ui,
        work: impl FnOnce() -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        match self.run_reporting(has_plugin, places, ui, |_| work())? {
            Ended::With(exit) => Ok(exit),
            Ended::Early(early) => Err(early.failure()),
        }
    }

    /// The same, for work that reports progress.
    pub(super) fn run_reporting(
        self,
        has_plugin: bool,
        places: &[PathBuf],
        ui: &Ui,
        work: impl FnOnce(ReportPipe) -> Result<Exit, Failure>,
    ) -> Result<Ended, Failure> {
        if !self.in_process {
            return match has_plugin {
                true => self.waited(places),
                false => work(ReportPipe::default()).map(Ended::With),
            };
        }
        // When the parent has ended, this process is interrupted.
        let _refused = set_parent_process_death_signal(Some(Signal::TERM));
        let pipe = ReportPipe::claim();
        // The failure is printed before the last line: after that line the process may be killed.
        let exit = work(pipe.clone()).unwrap_or_else(|failure| {
            ui.failure(&failure);
            failure.exit()
        });
        pipe.send(&format!("{DONE}{}", exit.code()));
        Ok(Ended::With(exit))
    }

    /// Starts this command again as a child, and returns its exit.
    fn waited(self, places: &[PathBuf]) -> Result<Ended, Failure> {
        let child = Child::start(&["--in-process"], Exit::Lab(LabExit::Internal))?;
        let process = child.id();
        let ended = child.wait(Wait {
            is_last: |line| exit_of(line).is_some(),
            end: END.min(Duration::from_millis(self.idle_timeout_ms)),
            idle: None,
            forwards_signals: true,
        });
        for place in places {
            files::sweep(place, process);
        }
        let child::Ended { status, lines, why } = ended?;
        match lines.last().and_then(|line| exit_of(line)) {
            Some(exit) => Ok(Ended::With(exit)),
            None if why == Why::Asked => Err(Failure::new(Exit::Interrupted, "interrupted")),
            None => Ok(Ended::Early(Early { lines, status })),
        }
    }
}

/// The exit in this line, if it is the last line of a child that is done.
fn exit_of(line: &str) -> Option<Exit> {
    let code = line.strip_prefix(DONE)?.parse::<u8>().ok()?;
    LAB.map(Exit::Lab).into_iter().chain(Exit::ALL).find(|exit| exit.code() == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_has_the_exit_code_of_the_command() {
        let code = |line| exit_of(line).map(Exit::code);
        assert_eq!(code("done 5"), Some(5));
        assert_eq!((code("done 0"), code("done"), code("done 255")), (Some(0), None, None));
    }
}
