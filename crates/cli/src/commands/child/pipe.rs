// SPDX-License-Identifier: BSD-3-Clause
//! The report pipe: a socket between both processes, with lines from the child to the parent.
//!
//! ```text
//!   parent                                       child
//!     ours ◄════════ socket ════════► theirs ─── its stdin at first
//!       └─ the parent's stdin, as a descriptor ► becomes stdin again
//! ```
//!
//! So the child reads the stdin of the command, keys as well, and processes that the plugin starts
//! do not inherit the socket.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Room for one descriptor.
const SPACE: usize = rustix::cmsg_space!(ScmRights(1));
/// Bytes of lines that are kept. Beyond that each line replaces the one before, so that the last
/// line, which has the exit code, is always kept.
const REPORT_BYTES_MAX: usize = 1 << 20;

/// The parent's end, and what becomes the stdin of the child.
pub(super) fn pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair()?;
    let stdin = io::stdin();
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let rights = [stdin.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&rights)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    sendmsg(&ours, &[IoSlice::new(b"\n")], &mut control, SendFlags::NOSIGNAL)?;
    Ok((ours, OwnedFd::from(theirs)))
}

/// The child's end of the pipe; without a parent it discards its lines.
#[derive(Debug, Clone, Default)]
pub(in crate::commands) struct ReportPipe(Option<Arc<UnixStream>>);

impl ReportPipe {
    /// Takes over the socket from stdin, and restores stdin. Call it before a plugin is loaded.
    ///
    /// A process that was started manually has no socket there, and reports to no parent.
    pub(in crate::commands) fn claim() -> Self {
        Self(claimed().ok().map(Arc::new))
    }

    /// Sends a line.
    pub(in crate::commands) fn send(&self, line: &str) {
        let Some(mut socket) = self.0.as_deref() else { return };
        let line = format!("{}\n", line.replace('\n', " "));
        // An error means that the parent has ended.
        let _sent = socket.write_all(line.as_bytes());
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

/// The parent's end of the pipe.
pub(super) struct ReportReader {
    socket: tokio::net::UnixStream,
    lines: Lines,
    is_closed: bool,
}

impl ReportReader {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = tokio::net::UnixStream::from_std(socket)?;
        Ok(Self { socket, lines: Lines::default(), is_closed: false })
    }

    /// The lines received so far.
    pub(super) fn lines(&self) -> &[String] {
        &self.lines.complete
    }

    /// Waits for bytes and reads them. Never returns after the pipe was closed.
    pub(super) async fn receive(&mut self) {
        if self.is_closed || self.socket.readable().await.is_err() {
            return std::future::pending().await;
        }
        self.take();
    }

    /// All lines, after the child has ended. Processes that it started may still be alive and have
    /// the socket open.
    pub(super) fn rest(self) -> io::Result<Vec<String>> {
        let Self { socket, mut lines, .. } = self;
        // Bytes that the runtime has not polled for are available to a plain read.
        let mut socket = socket.into_std()?;
        let mut buffer = [0; 4096];
        loop {
            match socket.read(&mut buffer) {
                Ok(0) => return Ok(lines.complete),
                Ok(count) => lines.add(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(lines.complete);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads the available bytes.
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
    complete: Vec<String>,
    /// The beginning of an incomplete line.
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
            if self.bytes > REPORT_BYTES_MAX {
                self.complete.pop();
            }
            self.complete.push(line);
        }
        self.begun.truncate(REPORT_BYTES_MAX);
    }
}
