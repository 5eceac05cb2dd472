// SPDX-License-Identifier: BSD-3-Clause
//! A command that calls plugins, in a process that somebody waits for.
//!
//! ```text
//!   becket … --adapter plugin:… ──spawns──▶ the same … --in-process
//!            ▲                                  │ the same stdin, stdout, stderr, terminal
//!            └───── lines; "done CODE" ─────────┘ through a socket of their own
//! ```
//!
//! A plugin carries flows in the process that runs it, at the speed of a call. One that ends that
//! process ends the command, and says by its exit code whatever it likes: what counts is that the
//! command said by itself that it is done. What it had seen until there is gone with the process, but
//! for what it has told.
//!
//! One that does not come back from a call is found by the process itself, which looks whether
//! anything moves: see [`watch`](super::lab::watch). Whoever is done and does not end is killed, and so
//! is whoever is asked to end a second time.

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

pub(super) use self::link::Voice;
use self::link::{Ear, spawn};
use super::lab::adapter::is_plugin;
use super::lab::files;
use super::{apart, program, runtime};
use crate::exit::{Exit, LAB};
use crate::failure::Failure;
use crate::ui::Ui;

/// What the process says when it is done, before its exit code.
const DONE: &str = "done ";
/// So long it may take to end when it is done: what the plugin does at the end is not waited for.
const END: Duration = Duration::from_secs(10);

/// Where plugins are called, and how long one call may take.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(super) struct Process {
    /// Call plugins in this process, for one that waits for it
    #[arg(long, hide = true)]
    in_process: bool,
    /// So long nothing may happen in a plugin. A fresh process that does all runs of a full check once
    /// more says nothing before its end
    #[arg(long, value_name = "N", hide = true, default_value_t = 300_000)]
    idle_timeout_ms: u64,
}

/// How it ended.
pub(super) enum Ended {
    /// It was done.
    With(Exit),
    /// The plugin ended it.
    Early(Early),
}

/// What is left of a process that was ended before it was done.
pub(super) struct Early {
    /// What it had told, line by line.
    pub(super) told: Vec<String>,
    status: ExitStatus,
}

impl Early {
    /// The same for people, of a plugin.
    pub(super) fn failure(&self) -> Failure {
        let goes_on =
            format!("`{} check plugin` tries rule after rule, and goes on behind it", program());
        self.failure_of("the plugin").hint(goes_on)
    }

    /// The same of an adapter that comes with the lab.
    pub(super) fn failure_of_ours(&self) -> Failure {
        let hint = "a panic that another panic meets ends a process: stderr has both";
        self.failure_of("the adapter").hint(hint)
    }

    fn failure_of(&self, what: &str) -> Failure {
        let error = format!("{what} ended the process that it ran in");
        Failure::new(Exit::Lab(LabExit::Conformance), error).cause(apart::how(self.status))
    }
}

impl Process {
    /// How long nothing may happen while this adapter is called: as long as it takes, unless it is a
    /// plugin.
    pub(super) fn idle_timeout(self, adapter: &str) -> Option<Duration> {
        is_plugin(adapter).then(|| Duration::from_millis(self.idle_timeout_ms))
    }

    /// Does the work: in a process of its own, if it has to do with a plugin. At `places` files may be
    /// written: what is left there of those that were only begun is removed.
    pub(super) fn run(
        self,
        has_plugin: bool,
        places: &[PathBuf],
        ui: &Ui,
        work: impl FnOnce() -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        match self.run_telling(has_plugin, places, ui, |_| work())? {
            Ended::With(exit) => Ok(exit),
            Ended::Early(early) => Err(early.failure()),
        }
    }

    /// The same, for work that tells something meanwhile.
    pub(super) fn run_telling(
        self,
        has_plugin: bool,
        places: &[PathBuf],
        ui: &Ui,
        work: impl FnOnce(Voice) -> Result<Exit, Failure>,
    ) -> Result<Ended, Failure> {
        if !self.in_process {
            return match has_plugin {
                true => self.waited(places),
                false => work(Voice::default()).map(Ended::With),
            };
        }
        // Nobody waits for it any more: it is interrupted.
        let _refused = set_parent_process_death_signal(Some(Signal::TERM));
        let voice = Voice::claim();
        // What it failed with is told before it is done: behind that it may be killed.
        let exit = work(voice.clone()).unwrap_or_else(|failure| {
            ui.failure(&failure);
            failure.exit()
        });
        voice.say(&format!("{DONE}{}", exit.code()));
        Ok(Ended::With(exit))
    }

