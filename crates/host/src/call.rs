// SPDX-License-Identifier: BSD-3-Clause
//! One call: from its caller to the plugin and back.
//!
//! ```text
//!   poll ─▶ enter instance ─▶ take slot ─▶ handle ─┬─ answered inside ──▶ slot back, Ready
//!                                                  ├─ refused ──────────▶ slot back, Ready
//!                                                  └─ neither ─▶ pending, deadline set, waker kept
//!   answer, deadline or unload ─▶ slot DONE ─▶ wake ─▶ poll ─▶ Ready
//!   drop while pending ─▶ slot abandoned, plugin told
//! ```
//!
//! The plugin runs on the caller's thread, unless its route says otherwise: then `handle` runs on
//! a worker of the plugin and the caller waits like for any late answer.
//!
//! # Invariants
//!
//! 1. A call that entered the plugin ends in exactly one counter of its outcome.
//! 2. While a call waits, its instance counts it as pending, from before the thread leaves the
//!    instance until after the slot was given up.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use becket_abi::NrStatus;
use bytes::Bytes;
use tracing::Span;

use crate::{
    body::Body,
    callbacks,
    counters::Count,
    distance::Distance,
    error::CallError,
    frame::CallFrame,
    instance::{Instance, Route},
    plugin::{self, Entered, EntryName, NotEntered, OwnedEntry, Shared},
    request::{AnyRequest, Request},
    table::{self, Outcome, Slot},
    timer,
};

/// What a plugin answered.
#[derive(Debug, Clone)]
pub struct Response {
    /// The answer's status; may be any.
    pub status: NrStatus,
    /// The answer's bytes.
    pub body: Body,
}

/// What goes to the plugin.
pub(crate) enum Input<'a> {
    /// Metadata and a payload.
    Request(AnyRequest<'a>),
    /// A payload alone.
    Raw(&'a [u8]),
}

/// The same, kept.
pub(crate) enum OwnedInput {
    Request(Request),
    Raw(Bytes),
}

/// When to give up.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Timeout {
    /// After the plugin's default.
    Default,
    /// After this long.
    After(Duration),
    /// At this instant.
    At(Instant),
}

impl Timeout {
    /// How long from now, given the plugin's default in milliseconds; `None`: for ever.
    #[inline]
    pub(crate) fn duration(self, default_ms: u64) -> Option<Duration> {
        match self {
            Self::Default if default_ms == 0 => None,
            Self::Default => Some(Duration::from_millis(default_ms)),
            Self::After(duration) => Some(duration),
            Self::At(instant) => Some(instant.saturating_duration_since(Instant::now())),
        }
    }
}

/// A call: a future of its [`Response`]. Nothing happens before it is polled.
///
/// Cancel safety: dropping it ends the call, and the plugin is told.
#[must_use = "a call does nothing unless it is awaited"]
pub struct Call<'a> {
    shared: &'a Arc<Shared>,
    entry: EntryName<'a>,
    timeout: Timeout,
    state: State<'a>,
}

enum State<'a> {
    Start(Input<'a>),
    Waiting(Waiting),
    Over,
}

impl<'a> Call<'a> {
    #[inline]
    pub(crate) fn new(shared: &'a Arc<Shared>, entry: EntryName<'a>, input: Input<'a>) -> Self {
        Self { shared, entry, timeout: Timeout::Default, state: State::Start(input) }
    }

    /// Gives up after this long instead of the plugin's default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Timeout::After(timeout);
        self
    }

    /// Gives up at this instant instead of after the plugin's default.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.timeout = Timeout::At(deadline);
        self
    }
}

impl Future for Call<'_> {
    type Output = Result<Response, CallError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let State::Start(input) = &this.state {
            match this.shared.enter() {
                Ok(entered) => {
                    match start(this.shared, this.entry, input, this.timeout, &entered) {
                        Started::Ready(result) => {
                            this.state = State::Over;
                            return Poll::Ready(result);
                        }
                        Started::Waiting(waiting) => this.state = State::Waiting(waiting),
                    }
                }
                Err(NotEntered::Paused) => {
                    if !this.shared.wake_when_back(context.waker()) {
                        return Poll::Pending;
                    }
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(not_entered) => {
                    this.state = State::Over;
                    return Poll::Ready(Err(not_entered.into()));
                }
            }
        }
        let State::Waiting(waiting) = &mut this.state else {
            return Poll::Ready(Err(CallError::Over));
        };
        let Poll::Ready(outcome) = waiting.slot.poll(waiting.sid, context.waker()) else {
            return Poll::Pending;
        };
        waiting.finished = true;
        let result = waiting.finish(this.shared, this.entry, outcome);
        this.state = State::Over;
        Poll::Ready(result)
    }
}

