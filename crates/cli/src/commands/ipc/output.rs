// SPDX-License-Identifier: BSD-3-Clause
//! Stdout, written without blocking the thread, and watched for the end of its reader.
//!
//! Stdout stays a blocking descriptor: its file description may be shared with other processes, so
//! its flags must not be changed. Each write therefore waits until `poll` reports the descriptor
//! writable, and then writes at most `PIPE_BUF` bytes, which a writable pipe takes at once.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Bytes that a writable pipe takes at once (`PIPE_BUF`).
const CHUNK_BYTES: usize = 4096;

/// Stdout.
#[derive(Debug)]
pub(super) enum Output {
    /// A pipe, a socket or a terminal: readiness can be awaited.
    Waited(AsyncFd<OwnedFd>),
    /// A file: it is always writable.
    Plain(OwnedFd),
}

impl Output {
    /// Whatever stdout is.
    pub(super) fn stdout() -> io::Result<Self> {
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        // `epoll` refuses files.
        Ok(wait_for(stdout.try_clone()?).map_or(Self::Plain(stdout), Self::Waited))
    }

    /// Writes all of `bytes`. `written` counts the bytes written, also if the call fails or is
    /// dropped.
    pub(super) async fn write(&self, bytes: &[u8], written: &mut usize) -> io::Result<()> {
        while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
            self.writable().await?;
            let chunk = match self {
                Self::Waited(_) => rest.get(..CHUNK_BYTES).unwrap_or(rest),
                Self::Plain(_) => rest,
            };
            match rustix::io::write(self.fd(), chunk) {
                Ok(count) => *written += count,
                // Another writer was quicker, or a signal came.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Waits until stdout has no reader any more; for ever if it is a file.
    pub(super) async fn closed(&self) {
        if let Self::Waited(waited) = self {
            // If the wait itself fails, the next write reports the error.
            if waited.ready(Interest::ERROR).await.is_ok() {
                return;
            }
        }
        std::future::pending().await
    }

    async fn writable(&self) -> io::Result<()> {
        let Self::Waited(waited) = self else { return Ok(()) };
        loop {
            let mut guard = waited.writable().await?;
            let mut asked = [PollFd::new(waited.get_ref(), PollFlags::OUT)];
            // Any event, also an error: the write that follows reports it.
            match poll(&mut asked, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })) {
                Ok(0) => guard.clear_ready(),
                Ok(_) => {
                    guard.retain_ready();
                    return Ok(());
                }
                // The signal is handled where signals are: what is in hand is written first.
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn fd(&self) -> &OwnedFd {
        match self {
            Self::Waited(waited) => waited.get_ref(),
            Self::Plain(plain) => plain,
        }
    }
}

#[expect(
    deprecated,
    reason = "what replaces it is unsafe, for types that may change their descriptor: this cannot"
)]
fn wait_for(fd: OwnedFd) -> Option<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::WRITABLE).ok()
}
