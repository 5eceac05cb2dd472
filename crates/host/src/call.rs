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
//! Else `handle` is offloaded, and the caller waits as for any late answer: to a worker of the plugin
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
    num::NonZeroU64,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use becket_abi::NrStatus;
use tracing::Span;

use crate::{
    body::Body,
    counters::{Count, Tally},
    dispatch::{Entering, HandleArgs, Input, Offload, Offloaded, Timeout, is_traced, span},
    error::CallError,
    frame::CallFrame,
    instance::Instance,
    placement::Placement,
    plugin::{
        self, CanaryCall, Entered, EnteringFor, Entry, EntryNameRef, Named, NotEntered, Shared,
    },
    request::AnyRequest,
    routing::Handled,
    table::{self, Outcome, Slot},
    thread, timer,
};

/// What a plugin answered.
#[derive(Debug, Clone)]
pub struct Response {
    /// The answer's status; may be any.
    pub status: NrStatus,
    /// The answer's bytes.
    pub body: Body,
}

/// A call: a future of its [`Response`]. Nothing happens before it is polled.
///
/// Cancel safety: dropping it ends the call, and the plugin is notified.
#[must_use = "a call does nothing unless it is awaited"]
pub struct Call<'a> {
    shared: &'a Arc<Shared>,
    entry: EntryNameRef<'a>,
    entering: Entering,
    state: State<'a>,
}

enum State<'a> {
    Start(Input<'a>),
    Waiting(Waiting),
    /// A rollout dealt it; the new version got it, if there is a `CanaryCall`.
    Dealt(Box<(Waiting, Option<CanaryCall>)>),
    Over,
}

impl<'a> Call<'a> {
    #[inline]
    pub(crate) fn new(
        shared: &'a Arc<Shared>,
        entry: EntryNameRef<'a>,
        request: impl Into<AnyRequest<'a>>,
    ) -> Self {
        Self::with(shared, entry, Input::Request(request.into()))
    }

    #[inline]
    pub(crate) fn raw(shared: &'a Arc<Shared>, entry: EntryNameRef<'a>, payload: &'a [u8]) -> Self {
        Self::with(shared, entry, Input::Raw(payload))
    }

    #[inline]
    fn with(shared: &'a Arc<Shared>, entry: EntryNameRef<'a>, input: Input<'a>) -> Self {
        Self { shared, entry, entering: Entering::new(), state: State::Start(input) }
    }

    /// Gives up after this long instead of the plugin's default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.entering.timeout = Timeout::After(timeout);
        self
    }

    /// Gives up at this instant instead of after the plugin's default.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.entering.timeout = Timeout::At(deadline);
        self
    }
}

impl Call<'_> {
    /// Takes out the call without its payload, once it was polled and the plugin has it; `self` is then
    /// over. `None`: it still needs the payload, because it was not polled, or the plugin is away.
    pub fn detach(&mut self) -> Option<DetachedCall> {
        let EntryNameRef::Resolved(entry) = self.entry else { return None };
        match std::mem::replace(&mut self.state, State::Over) {
            State::Waiting(waiting) => {
                Some(DetachedCall { entry: entry.clone(), waiting: Some(waiting) })
            }
            state => {
                self.state = state;
                None
            }
        }
    }
}

/// A call that waits for its answer, and borrows nothing: see [`Call::detach`].
///
/// Cancel safety: as for [`Call`].
#[must_use = "a call is ended when it is dropped"]
pub struct DetachedCall {
    entry: Entry,
    waiting: Option<Waiting>,
}

