// SPDX-License-Identifier: BSD-3-Clause
//! Streams: many frames from a plugin, and to it.
//!
//! ```text
//!   plugin ── send_result ──▶ queue (bounded, terminal reserved) ──▶ next()      receiver
//!   plugin ◀───────────────── stream_data, Backpressure ◀────────── send(data)   any sender
//!   plugin ◀───────────────── stream_close ◀─────────────────────── close()
//!   plugin ◀───────────────── cancel ◀───────── drop, deadline, idle
//! ```
//!
//! Data to the plugin is offered on the sender's thread. One that answers `Backpressure` has not
//! taken it; a plugin with the host's full API says later that it takes more, and `send` waits for
//! that. One of the first layouts cannot say so, and `send` reports `Backpressure`.
//!
//! | module | what lives there |
//! |---|---|
//! | [`open`] | the way in |
//! | [`queue`] | the queue from the plugin to the receiver |
//! | [`sender`] | data to the plugin |

mod open;
mod queue;
mod sender;

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, OnceLock, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use becket_abi::NrStatus;
use futures_core::Stream as FuturesStream;

pub(crate) use self::queue::{End, Idle, Next, Rejected, StreamCell};
pub use self::{open::OpenStream, queue::Frame, sender::StreamSender};
use crate::{
    counters::Count,
    error::{SendError, StreamError},
    instance::Instance,
    plugin::Shared,
    table::Slot,
    timer,
};

/// What the receiver and the senders of one stream share. Its end gives the slot back.
struct Core {
    shared: Arc<Shared>,
    slot: &'static Slot,
    sid: u64,
    instance: &'static Instance,
    timeout: Option<Duration>,
    idle: Duration,
    /// Set when somebody waits for the first time: a stream on which nobody waits sets none.
    timers: OnceLock<[Option<timer::Key>; 2]>,
}

impl Core {
    fn cell(&self) -> Option<&StreamCell> {
        self.slot.stream()
    }

    /// Makes sure that the deadline and the idle limit are kept: somebody is about to wait.
    fn keep_time(&self) {
        self.timers.get_or_init(|| {
            let sid = self.sid;
            let now = Instant::now();
            let deadline = self.timeout.and_then(|timeout| now.checked_add(timeout));
            let deadline = deadline.and_then(|deadline| {
                self.slot.set_deadline_ms(timer::ms_of(deadline));
                timer::set(deadline, timer::Task::StreamDeadline { sid })
            });
            let period = self.idle;
            let idle = now.checked_add(period).filter(|_| !period.is_zero()).and_then(|at| {
                // A count that no stream has: the first look only takes the count.
                timer::set(at, timer::Task::StreamIdle { sid, activity: u64::MAX, period })
            });
            [deadline, idle]
        });
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.slot.release(self.sid);
    }
}

/// An open stream: its receiver, which also sends. Frames come out with [`Stream::next`].
///
/// Thread safety: one receiver; [`Stream::sender`] gives any number of senders. Dropping the
/// receiver ends the stream, and the plugin is told.
pub struct Stream {
    core: Arc<Core>,
    /// Frames taken from the queue and not given out yet.
    taken: VecDeque<Frame>,
    state: Receiving,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receiving {
    Open,
    /// The end came out.
    Over,
    /// `handle` refused it.
    Refused,
}

impl Stream {
    /// The stream's id, as the plugin knows it.
    #[must_use]
    pub fn sid(&self) -> u64 {
        self.core.sid
    }

    /// The next frame; `None` when the plugin ended the stream well.
    ///
    /// Cancel safety: dropping the future loses no frame.
    ///
    /// # Errors
    /// [`StreamError`]: how the stream ended instead. After an end, well or not: `None`.
    pub async fn next(&mut self) -> Result<Option<Frame>, StreamError> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// [`Self::next`], for who polls.
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame>, StreamError>> {
        loop {
            if let Some(frame) = self.taken.pop_front() {
                return Poll::Ready(Ok(Some(frame)));
            }
            if matches!(self.state, Receiving::Over | Receiving::Refused) {
                return Poll::Ready(Ok(None));
            }
            let Some(cell) = self.core.slot.stream() else { return Poll::Ready(Ok(None)) };
            match cell.poll(&mut self.taken, context) {
                Poll::Ready(Next::Frames { starved: false }) => {}
                Poll::Ready(Next::Frames { starved: true }) => {
                    self.core.instance.tell_room(self.core.sid);
                }
                Poll::Ready(Next::End(end)) => {
                    self.finish();
                    self.state = Receiving::Over;
                    return Poll::Ready(ended(end));
                }
                Poll::Pending => {
                    self.core.keep_time();
                    return Poll::Pending;
                }
            }
        }
    }

    /// A sender for this stream, for other tasks and threads.
    #[must_use]
    pub fn sender(&self) -> StreamSender {
        StreamSender::new(self.core.clone())
    }

    /// As [`StreamSender::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send(&self, data: &[u8]) -> Result<(), SendError> {
        sender::send(&self.core, data).await
    }

    /// As [`StreamSender::try_send`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send(&self, data: &[u8]) -> Result<(), SendError> {
        sender::try_send(&self.core, data)
    }

    /// As [`StreamSender::close`].
    ///
    /// # Errors
    /// As there.
    pub fn close(&self) -> Result<(), SendError> {
        sender::close(&self.core)
    }
}

fn ended(end: End) -> Result<Option<Frame>, StreamError> {
    match end {
        End::Plugin(Frame { status: NrStatus::StreamEnd, body }) if body.is_empty() => Ok(None),
        End::Plugin(frame @ Frame { status: NrStatus::StreamEnd, .. }) => Ok(Some(frame)),
        End::Plugin(Frame { status, body }) => Err(StreamError::Failed { status, body }),
        End::Refused(status) => Err(StreamError::Failed { status, body: crate::Body::default() }),
        End::DeadlineExceeded => Err(StreamError::DeadlineExceeded),
        End::Idle => Err(StreamError::Idle),
        End::Unloaded => Err(StreamError::Unloaded),
    }
}

impl Stream {
    /// Nothing comes out any more: gives up what a drain waits for, once.
    fn finish(&mut self) {
        if self.state == Receiving::Over {
            return;
        }
        let core = &self.core;
        for key in core.timers.get().into_iter().flatten().flatten() {
            timer::cancel(*key);
        }
        let open = core.cell().is_some_and(StreamCell::close);
        core.shared.counters.one(Count::StreamsEnded);
        if open && self.state != Receiving::Refused {
            core.instance.tell_cancelled(core.sid, true);
        }
        // Senders may be left; they look whether the stream is open before they call the plugin.
        core.instance.streams.fetch_sub(1, Ordering::SeqCst);
        core.instance.moved();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.finish();
    }
}

impl FuturesStream for Stream {
    type Item = Result<Frame, StreamError>;

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, StreamError>>> {
        self.get_mut().poll_next(context).map(Result::transpose)
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("sid", &self.core.sid).finish_non_exhaustive()
    }
}
