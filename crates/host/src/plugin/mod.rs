// SPDX-License-Identifier: BSD-3-Clause
//! A plugin as its callers hold it: a name that outlives every load of the file behind it.
//!
//! | module | what lives there |
//! |---|---|
//! | [`shared`] | what all handles of one plugin share, and the way into its current instance |
//! | [`reload`] | replacing the instance, and the end |
//! | [`rollout`] | a new version that gets a share of the calls first |
//! | [`snapshot`] | counters and state, to look at |

mod reload;
mod rollout;
mod shared;
mod snapshot;

use std::{
    borrow::Borrow,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use becket_abi::{BK_PLUGIN_WANTS_COROUTINE, NrStatus};
use serde::Serialize;

pub(crate) use self::reload::{discard, retire};
pub(crate) use self::rollout::{CanaryCall, Trial};
pub use self::rollout::{
    Rollout, RolloutCause, RolloutEnd, RolloutProgress, RolloutResult, RolloutSnapshot, Sticky,
};
pub(crate) use self::shared::{Entered, EnteringFor, NotEntered, Shared};
pub use self::snapshot::{FailureCounts, PluginSnapshot, PluginState, RefusedAnswers};
use crate::{
    call::{self, Call, Response},
    error::{CallError, ReloadError},
    instance::Instance,
    limits::Dispatch,
    load::{EntryInfo, EntryKind, Remote, SandboxInfo},
    metrics::Metric,
    notify,
    observer::ReportedCounts,
    placement::{EntryRef, Placement, Resolved},
    request::AnyRequest,
    routing::Route,
    spec::PluginSpec,
    stream::OpenStream,
    workers::Workers,
};

/// A loaded plugin. Cloning it is cheap; it stays good over reloads.
///
/// Thread safety: all functions from any thread. Cancel safety: dropping a future of a call or a
/// stream ends it, and the plugin is notified.
#[derive(Clone)]
pub struct Plugin {
    shared: Arc<Shared>,
}

/// What a plugin reports, and how it was loaded.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct PluginInfo {
    /// Its name in this host.
    pub name: String,
    /// Its name in its own info.
    pub reported_name: String,
    /// Its version in its own info.
    pub version: String,
    /// The file; `None` for one that is linked into this binary.
    pub path: Option<PathBuf>,
    /// The SHA-256 of the file as it was loaded, in hexadecimal.
    pub sha256: Option<String>,
    /// Where it runs: `inline`, `process`.
    pub placement: &'static str,
    /// What its process may do, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxInfo>,
    /// The vtable's layout: `becket`, `documented`, `raw`, `short`, `v2`.
    pub layout: &'static str,
    /// How often it was loaded; 1 for the first.
    pub generation: u64,
    /// `BK_PLUGIN_*`.
    pub flags: u32,
    /// Its entries, if it lists them.
    pub entries: Vec<EntryInfo>,
}

impl PluginInfo {
    /// Whether its `handle` runs on coroutines, which have small stacks.
    #[must_use]
    pub const fn wants_coroutines(&self) -> bool {
        self.flags & BK_PLUGIN_WANTS_COROUTINE != 0
    }

    /// Whether its `handle` runs on its callers' threads, if it was loaded with this.
    #[must_use]
    pub fn runs_on_callers(&self, dispatch: Dispatch) -> bool {
        Route::new(dispatch, self.flags) == Route::Caller
    }
}

impl Plugin {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Its name in the host.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What it reports, and how it was loaded. After an unload: as of the last load.
    #[must_use]
    pub fn info(&self) -> PluginInfo {
        self.shared.info()
    }

    /// Its entries, if it lists them.
    #[must_use]
    pub fn entries(&self) -> Vec<EntryInfo> {
        self.shared.entries()
    }

    /// An entry, resolved once: calls through it compare no names. For a name that it does not
    /// describe the plugin is asked, and this thread waits for the answer for at most
    /// `block_report_ms`: on a thread that others need, use [`Self::entry_later`].
    ///
    /// # Errors
    /// [`CallError::UnknownEntry`] if the plugin can tell that it has none of this name;
    /// [`CallError::DeadlineExceeded`] if it handed its state over for longer than a call may take;
    /// [`CallError::Unloaded`]; [`CallError::TooDeep`].
    pub fn entry(&self, name: &str) -> Result<Entry, CallError> {
        let entry = self.entry_later(name);
        let (entered, _) = self.shared.enter_blocking(EnteringFor::Look)?;
        let instance = entered.instance();
        match instance.resolve(name) {
            Resolved::Unknown => Err(self.shared.unknown_entry(name)),
            Resolved::Id(id) => {
                entry.remember(instance, id);
                Ok(entry)
            }
            Resolved::ByName => Ok(entry),
        }
    }

