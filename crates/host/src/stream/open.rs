// SPDX-License-Identifier: BSD-3-Clause
//! Opening a stream.
//!
//! On the caller's thread `handle` has returned when the stream is handed over. On a worker the
//! opening waits for that, or for the first frame, so that data sent to the stream cannot reach the
//! plugin before the request that opened it; at most as long as a call may take.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, OnceLock, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use becket_abi::NrStatus;
use tracing::Span;

use super::{Core, End, Inbox, Receiving, Stream, StreamCell};
use crate::{
    call::{Timeout, admit, no_coroutine, span},
    coroutine::Handler,
    counters::Count,
    error::CallError,
    instance::Instance,
    jobs::Job,
    placement::Placement,
    plugin::{self, Entered, NotEntered, OwnedEntry, Shared},
    request::Request,
    routing::Handled,
    table,
    timer::{self, Sleep},
};

/// The opening of a stream: a future of the [`Stream`]. Nothing happens before it is polled.
///
/// Cancel safety: dropping it ends the stream, and the plugin is notified.
#[must_use = "a stream is not opened unless this is awaited"]
pub struct OpenStream {
    shared: Arc<Shared>,
    entry: OwnedEntry,
    timeout: Timeout,
    idle: Option<Duration>,
    /// Runs out while the plugin hands its state over.
    paused: Option<Box<Sleep>>,
    state: State,
}

enum State {
    Start(Request),
    /// `handle` runs on a worker.
    Opening(Stream, Sleep),
    Over,
}

impl OpenStream {
    pub(crate) fn new(shared: Arc<Shared>, entry: OwnedEntry, request: Request) -> Self {
        let state = State::Start(request);
        Self { shared, entry, timeout: Timeout::Default, idle: None, paused: None, state }
    }

