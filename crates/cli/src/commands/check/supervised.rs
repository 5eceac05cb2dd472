// SPDX-License-Identifier: BSD-3-Clause
//! A check of plugins, in a process that somebody waits for.
//!
//! ```text
//!   becket check local-adapter … ──spawns──▶ the same … --in-process
//!            ▲                                   │ the same stdout, stderr, terminal
//!            └─────────── "done CODE" ───────────┘ through its stdin, which has no other use
//! ```
//!
//! A plugin carries flows in the process that checks it, at the speed of a call. One that ends that
//! process ends the check, and says by its exit code whatever it likes: what counts is that the check
//! said by itself that it is done. There is no report then: what was seen until there is gone with the
//! process, but for the replays, which are files by then.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus};
use std::thread;

use becket_lab::rules::Exit as LabExit;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::common::Outputs;
use crate::commands::{apart, program, runtime};
use crate::exit::{Exit, LAB};
use crate::failure::Failure;

/// What the process says when it is done, before its exit code.
const DONE: &str = "done ";
/// Bytes of that, with the longest code.
const SAID_BYTES_MAX: u64 = 8;

/// In the process: does the check, and says that it is done.
pub(super) fn work(check: impl FnOnce() -> Result<Exit, Failure>) -> Result<Exit, Failure> {
    // Nobody waits for it any more: it is interrupted.
    let _refused = set_parent_process_death_signal(Some(Signal::TERM));
    let outcome = check();
    let exit = outcome.as_ref().map_or_else(Failure::exit, |exit| *exit);
    let said = io::stdin().as_fd().try_clone_to_owned().and_then(|stdin| {
        UnixStream::from(stdin).write_all(format!("{DONE}{}", exit.code()).as_bytes())
    });
    // Whoever waited has gone: then nobody misses it.
    drop(said);
    outcome
}

/// Starts this command once more, and ends with what it ends with.
pub(super) fn run(outputs: &Outputs) -> Result<Exit, Failure> {
    let lost = |error: io::Error| {
        Failure::new(Exit::Lab(LabExit::Internal), "the process to check the plugin in cannot run")
            .cause(error.to_string())
    };
    let again = program();
    let program = std::env::current_exe().map_err(lost)?;
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (ours, theirs) = UnixStream::pair().map_err(lost)?;
    let spawned = Command::new(program)
        .args(arguments)
        .arg("--in-process")
        .stdin(OwnedFd::from(theirs))
        .spawn();
    let child = spawned.map_err(lost)?;
    let id = child.id();
    let status = runtime::run_one(waited(child)).and_then(|status| status.map_err(lost))?;
    if let Some(exit) = said(ours).map_err(lost)? {
        return Ok(exit);
    }
    outputs.sweep(id);
    let error = "the plugin ended the process that it was checked in";
    Err(Failure::new(Exit::Lab(LabExit::Conformance), error)
        .cause(format!("{}; there is no report", apart::how(status)))
        .hint(format!("`{again} check plugin` tries rule after rule, and goes on behind it")))
}

/// Waits for its end. Who asks this process to end asks that one.
async fn waited(mut child: Child) -> Result<io::Result<ExitStatus>, Failure> {
    let id = Pid::from_child(&child);
    let (sender, mut ended) = oneshot::channel();
    thread::spawn(move || sender.send(child.wait()));
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut ends = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            status = &mut ended => {
                return Ok(status.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())));
            }
            _ = interrupts.recv() => {}
            _ = ends.recv() => {}
        }
        // It has ended by itself: that is heard next.
        let _ended = kill_process(id, Signal::TERM);
    }
}

/// What it ended with, if it said so.
fn said(ours: UnixStream) -> io::Result<Option<Exit>> {
    // It has ended; what it has started may live, and keep its stdin open.
    ours.set_nonblocking(true)?;
    let mut text = String::new();
    match ours.take(SAID_BYTES_MAX).read_to_string(&mut text) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
        _ => {}
    }
    let code = text.strip_prefix(DONE).and_then(|code| code.parse::<u8>().ok());
    let known =
        |code: &u8| LAB.map(Exit::Lab).into_iter().chain(Exit::ALL).find(|it| it.code() == *code);
    Ok(code.as_ref().and_then(known))
}
