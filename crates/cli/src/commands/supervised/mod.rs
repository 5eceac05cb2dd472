// SPDX-License-Identifier: BSD-3-Clause
//! A command that calls plugins, in a supervised child process.
//!
//! ```text
//!   becket … --adapter plugin:… ──spawns──▶ the same … --in-process
//!            ▲                                  │ the same stdin, stdout, stderr, terminal
//!            └───── lines; "done CODE" ─────────┘ through a separate socket
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

mod link;

use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use becket_chan::timer;
use becket_lab::rules::Exit as LabExit;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

pub(super) use self::link::ReportPipe;
use self::link::{ReportReader, spawn};
use super::lab::adapter::is_plugin;
use super::lab::files;
use super::{child_process, program, runtime};
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
        Failure::new(Exit::Lab(LabExit::Conformance), error).cause(child_process::how(self.status))
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
        let (child, ours) = spawn("--in-process").map_err(lost)?;
        let process = child.id();
        let end = END.min(Duration::from_millis(self.idle_timeout_ms));
        let ended = runtime::run_one(watched(child, ours, end));
        for place in places {
            files::sweep(place, process);
        }
        let Watched { status, lines, was_asked } = ended?;
        match lines.last().and_then(|line| exit_of(line)) {
            Some(exit) => Ok(Ended::With(exit)),
            None if was_asked => Err(Failure::new(Exit::Interrupted, "interrupted")),
            None => Ok(Ended::Early(Early { lines, status })),
        }
    }
}

/// The process could not be started, or waiting for it failed.
fn lost(error: io::Error) -> Failure {
    Failure::new(Exit::Lab(LabExit::Internal), "the process to call the plugin in cannot run")
        .cause(error.to_string())
}

/// A child that has ended, with its report.
struct Watched {
    status: ExitStatus,
    lines: Vec<String>,
    /// A signal asked it to end.
    was_asked: bool,
}

/// Waits for the end of the child. Signals to this process that ask it to end are forwarded.
async fn watched(mut child: Child, ours: UnixStream, end: Duration) -> Result<Watched, Failure> {
    let id = Pid::from_child(&child);
    let send = |signal| {
        // An error means that it has ended by itself, which the loop sees next.
        let _ended = kill_process(id, signal);
    };
    let mut reader = ReportReader::new(ours).map_err(lost)?;
    let (sender, mut ended) = oneshot::channel();
    std::thread::spawn(move || sender.send(child.wait()));
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut ends = signal(SignalKind::terminate())?;
    let mut was_asked = false;
    let mut is_done = false;
    let status = loop {
        // A thread that is stuck in the plugin may keep the child from ending.
        let end = if was_asked { Duration::ZERO } else { end };
        let asked = async {
            tokio::select! {
                _ = interrupts.recv() => {}
                _ = ends.recv() => {}
            }
        };
        tokio::select! {
            status = &mut ended => {
                break status.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())).map_err(lost)?;
            }
            () = reader.receive(), if !is_done => {
                is_done = reader.lines().last().is_some_and(|line| exit_of(line).is_some());
            }
            () = timer::sleep(end), if is_done => send(Signal::KILL),
            () = asked => {
                send(if was_asked { Signal::KILL } else { Signal::TERM });
                was_asked = true;
            }
        }
    };
    Ok(Watched { status, lines: reader.rest().map_err(lost)?, was_asked })
}

/// The exit in this line, if it is the last line of a child that is done.
fn exit_of(line: &str) -> Option<Exit> {
    let code = line.strip_prefix(DONE)?.parse::<u8>().ok()?;
    LAB.map(Exit::Lab).into_iter().chain(Exit::ALL).find(|exit| exit.code() == code)
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    use super::*;

    /// Runs a script with the socket as its stdin, and waits for its end.
    fn watch(script: &str) -> Watched {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        drop(command);
        runtime::run_one(watched(child, ours, Duration::from_millis(1))).unwrap()
    }

    #[test]
    fn lines_are_read_to_the_end_although_a_grandchild_has_the_socket() {
        let ended = watch("echo one >&0; printf 'two\ndo' >&0; printf 'ne 5\n' >&0; exit 3");
        assert_eq!(ended.lines, ["one", "two", "done 5"]);
        assert_eq!(ended.lines.last().and_then(|it| exit_of(it)).unwrap().code(), 5);
        // An incomplete line does not count.
        let ended = watch("echo one >&0; printf 'done 0' >&0; kill -9 $$");
        assert_eq!((ended.lines, ended.status.code()), (vec!["one".to_owned()], None));
    }

    #[test]
    fn a_process_that_is_done_and_does_not_end_is_killed() {
        let ended = watch("echo done 0 >&0; exec sleep 1000");
        assert_eq!(ended.lines, ["done 0"]);
        assert_eq!((ended.status.code(), ended.was_asked), (None, false));
    }
}
