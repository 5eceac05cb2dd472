// SPDX-License-Identifier: BSD-3-Clause
//! A new version that gets a share of the calls first.
//!
//! ```text
//!   load new ─▶ deal ─┬─ calls_min answered, at most errors_max failed ─▶ promoted:   [old: drain …]
//!                     ├─ more failed; a request, reload or unload ──────▶ taken back: [new: drain …]
//!                     └─ neither within timeout_ms ─────────────────────▶ taken back: [new: drain …]
//! ```
//!
//! While a rollout is under way `Shared::current` is null, as while a state is handed over: a call
//! that finds it so takes the slow path, is dealt to one of the two instances, and its outcome is
//! counted if that was the new one, the canary. So a call of a plugin without a rollout costs
//! nothing for it.
//!
//! A plugin that hands over state is not rolled out: of two versions that take calls at once each
//! would have a state that lacks what the other one did.
//!
//! # Invariants
//!
//! 1. A thread enters a dealt instance while it holds the lock of [`Rollouts`], and a rollout ends
//!    under it, with the cause, the counts and the instance that is current from then on: whatever
//!    shows that it is over shows why, and an instance that lost is entered no more.
//! 2. What decides is decided once: nothing is counted after it.
//! 3. Locks are taken in this order: `away` of `Shared`, [`Rollouts`], `judged` of [`Trial`].
//! 4. A timer is set only while nothing is decided, under `judged`, and taken back by the decision.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use becket_abi::NrStatus;
use parking_lot::Mutex;
use serde::Serialize;

use crate::{
    call::Response,
    error::{CallError, StreamError},
    instance::Instance,
    load::EntryInfo,
    request::AnyRequest,
    routing::Route,
    spec::PluginSpec,
    timer,
    workers::RemoteState,
};

/// How a new version is rolled out: [`Plugin::roll_out`](crate::Plugin::roll_out).
///
/// ```
/// use becket_host::Rollout;
///
/// let rollout = Rollout { percent: 5, ..Rollout::default() };
/// assert_eq!((rollout.calls_min, rollout.errors_max), (100, 0));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// The share of the calls that the new version gets. From 100 on it gets all of them at once,
    /// as by a reload; at 0 it is not started.
    pub percent: u32,
    /// After so many calls it gets all of them.
    pub calls_min: u64,
    /// When more of its calls than that have failed, it gets none any more.
    pub errors_max: u64,
    /// When neither has happened so long after the beginning, it gets none any more: what was not
    /// proved is not promoted. In milliseconds; 0: no limit.
    pub timeout_ms: u64,
    /// Calls with the same key go to the same version; `None`: each call is dealt for itself.
    pub sticky: Option<Sticky>,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { percent: 10, calls_min: 100, errors_max: 0, timeout_ms: 600_000, sticky: None }
    }
}

/// What keeps calls together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sticky {
    /// Calls with the same value of this header.
    Header(String),
    /// Calls with the same path.
    Path,
}

impl Sticky {
    /// The hash of a call's key; `None`: it has none.
    pub fn key<'a>(
        &self,
        path: &str,
        mut headers: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<u64> {
        let key = match self {
            Self::Path => path,
            Self::Header(name) => headers.find(|(header, _)| header.eq_ignore_ascii_case(name))?.1,
        };
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        Some(hasher.finish())
    }

    fn key_of(&self, request: &AnyRequest<'_>) -> Option<u64> {
        let request = match request {
            AnyRequest::Owned(request) => request,
            AnyRequest::Borrowed(request) => request,
            AnyRequest::Http(request) => return self.key(request.path(), request.headers()),
        };
        self.key(&request.path, request.headers())
    }
}

/// How a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RolloutResult {
    /// The new version gets all calls.
    Promoted,
    /// The version before gets all calls again.
    TakenBack,
}

impl RolloutResult {
    /// The name that metrics and JSON use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::TakenBack => "taken_back",
        }
    }
}

/// Why a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RolloutCause {
    /// `calls_min` calls, and at most `errors_max` of them failed.
    Passed,
    /// More than `errors_max` calls failed.
    Errors,
    /// It takes no calls any more: its processes have ended too often, or it is quarantined.
    Failed,
    /// `timeout_ms` passed before `calls_min` calls.
    Timeout,
    /// By request: 100 or 0 percent.
    Requested,
    /// A reload or another rollout followed.
    Replaced,
    /// The plugin was unloaded.
    Unloaded,
}

