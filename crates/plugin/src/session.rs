// SPDX-License-Identifier: BSD-3-Clause
//! A stream as its handler on a coroutine sees it: a loop that receives and sends.
//!
//! # Safety
//!
//! As in `wait`.

use std::fmt;
use std::time::Duration;

use becket_abi::{NrBytes, NrStatus};

use crate::call::CallHandle;
use crate::error::{Failure, SendError};
use crate::wait::{Message, WaitError, nanos};

/// Both directions of one stream. See [`crate::Entry::session`].
pub struct SessionStream {
    handle: CallHandle,
    finished: bool,
}

impl SessionStream {
    pub(crate) const fn new(handle: CallHandle) -> Self {
        Self { handle, finished: false }
    }

    /// Waits for the next frame from the caller; `None` when it has closed.
    ///
    /// # Errors
    /// [`WaitError::Cancelled`] when the stream is over; or another [`WaitError`].
    pub fn recv(&mut self) -> Result<Option<Message>, WaitError> {
        self.recv_any(None)
    }

    /// As [`Self::recv`], for at most `within`.
    ///
    /// # Errors
    /// As there, and [`WaitError::Timeout`].
    pub fn recv_within(&mut self, within: Duration) -> Result<Option<Message>, WaitError> {
        self.recv_any(Some(within))
    }

    fn recv_any(&mut self, within: Option<Duration>) -> Result<Option<Message>, WaitError> {
        let (host, sid) = (self.handle.host(), self.handle.sid());
        // SAFETY: see the module's note; the host writes to the place before it returns.
        let received = Message::receive(|out| unsafe {
            (host.api().stream_recv)(host.ctx(), sid, out, nanos(within))
        });
        match received {
            Ok(message) => Ok(Some(message)),
            Err(WaitError::Closed) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a frame, when there is room.
    ///
    /// # Errors
    /// [`WaitError::Closed`] after [`Self::finish_with`]; [`WaitError::Cancelled`] when the stream
    /// is over otherwise; [`WaitError::TooLong`]: the host takes no frame so long, and the stream
    /// goes on without it; or another [`WaitError`].
    pub fn send(&mut self, frame: &[u8]) -> Result<(), WaitError> {
        self.send_any(frame, None)
    }

    /// As [`Self::send`], for at most `within`.
    ///
    /// # Errors
    /// As there, and [`WaitError::Timeout`]: the frame was not taken.
    pub fn send_within(&mut self, frame: &[u8], within: Duration) -> Result<(), WaitError> {
        self.send_any(frame, Some(within))
    }

    fn send_any(&mut self, frame: &[u8], within: Option<Duration>) -> Result<(), WaitError> {
        if self.finished {
            return Err(WaitError::Closed);
        }
        let (host, sid) = (self.handle.host(), self.handle.sid());
        let frame = NrBytes::from_slice(frame);
        // SAFETY: see the module's note; the view is borrowed for the call.
        let status = unsafe { (host.api().stream_send)(host.ctx(), sid, frame, nanos(within)) };
        WaitError::check(status)
    }

    /// Ends the stream well, with a last frame. A handler that returns `Ok` without this ends it with
    /// an empty one.
    ///
    /// # Errors
    /// [`WaitError::TooLong`]: the host takes no frame so long, and the stream ended with `TooLong`.
    /// [`WaitError::Cancelled`] when it was over already.
    pub fn finish_with(&mut self, last: &[u8]) -> Result<(), WaitError> {
        if std::mem::replace(&mut self.finished, true) {
            return Err(WaitError::Cancelled);
        }
        self.handle.end(NrStatus::StreamEnd, last).map_err(|error| match error {
            SendError::TooLong => WaitError::TooLong,
            SendError::Closed => WaitError::Cancelled,
            other => WaitError::Refused(other.status()),
        })
    }

    /// What `handle` returns.
    pub(crate) fn settle(mut self, result: Result<(), Failure>) -> NrStatus {
        match result {
            Ok(()) => {
                // An error: it has ended, by the handler or without it.
                let _ = self.finish_with(b"");
                NrStatus::Ok
            }
            Err(failure) => settle_failure(self.handle, &failure, self.finished),
        }
    }
}

/// As for a call that is answered at once, but a failure without a caller is not sent.
pub(crate) fn settle_failure(handle: CallHandle, failure: &Failure, over: bool) -> NrStatus {
    if over || handle.is_cancelled() {
        return NrStatus::Cancelled;
    }
    crate::call::settle_failure(handle, failure)
}

impl fmt::Debug for SessionStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionStream").field("sid", &self.handle.sid()).finish_non_exhaustive()
    }
}
