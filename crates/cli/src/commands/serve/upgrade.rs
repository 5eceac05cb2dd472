// SPDX-License-Identifier: BSD-3-Clause
//! Another binary takes over from the running one, without a lost request: on SIGUSR2, or asked for on the admin listener.
//!
//! ```text
//!   the old process                                  the new one
//!     starts argv[0] with --successor ─────────────▶ reads the listening sockets from its stdin
//!     goes on serving                                loads its plugins
//!                     ◀── ready, and their names ─── accepts nothing yet
//!     accepts no more ─── go ──────────────────────▶ accepts
//!     answers what it has, at most drain_ms, ends ─▶ end of file: the socket of --monitor is free
//! ```
//!
//! The socket between them is the new process's stdin at first, and the stdin of the old one comes through it, as in
//! [`child`](super::super::child).
//!
//! # Invariants
//!
//! 1. A listening socket is open in one of them or in both, and its queue is the same: no connection is refused or lost.
//! 2. Until `go` the old process serves and the new one does not, so a new one that fails, or is not ready in time, has
//!    no request; it is killed by its id and waited for.
//! 3. After `go` it is the other way round. The new one serves also if the old one ends before it says so.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::Duration;

use becket_gateway::{Gateway, ListenSocket};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use sd_notify::NotifyState;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::exit::Exit;
use crate::failure::Failure;

/// The option by which a process learns that it is to take over.
pub(super) const OPTION: &str = "--successor";

/// Room for the descriptors of a message, as many as Linux takes.
const SPACE: usize = rustix::cmsg_space!(ScmRights(SOCKETS_MAX + 1));
const SOCKETS_MAX: usize = 252;

/// The longest list of names.
const NAMES_BYTES_MAX: u64 = 1 << 16;

/// The socket to the process before this one, open until this one has ended and its exit code is known.
static HELD: OnceLock<UnixStream> = OnceLock::new();

/// What a process gets from the one before it.
#[derive(Debug)]
pub(super) struct Inheritance {
    pub(super) sockets: Vec<(String, ListenSocket)>,
    pub(super) old: Predecessor,
}

/// The process before this one.
#[derive(Debug)]
pub(super) struct Predecessor(UnixStream);

/// What this process is to take over. Call it before the first thread starts.
pub(super) fn claim() -> Result<Inheritance, Failure> {
    claimed().map_err(|error| {
        Failure::new(Exit::Usage, "no process hands its sockets over")
            .cause(error.to_string())
            .hint(format!("leave out {OPTION}: `becket serve` adds it on SIGUSR2"))
    })
}

fn claimed() -> io::Result<Inheritance> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(&socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut came = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            came.extend(rights);
        }
    }
    let mut came = came.into_iter();
    rustix::stdio::dup2_stdin(came.next().ok_or(io::ErrorKind::InvalidData)?)?;
    let socket = UnixStream::from(socket);
    // This is called once.
    let _held = HELD.set(socket.try_clone()?);
    let names: Vec<String> = serde_json::from_slice(&line(&socket)?)?;
    let named = names.into_iter().zip(came);
    let sockets = named.map(|(name, fd)| Ok((name, ListenSocket::try_from(fd)?)));
    Ok(Inheritance { sockets: sockets.collect::<io::Result<_>>()?, old: Predecessor(socket) })
}

/// The next line. Nothing is sent behind it.
fn line(socket: &UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(io::Read::take(socket, NAMES_BYTES_MAX)).read_until(b'\n', &mut line)?;
    Ok(line)
}

impl Predecessor {
    /// This process is ready: completes when it is to accept. The value completes with the end of the other.
    pub(super) async fn succeed(self, gateway: &Gateway) -> Result<Ending, Failure> {
        let taken = async {
            let names: Vec<_> = gateway.sockets()?.into_iter().map(|(name, _)| name).collect();
            self.0.set_nonblocking(true)?;
            let mut old = tokio::net::UnixStream::from_std(self.0)?;
            let mut line = serde_json::to_vec(&names)?;
            line.push(b'\n');
            old.write_all(&line).await?;
            // At its end the other has ended, and this one is alone.
            let _go = old.read(&mut [0]).await?;
            Ok::<_, io::Error>(Ending(Some(old)))
        };
        taken.await.map_err(|error| {
            Failure::new(Exit::Failure, "the process before cannot be reached")
                .cause(error.to_string())
        })
    }
}

/// The end of the process before.
#[derive(Debug, Default)]
pub(super) struct Ending(Option<tokio::net::UnixStream>);

impl Ending {
    /// Completes once, with the end. Cancel safe.
    pub(super) async fn reached(&mut self) {
        match &mut self.0 {
            None => std::future::pending().await,
            Some(old) => {
                // An error is an end, too.
                let _ = old.read(&mut [0]).await;
                self.0 = None;
            }
        }
    }
}

