// SPDX-License-Identifier: BSD-3-Clause
//! Streams: many frames from a plugin, and to it.
//!
//! ```text
//!   plugin ── send_result ──▶ queue (bounded by credit) ────▶ next()             receiver
//!   plugin ◀───────────────── stream_data, Backpressure ◀────────── send(data)   any sender
//!   plugin ◀───────────────── stream_close ◀─────────────────────── close()
//!   plugin ◀───────────────── cancel ◀───────── drop, deadline, idle
//! ```
//!
//! Data to the plugin is offered on a worker of it, or on the sender's thread, as a call is. A
//! plugin that answers `Backpressure` has not taken it. One with the host's full API calls
//! `stream_ready` when it takes more, and `send` waits for that; one of the first layouts cannot,
//! and `send` returns `Backpressure`. A stream that coroutines of the plugin serve gets its data in
//! a queue instead, in which they wait for it.
//!
//! | module | what lives there |
//! |---|---|
//! | [`open`] | the way in |
//! | [`cell`] | what the plugin's threads and the receiver share |
//! | [`credit`] | whether a frame may be sent, and of what size |
//! | [`queue`] | messages from many senders to one receiver |
//! | [`inbox`] | the receiving end |
//! | [`event`] | wakes for all that wait |
//! | [`sender`] | data to the plugin |
//! | [`outbox`] | the same by way of workers, in order |

mod cell;
mod credit;
mod event;
mod inbox;
mod open;
mod outbox;
mod queue;
mod sender;

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, OnceLock, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use becket_abi::NrStatus;
use futures_core::Stream as FuturesStream;

pub use self::{cell::Frame, open::OpenStream, sender::StreamSender};
use self::{
    cell::MessageKind,
    inbox::{Ending, Inbox},
    outbox::Outbox,
};
pub(crate) use self::{
    cell::{End, Idle, StreamCell},
    credit::{Credit, Rejected, STARVED},
};
use crate::{
    coroutine::Handler,
    counters::Count,
    error::{SendError, StreamError},
    instance::Instance,
    jobs,
    plugin::CanaryCall,
    table::Slot,
    timer,
};

/// What the receiver and the senders of one stream share. Its end gives the slot back.
struct Core {
    slot: &'static Slot,
    cell: &'static StreamCell,
    sid: u64,
    instance: &'static Instance,
    /// When it is over, by [`timer::now_ns`]; 0: never.
    due_ns: u64,
    idle: Duration,
    /// Set by the first wait: a stream on which nothing waits sets none.
    timers: OnceLock<[Option<timer::Key>; 2]>,
    /// Present if coroutines of the plugin serve it.
    handler: Option<Arc<Handler>>,
    /// Present if the new version of a rollout got it.
    canary: Option<CanaryCall>,
    /// Made for the first frame that a worker sends.
    outbox: OnceLock<Box<Outbox>>,
}

impl Core {
    fn outbox(&self) -> &Outbox {
        self.outbox.get_or_init(Box::default)
    }

    /// True if what is sent now has to go behind what a worker sends.
    fn is_outbox_busy(&self) -> bool {
        self.outbox.get().is_some_and(|outbox| outbox.is_busy())
    }

    /// Starts the timers of the deadline and of the idle limit, once: a task is about to wait.
    fn keep_time(&self) {
        self.timers.get_or_init(|| {
            let sid = self.sid;
            let deadline = (self.due_ns != 0).then(|| timer::instant_of_ns(self.due_ns));
            let deadline = deadline
                .and_then(|deadline| timer::set(deadline, timer::Task::StreamDeadline { sid }));
            let period = self.idle;
            let idle =
                Instant::now().checked_add(period).filter(|_| !period.is_zero()).and_then(|at| {
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
/// receiver ends the stream, and the plugin is notified.
pub struct Stream {
    core: Arc<Core>,
    inbox: Inbox,
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

    /// Whether coroutines of the plugin serve the stream: they wait for messages, and for room
    /// where the queue of frames is full. Code that runs to its end when it is called cannot wait.
    #[must_use]
    pub fn is_on_coroutine(&self) -> bool {
        self.core.handler.is_some()
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

    /// [`Self::next`], as a poll function.
    #[inline]
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame>, StreamError>> {
        match self.inbox.next() {
            Some(Ok(frame)) => Poll::Ready(Ok(Some(frame))),
            Some(Err(end)) => Poll::Ready(self.end(end)),
            None => self.poll_more(context),
        }
    }

    /// The same when there was none.
    #[inline(never)]
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame>, StreamError>> {
        loop {
            if matches!(self.state, Receiving::Over | Receiving::Refused) {
                return Poll::Ready(Ok(None));
            }
            let more = self.inbox.poll_more(context);
            if self.inbox.take_starved() {
                self.core.instance.notify_writable(self.core.sid);
            }
            if more.is_pending() {
                self.core.keep_time();
                return Poll::Pending;
            }
            match self.inbox.next() {
                Some(Ok(frame)) => return Poll::Ready(Ok(Some(frame))),
                Some(Err(end)) => return Poll::Ready(self.end(end)),
                None => {}
            }
        }
    }

    /// The stream's last message has come.
    #[inline(never)]
    fn end(&mut self, end: Ending) -> Result<Option<Frame>, StreamError> {
        self.finish();
        self.state = Receiving::Over;
        let ended = ended(end);
        if let (Err(error), Some(canary)) = (&ended, &self.core.canary) {
            canary.stream_failed(error);
        }
        ended
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

fn ended(end: Ending) -> Result<Option<Frame>, StreamError> {
    match (end.kind, end.frame) {
        (MessageKind::Last, Frame { status: NrStatus::StreamEnd, body }) if body.is_empty() => {
            Ok(None)
        }
        (MessageKind::Last, frame @ Frame { status: NrStatus::StreamEnd, .. }) => Ok(Some(frame)),
        (MessageKind::Last | MessageKind::Refused, Frame { status, body }) => {
            Err(StreamError::Failed { status, body })
        }
        (MessageKind::DeadlineExceeded, _) => Err(StreamError::DeadlineExceeded),
        (MessageKind::Idle, _) => Err(StreamError::Idle),
        (MessageKind::Unloaded, _) => Err(StreamError::Unloaded),
        (MessageKind::Crashed, _) => Err(StreamError::Crashed),
        (MessageKind::PluginFailed, _) => Err(StreamError::PluginFailed),
        (MessageKind::Frame | MessageKind::Nothing, _) => Ok(None),
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
        let left = self.inbox.close();
        let open = left.open;
        if left.remains.len() > 0 {
            // The slot is kept with the core until they have come.
            let core = core.clone();
            jobs::run_where_woken(async move { left.receive(core.cell).await });
        }
        core.instance.plugin.counters.one(Count::StreamsEnded);
        if let Some(handler) = &core.handler {
            handler.stream_over(open);
        }
        if open && self.state != Receiving::Refused {
            core.instance.notify_cancelled(core.sid, true);
        }
        // Senders may be left; they look whether the stream is open before they call the plugin.
        core.instance.streams.fetch_sub(1, Ordering::SeqCst);
        core.instance.notify_drain();
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
