// SPDX-License-Identifier: BSD-3-Clause
//! The first thing that a worker does: it enters its sandbox, and may then become another program.
//!
//! ```text
//!   host                                    worker, one thread, nothing loaded
//!   spawn ─────────────────────────────────▶ closes inherited descriptors
//!   control group, then [`Setup`] ── socket ─▶ enters the sandbox
//!   [`Progress::Entered`] ◀──────── report pipe
//!                                            ├─ native: closes the pipe, starts the session, loads
//!                                            └─ `command`: executes it; that closes the pipe
//!   [`Progress::Failed`] ◀───────── report pipe, at each step that failed
//!   end of the pipe: the session begins
//! ```
//!
//! A worker that may start processes has a [`guard`] between the host and itself: the process that the host
//! started, which does none of this.
//!
//! The setup, the pipe, and of a native plugin its file and the pipe for a record of its crash
//! ([`becket_sandbox::crash`]) come over the socket of the session, before it: no other descriptor is inherited,
//! and a program that is executed finds the socket as if it was its first user.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use becket_ipc::session::StartError;
use becket_sandbox::{Measure, MeasureKind, Report, Sandbox, descriptors};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde::{Deserialize, Serialize};

use crate::guard;
use crate::protocol::Failed;
use crate::start::failed;

/// The longest setup.
pub(crate) const SETUP_BYTES_MAX: usize = 128 << 10;

/// What a host has a worker do before the session: JSON after its length, u32.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// The process that is to be the worker's parent.
    pub(crate) host: u32,
    pub(crate) sandbox: Sandbox,
    /// The program that the worker becomes, and its arguments.
    pub(crate) command: Option<Vec<OsString>>,
}

/// A line of the report pipe, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Progress {
    /// The worker's number, if it has a guard.
    Guarded(u32),
    Entered(Report),
    Failed(Failed),
}

/// Why a worker has ended early. Its host has the same by the report pipe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The host sent nothing that can be done.
    #[error("no setup came from the host")]
    Setup(#[source] io::Error),
    /// It cannot be the guard of a worker.
    #[error("a worker that may start processes cannot be guarded")]
    Guard(#[source] io::Error),
    /// The sandbox was not entered, or the program not executed.
    #[error("{0}: {1}")]
    NotStarted(String, String),
    /// There is no session.
    #[error(transparent)]
    Session(#[from] StartError),
}

/// What a worker got from its host.
pub(crate) struct Entered {
    /// The session's.
    pub(crate) socket: OwnedFd,
    /// The plugin's file, if it is a native plugin.
    pub(crate) image: Option<File>,
    /// Where a record of its crash goes, if it is one.
    pub(crate) crash: Option<OwnedFd>,
}

/// Enters the sandbox that the host asks for. Does not return if the process becomes another program, whose
/// descriptor 0 is the session's socket.
pub(crate) fn enter() -> Result<Entered, WorkerError> {
    let closed = descriptors::close_inherited();
    if let Some(host) = guard::host() {
        return Err(WorkerError::Guard(guard::run(host)));
    }
    let (setup, [pipe, image, crash]) = receive().map_err(WorkerError::Setup)?;
    let mut pipe = File::from(pipe.ok_or_else(no_pipe).map_err(WorkerError::Setup)?);
    if guard::guard().is_some() {
        let _ = send(&mut pipe, &Progress::Guarded(std::process::id()));
    }
    let stopped = match begin(&setup, closed) {
        Ok(report) => {
            // Without a reader the host is gone: the socket ends too.
            let _ = send(&mut pipe, &Progress::Entered(report));
            match setup.command {
                None => {
                    let socket = session_socket().map_err(WorkerError::Setup)?;
                    return Ok(Entered { socket, image: image.map(File::from), crash });
                }
                Some(command) => execute(&command),
            }
        }
        Err(failed) => failed,
    };
    let described = WorkerError::NotStarted(stopped.error.clone(), stopped.cause.clone());
    let _ = send(&mut pipe, &Progress::Failed(stopped));
    Err(described)
}

fn begin(setup: &Setup, closed: Result<(), becket_sandbox::Error>) -> Result<Report, Failed> {
    let mut sandbox = setup.sandbox.clone();
    // What an error's stack is read from.
    sandbox.readable.extend(std::env::current_exe().ok().filter(|path| path.is_file()));
    // A group of its own: a signal from a terminal is for the host.
    let _ = rustix::process::setsid();
    let mut report = sandbox.enter().map_err(|error| not_entered(&error))?;
    if parent() != guard::guard().unwrap_or(setup.host) {
        return Err(failed("the host has ended", "", ""));
    }
    report.measures.insert(
        0,
        match closed {
            Ok(()) => Measure::given(MeasureKind::Descriptors),
            Err(error) => Measure::lacking(MeasureKind::Descriptors, text(&error)),
        },
    );
    if sandbox.require {
        report.require().map_err(|error| not_entered(&error))?;
    }
    Ok(report)
}

/// This process's parent; 0: one that this namespace does not show.
fn parent() -> u32 {
    let parent = rustix::process::getppid();
    parent.and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok()).unwrap_or_default()
}

pub(crate) fn not_entered(error: &becket_sandbox::Error) -> Failed {
    let hint = match error {
        becket_sandbox::Error::Required { .. } => {
            "use a newer kernel, or let the sandbox lack it: `require = false`"
        }
        becket_sandbox::Error::User { .. } => "run the host as root, or remove `user` and `group`",
        becket_sandbox::Error::Path { .. } => "correct `read` and `write` of the plugin's sandbox",
        _ => "",
    };
    failed("the sandbox was not entered", text(error), hint)
}

/// An error with its causes.
pub(crate) fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        // Some errors name their source themselves.
        let named = source.to_string();
        if !text.ends_with(&named) {
            text.push_str(": ");
            text.push_str(&named);
        }
        next = source.source();
    }
    text
}