impl Future for DetachedCall {
    type Output = Result<Response, CallError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(waiting) = &mut this.waiting else { return Poll::Ready(Err(CallError::Over)) };
        let Poll::Ready(outcome) = waiting.slot.poll(waiting.sid, context.waker()) else {
            return Poll::Pending;
        };
        waiting.finished = true;
        let entry = EntryNameRef::Resolved(&this.entry);
        let result = waiting.finish(this.entry.shared(), entry, outcome);
        this.waiting = None;
        Poll::Ready(result)
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
                Err(why) => return this.poll_away(why, context),
            };
            let tally = this.shared.counters.of(entered.record());
            let slot = match begin(&entered, tally, input.payload().len()) {
                Ok(slot) => slot,
                Err(error) => return this.over(Err(error)),
            };
            // Here and not further down, so that the answer is moved but once.
            let frame = CallFrame::new(slot.next_sid(), entered.instance(), Some(slot));
            let starting = Starting {
                shared: this.shared,
                entry: this.entry,
                timeout: this.entering.timeout,
                entered: &entered,
                tally,
                slot,
                frame: &frame,
            };
            match starting.start(input) {
                Started::Answered => {
                    count_answer(tally, &frame);
                    // Before the answer is moved, so that it is moved to where the caller wants it.
                    this.state = State::Over;
                    return Poll::Ready(Ok(frame.into_response()));
                }
                Started::Failed(error) => return this.over(Err(error)),
                // The plugin has it; a long request is not kept for as long as the answer takes.
                Started::Waiting(waiting) => this.state = State::Waiting(waiting),
            }
        }
        let State::Waiting(waiting) = &mut this.state else {
            return this.poll_dealt(context);
        };
        let Poll::Ready(outcome) = waiting.slot.poll(waiting.sid, context.waker()) else {
            return Poll::Pending;
        };
        waiting.finished = true;
        let result = waiting.finish(this.shared, this.entry, outcome);
        this.over(result)
    }
}

impl Call<'_> {
    /// The first poll, if no instance is current: a rollout deals the call, or the plugin is away.
    #[cold]
    fn poll_away(
        &mut self,
        why: NotEntered,
        context: &mut Context<'_>,
    ) -> Poll<Result<Response, CallError>> {
        let State::Start(input) = &mut self.state else {
            return Poll::Ready(Err(CallError::Over));
        };
        let what = input.entering_for();
        let (entered, canary) = match self.entering.poll_dealt(self.shared, why, what, context) {
            Poll::Ready(Ok(dealt)) => dealt,
            Poll::Ready(Err(error)) => return self.over(Err(error)),
            Poll::Pending => return Poll::Pending,
        };
        let started = start_dealt(self.shared, self.entry, input, self.entering.timeout, &entered);
        drop(entered);
        match started {
            Ok(waiting) => {
                self.state = State::Dealt(Box::new((waiting, canary)));
                self.poll_dealt(context)
            }
            Err(error) => {
                if let Some(canary) = canary {
                    canary.ended(Err(&error));
                }
                self.over(Err(error))
            }
        }
    }

    /// A later poll of a call that a rollout dealt.
    #[cold]
    fn poll_dealt(&mut self, context: &mut Context<'_>) -> Poll<Result<Response, CallError>> {
        let State::Dealt(dealt) = &mut self.state else {
            return Poll::Ready(Err(CallError::Over));
        };
        let (waiting, canary) = &mut **dealt;
        let Poll::Ready(outcome) = waiting.slot.poll(waiting.sid, context.waker()) else {
            return Poll::Pending;
        };
        waiting.finished = true;
        let result = waiting.finish(self.shared, self.entry, outcome);
        if let Some(canary) = canary {
            canary.ended(result.as_ref());
        }
        self.over(result)
    }

    #[inline]
    fn over(&mut self, result: Result<Response, CallError>) -> Poll<Result<Response, CallError>> {
        self.state = State::Over;
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
    entered: &Entered,
    tally: Tally<'_>,
    payload_len: usize,
) -> Result<&'static Slot, CallError> {
    tally.one(Count::Calls);
    entered.instance().admit(payload_len, Count::QuotaRefused)?;
    tally.bytes(Count::BytesIn, payload_len as u64);
    table::take_free(entered.record()).ok_or_else(|| {
        tally.one(Count::QuotaRefused);
        CallError::Quota { quota: "calls of the process", limit: u64::from(table::SLOTS_MAX) }
    })
}

/// A call that is about to be dispatched.
struct Starting<'a> {
    shared: &'a Arc<Shared>,
    entry: EntryNameRef<'a>,
    timeout: Timeout,
    entered: &'a Entered,
    tally: Tally<'a>,
    slot: &'static Slot,
    /// Has the id that the slot gives it.
    frame: &'a CallFrame,
}

