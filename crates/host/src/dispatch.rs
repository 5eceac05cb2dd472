// SPDX-License-Identifier: BSD-3-Clause
//! From a caller to the plugin's `handle`: the input, the timeout, and on which thread it runs.
//!
//! A call, the opening of a stream and a notification are dispatched alike:
//!
//! ```text
//!   Entering ─▶ inside the instance ─▶ admitted ─▶ lend_for ─┬─ lent ─▶ handle, on this thread
//!    └ waits while the state is handed over                  └─ None ─▶ Offload: to a coroutine of
//!                                                                       its own, or to a worker
//! ```

use std::{
    borrow::Borrow,
    future::Future,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use becket_abi::{NrRequest, NrStatus};
use tracing::{Level, Span, level_filters::LevelFilter};

use crate::{
    callbacks,
    coroutine::NotStarted,
    counters::Count,
    error::CallError,
    executor::Lent,
    instance::Instance,
    jobs::Job,
    placement::Placement,
    plugin::{CanaryCall, Entered, EnteringFor, Entry, EntryName, Named, NotEntered, Shared},
    request::AnyRequest,
    routing::Route,
    timer::{self, Sleep},
};

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
    /// The timeout as a slot keeps it until the call's deadline is set: as a duration, so that a
    /// call that is answered inside `handle` reads no clock.
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
}

/// A future's attempt to enter the plugin, which waits while the plugin hands its state over.
pub(crate) struct Entering {
    pub(crate) timeout: Timeout,
    /// The timeout, while the future waits.
    paused: Option<Box<Sleep>>,
}

impl Entering {
    pub(crate) const fn new() -> Self {
        Self { timeout: Timeout::Default, paused: None }
    }

