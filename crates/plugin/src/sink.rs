// SPDX-License-Identifier: BSD-3-Clause
//! The sink that a plugin sends the frames of a stream into. See `stream` for how one ends.
#![forbid(unsafe_code)]

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use becket_abi::NrStatus;

use crate::call::CallHandle;
use crate::error::{Failure, SendError};
use crate::owned::OwnedBytes;
use crate::responder::dropped;
use crate::room::Waiting;
use crate::stream::{Cell, FINISHED, OPENING, ORPHANED, Streams};

/// Where a plugin sends the frames of one stream. Owned: it may go to any thread.
///
/// It is finished once, by [`finish`](Self::finish) or [`fail`](Self::fail). Dropped unfinished, it
/// ends the stream with `Err` (`Panic` while its thread panics), so that a cut stream never looks
/// complete.
///
/// ```compile_fail,E0382
/// fn end_twice(sink: becket_plugin::Sink) {
///     sink.finish();
///     sink.finish();
/// }
/// ```
pub struct Sink {
    pub(crate) handle: CallHandle,
    pub(crate) cell: Arc<Cell>,
    pub(crate) streams: Arc<Streams>,
}

impl Sink {
    /// Sends one frame; never waits.
    ///
    /// # Errors
    /// [`SendError::Full`]: not taken, since the stream's queue is full. [`SendError::TooLong`]: not
    /// taken, since the host takes no frame so long; the stream goes on without it.
    /// [`SendError::Closed`]: no caller reads any more.
    pub fn send(&self, frame: &[u8]) -> Result<(), SendError> {
        self.open()?;
        self.outcome(self.host().send(self.sid(), NrStatus::Ok, frame))
    }

    /// Sends one frame without a copy; never waits.
    ///
    /// # Errors
    /// As for [`Self::send`]; with `Full` the bytes come back.
    pub fn send_owned(&self, frame: impl Into<OwnedBytes>) -> Result<(), (SendError, OwnedBytes)> {
        let frame = frame.into();
        if let Err(error) = self.open() {
            return Err((error, frame));
        }
        let sent = self.host().send_owned(self.sid(), NrStatus::Ok, frame);
        sent.map_err(|(error, frame)| (self.refused(error), frame))
    }

    /// Sends one frame, and blocks the thread up to `timeout` for room. For a thread of the
    /// plugin's own: inside a handler or a session, whose thread is the host's, it does not wait.
    /// In a future it holds up the others that its thread drives: use [`Self::send_async`].
    ///
    /// # Errors
    /// As for [`Self::send`]; [`SendError::Full`] after `timeout`.
    pub fn send_wait(&self, frame: &[u8], timeout: Duration) -> Result<(), SendError> {
        self.open()?;
        self.outcome(self.host().send_wait(self.sid(), frame, timeout))
    }

    /// Sends one frame, and awaits room for it. On a host that does not know `stream_room` it waits
    /// until the stream ends at its idle limit.
    ///
    /// Cancel safety: dropped before it is ready, the frame was not sent.
    ///
    /// # Errors
    /// As for [`Self::send`], but never [`SendError::Full`].
    pub async fn send_async(&self, frame: &[u8]) -> Result<(), SendError> {
        match self.send(frame) {
            Err(SendError::Full) => Waiting::new(self.cell.room(), || self.send(frame)).await,
            other => other,
        }
    }

    /// Asks the host for the message that [`on_data`](crate::Session::on_data) did not take. A
    /// stream does so by itself when its own queue has room again; this is for what was refused for
    /// another reason.
    pub fn ready(&self) {
        self.host().stream_ready(self.sid());
    }

    /// True once the stream has ended: no caller reads, or it was cancelled.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.cell.is_ended() || self.is_cancelled()
    }

    /// Ends the stream well.
    pub fn finish(self) {
        let _ = self.terminate(NrStatus::StreamEnd, &[]);
    }

    /// Ends the stream well, with bytes in its last frame.
    ///
    /// # Errors
    /// [`SendError::TooLong`]: the host takes no frame so long, and the stream ended with `TooLong`.
    /// [`SendError::Closed`]: no caller reads any more.
    pub fn finish_with(self, body: &[u8]) -> Result<(), SendError> {
        self.terminate(NrStatus::StreamEnd, body)
    }

    /// Ends the stream with a failure; with `TooLong` if its text is longer than the host takes.
    pub fn fail(self, failure: &Failure) {
        let _ = self.terminate(failure.status(), failure.text().as_bytes());
    }

    /// The terminal frame always finds room: the host keeps a place for it.
    fn terminate(&self, status: NrStatus, body: &[u8]) -> Result<(), SendError> {
        let ours = self.cell.end(FINISHED);
        let sent = if ours { self.handle.end(status, body) } else { Err(SendError::Closed) };
        self.streams.remove(self.sid(), &self.cell);
        sent
    }

    fn open(&self) -> Result<(), SendError> {
        if self.cell.is_ended() { Err(SendError::Closed) } else { Ok(()) }
    }

    fn outcome(&self, taken: NrStatus) -> Result<(), SendError> {
        SendError::check(taken).map_err(|error| self.refused(error))
    }

    #[cold]
    fn refused(&self, error: SendError) -> SendError {
        if error == SendError::Closed {
            self.streams.lost(self.host(), self.sid(), &self.cell);
        }
        error
    }
}

impl Deref for Sink {
    type Target = CallHandle;

    fn deref(&self) -> &CallHandle {
        &self.handle
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // While its handler is at work, the handler's outcome decides how the stream ends.
        if self.cell.step(OPENING, ORPHANED) {
            return;
        }
        let (status, text) = dropped();
        let _ = self.terminate(status, text);
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("sid", &self.sid()).finish_non_exhaustive()
    }
}
