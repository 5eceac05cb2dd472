// SPDX-License-Identifier: BSD-3-Clause
//! The socket between both processes: a line each, from the one that works to the one that waits.
//!
//! ```text
//!   waits                                        works
//!     ours ◄════════ socket ════════► theirs ─── its stdin at first
//!       └─ its own stdin, as a descriptor ─────► becomes stdin again
//! ```
//!
//! So the one that works reads what was meant for the command, keys as well, and the socket is one
//! that no process which the plugin starts has.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::sync::Arc;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Room for one descriptor.
const SPACE: usize = rustix::cmsg_space!(ScmRights(1));
/// Bytes that are kept of what was told: behind them nothing is heard but that it is done.
const TOLD_BYTES_MAX: usize = 1 << 20;

/// Starts this command once more, with `besides` among its options.
pub(super) fn spawn(besides: &str) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let stdin = io::stdin();
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let rights = [stdin.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&rights)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    sendmsg(&ours, &[IoSlice::new(b"\n")], &mut control, SendFlags::NOSIGNAL)?;
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    // Behind `--` stand no options.
    let place = arguments.iter().position(|it| it == "--").unwrap_or(arguments.len());
    arguments.insert(place, besides.into());
    let program = std::env::current_exe()?;
    let child = Command::new(program).args(arguments).stdin(OwnedFd::from(theirs)).spawn()?;
    Ok((child, ours))
}

/// In the process that works: tells the one that waits, if there is one.
#[derive(Debug, Clone, Default)]
pub(in crate::commands) struct Voice(Option<Arc<UnixStream>>);

impl Voice {
    /// Takes the socket, and puts stdin back in its place. Before a plugin is loaded.
    ///
    /// Whoever was started by hand has no socket there, and nobody to tell.
    pub(super) fn claim() -> Self {
        Self(claimed().ok().map(Arc::new))
    }

    /// Says a line.
    pub(in crate::commands) fn say(&self, line: &str) {
        let Some(mut socket) = self.0.as_deref() else { return };
        let line = format!("{}\n", line.replace('\n', " "));
        // Whoever waited has gone: then nobody misses it.
        let _said = socket.write_all(line.as_bytes());
    }
}

fn claimed() -> io::Result<UnixStream> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    recvmsg(&socket, &mut [IoSliceMut::new(&mut [0])], &mut control, flags)?;
    let mut stdin = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            stdin = came.into_iter().next().or(stdin);
        }
    }
    rustix::stdio::dup2_stdin(stdin.ok_or(io::ErrorKind::InvalidData)?)?;
    Ok(socket.into())
}

/// In the process that waits: what the other one tells.
pub(super) struct Ear {
    socket: tokio::net::UnixStream,
    lines: Lines,
    is_closed: bool,
}

impl Ear {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = tokio::net::UnixStream::from_std(socket)?;
        Ok(Self { socket, lines: Lines::default(), is_closed: false })
    }

    /// The lines so far.
    pub(super) fn told(&self) -> &[String] {
        &self.lines.told
    }

    /// Waits until something is told. Never comes back when nothing can be.
    pub(super) async fn hear(&mut self) {
        if self.is_closed || self.socket.readable().await.is_err() {
            return std::future::pending().await;
        }
        self.take();
    }

    /// All lines, when the process has ended. What it has started may live, and have the socket.
    pub(super) fn rest(self) -> io::Result<Vec<String>> {
        let Self { socket, mut lines, .. } = self;
        // What has come and was not looked for yet is there for a plain read alone.
        let mut socket = socket.into_std()?;
        let mut buffer = [0; 4096];
        loop {
            match socket.read(&mut buffer) {
                Ok(0) => return Ok(lines.told),
                Ok(count) => lines.add(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(lines.told),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what is there.
    fn take(&mut self) {
        let mut buffer = [0; 4096];
        match self.socket.try_read(&mut buffer) {
            Ok(count @ 1..) => self.lines.add(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => self.is_closed = true,
        }
    }
}

/// Lines that come in pieces.
#[derive(Default)]
struct Lines {
    told: Vec<String>,
    /// What has no end yet.
    begun: Vec<u8>,
    bytes: usize,
}

impl Lines {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte != b'\n' {
                self.begun.push(*byte);
                continue;
            }
            let line = String::from_utf8_lossy(&std::mem::take(&mut self.begun)).into_owned();
            self.bytes += line.len();
            if self.bytes > TOLD_BYTES_MAX {
                // The last is the one that counts.
                self.told.pop();
            }
            self.told.push(line);
        }
        self.begun.truncate(TOLD_BYTES_MAX);
    }
}
