// SPDX-License-Identifier: BSD-3-Clause
//! One call: from its caller to the plugin and back.
//!
//! ```text
//!   poll ─▶ enter instance ─▶ take slot ─▶ handle ─┬─ answered inside ──▶ slot back, Ready
//!                                                  ├─ refused ──────────▶ slot back, Ready
//!                                                  └─ neither ─▶ pending, deadline set, waker kept
//!   answer, deadline or unload ─▶ slot DONE ─▶ wake ─▶ poll ─▶ Ready
//!   drop while pending ─▶ slot abandoned, plugin notified
//! ```
//!
//! `handle` runs apart from the caller, which waits as for any late answer: on a worker of the plugin
//! or, if the plugin has been quick, in a task of the executor. If the plugin declared that it never
//! blocks, `handle` runs on the caller's thread ([`crate::routing`]).
//!
//! # Invariants
//!
//! 1. A call that entered the plugin ends in exactly one counter of its outcome.
//! 2. While a call waits, its instance counts it as pending, from before the thread leaves the
//!    instance until after the slot was given up.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use becket_abi::NrStatus;
use bytes::Bytes;
use tracing::{Level, Span, level_filters::LevelFilter};

use crate::{
    body::Body,
    callbacks,
    coroutine::NotStarted,
    counters::{Count, Tally},
    error::CallError,
    frame::CallFrame,
    instance::Instance,
    jobs::Job,
    placement::Placement,
    plugin::{self, Entered, EntryName, NotEntered, OwnedEntry, Shared},
    request::{AnyRequest, Request},
    routing::{Handled, Route},
    table::{self, Outcome, Slot},
    thread,
    timer::{self, Sleep},
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
    /// The same as a slot keeps it while the clock does not run: it is read only for calls that
    /// outlast `handle`.
    #[inline]
    pub(crate) fn relative(self, default_ms: u64) -> u64 {
        match self {
            Self::Default if default_ms == 0 => 0,
            Self::Default => callbacks::relative(default_ms),
            _ => self.duration(default_ms).map_or(0, |timeout| {
                callbacks::relative(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
            }),
        }
    }

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

    /// Of a call that waits for the plugin to be there: true if its time is over; else wakes its
    /// task then. A time that the caller set runs from the first look.
    #[cold]
    pub(crate) fn run_out(
        &mut self,
        default_ms: u64,
        paused: &mut Option<Box<Sleep>>,
        context: &mut Context<'_>,
    ) -> bool {
        if paused.is_none() {
            if let Self::After(duration) = *self {
                *self = Self::At(timer::after(duration));
            }
            let sleep = self.duration(default_ms).map(timer::sleep);
            *paused = sleep.map(Box::new);
        }
        paused.as_mut().is_some_and(|sleep| Pin::new(sleep).poll(context).is_ready())
    }
}

/// A call: a future of its [`Response`]. Nothing happens before it is polled.
///
/// Cancel safety: dropping it ends the call, and the plugin is notified.
#[must_use = "a call does nothing unless it is awaited"]
pub struct Call<'a> {
    shared: &'a Arc<Shared>,
    entry: EntryName<'a>,
    timeout: Timeout,
    /// Runs out while the plugin hands its state over.
    paused: Option<Box<Sleep>>,
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
        let state = State::Start(input);
        Self { shared, entry, timeout: Timeout::Default, paused: None, state }
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
        if let State::Start(input) = &mut this.state {
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
                Err(not_entered) => {
                    this.state = State::Over;
                    return Poll::Ready(Err(not_entered.into()));
                }
            };
            let tally = this.shared.counters.of(entered.record());
            let slot = match begin(entered.instance(), &entered, tally, input) {
                Ok(slot) => slot,
                Err(error) => {
                    this.state = State::Over;
                    return Poll::Ready(Err(error));
                }
            };
            // Here and not further down, so that the answer is moved but once.
            let frame = CallFrame::new(slot.next_sid(), entered.instance(), Some(slot));
            match start(this.shared, this.entry, input, this.timeout, &entered, slot, &frame) {
                Started::Answered => {
                    count_answer(tally, &frame);
                    this.state = State::Over;
                    return Poll::Ready(Ok(frame.into_response()));
                }
                Started::Failed(error) => {
                    this.state = State::Over;
                    return Poll::Ready(Err(error));
                }
                Started::Waiting(waiting) => this.state = State::Waiting(waiting),
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
    /// The answer is in the frame.
    Answered,
    Failed(CallError),
    Waiting(Waiting),
}

/// Admits a call and takes a slot for it.
#[inline]
fn begin(
    instance: &Instance,
    entered: &Entered,
    tally: Tally<'_>,
    input: &Input<'_>,
) -> Result<&'static Slot, CallError> {
    tally.one(Count::Calls);
    let payload_len = input.payload().len();
    admit(instance, payload_len, Count::QuotaRefused)?;
    tally.add(Count::BytesIn, payload_len as u64);
    table::take_free(entered.record()).ok_or_else(|| {
        tally.one(Count::QuotaRefused);
        CallError::Quota { quota: "calls of the process", limit: u64::from(table::SLOTS_MAX) }
    })
}