    /// Ends the whole stream after this long instead of the plugin's default. It counts, as the
    /// default does, from the first time that somebody waits for the stream.
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
        if matches!(this.state, State::Start(_)) {
            let entered = match this.shared.enter() {
                Ok(entered) => entered,
                Err(NotEntered::Paused) => {
                    let deadline_ms = this.shared.spec.limits.deadline_ms;
                    let out_of_time = this.timeout.run_out(deadline_ms, &mut this.paused, context);
                    if out_of_time {
                        this.state = State::Over;
                        return Poll::Ready(Err(CallError::DeadlineExceeded));
                    }
                    if this.shared.wake_when_back(context.waker()) {
                        context.waker().wake_by_ref();
                    }
                    return Poll::Pending;
                }
                Err(not_entered) => return Poll::Ready(Err(not_entered.into())),
            };
            let State::Start(request) = mem::replace(&mut this.state, State::Over) else {
                return Poll::Ready(Err(CallError::Over));
            };
            match open(this, request, &entered) {
                Ok(Opened::Here(stream)) => return Poll::Ready(Ok(stream)),
                Ok(Opened::Apart(stream)) => {
                    let limits = &entered.instance().limits;
                    let patience = this.timeout.duration(limits.deadline_ms);
                    let patience = timer::sleep(patience.unwrap_or(Duration::MAX));
                    this.state = State::Opening(stream, patience);
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let State::Opening(stream, patience) = &mut this.state else {
            return Poll::Ready(Err(CallError::Over));
        };
        let opened = stream.inbox.poll_opened(context);
        if opened.is_pending() && Pin::new(patience).poll(context).is_pending() {
            return Poll::Pending;
        }
        let State::Opening(mut stream, _) = mem::replace(&mut this.state, State::Over) else {
            return Poll::Ready(Err(CallError::Over));
        };
        Poll::Ready(match opened {
            Poll::Ready(Ok(())) => Ok(stream),
            Poll::Ready(Err(status)) => {
                stream.state = Receiving::Refused;
                Err(plugin::refused(&this.shared, this.entry.get(), status))
            }
            // Dropping the stream tells the plugin.
            Poll::Pending => Err(CallError::DeadlineExceeded),
        })
    }
}

/// What became of a stream's dispatch.
enum Opened {
    /// `handle` has returned.
    Here(Stream),
    /// It runs on a worker.
    Apart(Stream),
}

fn open(this: &OpenStream, request: Request, entered: &Entered) -> Result<Opened, CallError> {
    let shared = &this.shared;
    let instance = entered.instance();
    let mut stream = begin(this, &request, entered)?;
    let core = stream.core.clone();
    let (entry, sid) = (this.entry.clone(), core.sid);
    let span = span(shared, entry.get(), sid);
    if let Some(handler) = core.handler.clone() {
        // Without the core: an abandoned handler keeps what it has.
        let cell = core.cell;
        drop(core);
        let name = entry.clone();
        let spawned = instance.spawn_handler(name.get().name(), &handler.clone(), move || {
            handle_on_coroutine(&handler, cell, &entry, &request);
        });
        let Err(why) = spawned else { return Ok(Opened::Apart(stream)) };
        stream.state = Receiving::Refused;
        shared.counters.one(Count::StreamsRefused);
        return Err(no_coroutine(instance, why));
    }
    let Some(_lent) = instance.lend() else {
        let opening = Opening { core, entry, request, span };
        if instance.offload(Box::new(opening)).is_ok() {
            return Ok(Opened::Apart(stream));
        }
        // The plugin never saw it.
        stream.state = Receiving::Refused;
        shared.counters.one(Count::StreamsRefused);
        let limit = u64::from(instance.limits.pending_max);
        return Err(CallError::Quota { quota: "pending_max", limit });
    };
    let status = span.in_scope(|| handle(instance, &entry, sid, &request));
    match handled(instance, core.cell, sid, status) {
        Handled::Refused(status) => {
            stream.state = Receiving::Refused;
            Err(plugin::refused(shared, this.entry.get(), status))
        }
        Handled::Answered | Handled::Later => Ok(Opened::Here(stream)),
    }
}

/// Admits a stream and takes a slot for it. Dropping what this returns gives everything back.
fn begin(this: &OpenStream, request: &Request, entered: &Entered) -> Result<Stream, CallError> {
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
    let cell = slot.stream_or_new();
    cell.open(slot.next_sid(), limits.stream_frames_max, limits.stream_bytes_max);
    let sid = slot.begin_stream(instance);
    instance.streams.fetch_add(1, Ordering::SeqCst);
    shared.counters.one(Count::StreamsOpened);
    shared.counters.add(Count::BytesIn, request.body.len() as u64);
    slot.set_deadline_ms(this.timeout.relative(limits.stream_deadline_ms));
    let for_coroutine = this.entry.get().is_for_coroutine(instance);
    let handler = for_coroutine.then(|| instance.make_handler(sid, Some(cell)));
    Ok(Stream {
        core: Arc::new(Core {
            shared: shared.clone(),
            slot,
            cell,
            sid,
            instance,
            timeout: this.timeout.duration(limits.stream_deadline_ms),
            idle: this.idle.unwrap_or(Duration::from_millis(limits.stream_idle_ms)),
            timers: OnceLock::new(),
            handler,
            outbox: OnceLock::new(),
        }),
        inbox: Inbox::new(cell),
        state: Receiving::Open,
    })
}

fn handle(
    instance: &'static Instance,
    entry: &OwnedEntry,
    sid: u64,
    request: &Request,
) -> NrStatus {
    request.with_view(|view| {
        instance.placement.handle(entry.get().at(instance), sid, Some(view), &request.body)
    })
}

/// On a coroutine: runs `handle`, whose first wait opens the stream if nothing has before.
fn handle_on_coroutine(
    handler: &Handler,
    cell: &'static StreamCell,
    entry: &OwnedEntry,
    request: &Request,
) {
    let (instance, sid) = (handler.instance(), handler.sid());
    if !cell.is_open(sid) {
        return;
    }
    let status = handle(instance, entry, sid, request);
    if handled(instance, cell, sid, status) == Handled::Later {
        handler.set_opened();
    }
}

/// What became of a stream whose `handle` returned, on whatever thread. A frame of it is an answer:
/// then the stream is open, and a refusal that comes after it is how it ends.
fn handled(instance: &Instance, cell: &StreamCell, sid: u64, status: NrStatus) -> Handled {
    let handled = Handled::of(status, cell.is_answered(sid));
    match handled {
        Handled::Refused(status) => {
            instance.plugin.counters.one(Count::StreamsRefused);
            cell.end(sid, End::Refused(status));
        }
        Handled::Answered if !status.is_ok() => {
            cell.end(sid, End::Failed(status));
        }
        Handled::Answered | Handled::Later => {}
    }
    handled
}

/// An opening that is queued for a worker.
struct Opening {
    core: Arc<Core>,
    entry: OwnedEntry,
    request: Request,
    span: Span,
}

impl Job for Opening {
    /// Runs `handle`, and tells the opening what became of it.
    fn run(self: Box<Self>) {
        let (instance, cell, sid) = (self.core.instance, self.core.cell, self.core.sid);
        // This thread is inside: until the stream is seen to be open, nothing else need keep the
        // instance.
        let run = || {
            if !cell.is_open(sid) {
                return;
            }
            let status = handle(instance, &self.entry, sid, &self.request);
            if handled(instance, cell, sid, status) != Handled::Refused(status) {
                cell.set_opened(sid);
            }
        };
        self.span.in_scope(|| instance.inside(run));
    }

    fn is_wanted(&self) -> bool {
        self.core.cell.is_open(self.core.sid)
    }
}