    /// The same, resolved by its first call: none of the plugin's code runs, and nothing is waited
    /// for. If the plugin has no such entry, the calls fail.
    #[must_use]
    pub fn entry_later(&self, name: &str) -> Entry {
        Entry(Arc::new(EntryInner {
            cached: AtomicU64::new(0),
            inline_at: AtomicU64::new(0),
            shared: self.shared.clone(),
            name: name.into(),
        }))
    }

    /// Calls an entry and awaits its answer.
    #[inline]
    pub fn call<'a>(&'a self, entry: &'a str, request: impl Into<AnyRequest<'a>>) -> Call<'a> {
        Call::new(&self.shared, EntryName::Name(entry), request)
    }

    /// Calls an entry without metadata and awaits its answer.
    #[inline]
    pub fn call_raw<'a>(&'a self, entry: &'a str, payload: &'a [u8]) -> Call<'a> {
        Call::raw(&self.shared, EntryName::Name(entry), payload)
    }

    /// Calls an entry that answers inside `handle`, on this thread, which is its contract: whatever
    /// the plugin declares and `dispatch` says, it costs no hand-over, and blocks as long as
    /// `handle` does. It blocks too while the plugin hands its state over, at most `deadline_ms`,
    /// or `drain_ms` if that is 0. On a thread that others need, await [`Self::call_raw`] instead.
    ///
    /// # Errors
    /// [`CallError::NotAnswered`] if it did not answer at once: an answer that comes later is
    /// refused. [`CallError::NotInline`] if the plugin runs in another process: an answer from there
    /// has to be waited for, which this never does, and a plugin that blocks would make it a wait
    /// without a bound. [`CallError::Refused`] with `Backpressure` if the plugin takes one call at a
    /// time and was busy for `block_report_ms`.
    #[inline]
    pub fn call_now(&self, entry: &str, payload: &[u8]) -> Result<Response, CallError> {
        call::now(&self.shared, &entry, payload)
    }

    /// Calls an entry whose answer is not awaited: an answer given inside `handle` is dropped, a
    /// later one refused. Waits for nothing. `handle` runs on this thread if the plugin declared
    /// that it never blocks; else on a worker, as that of [`Self::call`] does, and what it returns
    /// is counted only (`notifies_refused`). While the plugin hands its state over, it is kept for
    /// the next version.
    ///
    /// # Errors
    /// [`CallError`], if it was not handed over; [`CallError::Quota`] if `pending_max` calls and
    /// notifications wait. Where `handle` runs on this thread: also if it refused.
    #[inline]
    pub fn notify(&self, entry: &str, payload: &[u8]) -> Result<(), CallError> {
        notify::notify(&self.shared, &entry, payload)
    }

    /// Opens a stream. What ends it before it is open, its deadline or the end of its process, is an error
    /// of the opening.
    pub fn stream(&self, entry: &str, request: impl Into<AnyRequest<'static>>) -> OpenStream {
        OpenStream::named(self.shared.clone(), entry.into(), request.into())
    }

    /// Loads the plugin's file again and moves to the new one: calls that are in flight end on the
    /// old one, new ones go to the new one, none is lost. The old one is shut down when its last
    /// call and stream has ended, which this does not wait for.
    ///
    /// A plugin that hands over state (`reload_export`) is asked for it when its calls have ended,
    /// at most `drain_ms` later; calls that come meanwhile wait, each at most until its deadline.
    /// If its calls have not ended by then, the reload fails.
    ///
    /// # Errors
    /// [`ReloadError`]: the old one goes on unchanged.
    pub async fn reload(&self) -> Result<(), ReloadError> {
        reload::reload(&self.shared, None, None).await
    }

    /// Moves to what `spec` names, as [`Self::reload`] does to a changed file: another file,
    /// placement, configuration, or other bounds. Later reloads load that. The name stays.
    ///
    /// # Errors
    /// [`ReloadError`]: the old one goes on unchanged. [`ReloadError::Fixed`] if the two cannot run
    /// at once in this process: it can only be unloaded and loaded.
    pub async fn reload_as(&self, spec: PluginSpec) -> Result<(), ReloadError> {
        reload::reload(&self.shared, Some(spec), None).await
    }

    /// Reloads by steps: the new version, of `spec` or else of the file as it is now, is started
    /// beside the old one and gets a share of the calls, streams and notifications. When enough of
    /// its calls have been answered it gets all of them; when too many have failed it gets none any
    /// more. Either way the calls that it, or the old one, has are not cut off.
    ///
    /// This completes when the new version is started; [`Self::rollout_over`] when it is decided.
    /// A reload, or another rollout, whose new version has started takes back the one under way.
    ///
    /// What failed: a call that was answered with another status than `Ok` and `Invalid`, refused
    /// with one, not answered in time, or found the version crashed, quarantined or full. A stream
    /// counts when it is open, and has failed if it ends so later. A call whose caller left does not
    /// count.
    ///
    /// # Errors
    /// As [`Self::reload_as`]; [`ReloadError::Stateful`] if the old version hands over state.
    pub async fn roll_out(
        &self,
        spec: Option<PluginSpec>,
        rollout: Rollout,
    ) -> Result<(), ReloadError> {
        match rollout.percent {
            0 => Ok(()),
            1..100 => reload::reload(&self.shared, spec, Some(rollout)).await,
            _ => reload::reload(&self.shared, spec, None).await,
        }
    }

    /// Changes the share and the bounds of the rollout under way: 100 percent promotes the new
    /// version, 0 takes it back. False if there is none.
    pub fn adjust_rollout(&self, rollout: &Rollout) -> bool {
        self.shared.adjust_rollout(rollout)
    }

    /// Waits until no rollout is under way; how the last one ended, if there was one.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    pub async fn rollout_over(&self) -> Option<RolloutEnd> {
        self.shared.rollout_over().await
    }

    /// The rollout under way, and what became of those before.
    #[must_use]
    pub fn rollouts(&self) -> RolloutSnapshot {
        self.shared.rollouts()
    }

    /// Whether it has a state to hand over at a reload.
    #[must_use]
    pub fn exports_state(&self) -> bool {
        let current = self.shared.stable();
        current.is_some_and(|instance| instance.placement.capabilities().exports_state)
    }

    /// The state that it hands over at a reload; `None`: it has none. Runs its code on this thread,
    /// and waits for as long as that takes; its calls have ended.
    ///
    /// # Errors
    /// What it answered; `Closed` if it was unloaded.
    pub fn export_state(&self) -> Result<Option<Vec<u8>>, NrStatus> {
        let _own = crate::thread::current().as_worker();
        let entered = self.shared.enter().map_err(|_| NrStatus::Closed)?;
        entered.instance().export().transpose()
    }

    /// Gives it the state of another load of it, as a reload does. Runs its code on this thread.
    ///
    /// # Errors
    /// As [`Self::export_state`].
    pub fn import_state(&self, state: &[u8]) -> Result<(), NrStatus> {
        let _own = crate::thread::current().as_worker();
        let entered = self.shared.enter().map_err(|_| NrStatus::Closed)?;
        entered.instance().import(state)
    }

    /// Its metrics; [`Observer::metrics_changed`](crate::Observer::metrics_changed) is called for
    /// what changes from now on.
    #[must_use]
    pub fn changed_metrics(&self) -> Vec<Metric> {
        self.shared.metrics.take_changes()
    }

    /// What a host that runs the plugin on behalf of another reports to that;
    /// [`Observer::counts_changed`](crate::Observer::counts_changed) is called for each change.
    #[must_use]
    pub fn reported_counts(&self) -> ReportedCounts {
        snapshot::reported(&self.shared)
    }

    /// Whether its streams take data.
    #[must_use]
    pub fn takes_data(&self) -> bool {
        let current = self.shared.stable();
        // A handler on a coroutine receives it where it waits.
        self.info().wants_coroutines()
            || current.is_some_and(|instance| instance.placement.capabilities().takes_data)
    }

    /// Counters and state.
    #[must_use]
    pub fn snapshot(&self) -> PluginSnapshot {
        snapshot::take(&self.shared)
    }

    /// Its workers, if it runs elsewhere, or its new version does that a rollout gives a share of the
    /// calls. Reads what the system knows of their processes.
    #[must_use]
    pub fn workers(&self) -> Option<Workers> {
        let (stable, canary) = self.shared.serving();
        let remote = |of: Option<&'static Instance>| of.and_then(|of| of.placement.remote());
        let (stable, canary) = (remote(stable), remote(canary));
        stable.or(canary)?;
        let workers = |of: Option<&dyn Remote>| of.map(Remote::workers).unwrap_or_default();
        Some(Workers::of(workers(stable), workers(canary), &self.shared.history))
    }

    /// Coroutines inside `handle` of a stream, of all loads that have not ended. One whose receiver
    /// was dropped is cancelled: its coroutine counts until `handle` returns.
    #[must_use]
    pub fn coroutines_in_streams(&self) -> u64 {
        self.shared.coroutines_in_streams()
    }

    /// Whether it takes calls.
    #[must_use]
    pub fn state(&self) -> PluginState {
        snapshot::state(&self.shared)
    }

    /// From now on its code runs on no thread that [lends nothing](crate::lend_nothing_here), also if it declares that
    /// it never blocks: its workers run it then, and one that it blocks against its word holds its own call alone. Its
    /// other callers are not affected. A plugin that runs in another process keeps its callers' threads for no time.
    pub fn mind_lending(&self) {
        self.shared.mind_lending();
    }

    /// See [`crate::Host::coroutines`].
    pub(crate) fn runtimes(&self) -> Vec<becket_coro::Handle> {
        self.shared.runtimes()
    }

    /// See [`crate::Host::set_executor`].
    pub(crate) fn mind_executor(&self) {
        self.shared.mind_executor();
    }

    /// See [`crate::Host::unload`].
    pub(crate) async fn unload(&self, drain: Option<Duration>) -> u64 {
        reload::unload(&self.shared, drain).await
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// An entry of a plugin, resolved once. Cloning it is cheap; it stays good over reloads.
#[derive(Clone)]
pub struct Entry(Arc<EntryInner>);

struct EntryInner {
    /// The id of the entry in the instance of a generation: `generation << 32 | id`; 0: not known.
    cached: AtomicU64,
    /// The generation in which it needs no coroutine in a plugin that wants them; 0: not known.
    inline_at: AtomicU64,
    shared: Arc<Shared>,
    name: Box<str>,
}

impl Entry {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its plugin.
    #[must_use]
    pub fn plugin(&self) -> Plugin {
        Plugin::new(self.0.shared.clone())
    }

    /// Its kind, if the plugin describes it.
    #[must_use]
    pub fn kind(&self) -> Option<EntryKind> {
        let entries = self.0.shared.entries();
        entries.iter().find(|entry| entry.name == *self.0.name).map(|entry| entry.kind)
    }

    /// Whether it was seen to stream, in a plugin without `describe`: a caller that asked for one
    /// answer was sent more. A reload forgets it.
    #[must_use]
    pub fn has_streamed(&self) -> bool {
        let unannounced = self.0.shared.stable().and_then(|it| it.unannounced.as_ref());
        unannounced.is_some_and(|unannounced| unannounced.has_streamed(&self.0.name))
    }

    /// As [`Plugin::call`].
    #[inline]
    pub fn call<'a>(&'a self, request: impl Into<AnyRequest<'a>>) -> Call<'a> {
        Call::new(&self.0.shared, EntryName::Resolved(self), request)
    }

    /// As [`Plugin::call_raw`].
    #[inline]
    pub fn call_raw<'a>(&'a self, payload: &'a [u8]) -> Call<'a> {
        Call::raw(&self.0.shared, EntryName::Resolved(self), payload)
    }

    /// As [`Plugin::call_now`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn call_now(&self, payload: &[u8]) -> Result<Response, CallError> {
        call::now(&self.0.shared, self, payload)
    }

    /// As [`Plugin::notify`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn notify(&self, payload: &[u8]) -> Result<(), CallError> {
        notify::notify(&self.0.shared, self, payload)
    }

    /// As [`Plugin::stream`].
    pub fn stream(&self, request: impl Into<AnyRequest<'static>>) -> OpenStream {
        OpenStream::new(self.clone(), request.into())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Whether it is known to need no coroutine of `instance`.
    #[inline]
    fn is_inline_at(&self, instance: &Instance) -> bool {
        self.0.inline_at.load(Ordering::Relaxed) == instance.generation
    }

    fn remember(&self, instance: &Instance, id: u32) {
        if instance.coroutines.is_exempt(&self.0.name) {
            self.0.inline_at.store(instance.generation, Ordering::Relaxed);
        }
        self.0.cached.store(instance.generation << 32 | u64::from(id), Ordering::Relaxed);
    }

    #[cold]
    fn resolve_again(&self, instance: &Instance) -> Option<u32> {
        match instance.placement.resolve(&self.0.name) {
            Resolved::Id(id) => {
                self.remember(instance, id);
                Some(id)
            }
            // A new version may lack the entry: then its `handle` returns `Unsupported`.
            Resolved::Unknown | Resolved::ByName => None,
        }
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("plugin", &self.0.shared.name)
            .field("name", &self.0.name)
            .finish_non_exhaustive()
    }
}