impl Starting<'_> {
    /// Dispatches it: on this thread, or offloaded.
    #[inline]
    fn start(&self, input: &mut Input<'_>) -> Started {
        let Self { shared, entry, timeout, slot, .. } = *self;
        let instance = self.entered.instance();
        let sid = slot.begin_call(instance);
        slot.set_deadline_ms(timeout.relative(instance.limits.deadline_ms));
        if let Some(unannounced) = &instance.unannounced {
            unannounced.began(sid, entry.name());
        }
        let Some(_lent) = instance.lend_for(&entry) else {
            let call = OffloadedCall { args: input.take(&entry), slot, sid };
            let timeout = timeout.duration(instance.limits.deadline_ms);
            return start_offloaded(call, instance, timeout, span(shared, &entry, sid));
        };
        match self.tally.sample_weight() {
            0 if !is_traced() => self.run(input, Plainly),
            weight => self.run_observed(input, weight),
        }
    }

    /// Runs it [`Observed`]. Compiled apart, so that the many calls that are not keep their registers.
    #[cold]
    fn run_observed(&self, input: &Input<'_>, weight: u32) -> Started {
        let span = span(self.shared, &self.entry, self.frame.sid);
        self.run(input, Observed { span, weight })
    }

    #[inline(always)]
    fn run(&self, input: &Input<'_>, run: impl Run) -> Started {
        let Self { shared, entry, slot, frame, .. } = *self;
        let (instance, sid) = (self.entered.instance(), frame.sid);
        let handle = || input.handle(&entry, instance, sid);
        let (status, took) = run.run(|| frame.scope(self.entered.record(), handle));
        match Handled::of(status, frame.answered.get()) {
            Handled::Answered => {
                slot.release(sid);
                self.tally.took(took);
                Started::Answered
            }
            Handled::Refused(status) if slot.withdraw(sid) => {
                shared.counters.one(Count::RefusedByHandle);
                Started::Failed(plugin::refused(shared, &entry, status))
            }
            // Not answered yet; or refused, but another thread of the plugin answered before.
            Handled::Later | Handled::Refused(_) => {
                let timeout = self.timeout.duration(instance.limits.deadline_ms);
                Started::Waiting(Waiting::new(slot, sid, instance, timeout, run.into_span()))
            }
        }
    }
}

/// How `handle` is run on a caller's thread.
trait Run {
    /// Runs it. How long it took and how many calls that stands for, if it is timed.
    fn run(&self, handle: impl FnOnce() -> NrStatus) -> (NrStatus, Option<(Duration, u32)>);

    /// The call's span.
    fn into_span(self) -> Span;
}

/// As it is.
struct Plainly;

impl Run for Plainly {
    #[inline(always)]
    fn run(&self, handle: impl FnOnce() -> NrStatus) -> (NrStatus, Option<(Duration, u32)>) {
        (handle(), None)
    }

    fn into_span(self) -> Span {
        Span::none()
    }
}

/// In a span, and timed if it stands for `weight` calls.
struct Observed {
    span: Span,
    weight: u32,
}

impl Run for Observed {
    fn run(&self, handle: impl FnOnce() -> NrStatus) -> (NrStatus, Option<(Duration, u32)>) {
        let began = (self.weight > 0).then(Instant::now);
        let status = self.span.in_scope(handle);
        (status, began.map(|began| (began.elapsed(), self.weight)))
    }

    fn into_span(self) -> Span {
        self.span
    }
}

/// Counts the answer in a frame.
#[inline]
fn count_answer(tally: Tally<'_>, frame: &CallFrame) {
    tally.one(if frame.status().is_ok() { Count::Ok } else { Count::AnsweredWithError });
    tally.bytes(Count::BytesOut, frame.body_len());
}

/// A call that does not run on its caller's thread.
struct OffloadedCall {
    args: HandleArgs,
    slot: &'static Slot,
    sid: u64,
}