/// A process that does not serve yet; killed when it is dropped.
#[derive(Debug)]
struct Starting(Option<Child>);

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // An error means that it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A process that serves in place of this one.
#[derive(Debug)]
pub(super) struct Successor {
    pub(super) pid: u32,
    /// Closed with this process.
    _socket: tokio::net::UnixStream,
}

/// Starts the program that this one was started as, and lets it take over from `gateway`, which accepts no more then.
pub(super) async fn hand_over(gateway: &Gateway, within: Duration) -> Result<Successor, Failure> {
    if let Some(why) = cannot() {
        return Err(failed(why));
    }
    let sockets = gateway.sockets().map_err(|error| failed(error.to_string()))?;
    let (mut starting, socket) = start(sockets).map_err(|error| failed(error.to_string()))?;
    let pid = starting.0.as_ref().map(Child::id).unwrap_or_default();
    tracing::info!(pid, "a new process starts");
    let mut socket = tokio::io::BufReader::new(socket);
    let mut line = Vec::new();
    let mut ready = (&mut socket).take(NAMES_BYTES_MAX);
    match timeout(within, ready.read_until(b'\n', &mut line)).await {
        Ok(Ok(_)) if line.ends_with(b"\n") => {}
        Ok(_) => return Err(failed(how_it_ended(&mut starting))),
        Err(_) => {
            return Err(failed(format!("it was not ready after {} ms", within.as_millis())));
        }
    }
    let names: Vec<String> =
        serde_json::from_slice(&line).map_err(|error| failed(error.to_string()))?;
    let mut socket = socket.into_inner();
    if socket.write_all(b"g").await.is_err() {
        return Err(failed(how_it_ended(&mut starting)));
    }
    // It serves, and is waited for by the process that adopts it.
    drop(starting.0.take());
    gateway.hand_over(&names);
    main_process_is(pid);
    Ok(Successor { pid, _socket: socket })
}

/// The new process, and this end of its socket.
fn start(sockets: Vec<(String, OwnedFd)>) -> io::Result<(Starting, tokio::net::UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let stdin = io::stdin();
    let rights: Vec<_> = std::iter::once(stdin.as_fd())
        .chain(sockets.iter().map(|(_, socket)| socket.as_fd()))
        .collect();
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&rights)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    sendmsg(&ours, &[IoSlice::new(b"\n")], &mut control, SendFlags::NOSIGNAL)?;
    let names: Vec<_> = sockets.iter().map(|(name, _)| name).collect();
    let mut line = serde_json::to_vec(&names)?;
    line.push(b'\n');
    ours.set_nonblocking(true)?;
    // A socket that nothing was written to has room for it.
    (&ours).write_all(&line)?;
    let mut arguments = std::env::args_os();
    // Not the path of this file: a link may lead to another by now.
    let program = arguments.next().unwrap_or_else(|| OsString::from("becket"));
    let mut command = Command::new(program);
    command.args(arguments.filter(|argument| argument != OPTION)).arg(OPTION);
    let child = command.stdin(OwnedFd::from(theirs)).spawn()?;
    Ok((Starting(Some(child)), tokio::net::UnixStream::from_std(ours)?))
}

/// Why the process before cannot end without what comes after it.
fn cannot() -> Option<String> {
    let value = |name: &str| std::env::var(name).ok();
    let own = std::process::id();
    if own == 1 {
        return Some("this is process 1, and its container ends with it".to_owned());
    }
    let is_main = value("SYSTEMD_EXEC_PID").and_then(|pid| pid.parse().ok()) == Some(own);
    (is_main && value("NOTIFY_SOCKET").is_none()).then(|| {
        "this is the main process of a systemd service without `Type=notify`, which ends with it"
            .to_owned()
    })
}

fn how_it_ended(starting: &mut Starting) -> String {
    let Some(mut child) = starting.0.take() else { return "it has ended".to_owned() };
    // It has closed its socket: it is at its end, or is killed.
    let _ = child.kill();
    match child.wait() {
        Ok(status) => format!("it ended before it was ready: {status}"),
        Err(error) => error.to_string(),
    }
}

fn failed(cause: String) -> Failure {
    Failure::new(Exit::Failure, "no new process takes over; this one goes on")
        .cause(cause)
        .hint("see what the new process has logged, and ask again")
}

/// Tells the service manager that this process serves.
pub(super) fn serves() {
    notify(&[NotifyState::Ready]);
}

/// Tells it that this process ends.
pub(super) fn ends() {
    notify(&[NotifyState::Stopping]);
}

fn main_process_is(pid: u32) {
    notify(&[NotifyState::MainPid(pid)]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager (`NOTIFY_SOCKET`) cannot be reached");
    }
}