/// An entry as a caller named it; owned, as it goes to another thread.
#[derive(Clone, Copy)]
pub(crate) enum EntryName<N = Box<str>, E = Entry> {
    Name(N),
    Resolved(E),
}

/// The same, lent: nothing is to be dropped.
pub(crate) type EntryNameRef<'a> = EntryName<&'a str, &'a Entry>;

/// What names an entry. Code that runs at once is generic over it, so that each kind of name is
/// compiled without a match.
pub(crate) trait Named {
    fn name(&self) -> &str;

    /// How it is named to an instance.
    fn at(&self, instance: &Instance) -> EntryRef<'_>;

    /// The same, owned.
    fn to_owned_name(&self) -> EntryName;
}

impl Named for &str {
    #[inline(always)]
    fn name(&self) -> &str {
        self
    }

    #[inline(always)]
    fn at(&self, _: &Instance) -> EntryRef<'_> {
        EntryRef::Name(self)
    }

    fn to_owned_name(&self) -> EntryName {
        EntryName::Name((*self).into())
    }
}

impl Named for Entry {
    #[inline(always)]
    fn name(&self) -> &str {
        &self.0.name
    }

    #[inline(always)]
    fn at(&self, instance: &Instance) -> EntryRef<'_> {
        let cached = self.0.cached.load(Ordering::Relaxed);
        if cached >> 32 == instance.generation {
            return EntryRef::Id(cached as u32, &self.0.name);
        }
        match self.resolve_again(instance) {
            Some(id) => EntryRef::Id(id, &self.0.name),
            None => EntryRef::Name(&self.0.name),
        }
    }

    fn to_owned_name(&self) -> EntryName {
        EntryName::Resolved(self.clone())
    }
}