impl RolloutCause {
    /// The name that JSON uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Errors => "errors",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Requested => "requested",
            Self::Replaced => "replaced",
            Self::Unloaded => "unloaded",
        }
    }
}

/// A plugin's rollouts: the one under way, and what became of those before. Taken at one moment: a
/// rollout is under way or among those that ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RolloutSnapshot {
    /// The one under way.
    pub now: Option<RolloutProgress>,
    /// The one that ended last.
    pub last: Option<RolloutEnd>,
    /// Rollouts whose version got all calls in the end.
    pub promoted: u64,
    /// Rollouts that were taken back.
    pub taken_back: u64,
    /// Calls of new versions that were answered or failed, in all rollouts.
    pub canary_calls: u64,
    /// Those of them that failed.
    pub canary_errors: u64,
}

/// How far a rollout is, or was at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RolloutProgress {
    /// The new version, by its own info.
    pub version: String,
    /// Its file.
    pub path: Option<PathBuf>,
    /// Where it runs.
    pub placement: &'static str,
    /// The load that it is.
    pub generation: u64,
    /// Its share.
    pub percent: u32,
    /// After so many calls it gets all of them.
    pub calls_min: u64,
    /// So many may fail.
    pub errors_max: u64,
    /// When it is taken back, if nothing else has decided it, after its beginning; 0: never.
    pub timeout_ms: u64,
    /// How long it is, or was, under way.
    pub age_ms: u64,
    /// Calls, streams and notifications since the beginning, to either version.
    pub dealt: u64,
    /// Those of them that the new version got.
    pub dealt_canary: u64,
    /// Those of them that were answered or failed: what `calls_min` is compared with.
    pub calls: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// How the last of them failed.
    pub last_error: Option<String>,
}

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RolloutEnd {
    /// Which version gets the calls.
    pub result: RolloutResult,
    /// Why.
    pub cause: RolloutCause,
    /// How far it was.
    #[serde(flatten)]
    pub progress: RolloutProgress,
}

impl RolloutEnd {
    pub(super) fn log(&self, plugin: &str) {
        let progress = &self.progress;
        let (version, generation) = (&progress.version, progress.generation);
        let (cause, calls, errors) = (self.cause.name(), progress.calls, progress.errors);
        match self.result {
            RolloutResult::Promoted => tracing::info!(
                target: "becket::host",
                %plugin, %version, generation, cause, calls, errors,
                "the new version was promoted: it gets all calls",
            ),
            RolloutResult::TakenBack => tracing::warn!(
                target: "becket::host",
                %plugin, %version, generation, cause, calls, errors,
                last_error = progress.last_error,
                "the new version was taken back: the one before gets all calls",
            ),
        }
    }
}

/// A rollout under way.
pub(crate) struct Trial {
    pub(super) stable: &'static Instance,
    pub(super) canary: &'static Instance,
    pub(super) entries: Arc<[EntryInfo]>,
    pub(super) spec: Arc<PluginSpec>,
    sticky: Option<Sticky>,
    percent: AtomicU32,
    /// Calls with a key, and those without, which are dealt by their number.
    keyed: AtomicU64,
    unkeyed: AtomicU64,
    dealt_canary: AtomicU64,
    began: Instant,
    judged: Mutex<Judged>,
}

/// What the canary's calls have come to.
struct Judged {
    calls_min: u64,
    errors_max: u64,
    calls: u64,
    errors: u64,
    last_error: Option<String>,
    timeout_ms: u64,
    timer: Option<timer::Key>,
    is_decided: bool,
}

/// How a call of the canary ended.
enum Verdict {
    Answered,
    Failed(String),
    /// By nothing that the canary did.
    Void,
}

impl Trial {
    pub(super) fn new(
        stable: &'static Instance,
        canary: &'static Instance,
        entries: Arc<[EntryInfo]>,
        spec: Arc<PluginSpec>,
        rollout: Rollout,
    ) -> Self {
        Self {
            stable,
            canary,
            entries,
            spec,
            sticky: rollout.sticky,
            percent: AtomicU32::new(rollout.percent),
            keyed: AtomicU64::new(0),
            unkeyed: AtomicU64::new(0),
            dealt_canary: AtomicU64::new(0),
            began: Instant::now(),
            judged: Mutex::new(Judged {
                calls_min: rollout.calls_min,
                errors_max: rollout.errors_max,
                calls: 0,
                errors: 0,
                last_error: None,
                timeout_ms: rollout.timeout_ms,
                timer: None,
                is_decided: false,
            }),
        }
    }

