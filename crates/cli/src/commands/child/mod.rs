// SPDX-License-Identifier: BSD-3-Clause
//! This command again as a child process, in which a plugin is called, and the pipe by which it
//! reports to its parent.
//!
//! ```text
//!   becket … ──spawns──▶ becket … --in-process
//!      ▲                     │ the same stdin, stdout, stderr, terminal
//!      └─── a line each ─────┘ the report pipe: a plugin cannot write to it
//! ```
//!
//! A child is killed if it has reported its last line and does not end, if it reports nothing for
//! longer than its limit (where it has one), and at a second signal.

mod pipe;

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child as Process, Command, ExitStatus};
use std::time::Duration;

use becket_chan::timer;
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::oneshot;

pub(super) use self::pipe::ReportPipe;
use self::pipe::ReportReader;
use super::runtime;
use crate::exit::Exit;
use crate::failure::Failure;

/// The child process, in its parent.
#[derive(Debug)]
pub(super) struct Child {
    process: Process,
    ours: UnixStream,
    /// What the command ends with if the process cannot run.
    lost: Exit,
}

/// How a parent waits for the end of its child.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    /// True for the last line that a child reports.
    pub(super) is_last: fn(&str) -> bool,
    /// How long the child may take to end after that line: a thread may be stuck in the plugin.
    pub(super) end: Duration,
    /// How long it may report nothing.
    pub(super) idle: Option<Duration>,
    /// Signals that ask this process to end are forwarded, in place of ending it.
    pub(super) forwards_signals: bool,
}

/// A child that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// The lines that it reported.
    pub(super) lines: Vec<String>,
    pub(super) why: Why,
}

/// Why a child has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// By itself, or after its last line.
    Itself,
    /// It reported nothing for too long.
    Idle,
    /// A signal asked it to.
    Asked,
}

impl Child {
    /// Starts this command again, with additional options.
    pub(super) fn start(options: &[&str], lost: Exit) -> Result<Self, Failure> {
        let started = || {
            let (ours, theirs) = pipe::pair()?;
            let process = this_command(options)?.stdin(theirs).spawn()?;
            Ok(Self { process, ours, lost })
        };
        started().map_err(|error| cannot_run(lost, &error))
    }

    #[cfg(feature = "lab")]
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for its end.
    pub(super) fn wait(self, wait: Wait) -> Result<Ended, Failure> {
        runtime::run_one(self.watched(wait))
    }

    async fn watched(self, wait: Wait) -> Result<Ended, Failure> {
        let Self { mut process, ours, lost } = self;
        let lost = |error: io::Error| cannot_run(lost, &error);
        let id = Pid::from_child(&process);
        let send = |signal| {
            // An error means that it has ended by itself, which the loop sees next.
            let _ended = kill_process(id, signal);
        };
        let mut reader = ReportReader::new(ours).map_err(lost)?;
        let (sender, mut ended) = oneshot::channel();
        std::thread::spawn(move || sender.send(process.wait()));
        let mut signals = match wait.forwards_signals {
            true => Some((
                unix::signal(SignalKind::interrupt())?,
                unix::signal(SignalKind::terminate())?,
            )),
            false => None,
        };
        let (mut why, mut is_done) = (Why::Itself, false);
        let status = loop {
            let end = if why == Why::Asked { Duration::ZERO } else { wait.end };
            let idle = wait.idle.filter(|_| !is_done && why == Why::Itself);
            let asked = async {
                let Some((interrupts, ends)) = &mut signals else {
                    return std::future::pending().await;
                };
                tokio::select! {
                    _ = interrupts.recv() => {}
                    _ = ends.recv() => {}
                }
            };
            tokio::select! {
                status = &mut ended => {
                    let status = status.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
                    break status.map_err(lost)?;
                }
                () = reader.receive(), if !is_done => {
                    is_done = reader.lines().last().is_some_and(|line| (wait.is_last)(line));
                }
                () = timer::sleep(end), if is_done => send(Signal::KILL),
                () = timer::sleep(idle.unwrap_or_default()), if idle.is_some() => {
                    send(Signal::KILL);
                    why = Why::Idle;
                }
                () = asked => {
                    send(if why == Why::Asked { Signal::KILL } else { Signal::TERM });
                    why = Why::Asked;
                }
            }
        };
        Ok(Ended { status, lines: reader.rest().map_err(lost)?, why })
    }
}

/// This command again, with additional options.
fn this_command(options: &[&str]) -> io::Result<Command> {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    // Arguments after `--` are not options.
    let place = arguments.iter().position(|it| it == "--").unwrap_or(arguments.len());
    arguments.splice(place..place, options.iter().map(OsString::from));
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments);
    Ok(command)
}

/// The process could not be started, or waiting for it failed.
fn cannot_run(exit: Exit, error: &io::Error) -> Failure {
    Failure::new(exit, "the process to call the plugin in cannot run").cause(error.to_string())
}

/// How the plugin ended the process.
pub(super) fn how(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => signal_name(signal)
            .map_or_else(|| format!("signal {signal}"), |name| format!("signal {signal}, {name}")),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "no exit code".to_owned(),
    }
}

/// The signals that a fault in a plugin leads to.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::process::Stdio;

    use super::*;

    /// Runs a script with the socket as its stdin, and waits for its end.
    fn watch(script: &str) -> Ended {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
        let process = command.spawn().unwrap();
        drop(command);
        let wait = Wait {
            is_last: |line| line.starts_with("done "),
            end: Duration::from_millis(1),
            idle: script.contains("idle").then_some(Duration::from_millis(20)),
            forwards_signals: true,
        };
        Child { process, ours, lost: Exit::Failure }.wait(wait).unwrap()
    }

    #[test]
    fn lines_are_read_to_the_end_although_a_grandchild_has_the_socket() {
        let ended = watch("echo one >&0; printf 'two\ndo' >&0; printf 'ne 5\n' >&0; exit 3");
        assert_eq!(ended.lines, ["one", "two", "done 5"]);
        // An incomplete line does not count.
        let ended = watch("echo one >&0; printf 'done 0' >&0; kill -9 $$");
        assert_eq!((ended.lines, ended.status.code()), (vec!["one".to_owned()], None));
    }

    #[test]
    fn a_process_that_is_done_and_does_not_end_is_killed() {
        let ended = watch("echo done 0 >&0; exec sleep 1000");
        assert_eq!(ended.lines, ["done 0"]);
        assert_eq!((ended.status.code(), ended.why), (None, Why::Itself));
    }

    #[test]
    fn a_process_that_reports_nothing_for_too_long_is_killed() {
        let ended = watch("echo idle >&0; exec sleep 1000");
        assert_eq!(ended.lines, ["idle"]);
        assert_eq!((ended.status.code(), ended.why), (None, Why::Idle));
    }
}