/// Dispatches a call: on this thread, or on a worker.
#[inline]
fn start(
    shared: &Arc<Shared>,
    entry: EntryName<'_>,
    input: &mut Input<'_>,
    timeout: Timeout,
    entered: &Entered,
    slot: &'static Slot,
    frame: &CallFrame,
) -> Started {
    let instance = entered.instance();
    let sid = slot.begin_call(instance);
    slot.set_deadline_ms(timeout.relative(instance.limits.deadline_ms));
    if let Some(unannounced) = &instance.unannounced {
        unannounced.began(sid, entry.name());
    }
    let span = span(shared, entry, sid);
    if entry.is_for_coroutine(instance) {
        let call = Apart { entry: entry.to_owned(), input: input.take(), slot, sid };
        let timeout = timeout.duration(instance.limits.deadline_ms);
        return call.start_on_coroutine(shared, instance, timeout, span);
    }
    // Before the thread is marked as inside.
    let Some(_lent) = instance.lend() else {
        let call = Apart { entry: entry.to_owned(), input: input.take(), slot, sid };
        return call.start(shared, instance, timeout.duration(instance.limits.deadline_ms), span);
    };

    let tally = shared.counters.of(entered.record());
    let weight = tally.sample_weight();
    let began = (weight > 0).then(Instant::now);
    let status = {
        let _in_span = span.enter();
        frame.scope(entered.record(), || {
            input.with(|request, payload| {
                instance.placement.handle(entry.at(instance), sid, request, payload)
            })
        })
    };
    match Handled::of(status, frame.answered.get()) {
        Handled::Answered => {
            slot.release(sid);
            if let Some(began) = began {
                tally.latency(began.elapsed(), weight);
            }
            Started::Answered
        }
        Handled::Refused(status) if slot.withdraw(sid) => {
            shared.counters.one(Count::RefusedByHandle);
            Started::Failed(plugin::refused(shared, entry, status))
        }
        // Not answered yet; or refused, but another thread of the plugin answered before.
        Handled::Later | Handled::Refused(_) => {
            let timeout = timeout.duration(instance.limits.deadline_ms);
            Started::Waiting(Waiting::new(slot, sid, instance, timeout, span))
        }
    }
}

/// Counts the answer in a frame.
#[inline]
fn count_answer(tally: Tally<'_>, frame: &CallFrame) {
    tally.one(if frame.status().is_ok() { Count::Ok } else { Count::AnsweredWithError });
    tally.add(Count::BytesOut, frame.body_len());
}

/// A call that runs on a worker.
struct Apart {
    entry: OwnedEntry,
    input: OwnedInput,
    slot: &'static Slot,
    sid: u64,
}

