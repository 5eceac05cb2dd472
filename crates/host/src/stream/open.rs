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

use super::{
    Core, End, Receiving, Stream, StreamCell,
    inbox::{Inbox, NotOpened},
};
use crate::{
    coroutine::Handler,
    counters::Count,
    dispatch::{Entering, HandleArgs, Input, Offload, Offloaded, Timeout, span},
    error::CallError,
    instance::Instance,
    placement::Placement,
    plugin::{self, CanaryCall, Entered, Entry, EntryName, Named, Shared},
    request::AnyRequest,
    routing::Handled,
    table,
    timer::{self, Sleep},
};

/// The opening of a stream: a future of the [`Stream`]. Nothing happens before it is polled.
///
/// Cancel safety: dropping it ends the stream, and the plugin is notified.
#[must_use = "a stream is not opened unless this is awaited"]
pub struct OpenStream {
    /// `None`: the entry has it.
    shared: Option<Arc<Shared>>,
    entry: EntryName,
    input: Input<'static>,
    entering: Entering,
    idle: Option<Duration>,
    /// The new version of a rollout got it.
    canary: Option<CanaryCall>,
    state: State,
}

enum State {
    Start,
    /// `handle` is offloaded.
    Opening(Stream, Sleep),
    Over,
}

impl OpenStream {
    /// Of an entry that was resolved.
    #[inline]
    pub(crate) fn new(entry: Entry, request: AnyRequest<'static>) -> Self {
        Self::with(None, EntryName::Resolved(entry), request)
    }

    /// Of the entry of this name.
    pub(crate) fn named(shared: Arc<Shared>, name: Box<str>, request: AnyRequest<'static>) -> Self {
        Self::with(Some(shared), EntryName::Name(name), request)
    }

    #[inline]
    fn with(shared: Option<Arc<Shared>>, entry: EntryName, request: AnyRequest<'static>) -> Self {
        let (input, entering) = (Input::Request(request), Entering::new());
        Self { shared, entry, input, entering, idle: None, canary: None, state: State::Start }
    }

    /// Ends the whole stream after this long instead of the plugin's default. The time runs, as the
    /// default does, from the stream's opening; once it is over, the stream ends as soon as
    /// something waits for it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.entering.timeout = Timeout::After(timeout);
        self
    }

    /// Ends the whole stream at this instant instead of after the plugin's default.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.entering.timeout = Timeout::At(deadline);
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
        let opened = this.poll_opened(context);
        if let Poll::Ready(opened) = &opened
            && let Some(canary) = this.canary.take()
        {
            canary.taken(opened.as_ref().map(|_| ()));
        }
        opened
    }
}

impl OpenStream {
    fn poll_opened(&mut self, context: &mut Context<'_>) -> Poll<Result<Stream, CallError>> {
        let this = self;
        if matches!(this.state, State::Start) {
            let what = this.input.entering_for();
            let Some(shared) = shared_of(&this.shared, &this.entry) else {
                return Poll::Ready(Err(CallError::Over));
            };
            let entered = match this.entering.poll(shared, what, context) {
                Poll::Ready(entered) => entered,
                Poll::Pending => return Poll::Pending,
            };
            this.state = State::Over;
            let (entered, canary) = entered?;
            this.canary = canary;
            match open(this, &entered)? {
                Opened::Here(stream) => return Poll::Ready(Ok(stream)),
                Opened::Offloaded(stream) => {
                    let limits = &entered.instance().limits;
                    let opening_timeout = this.entering.timeout.duration(limits.deadline_ms);
                    let opening_timeout = timer::sleep(opening_timeout.unwrap_or(Duration::MAX));
                    this.state = State::Opening(stream, opening_timeout);
                }
            }
        }
        let State::Opening(stream, opening_timeout) = &mut this.state else {
            return Poll::Ready(Err(CallError::Over));
        };
        let opened = stream.inbox.poll_opened(context);
        if opened.is_pending() && Pin::new(opening_timeout).poll(context).is_pending() {
            return Poll::Pending;
        }
        let State::Opening(mut stream, _) = mem::replace(&mut this.state, State::Over) else {
            return Poll::Ready(Err(CallError::Over));
        };
        Poll::Ready(match opened {
            Poll::Ready(Ok(())) => Ok(stream),
            Poll::Ready(Err(NotOpened::Refused(status))) => {
                stream.state = Receiving::Refused;
                Err(plugin::refused(&stream.core.instance.plugin, &this.entry, status))
            }
            Poll::Ready(Err(NotOpened::DeadlineExceeded)) => Err(CallError::DeadlineExceeded),
            Poll::Ready(Err(NotOpened::Unloaded)) => Err(CallError::Unloaded),
            Poll::Ready(Err(NotOpened::Crashed)) => Err(CallError::Crashed),
            Poll::Ready(Err(NotOpened::PluginFailed)) => Err(CallError::PluginFailed),
            // Dropping the stream notifies the plugin.
            Poll::Pending => Err(CallError::DeadlineExceeded),
        })
    }
}