    /// Limits its time from now on; from its beginning.
    pub(super) fn set_timer(self: &Arc<Self>) {
        let mut judged = self.judged.lock();
        // Has run, or runs and finds the lock taken: there is nothing to take back then.
        let _ = judged.timer.take().and_then(timer::cancel);
        if judged.is_decided || judged.timeout_ms == 0 {
            return;
        }
        // `None`: further ahead than the clock goes.
        let at = self.began.checked_add(Duration::from_millis(judged.timeout_ms));
        let task = |at| timer::set(at, timer::Task::RolloutTimeout { trial: Arc::downgrade(self) });
        judged.timer = at.and_then(task);
    }

    /// Its timer has run: takes it back, unless it was decided or has got more time meanwhile.
    pub(crate) fn time_out(self: &Arc<Self>, now: Instant) {
        let mut judged = self.judged.lock();
        let limit = Duration::from_millis(judged.timeout_ms);
        let is_over = !limit.is_zero() && now.saturating_duration_since(self.began) >= limit;
        if judged.is_decided || !is_over {
            return;
        }
        judged.is_decided = true;
        drop(judged);
        let (result, cause) = (RolloutResult::TakenBack, RolloutCause::Timeout);
        self.canary.plugin.end_rollout(Some(self), result, cause);
    }

    /// True if the canary gets this call. Of the calls without a key it gets the ones at which its
    /// share reaches the next whole number: of any hundred in a row, `percent`.
    pub(super) fn deal(&self, request: Option<&AnyRequest<'_>>) -> bool {
        let percent = u64::from(self.percent.load(Ordering::Relaxed));
        let sticky = self.sticky.as_ref().zip(request);
        let is_canary = match sticky.and_then(|(sticky, request)| sticky.key_of(request)) {
            Some(key) => {
                self.keyed.fetch_add(1, Ordering::Relaxed);
                key % 100 < percent
            }
            None => {
                let number = self.unkeyed.fetch_add(1, Ordering::Relaxed) % 100;
                (number + 1) * percent / 100 > number * percent / 100
            }
        };
        if is_canary {
            self.dealt_canary.fetch_add(1, Ordering::Relaxed);
        }
        is_canary
    }

    /// The canary can take no calls, and will not by itself.
    pub(super) fn is_canary_out(&self) -> bool {
        let remote = || self.canary.placement.remote().map(|remote| remote.state());
        self.canary.route() == Route::Quarantined || remote() == Some(RemoteState::Failed)
    }

    /// Sets what may be set while it is under way.
    pub(super) fn adjust(self: &Arc<Self>, rollout: &Rollout) {
        self.percent.store(rollout.percent, Ordering::Relaxed);
        let mut judged = self.judged.lock();
        (judged.calls_min, judged.errors_max) = (rollout.calls_min, rollout.errors_max);
        judged.timeout_ms = rollout.timeout_ms;
        drop(judged);
        self.set_timer();
    }

    /// Nothing is counted any more. Returns how far it was.
    pub(super) fn decide(&self) -> RolloutProgress {
        let timer = {
            let mut judged = self.judged.lock();
            judged.is_decided = true;
            judged.timer.take()
        };
        let _ = timer.and_then(timer::cancel);
        self.progress()
    }

    pub(super) fn progress(&self) -> RolloutProgress {
        let judged = self.judged.lock();
        let about = &self.canary.about;
        let dealt = self.keyed.load(Ordering::Relaxed) + self.unkeyed.load(Ordering::Relaxed);
        RolloutProgress {
            version: about.version.clone(),
            path: about.path.clone(),
            placement: about.placement,
            generation: self.canary.generation,
            percent: self.percent.load(Ordering::Relaxed),
            calls_min: judged.calls_min,
            errors_max: judged.errors_max,
            timeout_ms: judged.timeout_ms,
            age_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            dealt,
            dealt_canary: self.dealt_canary.load(Ordering::Relaxed),
            calls: judged.calls,
            errors: judged.errors,
            last_error: judged.last_error.clone(),
        }
    }