impl<N: AsRef<str>, E: Borrow<Entry>> Named for EntryName<N, E> {
    fn name(&self) -> &str {
        match self {
            Self::Name(name) => name.as_ref(),
            Self::Resolved(entry) => entry.borrow().name(),
        }
    }

    #[inline]
    fn at(&self, instance: &Instance) -> EntryRef<'_> {
        match self {
            Self::Name(name) => EntryRef::Name(name.as_ref()),
            Self::Resolved(entry) => entry.borrow().at(instance),
        }
    }

    fn to_owned_name(&self) -> EntryName {
        match self {
            Self::Name(name) => name.as_ref().to_owned_name(),
            Self::Resolved(entry) => entry.borrow().to_owned_name(),
        }
    }
}

impl<N: AsRef<str>, E: Borrow<Entry>> EntryName<N, E> {
    /// True if a coroutine of `instance` is to serve it.
    #[inline]
    pub(crate) fn is_for_coroutine(&self, instance: &Instance) -> bool {
        instance.coroutines.wanted()
            && !matches!(self, Self::Resolved(entry) if entry.borrow().is_inline_at(instance))
            && !instance.coroutines.is_exempt(self.name())
    }
}

/// What `handle` returned, as an error unless it is `Ok`. A plugin that lists its entries and does
/// not list this one gets the clearer error.
#[cold]
pub(crate) fn refused(shared: &Shared, entry: &impl Named, status: NrStatus) -> CallError {
    if status == NrStatus::Unsupported {
        let known = shared.entries();
        if !known.is_empty() && !known.iter().any(|known| known.name == entry.name()) {
            return shared.unknown_entry(entry.name());
        }
    }
    CallError::Refused { status }
}