/// The plugin of an opening.
#[inline]
fn shared_of<'a>(named: &'a Option<Arc<Shared>>, entry: &'a EntryName) -> Option<&'a Shared> {
    match entry {
        EntryName::Resolved(entry) => Some(entry.shared()),
        EntryName::Name(_) => named.as_deref(),
    }
}

/// What became of a stream's dispatch.
enum Opened {
    /// `handle` has returned.
    Here(Stream),
    /// It is offloaded.
    Offloaded(Stream),
}

fn open(this: &mut OpenStream, entered: &Entered) -> Result<Opened, CallError> {
    let instance = entered.instance();
    let shared = &*instance.plugin;
    let mut stream = begin(this, entered)?;
    let (cell, sid) = (stream.core.cell, stream.core.sid);
    let span = span(shared, &this.entry, sid);
    let started = match (stream.core.handler.clone(), instance.lend_for(&this.entry)) {
        (None, Some(_lent)) => {
            let status = span.in_scope(|| this.input.handle(&this.entry, instance, sid));
            return match handled(instance, cell, sid, status) {
                Handled::Refused(status) => {
                    stream.state = Receiving::Refused;
                    Err(plugin::refused(shared, &this.entry, status))
                }
                // Also if it was answered meanwhile: the answer may be that it is refused.
                _ if instance.placement.capabilities().is_remote => Ok(Opened::Offloaded(stream)),
                Handled::Answered | Handled::Later => Ok(Opened::Here(stream)),
            };
        }
        (None, None) => {
            let by = By::Worker(stream.core.clone());
            let opening = Opening { cell, sid, args: this.input.take(&this.entry), by };
            let offloaded = Offloaded { work: opening, instance, span };
            let queued = instance.offload(Box::new(offloaded));
            queued.map_err(|_full| instance.too_much_pending())
        }
        (Some(handler), _) => {
            // Without the core: an abandoned handler keeps what it has.
            let by = By::Coroutine(handler.clone());
            let mut opening = Opening { cell, sid, args: this.input.take(&this.entry), by };
            let run = move || _ = opening.run_if_wanted(instance);
            let spawned = instance.spawn_handler(this.entry.name(), &handler, run);
            spawned.map_err(|why| instance.no_coroutine(why))
        }
    };
    let Err(error) = started else { return Ok(Opened::Offloaded(stream)) };
    // The plugin never saw it.
    stream.state = Receiving::Refused;
    shared.counters.one(Count::StreamsRefused);
    Err(error)
}

/// Admits a stream and takes a slot for it. Dropping what this returns gives everything back.
fn begin(this: &OpenStream, entered: &Entered) -> Result<Stream, CallError> {
    let instance = entered.instance();
    let tally = instance.plugin.counters.of(entered.record());
    let limits = &instance.limits;
    let payload_len = this.input.payload().len();
    instance.admit(payload_len, Count::StreamsRefused)?;
    let refuse = |quota, limit| {
        tally.one(Count::StreamsRefused);
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
    tally.one(Count::StreamsOpened);
    tally.bytes(Count::BytesIn, payload_len as u64);
    let timeout = this.entering.timeout.duration(limits.stream_deadline_ms);
    // Too far away to be represented: for ever.
    let timeout_ns = timeout.and_then(|timeout| u64::try_from(timeout.as_nanos()).ok());
    let due_ns = timeout_ns.and_then(|timeout_ns| timer::now_ns().checked_add(timeout_ns));
    slot.set_deadline_ms(due_ns.map_or(0, timer::ms_of_ns));
    let for_coroutine = this.entry.is_for_coroutine(instance);
    let handler = for_coroutine.then(|| instance.make_handler(sid, Some(cell)));
    Ok(Stream {
        core: Arc::new(Core {
            slot,
            cell,
            sid,
            instance,
            due_ns: due_ns.unwrap_or(0),
            idle: this.idle.unwrap_or(Duration::from_millis(limits.stream_idle_ms)),
            timers: OnceLock::new(),
            handler,
            canary: this.canary.clone(),
            outbox: OnceLock::new(),
        }),
        inbox: Inbox::new(cell),
        state: Receiving::Open,
    })
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

/// An opening that does not run on its caller's thread.
struct Opening {
    cell: &'static StreamCell,
    sid: u64,
    args: HandleArgs,
    by: By,
}

enum By {
    /// Keeps the slot while it is queued.
    Worker(Arc<Core>),
    Coroutine(Arc<Handler>),
}

impl Offload for Opening {
    fn is_wanted(&self) -> bool {
        self.cell.is_open(self.sid)
    }

    /// Runs `handle`, and completes the opening. On a coroutine the first wait opens
    /// the stream if nothing has before.
    fn run(&mut self, instance: &'static Instance) {
        let (cell, sid) = (self.cell, self.sid);
        let status = self.args.handle(instance, sid);
        match (handled(instance, cell, sid, status), &self.by) {
            // Opened or refused by what the remote answers.
            _ if instance.placement.capabilities().is_remote => {}
            (Handled::Later | Handled::Answered, By::Worker(_core)) => cell.set_opened(sid),
            (Handled::Later, By::Coroutine(handler)) => handler.set_opened(),
            _ => {}
        }
    }
}