/// What became of a call's dispatch.
enum Started {
    Ready(Result<Response, CallError>),
    Waiting(Waiting),
}

/// Dispatches a call: on this thread, or on a worker.
#[inline]
fn start(
    shared: &Arc<Shared>,
    entry: EntryName<'_>,
    input: &Input<'_>,
    timeout: Timeout,
    entered: &Entered,
) -> Started {
    let instance = entered.instance();
    shared.counters.one(Count::Calls);
    let payload_len = input.payload().len();
    if let Err(error) = admit(instance, payload_len) {
        return Started::Ready(Err(error));
    }
    let Some(slot) = table::take_free(entered.record()) else {
        shared.counters.one(Count::QuotaRefused);
        let limit = u64::from(table::SLOTS_MAX);
        return Started::Ready(Err(CallError::Quota { quota: "calls of the process", limit }));
    };
    let sid = slot.begin_call(instance);
    shared.counters.add(Count::BytesIn, payload_len as u64);
    let timeout = timeout.duration(instance.limits.deadline_ms);
    if let Some(timeout) = timeout {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX >> 1);
        slot.set_deadline_ms(callbacks::relative(timeout_ms));
    }
    let span = span(shared, entry, sid);
    if instance.route() != Route::Caller || instance.distance.would_wait() {
        let (entry, input) = (entry.to_owned(), input.to_owned());
        return start_apart(shared, instance, entry, input, slot, sid, timeout, span);
    }

    let frame = CallFrame::new(sid, instance, Some(slot));
    let weight = entered.record().sample_weight();
    let began = (weight > 0).then(Instant::now);
    let status = {
        let _in_span = span.enter();
        frame.scope(entered.record(), || {
            input.with(|request, payload| {
                instance.distance.handle(entry.at(instance), sid, request, payload)
            })
        })
    };
    if frame.answered.get() {
        slot.release(sid);
        if let Some(began) = began {
            shared.counters.latency(began.elapsed(), weight);
        }
        if !status.is_ok() {
            shared.counters.one(Count::RefusedByHandle);
            return Started::Ready(Err(CallError::Refused { status }));
        }
        return Started::Ready(answered(shared, frame.outcome.take()));
    }
    if !status.is_ok() {
        slot.abandon(sid);
        shared.counters.one(Count::RefusedByHandle);
        return Started::Ready(Err(plugin::refused(shared, entry, status)));
    }
    Started::Waiting(Waiting::new(slot, sid, instance, timeout, span))
}

/// Queues a call for a worker of the plugin.
#[cold]
#[expect(clippy::too_many_arguments, reason = "the parts of one call, moved once")]
fn start_apart(
    shared: &Arc<Shared>,
    instance: &'static Instance,
    entry: OwnedEntry,
    input: OwnedInput,
    slot: &'static Slot,
    sid: u64,
    timeout: Option<Duration>,
    span: Span,
) -> Started {
    let waiting = Waiting::new(slot, sid, instance, timeout, span.clone());
    let on_probation = instance.route() == Route::Probation;
    let plugin = shared.clone();
    let job = move || {
        // The caller may have given up while the call was queued.
        if !slot.is_open(sid) {
            return;
        }
        let began = Instant::now();
        let status = span.in_scope(|| {
            instance.inside(|| {
                input.with(|request, payload| {
                    instance.distance.handle(entry.get().at(instance), sid, request, payload)
                })
            })
        });
        if on_probation {
            instance.returned_on_probation(began.elapsed());
        }
        if let Some(status) = status.filter(|status| !status.is_ok()) {
            // Rule: a `handle` that does not return `Ok` fails the call. An answer that was given
            // before may have been taken already.
            let _ = slot.complete(sid, || Outcome::Refused(status));
        }
        drop(plugin);
    };
    if instance.run_apart(Box::new(job)).is_err() {
        shared.counters.one(Count::QuotaRefused);
        drop(waiting);
        let limit = u64::from(instance.limits.pending_max);
        return Started::Ready(Err(CallError::Quota { quota: "pending_max", limit }));
    }
    Started::Waiting(waiting)
}

