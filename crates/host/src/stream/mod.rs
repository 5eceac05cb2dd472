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
//! | [`queue`] | the queue from the plugin to the receiver |
//! | [`sender`] | data to the plugin |

mod queue;
mod sender;

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, OnceLock, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use becket_abi::NrStatus;
use futures_core::Stream as FuturesStream;

pub(crate) use self::queue::{End, Idle, Next, Rejected, StreamCell};
pub use self::{queue::Frame, sender::StreamSender};
use crate::{
    call::{Timeout, admit, span},
    counters::Count,
    distance::Distance,
    error::{CallError, SendError, StreamError},
    instance::{Instance, Route},
    plugin::{self, Entered, NotEntered, OwnedEntry, Shared},
    request::Request,
    table::{self, Slot},
    timer,
};

/// The opening of a stream: a future of the [`Stream`]. Nothing happens before it is polled.
///
/// Cancel safety: dropping it ends the stream, and the plugin is told.
#[must_use = "a stream is not opened unless this is awaited"]
pub struct OpenStream {
    shared: Arc<Shared>,
    entry: OwnedEntry,
    request: Option<Request>,
    timeout: Timeout,
    idle: Option<Duration>,
}

impl OpenStream {
    pub(crate) fn new(shared: Arc<Shared>, entry: OwnedEntry, request: Request) -> Self {
        let request = Some(request);
        Self { shared, entry, request, timeout: Timeout::Default, idle: None }
    }

    /// Ends the whole stream after this long instead of the plugin's default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Timeout::After(timeout);
        self
    }

    /// Ends the whole stream at this instant instead of after the plugin's default.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.timeout = Timeout::At(deadline);
        self
    }

    /// Ends the stream when nothing moves for this long, instead of the plugin's default.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }
}

impl Future for OpenStream {
    type Output = Result<Stream, CallError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let entered = match this.shared.enter() {
            Ok(entered) => entered,
            Err(NotEntered::Paused) => {
                if this.shared.wake_when_back(context.waker()) {
                    context.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            Err(not_entered) => return Poll::Ready(Err(not_entered.into())),
        };
        let Some(request) = this.request.take() else {
            return Poll::Ready(Err(CallError::Over));
        };
        Poll::Ready(open(this, request, &entered))
    }
}

fn open(this: &OpenStream, request: Request, entered: &Entered) -> Result<Stream, CallError> {
    let shared = &this.shared;
    let instance = entered.instance();
    let limits = &instance.limits;
    admit(instance, request.body.len(), Count::StreamsRefused)?;
    let refuse = |quota, limit| {
        shared.counters.one(Count::StreamsRefused);
        Err(CallError::Quota { quota, limit })
    };
    if instance.streams.load(Ordering::Relaxed) >= u64::from(limits.streams_max) {
        return refuse("streams_max", u64::from(limits.streams_max));
    }
    let Some(slot) = table::take_free(entered.record()) else {
        return refuse("calls of the process", u64::from(table::SLOTS_MAX));
    };
    slot.stream_or_new().open(slot.next_sid(), limits.stream_frames_max, limits.stream_bytes_max);
    let sid = slot.begin_stream(instance);
    instance.streams.fetch_add(1, Ordering::SeqCst);
    shared.counters.one(Count::StreamsOpened);
    shared.counters.add(Count::BytesIn, request.body.len() as u64);
    let timeout = this.timeout.duration(limits.stream_deadline_ms);
    slot.set_deadline_ms(this.timeout.relative(limits.stream_deadline_ms));
    let idle = this.idle.unwrap_or(Duration::from_millis(limits.stream_idle_ms));
    // From here on dropping it gives everything back and tells the plugin.
    let mut stream = Stream {
        core: Arc::new(Core {
            shared: shared.clone(),
            slot,
            sid,
            instance,
            timeout,
            idle,
            timers: OnceLock::new(),
        }),
        taken: VecDeque::new(),
        state: Receiving::Open,
    };
    let entry = this.entry.clone();
    let span = span(shared, entry.get(), sid);
    let handle = move |entry: OwnedEntry, request: Request| {
        request.with_view(|view| {
            instance.distance.handle(entry.get().at(instance), sid, Some(view), &request.body)
        })
    };
    if instance.route() != Route::Caller || instance.distance.would_wait() {
        let on_probation = instance.route() == Route::Probation;
        let core = stream.core.clone();
        let job = move || {
            let Some(cell) = core.cell() else { return };
            let began = Instant::now();
            // This thread is inside: until the stream is seen to be open, nothing else need keep
            // the instance.
            let handle = || cell.is_open(sid).then(|| handle(entry, request));
            let status = span.in_scope(|| instance.inside(handle)).flatten();
            if on_probation && status.is_some() {
                instance.returned_on_probation(began.elapsed());
            }
            if let Some(status) = status.filter(|status| !status.is_ok()) {
                core.shared.counters.one(Count::StreamsRefused);
                cell.end(sid, End::Refused(status));
            }
        };
        if instance.run_apart(Box::new(job)).is_err() {
            return refuse("pending_max", u64::from(limits.pending_max));
        }
        return Ok(stream);
    }
    let status = span.in_scope(|| handle(entry, request));
    if status.is_ok() {
        return Ok(stream);
    }
    stream.state = Receiving::Refused;
    shared.counters.one(Count::StreamsRefused);
    Err(plugin::refused(shared, this.entry.get(), status))
}

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
            let deadline = deadline.map(|deadline| {
                self.slot.set_deadline_ms(timer::ms_of(deadline));
                timer::set(deadline, timer::Task::StreamDeadline { sid })
            });
            let period = self.idle;
            let idle = now.checked_add(period).filter(|_| !period.is_zero()).map(|at| {
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

impl Drop for Stream {
    fn drop(&mut self) {
        for key in self.core.timers.get().into_iter().flatten().flatten() {
            timer::cancel(*key);
        }
        let open = self.core.cell().is_some_and(StreamCell::close);
        self.core.shared.counters.one(Count::StreamsEnded);
        if open && self.state != Receiving::Refused {
            self.core.instance.tell_cancelled(self.core.sid, true);
        }
        // Senders may be left; they look whether the stream is open before they call the plugin.
        self.core.instance.streams.fetch_sub(1, Ordering::SeqCst);
        self.core.instance.moved();
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