/// Dispatches a call that a rollout dealt: as one that is offloaded, also where `handle` runs on this
/// thread, so that the way of all others is compiled once.
#[cold]
fn start_dealt(
    shared: &Arc<Shared>,
    entry: EntryNameRef<'_>,
    input: &mut Input<'_>,
    timeout: Timeout,
    entered: &Entered,
) -> Result<Waiting, CallError> {
    let instance = entered.instance();
    let tally = shared.counters.of(entered.record());
    let slot = begin(entered, tally, input.payload().len())?;
    let sid = slot.begin_call(instance);
    if let Some(unannounced) = &instance.unannounced {
        unannounced.began(sid, entry.name());
    }
    let span = span(shared, &entry, sid);
    let timeout = timeout.duration(instance.limits.deadline_ms);
    let mut call = OffloadedCall { args: input.take(&entry), slot, sid };
    let Some(_lent) = instance.lend_for(&entry) else {
        return match start_offloaded(call, instance, timeout, span) {
            Started::Waiting(waiting) => Ok(waiting),
            Started::Failed(error) => Err(error),
            // Not before it has run.
            Started::Answered => Err(CallError::Over),
        };
    };
    let waiting = Waiting::new(slot, sid, instance, timeout, span.clone());
    span.in_scope(|| call.run(instance));
    Ok(waiting)
}

/// Queues it, or begins it on a coroutine.
#[cold]
fn start_offloaded(
    mut call: OffloadedCall,
    instance: &'static Instance,
    timeout: Option<Duration>,
    span: Span,
) -> Started {
    let (slot, sid) = (call.slot, call.sid);
    let waiting = Waiting::new(slot, sid, instance, timeout, span.clone());
    let started = match call.args.entry.is_for_coroutine(instance) {
        // The span is not entered there: what runs on a thread between two waits is not one call.
        true => {
            let handler = instance.make_handler(sid, None);
            let entry = call.args.entry.clone();
            let run = move || _ = call.run_if_wanted(instance);
            let spawned = instance.spawn_handler(entry.name(), &handler, run);
            spawned.map_err(|why| instance.no_coroutine(why))
        }
        false => {
            let offloaded = Offloaded { work: call, instance, span };
            let queued = instance.offload_call(Box::new(offloaded));
            queued.map_err(|_full| instance.too_much_pending())
        }
    };
    let Err(error) = started else { return Started::Waiting(waiting) };
    instance.plugin.counters.one(Count::QuotaRefused);
    waiting.give_up();
    Started::Failed(error)
}

impl Offload for OffloadedCall {
    const IS_CALL: bool = true;

    fn is_wanted(&self) -> bool {
        self.slot.is_open(self.sid)
    }

    fn run(&mut self, instance: &'static Instance) {
        let status = self.args.handle(instance, self.sid);
        // An answer went to the slot, and what comes second there is refused.
        if let Handled::Refused(status) = Handled::of(status, false) {
            let _ = self.slot.complete(self.sid, || Outcome::Refused(status));
        }
    }
}