    /// Counts a call; `again`: one that was counted as answered, and has failed after all.
    fn judge(self: &Arc<Self>, verdict: Verdict, again: bool) {
        let mut judged = self.judged.lock();
        if judged.is_decided {
            return;
        }
        match verdict {
            Verdict::Void => return,
            Verdict::Answered => {}
            Verdict::Failed(error) => {
                judged.errors += 1;
                judged.last_error = Some(error);
            }
        }
        judged.calls += u64::from(!again);
        let (result, cause) = if judged.errors > judged.errors_max {
            (RolloutResult::TakenBack, RolloutCause::Errors)
        } else if judged.calls >= judged.calls_min {
            (RolloutResult::Promoted, RolloutCause::Passed)
        } else {
            return;
        };
        judged.is_decided = true;
        drop(judged);
        self.canary.plugin.end_rollout(Some(self), result, cause);
    }
}

/// One call, stream or notification that the canary got. Dropped without a word it does not count:
/// its caller has left.
#[derive(Clone)]
pub(crate) struct CanaryCall(Arc<Trial>);

impl CanaryCall {
    pub(super) fn new(trial: Arc<Trial>) -> Self {
        Self(trial)
    }

    /// The call has come back.
    pub(crate) fn ended(&self, result: Result<&Response, &CallError>) {
        self.0.judge(verdict(result), false);
    }

    /// The notification, or the opening of the stream, has come back.
    pub(crate) fn taken(&self, result: Result<(), &CallError>) {
        let verdict = match result {
            Ok(()) => Verdict::Answered,
            Err(error) => verdict(Err(error)),
        };
        self.0.judge(verdict, false);
    }

    /// The stream, which was opened, has ended badly.
    pub(crate) fn stream_failed(&self, error: &StreamError) {
        let verdict = match error {
            StreamError::Failed { status: NrStatus::Invalid, .. }
            | StreamError::Idle
            | StreamError::Unloaded => Verdict::Void,
            error => Verdict::Failed(error.to_string()),
        };
        self.0.judge(verdict, true);
    }
}

/// What a call's outcome says of the version that had it. `Invalid` blames the request, as an entry
/// does that the version before does not list either.
fn verdict(result: Result<&Response, &CallError>) -> Verdict {
    match result {
        Ok(response) if response.status.is_ok() || response.status == NrStatus::Invalid => {
            Verdict::Answered
        }
        Ok(response) => Verdict::Failed(format!("the plugin answered {}", response.status)),
        Err(CallError::Refused { status: NrStatus::Invalid }) => Verdict::Answered,
        Err(
            error @ (CallError::Refused { .. }
            | CallError::DeadlineExceeded
            | CallError::NotAnswered
            | CallError::Quarantined
            | CallError::Crashed
            | CallError::PluginFailed),
        ) => Verdict::Failed(error.to_string()),
        Err(error @ CallError::Quota { quota, .. }) if *quota != "calls of the process" => {
            Verdict::Failed(error.to_string())
        }
        Err(_) => Verdict::Void,
    }
}

/// The rollouts of a plugin, under one lock: invariant 1.
#[derive(Default)]
pub(super) struct Rollouts {
    pub(super) now: Option<Arc<Trial>>,
    /// All but the one under way.
    ended: RolloutSnapshot,
    /// The tasks that wait for the end.
    pub(super) wakers: Vec<Waker>,
}

impl Rollouts {
    /// Takes the rollout out, if it is `trial` or that is `None`, and notes how it ended. Its wakers
    /// are the caller's to wake.
    pub(super) fn end(
        &mut self,
        trial: Option<&Arc<Trial>>,
        result: RolloutResult,
        cause: RolloutCause,
    ) -> Option<(Arc<Trial>, RolloutEnd)> {
        let is_it = |now: &mut Arc<Trial>| trial.is_none_or(|trial| Arc::ptr_eq(trial, now));
        let trial = self.now.take_if(is_it)?;
        let end = RolloutEnd { result, cause, progress: trial.decide() };
        match result {
            RolloutResult::Promoted => self.ended.promoted += 1,
            RolloutResult::TakenBack => self.ended.taken_back += 1,
        }
        self.ended.canary_calls += end.progress.calls;
        self.ended.canary_errors += end.progress.errors;
        self.ended.last = Some(end.clone());
        Some((trial, end))
    }

    pub(super) fn last(&self) -> Option<RolloutEnd> {
        self.ended.last.clone()
    }

    pub(super) fn snapshot(&self) -> RolloutSnapshot {
        let mut snapshot = self.ended.clone();
        snapshot.now = self.now.as_ref().map(|trial| trial.progress());
        if let Some(now) = &snapshot.now {
            snapshot.canary_calls += now.calls;
            snapshot.canary_errors += now.errors;
        }
        snapshot
    }
}