/// Becomes this program; returns only if that fails.
fn execute(command: &[OsString]) -> Failed {
    let Some((program, arguments)) = command.split_first() else {
        return failed("no program is named", "the command is empty", "name one in `command`");
    };
    let error = Command::new(program).args(arguments).env_remove(guard::GUARD_VARIABLE).exec();
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "may it be executed? A sandbox that is `strict` executes system libraries, the program, and \
             what `read` names"
        }
        _ => "is it there, and is the interpreter that its first line names?",
    };
    failed(format!("cannot start {}", program.display()), error, hint)
}

/// The socket as a descriptor of its own: what a plugin reads from its input, or starts with it, is not
/// the session.
fn session_socket() -> io::Result<OwnedFd> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(socket)
}

/// Takes the setup, the pipe, and the plugin's file and the pipe for its crash, and no byte more: the session's
/// begin after it.
fn receive() -> io::Result<(Setup, [Option<OwnedFd>; 3])> {
    let mut socket = Stdin;
    let mut length = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        rustix::stdio::stdin(),
        &mut [IoSliceMut::new(&mut length)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut passed = [None, None, None];
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            passed.iter_mut().zip(descriptors).for_each(|(place, it)| *place = Some(it));
        }
    }
    socket.read_exact(length.get_mut(received.bytes..).unwrap_or_default())?;
    let length = u32::from_le_bytes(length) as usize;
    if length > SETUP_BYTES_MAX {
        return Err(invalid("it is too long"));
    }
    let mut setup = vec![0; length];
    socket.read_exact(&mut setup)?;
    let setup = serde_json::from_slice(&setup)?;
    Ok((setup, passed))
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn no_pipe() -> io::Error {
    invalid("it came without a pipe")
}

/// Descriptor 0, read without a buffer.
struct Stdin;

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(rustix::stdio::stdin(), buffer)?)
    }
}

fn send(pipe: &mut File, progress: &Progress) -> io::Result<()> {
    let mut line = serde_json::to_vec(progress)?;
    line.push(b'\n');
    pipe.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open: {0}")]
    struct NamesItsSource(#[source] io::Error);

    #[test]
    fn each_source_is_named_once() {
        let why = || io::Error::other("it is not there");
        assert_eq!(text(&NamesItsSource(why())), "cannot open: it is not there");
        assert_eq!(
            text(&WorkerError::Setup(why())),
            "no setup came from the host: it is not there"
        );
    }
}