/// Checks the plugin's bounds before a call.
#[inline]
pub(crate) fn admit(instance: &Instance, payload_len: usize) -> Result<(), CallError> {
    let limits = &instance.limits;
    let refuse = |error| {
        instance.plugin.counters.one(Count::QuotaRefused);
        Err(error)
    };
    if instance.route() == Route::Quarantined {
        return refuse(CallError::Quarantined);
    }
    if instance.pending.load(Ordering::Relaxed) >= u64::from(limits.pending_max) {
        let limit = u64::from(limits.pending_max);
        return refuse(CallError::Quota { quota: "pending_max", limit });
    }
    if payload_len as u64 > limits.payload_bytes_max {
        let len_max = limits.payload_bytes_max;
        return refuse(CallError::PayloadTooLarge { len: payload_len as u64, len_max });
    }
    Ok(())
}

#[inline]
pub(crate) fn span(shared: &Shared, entry: EntryName<'_>, sid: u64) -> Span {
    // The level is compared first: without a subscriber a call pays one load.
    if tracing::level_filters::LevelFilter::current() < tracing::Level::DEBUG {
        return Span::none();
    }
    tracing::debug_span!(
        target: "becket::call",
        "call",
        plugin = %shared.spec.name,
        entry = entry.name(),
        sid,
    )
}

/// Counts an answer and makes it the caller's.
#[inline]
fn answered(shared: &Shared, outcome: Option<Outcome>) -> Result<Response, CallError> {
    let count = |count| shared.counters.one(count);
    match outcome {
        Some(Outcome::Answered { status, body }) => {
            count(if status.is_ok() { Count::Ok } else { Count::AnsweredWithError });
            shared.counters.add(Count::BytesOut, body.len() as u64);
            Ok(Response { status, body })
        }
        Some(Outcome::Refused(status)) => {
            count(Count::RefusedByHandle);
            Err(CallError::Refused { status })
        }
        Some(Outcome::DeadlineExceeded) => {
            count(Count::DeadlineExceeded);
            Err(CallError::DeadlineExceeded)
        }
        Some(Outcome::Unloaded) | None => {
            count(Count::FailedUnloaded);
            Err(CallError::Unloaded)
        }
    }
}

/// A call that was dispatched and not answered yet.
struct Waiting {
    slot: &'static Slot,
    sid: u64,
    instance: &'static Instance,
    since: Instant,
    timer: Option<timer::Key>,
    /// The slot was given up.
    finished: bool,
    span: Span,
}

impl Waiting {
    /// Counts the call as pending and sets its deadline. The caller is inside the instance.
    fn new(
        slot: &'static Slot,
        sid: u64,
        instance: &'static Instance,
        timeout: Option<Duration>,
        span: Span,
    ) -> Self {
        instance.pending.fetch_add(1, Ordering::SeqCst);
        let since = Instant::now();
        // Too far away to be represented: for ever.
        let deadline = timeout.and_then(|timeout| since.checked_add(timeout));
        let timer = deadline.map(|deadline| {
            slot.set_deadline_ms(timer::ms_of(deadline));
            timer::set(deadline, timer::Task::CallDeadline { sid })
        });
        Self { slot, sid, instance, since, timer, finished: false, span }
    }