    /// Starts this command once more, and ends with what it ends with.
    fn waited(self, places: &[PathBuf]) -> Result<Ended, Failure> {
        let (child, ours) = spawn("--in-process").map_err(lost)?;
        let process = child.id();
        let end = END.min(Duration::from_millis(self.idle_timeout_ms));
        let ended = runtime::run_one(watched(child, ours, end));
        for place in places {
            files::sweep(place, process);
        }
        let Watched { status, told, was_asked } = ended?;
        match told.last().and_then(|line| exit_of(line)) {
            Some(exit) => Ok(Ended::With(exit)),
            None if was_asked => Err(Failure::new(Exit::Interrupted, "interrupted")),
            None => Ok(Ended::Early(Early { told, status })),
        }
    }
}

/// The process could not be had, or not be waited for.
fn lost(error: io::Error) -> Failure {
    Failure::new(Exit::Lab(LabExit::Internal), "the process to call the plugin in cannot run")
        .cause(error.to_string())
}

/// What was heard of a process until its end.
struct Watched {
    status: ExitStatus,
    told: Vec<String>,
    /// Somebody wanted it to end.
    was_asked: bool,
}

/// Waits for its end. Who asks this process to end asks that one.
async fn watched(mut child: Child, ours: UnixStream, end: Duration) -> Result<Watched, Failure> {
    let id = Pid::from_child(&child);
    let send = |signal| {
        // It may have ended by itself: that is heard next.
        let _ended = kill_process(id, signal);
    };
    let mut ear = Ear::new(ours).map_err(lost)?;
    let (sender, mut ended) = oneshot::channel();
    std::thread::spawn(move || sender.send(child.wait()));
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut ends = signal(SignalKind::terminate())?;
    let mut was_asked = false;
    let mut is_done = false;
    let status = loop {
        // A thread that is stuck in the plugin may keep it from ending.
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
            () = ear.hear(), if !is_done => {
                is_done = ear.told().last().is_some_and(|line| exit_of(line).is_some());
            }
            () = timer::sleep(end), if is_done => send(Signal::KILL),
            () = asked => {
                send(if was_asked { Signal::KILL } else { Signal::TERM });
                was_asked = true;
            }
        }
    };
    Ok(Watched { status, told: ear.rest().map_err(lost)?, was_asked })
}

/// What it ended with, if this line says that it is done.
fn exit_of(line: &str) -> Option<Exit> {
    let code = line.strip_prefix(DONE)?.parse::<u8>().ok()?;
    LAB.map(Exit::Lab).into_iter().chain(Exit::ALL).find(|exit| exit.code() == code)
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    use super::*;

    /// A process that does this, with the socket as its stdin, and what is heard of it.
    fn heard(script: &str) -> Watched {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        drop(command);
        runtime::run_one(watched(child, ours, Duration::from_millis(1))).unwrap()
    }

    #[test]
    fn what_is_told_is_heard_to_its_end_whoever_has_the_socket_then() {
        let ended = heard("echo one >&0; printf 'two\ndo' >&0; printf 'ne 5\n' >&0; exit 3");
        assert_eq!(ended.told, ["one", "two", "done 5"]);
        assert_eq!(ended.told.last().and_then(|it| exit_of(it)).unwrap().code(), 5);
        // A line without its end was not told.
        let ended = heard("echo one >&0; printf 'done 0' >&0; kill -9 $$");
        assert_eq!((ended.told, ended.status.code()), (vec!["one".to_owned()], None));
    }

    #[test]
    fn whoever_is_done_and_does_not_end_is_killed() {
        let ended = heard("echo done 0 >&0; exec sleep 1000");
        assert_eq!(ended.told, ["done 0"]);
        assert_eq!((ended.status.code(), ended.was_asked), (None, false));
    }
}