/// Counts an answer and makes it the caller's.
fn answered(tally: Tally<'_>, outcome: Option<Outcome>) -> Result<Response, CallError> {
    let count = |count| tally.one(count);
    match outcome {
        Some(Outcome::Answered { status, body }) => {
            count(if status.is_ok() { Count::Ok } else { Count::AnsweredWithError });
            tally.bytes(Count::BytesOut, body.len() as u64);
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
        Some(Outcome::Crashed) => {
            count(Count::FailedCrashed);
            Err(CallError::Crashed)
        }
        Some(Outcome::PluginFailed) => {
            count(Count::PluginFailed);
            Err(CallError::PluginFailed)
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
    /// By [`timer::now_ns`].
    since_ns: u64,
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
        let since_ns = timer::now_ns();
        // Too far away to be represented: for ever.
        let timeout_ns = timeout.and_then(|timeout| u64::try_from(timeout.as_nanos()).ok());
        if let Some(due_ns) = timeout_ns.and_then(|timeout_ns| since_ns.checked_add(timeout_ns)) {
            slot.set_due(sid, due_ns);
        }
        Self { slot, sid, instance, since_ns, finished: false, span }
    }

    /// Ends a call that the plugin never saw.
    fn give_up(mut self) {
        self.finished = true;
        self.slot.abandon(self.sid);
    }

    fn finish(
        &self,
        shared: &Shared,
        entry: EntryNameRef<'_>,
        (outcome, answered_ns): (Option<Outcome>, Option<NonZeroU64>),
    ) -> Result<Response, CallError> {
        let tally = shared.counters.of(thread::current());
        let until_ns = answered_ns.map_or_else(timer::now_ns, NonZeroU64::get);
        let nanos = until_ns.saturating_sub(self.since_ns);
        tally.latency(Duration::from_nanos(nanos), 1);
        let result = answered(tally, outcome);
        if is_traced() {
            self.span.in_scope(|| match &result {
                Ok(response) => tracing::trace!(target: "becket::call", status = %response.status),
                Err(error) => tracing::debug!(target: "becket::call", %error, "failed"),
            });
        }
        match result {
            Err(CallError::Refused { status }) => Err(plugin::refused(shared, &entry, status)),
            result => result,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.finished {
            // Also when it was answered meanwhile: that answer has no reader any more.
            self.instance.plugin.counters.one(Count::Cancelled);
            if self.slot.abandon(self.sid) {
                self.instance.notify_cancelled(self.sid, false);
            }
        }
        self.instance.pending.fetch_sub(1, Ordering::SeqCst);
        self.instance.notify_drain();
    }
}

/// Calls an entry that answers inside `handle`.
#[inline]
pub(crate) fn now(
    shared: &Arc<Shared>,
    entry: &impl Named,
    payload: &[u8],
) -> Result<Response, CallError> {
    match shared.enter() {
        Ok(entered) => now_in(shared, &entered, entry, payload),
        Err(_) => now_away(shared, entry, payload),
    }
}

/// The same if no instance is current.
#[cold]
fn now_away(
    shared: &Arc<Shared>,
    entry: &impl Named,
    payload: &[u8],
) -> Result<Response, CallError> {
    let (entered, canary) = shared.enter_blocking(EnteringFor::Call(None))?;
    let result = now_in(shared, &entered, entry, payload);
    if let Some(canary) = canary {
        drop(entered);
        canary.ended(result.as_ref());
    }
    result
}

#[inline(always)]
fn now_in(
    shared: &Arc<Shared>,
    entered: &Entered,
    entry: &impl Named,
    payload: &[u8],
) -> Result<Response, CallError> {
    let instance = entered.instance();
    let tally = shared.counters.of(entered.record());
    tally.one(Count::Calls);
    instance.admit_now(payload.len(), Count::QuotaRefused)?;
    tally.bytes(Count::BytesIn, payload.len() as u64);
    match tally.sample_weight() {
        0 if !is_traced() => now_with(shared, entered, tally, entry, payload, |_| Plainly),
        weight => now_observed(shared, entered, tally, entry, payload, weight),
    }
}

/// The same for a call that is [`Observed`]. Compiled apart, so that the many calls that are not keep their registers.
#[cold]
fn now_observed(
    shared: &Arc<Shared>,
    entered: &Entered,
    tally: Tally<'_>,
    entry: &impl Named,
    payload: &[u8],
    weight: u32,
) -> Result<Response, CallError> {
    let observed = |sid| Observed { span: span(shared, entry, sid), weight };
    now_with(shared, entered, tally, entry, payload, observed)
}

#[inline(always)]
fn now_with<R: Run>(
    shared: &Arc<Shared>,
    entered: &Entered,
    tally: Tally<'_>,
    entry: &impl Named,
    payload: &[u8],
    run: impl FnOnce(u64) -> R,
) -> Result<Response, CallError> {
    let instance = entered.instance();
    let sid = entered.record().next_local_sid();
    let frame = CallFrame::new(sid, instance, None);
    let handle = || instance.placement.handle(entry.at(instance), sid, None, payload);
    let (status, took) = run(sid).run(|| frame.scope(entered.record(), handle));
    tally.took(took);
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
            let error = plugin::refused(shared, entry, status);
            // What passes calls on passes none of these, whose entry there may be.
            if instance.placement.capabilities().is_remote
                && matches!(error, CallError::Refused { status: NrStatus::Unsupported })
            {
                tally.one(Count::NotAnswered);
                return Err(CallError::NotInline);
            }
            tally.one(Count::RefusedByHandle);
            Err(error)
        }
    }
}