    #[inline]
    pub(crate) fn poll(
        &mut self,
        shared: &Shared,
        what: EnteringFor<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(Entered, Option<CanaryCall>), CallError>> {
        match shared.enter() {
            Ok(entered) => Poll::Ready(Ok((entered, None))),
            Err(why) => self.poll_dealt(shared, why, what, context),
        }
    }

    /// The same when a first attempt found no instance.
    #[cold]
    pub(crate) fn poll_dealt(
        &mut self,
        shared: &Shared,
        why: NotEntered,
        what: EnteringFor<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(Entered, Option<CanaryCall>), CallError>> {
        match shared.enter_dealt(why, what) {
            Ok(dealt) => Poll::Ready(Ok(dealt)),
            Err(why) => self.wait(shared, why, context).map(Err),
        }
    }

    /// Pending while the plugin comes back and there is time. A time that the caller set runs from
    /// the first look.
    fn wait(
        &mut self,
        shared: &Shared,
        why: NotEntered,
        context: &mut Context<'_>,
    ) -> Poll<CallError> {
        if why != NotEntered::Paused {
            return Poll::Ready(why.into());
        }
        if self.paused.is_none() {
            if let Timeout::After(duration) = self.timeout {
                self.timeout = Timeout::At(timer::after(duration));
            }
            let timeout = self.timeout.duration(shared.spec().limits.deadline_ms);
            self.paused = timeout.map(timer::sleep).map(Box::new);
        }
        if self.paused.as_mut().is_some_and(|sleep| Pin::new(sleep).poll(context).is_ready()) {
            return Poll::Ready(CallError::DeadlineExceeded);
        }
        if shared.wake_when_back(context.waker()) {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// What goes to the plugin.
pub(crate) enum Input<'a, P = &'a [u8]> {
    /// Metadata and a payload.
    Request(AnyRequest<'a>),
    /// A payload alone.
    Raw(P),
}

impl<P: AsRef<[u8]>> Input<'_, P> {
    #[inline]
    pub(crate) fn payload(&self) -> &[u8] {
        match self {
            Self::Request(request) => request.body(),
            Self::Raw(payload) => payload.as_ref(),
        }
    }

    /// What a rollout deals it by.
    pub(crate) fn entering_for(&self) -> EnteringFor<'_> {
        EnteringFor::Call(match self {
            Self::Request(request) => Some(request),
            Self::Raw(_) => None,
        })
    }

    /// Calls `handle` of an entry on this thread, which is inside, or a coroutine's.
    #[inline]
    pub(crate) fn handle(&self, entry: &impl Named, instance: &Instance, sid: u64) -> NrStatus {
        let handle = |request: Option<&NrRequest>, payload: &[u8]| {
            instance.placement.handle(entry.at(instance), sid, request, payload)
        };
        match self {
            Self::Request(request) => request.with_view(|view| handle(Some(view), request.body())),
            Self::Raw(payload) => handle(None, payload.as_ref()),
        }
    }

    /// With `entry`, what goes to another thread: given away if it was, else copied.
    pub(crate) fn take(&mut self, entry: &impl Named) -> HandleArgs {
        let input = match self {
            Self::Request(request) => Input::Request(request.take()),
            Self::Raw(payload) => Input::Raw(payload.as_ref().into()),
        };
        HandleArgs { entry: entry.to_owned_name(), input }
    }
}

/// What `handle` is called with when it is offloaded.
pub(crate) struct HandleArgs {
    pub(crate) entry: EntryName,
    pub(crate) input: Input<'static, Box<[u8]>>,
}

impl HandleArgs {
    pub(crate) fn handle(&self, instance: &Instance, sid: u64) -> NrStatus {
        self.input.handle(&self.entry, instance, sid)
    }
}

/// What runs `handle` on another thread than the caller's.
pub(crate) trait Offload: Send + 'static {
    /// It is a call, whose time is counted.
    const IS_CALL: bool = false;
    /// It has no caller that could leave.
    const IS_UNATTENDED: bool = false;

    /// False if nothing waits for it any more.
    fn is_wanted(&self) -> bool;

    /// Runs `handle`. The thread is inside, or a coroutine's.
    fn run(&mut self, instance: &'static Instance);

    /// The same, unless nothing waits for it, and whether it ran. That is looked at inside, since
    /// until then nothing else need keep the instance. (A coroutine keeps it itself.)
    fn run_if_wanted(&mut self, instance: &'static Instance) -> bool {
        let is_wanted = self.is_wanted();
        if is_wanted {
            self.run(instance);
        }
        is_wanted
    }
}

/// An [`Offload`], queued for a worker or for the executor.
pub(crate) struct Offloaded<A> {
    pub(crate) work: A,
    pub(crate) instance: &'static Instance,
    pub(crate) span: Span,
}

impl<A: Offload> Job for Offloaded<A> {
    fn run(self: Box<Self>) {
        let Self { mut work, instance, span } = *self;
        let began = Instant::now();
        let has_run = span.in_scope(|| instance.inside(|| work.run_if_wanted(instance)));
        if A::IS_CALL && has_run == Some(true) {
            instance.took(began.elapsed());
        }
    }

    fn is_wanted(&self) -> bool {
        self.work.is_wanted()
    }

    fn is_unattended(&self) -> bool {
        A::IS_UNATTENDED
    }
}

impl Instance {
    /// The right to run `handle` of an entry on this thread, a caller's; asked for before the thread
    /// is marked as inside a call. `None`: a coroutine runs it if one is to serve the entry, else a
    /// worker.
    #[inline]
    pub(crate) fn lend_for<N: AsRef<str>, E: Borrow<Entry>>(
        &self,
        entry: &EntryName<N, E>,
    ) -> Option<Lent<'_>> {
        if entry.is_for_coroutine(self) { None } else { self.lend() }
    }

    /// The error of a call or stream for which there is no coroutine.
    #[cold]
    pub(crate) fn no_coroutine(&self, why: NotStarted) -> CallError {
        match why {
            NotStarted::Quota => {
                let limit = u64::from(self.limits.coroutines_max);
                CallError::Quota { quota: "coroutines_max", limit }
            }
            NotStarted::Refused => CallError::Unloaded,
        }
    }

    /// The error of what found the queue of the workers full, or too much pending.
    #[cold]
    pub(crate) fn too_much_pending(&self) -> CallError {
        CallError::Quota { quota: "pending_max", limit: u64::from(self.limits.pending_max) }
    }

    /// Checks the plugin's bounds before a call that may wait; a refusal is counted as `refused`.
    #[inline]
    pub(crate) fn admit(&self, payload_len: usize, refused: Count) -> Result<(), CallError> {
        if self.pending.load(Ordering::Relaxed) >= u64::from(self.limits.pending_max) {
            return Err(self.not_admitted(payload_len, refused));
        }
        self.admit_now(payload_len, refused)
    }

    /// The same for a call that is over when `handle` returns.
    #[inline]
    pub(crate) fn admit_now(&self, payload_len: usize, refused: Count) -> Result<(), CallError> {
        if self.route() == Route::Quarantined {
            return Err(self.not_admitted(payload_len, refused));
        }
        self.admit_len(payload_len, refused)
    }

    /// The same for one that runs on a thread that was lent.
    #[inline]
    pub(crate) fn admit_len(&self, payload_len: usize, refused: Count) -> Result<(), CallError> {
        if payload_len as u64 > self.limits.payload_bytes_max {
            return Err(self.not_admitted(payload_len, refused));
        }
        Ok(())
    }

    #[cold]
    fn not_admitted(&self, payload_len: usize, refused: Count) -> CallError {
        self.plugin.counters.one(refused);
        let (len, len_max) = (payload_len as u64, self.limits.payload_bytes_max);
        if self.route() == Route::Quarantined {
            CallError::Quarantined
        } else if len > len_max {
            CallError::PayloadTooLarge { len, len_max }
        } else {
            self.too_much_pending()
        }
    }
}

/// Whether calls have spans. Without a subscriber a call pays one load.
#[inline]
pub(crate) fn is_traced() -> bool {
    LevelFilter::current() >= Level::DEBUG
}

#[inline]
pub(crate) fn span(shared: &Shared, entry: &impl Named, sid: u64) -> Span {
    if !is_traced() {
        return Span::none();
    }
    tracing::debug_span!(
        target: "becket::call",
        "call",
        plugin = %shared.name,
        entry = entry.name(),
        sid,
    )
}