    fn finish(
        &self,
        shared: &Shared,
        entry: EntryName<'_>,
        outcome: Option<Outcome>,
    ) -> Result<Response, CallError> {
        shared.counters.latency(self.since.elapsed(), 1);
        let result = answered(shared, outcome);
        self.span.in_scope(|| match &result {
            Ok(response) => tracing::trace!(target: "becket::call", status = %response.status),
            Err(error) => tracing::debug!(target: "becket::call", %error, "failed"),
        });
        match result {
            Err(CallError::Refused { status }) => Err(plugin::refused(shared, entry, status)),
            result => result,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            timer::cancel(timer);
        }
        if !self.finished && self.slot.abandon(self.sid) {
            self.instance.plugin.counters.one(Count::Cancelled);
            self.instance.tell_cancelled(self.sid, false);
        }
        self.instance.pending.fetch_sub(1, Ordering::SeqCst);
        self.instance.moved();
    }
}

/// Calls an entry that answers inside `handle`.
#[inline]
pub(crate) fn now(
    shared: &Arc<Shared>,
    entry: EntryName<'_>,
    payload: &[u8],
) -> Result<Response, CallError> {
    let entered = enter_blocking(shared)?;
    let instance = entered.instance();
    shared.counters.one(Count::Calls);
    admit(instance, payload.len())?;
    shared.counters.add(Count::BytesIn, payload.len() as u64);
    let sid = entered.record().next_local_sid();
    let weight = entered.record().sample_weight();
    let began = (weight > 0).then(Instant::now);
    let frame = CallFrame::new(sid, instance, None);
    let status = span(shared, entry, sid).in_scope(|| {
        frame.scope(entered.record(), || {
            instance.distance.handle(entry.at(instance), sid, None, payload)
        })
    });
    if let Some(began) = began {
        shared.counters.latency(began.elapsed(), weight);
    }
    if !status.is_ok() {
        shared.counters.one(Count::RefusedByHandle);
        return Err(plugin::refused(shared, entry, status));
    }
    if frame.answered.get() {
        return answered(shared, frame.outcome.take());
    }
    shared.counters.one(Count::NotAnswered);
    Err(CallError::NotAnswered)
}

/// Calls an entry whose answer nobody awaits.
#[inline]
pub(crate) fn notify(
    shared: &Arc<Shared>,
    entry: EntryName<'_>,
    payload: &[u8],
) -> Result<(), CallError> {
    let entered = enter_blocking(shared)?;
    let instance = entered.instance();
    shared.counters.one(Count::Notifies);
    admit(instance, payload.len())?;
    shared.counters.add(Count::BytesIn, payload.len() as u64);
    let sid = entered.record().next_local_sid();
    // An answer given inside is taken, so that the plugin sees nothing unusual, and dropped.
    let frame = CallFrame::new(sid, instance, None);
    let status = frame.scope(entered.record(), || {
        instance.distance.handle(entry.at(instance), sid, None, payload)
    });
    if status.is_ok() {
        return Ok(());
    }
    Err(plugin::refused(shared, entry, status))
}

/// Enters the plugin; blocks while it hands its state over.
#[inline]
fn enter_blocking(shared: &Shared) -> Result<Entered, CallError> {
    loop {
        match shared.enter() {
            Ok(entered) => return Ok(entered),
            Err(NotEntered::Paused) => shared.wait_until_back(),
            Err(not_entered) => return Err(not_entered.into()),
        }
    }
}

impl Input<'_> {
    fn payload(&self) -> &[u8] {
        match self {
            Self::Request(request) => &request.get().body,
            Self::Raw(payload) => payload,
        }
    }

    /// Runs `f` with the views that the plugin gets.
    #[inline]
    fn with<R>(&self, f: impl FnOnce(Option<&becket_abi::NrRequest>, &[u8]) -> R) -> R {
        match self {
            Self::Request(request) => {
                let request = request.get();
                request.with_view(|view| f(Some(view), &request.body))
            }
            Self::Raw(payload) => f(None, payload),
        }
    }

    fn to_owned(&self) -> OwnedInput {
        match self {
            Self::Request(request) => OwnedInput::Request(request.get().clone()),
            Self::Raw(payload) => OwnedInput::Raw(Bytes::copy_from_slice(payload)),
        }
    }
}

impl OwnedInput {
    fn with<R>(&self, f: impl FnOnce(Option<&becket_abi::NrRequest>, &[u8]) -> R) -> R {
        match self {
            Self::Request(request) => request.with_view(|view| f(Some(view), &request.body)),
            Self::Raw(payload) => f(None, payload),
        }
    }
}