impl Apart {
    /// Queues it.
    #[cold]
    fn start(
        self,
        shared: &Arc<Shared>,
        instance: &'static Instance,
        timeout: Option<Duration>,
        span: Span,
    ) -> Started {
        let waiting = Waiting::new(self.slot, self.sid, instance, timeout, span.clone());
        let queued = instance.offload_call(Box::new(Offloaded { call: self, instance, span }));
        if queued.is_ok() {
            return Started::Waiting(waiting);
        }
        shared.counters.one(Count::QuotaRefused);
        waiting.give_up();
        let limit = u64::from(instance.limits.pending_max);
        Started::Failed(CallError::Quota { quota: "pending_max", limit })
    }

    /// Begins it on a coroutine.
    #[cold]
    fn start_on_coroutine(
        self,
        shared: &Arc<Shared>,
        instance: &'static Instance,
        timeout: Option<Duration>,
        span: Span,
    ) -> Started {
        let (slot, sid) = (self.slot, self.sid);
        // The span is not entered there: what runs on a thread between two waits is not one call.
        let waiting = Waiting::new(slot, sid, instance, timeout, span);
        let handler = instance.make_handler(sid, None);
        let entry = self.entry.clone();
        let spawned = instance.spawn_handler(entry.get().name(), &handler, move || {
            self.run(instance);
        });
        let Err(why) = spawned else { return Started::Waiting(waiting) };
        shared.counters.one(Count::QuotaRefused);
        waiting.give_up();
        Started::Failed(no_coroutine(instance, why))
    }

    /// Runs `handle`, unless the caller gave up while the call was queued. This thread is inside:
    /// until the call is seen to be open, nothing else need keep the instance. (A coroutine keeps
    /// it itself.)
    fn run(&self, instance: &'static Instance) {
        if !self.slot.is_open(self.sid) {
            return;
        }
        let status = self.input.with(|request, payload| {
            instance.placement.handle(self.entry.get().at(instance), self.sid, request, payload)
        });
        // An answer went to the slot, and what comes second there is refused.
        if let Handled::Refused(status) = Handled::of(status, false) {
            let _ = self.slot.complete(self.sid, || Outcome::Refused(status));
        }
    }
}

/// It, queued for a worker.
struct Offloaded {
    call: Apart,
    instance: &'static Instance,
    span: Span,
}

impl Job for Offloaded {
    fn run(self: Box<Self>) {
        let began = Instant::now();
        self.span.in_scope(|| self.instance.inside(|| self.call.run(self.instance)));
        self.instance.took(began.elapsed());
    }

    fn is_wanted(&self) -> bool {
        self.call.slot.is_open(self.call.sid)
    }
}

/// The error for a call or stream for which there is no coroutine.
#[cold]
pub(crate) fn no_coroutine(instance: &Instance, why: NotStarted) -> CallError {
    let limit = u64::from(instance.limits.coroutines_max);
    match why {
        NotStarted::Quota => CallError::Quota { quota: "coroutines_max", limit },
        NotStarted::Refused => CallError::Unloaded,
    }
}

/// Checks the plugin's bounds before a call that may wait; a refusal is counted as `refused`.
#[inline]
pub(crate) fn admit(
    instance: &Instance,
    payload_len: usize,
    refused: Count,
) -> Result<(), CallError> {
    if instance.pending.load(Ordering::Relaxed) >= u64::from(instance.limits.pending_max) {
        return Err(not_admitted(instance, payload_len, refused));
    }
    admit_now(instance, payload_len, refused)
}

/// The same for a call that is over when `handle` returns.
#[inline]
fn admit_now(instance: &Instance, payload_len: usize, refused: Count) -> Result<(), CallError> {
    if instance.route() == Route::Quarantined {
        return Err(not_admitted(instance, payload_len, refused));
    }
    admit_len(instance, payload_len, refused)
}

/// The same for one that runs on a thread that was lent.
#[inline]
pub(crate) fn admit_len(
    instance: &Instance,
    payload_len: usize,
    refused: Count,
) -> Result<(), CallError> {
    if payload_len as u64 > instance.limits.payload_bytes_max {
        return Err(not_admitted(instance, payload_len, refused));
    }
    Ok(())
}

#[cold]
fn not_admitted(instance: &Instance, payload_len: usize, refused: Count) -> CallError {
    instance.plugin.counters.one(refused);
    let (len, len_max) = (payload_len as u64, instance.limits.payload_bytes_max);
    if instance.route() == Route::Quarantined {
        CallError::Quarantined
    } else if len > len_max {
        CallError::PayloadTooLarge { len, len_max }
    } else {
        CallError::Quota { quota: "pending_max", limit: u64::from(instance.limits.pending_max) }
    }
}

#[inline]
pub(crate) fn span(shared: &Shared, entry: EntryName<'_>, sid: u64) -> Span {
    // The level is compared first: without a subscriber a call pays one load.
    if LevelFilter::current() < Level::DEBUG {
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
fn answered(tally: Tally<'_>, outcome: Option<Outcome>) -> Result<Response, CallError> {
    let count = |count| tally.one(count);
    match outcome {
        Some(Outcome::Answered { status, body }) => {
            count(if status.is_ok() { Count::Ok } else { Count::AnsweredWithError });
            tally.add(Count::BytesOut, body.len() as u64);
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
        let timer = deadline.and_then(|deadline| {
            slot.set_deadline_ms(timer::ms_of(deadline));
            timer::set(deadline, timer::Task::CallDeadline { sid })
        });
        Self { slot, sid, instance, since, timer, finished: false, span }
    }

    /// Ends a call that the plugin never saw.
    fn give_up(mut self) {
        self.finished = true;
        self.slot.abandon(self.sid);
    }

    fn finish(
        &self,
        shared: &Shared,
        entry: EntryName<'_>,
        outcome: Option<Outcome>,
    ) -> Result<Response, CallError> {
        let tally = shared.counters.of(thread::current());
        tally.latency(self.since.elapsed(), 1);
        let result = answered(tally, outcome);
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
        if !self.finished {
            // Also when it was answered meanwhile: that answer has no reader any more.
            self.instance.plugin.counters.one(Count::Cancelled);
            if self.slot.abandon(self.sid) {
                self.instance.tell_cancelled(self.sid, false);
            }
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
    let entered = shared.enter_blocking()?;
    let instance = entered.instance();
    let tally = shared.counters.of(entered.record());
    tally.one(Count::Calls);
    admit_now(instance, payload.len(), Count::QuotaRefused)?;
    tally.add(Count::BytesIn, payload.len() as u64);
    let sid = entered.record().next_local_sid();
    let weight = tally.sample_weight();
    let began = (weight > 0).then(Instant::now);
    let frame = CallFrame::new(sid, instance, None);
    let span = span(shared, entry, sid);
    let status = {
        let _in_span = span.enter();
        frame.scope(entered.record(), || {
            instance.placement.handle(entry.at(instance), sid, None, payload)
        })
    };
    if let Some(began) = began {
        tally.latency(began.elapsed(), weight);
    }
    match Handled::of(status, frame.answered.get()) {
        Handled::Answered => {
            count_answer(tally, &frame);
            Ok(frame.into_response())
        }
        Handled::Later => {
            tally.one(Count::NotAnswered);
            Err(CallError::NotAnswered)
        }
        Handled::Refused(status) => {
            tally.one(Count::RefusedByHandle);
            Err(plugin::refused(shared, entry, status))
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

    /// What goes to another thread: given away if it was, else copied.
    fn take(&mut self) -> OwnedInput {
        match self {
            Self::Request(AnyRequest::Owned(request)) => OwnedInput::Request(mem::take(request)),
            Self::Request(AnyRequest::Borrowed(request)) => OwnedInput::Request(request.clone()),
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
