// SPDX-License-Identifier: BSD-3-Clause
//! Counters and state of a plugin, to look at.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::{RolloutSnapshot, Shared};
use crate::{
    counters::{Count, Latency},
    instance::Instance,
    load::Remote,
    metrics::Metric,
    observer::ReportedCounts,
    routing::Route,
    workers::RemoteState,
};

/// Whether a plugin takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PluginState {
    /// It takes calls.
    Ready,
    /// It takes calls, and threads are stuck inside it.
    Blocked,
    /// Too many threads are stuck inside it: calls are refused until it is reloaded.
    Quarantined,
    /// It runs elsewhere, and its worker has ended: calls wait until there is another.
    Restarting,
    /// It runs elsewhere, and its workers have ended too often: calls fail.
    Failed,
    /// It hands its state to a new version; calls wait.
    Reloading,
    /// It is gone.
    Unloaded,
}

impl PluginState {
    /// The name that metrics and JSON use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Blocked => "blocked",
            Self::Quarantined => "quarantined",
            Self::Restarting => "restarting",
            Self::Failed => "failed",
            Self::Reloading => "reloading",
            Self::Unloaded => "unloaded",
        }
    }
}

/// A plugin's counters, read one after another while calls go on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PluginSnapshot {
    /// Its name in the host.
    pub name: String,
    /// Whether it takes calls.
    pub state: PluginState,
    /// How often it was loaded.
    pub generation: u64,
    /// Calls dispatched or refused, without notifications and streams.
    pub calls: u64,
    /// Calls answered `Ok`.
    pub ok: u64,
    /// Calls that were not, by cause.
    pub failed: FailureCounts,
    /// Notifications.
    pub notifies: u64,
    /// Notifications that were refused, by a bound or by `handle`, or given up at the plugin's end.
    pub notifies_refused: u64,
    /// Streams opened.
    pub streams_opened: u64,
    /// Streams that were refused, by a bound or by `handle`.
    pub streams_refused: u64,
    /// Streams that are over.
    pub streams_ended: u64,
    /// Frames from the plugin.
    pub frames_out: u64,
    /// Frames to the plugin.
    pub frames_in: u64,
    /// Payload bytes to the plugin.
    pub bytes_in: u64,
    /// Payload bytes from the plugin.
    pub bytes_out: u64,
    /// Calls that wait for their answer, and notifications that wait for a worker.
    pub pending: u64,
    /// Calls and frames that wait for a worker of the plugin.
    pub queued: u64,
    /// Open streams.
    pub streams: u64,
    /// Answers and frames that were not taken, by cause.
    pub refused_answers: RefusedAnswers,
    /// Frames behind the one answer that a caller had asked for, of a plugin that does not describe
    /// its entries. Among the late answers, too.
    pub frames_unannounced: u64,
    /// Leases, timers and state that were refused at their bound.
    pub resources_refused: u64,
    /// Leases that a plugin of version 2 of the ABI still had when their calls were over: the buffers are parked until
    /// it commits them, answers those calls, or ends.
    pub leases_parked: u64,
    /// Times that a thread was found stuck inside.
    pub blocked: u64,
    /// Threads that are stuck inside now.
    pub blocked_now: u64,
    /// Loads whose calls were sent to workers because one blocked a thread of the callers' executor.
    pub dispatch_revoked: u64,
    /// Messages of its log that were dropped: it logged more than its process may.
    pub log_dropped: u64,
    /// Reloads that succeeded.
    pub reloads: u64,
    /// Reloads that failed; the one before went on.
    pub reload_failures: u64,
    /// The rollout under way, and what became of those before.
    pub rollouts: RolloutSnapshot,
    /// How long calls took.
    pub latency: Latency,
    /// The plugin's own metrics.
    pub metrics: Vec<Metric>,
}

/// Calls that failed, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FailureCounts {
    /// Answered with a status other than `Ok`.
    pub answered_with_error: u64,
    /// `handle` returned something other than `Ok`.
    pub refused: u64,
    /// Not answered in time.
    pub deadline: u64,
    /// The caller left first.
    pub cancelled: u64,
    /// `call_now` was not answered at once.
    pub not_answered: u64,
    /// The plugin went away.
    pub unloaded: u64,
    /// The process that ran the call has ended.
    pub crashed: u64,
    /// The plugin's workers have ended too often.
    pub plugin_failed: u64,
    /// A bound was reached, or the plugin is quarantined.
    pub quota: u64,
}

impl FailureCounts {
    /// All of them, with the names that metrics use.
    #[must_use]
    pub fn by_cause(&self) -> [(&'static str, u64); 9] {
        [
            ("answered_with_error", self.answered_with_error),
            ("refused", self.refused),
            ("deadline", self.deadline),
            ("cancelled", self.cancelled),
            ("not_answered", self.not_answered),
            ("unloaded", self.unloaded),
            ("crashed", self.crashed),
            ("plugin_failed", self.plugin_failed),
            ("quota", self.quota),
        ]
    }

    /// Their sum.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_cause().iter().map(|(_, count)| count).sum()
    }
}

/// Answers and frames that were not taken, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RefusedAnswers {
    /// The id was never given out.
    pub unknown: u64,
    /// The call had ended or was answered.
    pub late: u64,
    /// The call was another plugin's.
    pub foreign: u64,
    /// The payload, lease or key was none.
    pub invalid: u64,
    /// The stream's queue was full.
    pub backpressure: u64,
}

impl RefusedAnswers {
    /// All of them, with the names that metrics use.
    #[must_use]
    pub fn by_cause(&self) -> [(&'static str, u64); 5] {
        [
            ("unknown", self.unknown),
            ("late", self.late),
            ("foreign", self.foreign),
            ("invalid", self.invalid),
            ("backpressure", self.backpressure),
        ]
    }
}

pub(super) fn state(shared: &Shared) -> PluginState {
    match shared.stable() {
        None if shared.is_unloaded() => PluginState::Unloaded,
        None => PluginState::Reloading,
        Some(instance) if instance.route() == Route::Quarantined => PluginState::Quarantined,
        Some(instance) if let Some(state) = remote_state(instance) => state,
        Some(instance) if blocked_now(instance) > 0 => PluginState::Blocked,
        Some(_) => PluginState::Ready,
    }
}

/// Why a plugin that runs elsewhere takes no calls, if it takes none.
fn remote_state(instance: &Instance) -> Option<PluginState> {
    match instance.placement.remote()?.state() {
        RemoteState::Running => None,
        RemoteState::Restarting => Some(PluginState::Restarting),
        RemoteState::Failed => Some(PluginState::Failed),
    }
}

/// Threads that are stuck in it, wherever it runs.
fn blocked_now(instance: &Instance) -> u32 {
    instance.placement.remote().map_or(0, Remote::blocked_now) + instance.blocked_now()
}

fn refused_answers(shared: &Shared) -> RefusedAnswers {
    let get = |count| shared.counters.get(count);
    RefusedAnswers {
        unknown: get(Count::AnswersUnknown),
        late: get(Count::AnswersLate),
        foreign: get(Count::AnswersForeign),
        invalid: get(Count::AnswersInvalid),
        backpressure: get(Count::Backpressure),
    }
}

/// What an observer is notified of.
pub(super) fn reported(shared: &Shared) -> ReportedCounts {
    let get = |count| shared.counters.get(count);
    let instance = shared.stable();
    ReportedCounts {
        refused_answers: refused_answers(shared),
        resources_refused: get(Count::ResourceRefused),
        leases_parked: get(Count::LeasesParked),
        frames_unannounced: get(Count::FramesUnannounced),
        notifies_refused: get(Count::NotifiesRefused),
        blocked: get(Count::Blocked),
        dispatch_revoked: get(Count::Revoked),
        blocked_now: instance.map_or(0, blocked_now),
        is_quarantined: instance.is_some_and(|instance| instance.route() == Route::Quarantined),
    }
}

pub(super) fn take(shared: &Shared) -> PluginSnapshot {
    let get = |count| shared.counters.get(count);
    let (stable, canary) = shared.serving();
    let gauge = |of: &dyn Fn(&Instance) -> u64| stable.into_iter().chain(canary).map(of).sum();
    PluginSnapshot {
        name: shared.name.clone(),
        state: state(shared),
        generation: shared.info().generation,
        calls: get(Count::Calls),
        ok: get(Count::Ok),
        failed: FailureCounts {
            answered_with_error: get(Count::AnsweredWithError),
            refused: get(Count::RefusedByHandle),
            deadline: get(Count::DeadlineExceeded),
            cancelled: get(Count::Cancelled),
            not_answered: get(Count::NotAnswered),
            unloaded: get(Count::FailedUnloaded),
            crashed: get(Count::FailedCrashed),
            plugin_failed: get(Count::PluginFailed),
            quota: get(Count::QuotaRefused),
        },
        notifies: get(Count::Notifies),
        notifies_refused: get(Count::NotifiesRefused),
        streams_opened: get(Count::StreamsOpened),
        streams_refused: get(Count::StreamsRefused),
        streams_ended: get(Count::StreamsEnded),
        frames_out: get(Count::FramesOut),
        frames_in: get(Count::FramesIn),
        bytes_in: get(Count::BytesIn),
        bytes_out: get(Count::BytesOut),
        pending: gauge(&|instance| instance.pending.load(Ordering::Relaxed)),
        queued: gauge(&|instance| instance.calls_queued()),
        streams: gauge(&|instance| instance.streams.load(Ordering::Relaxed)),
        refused_answers: refused_answers(shared),
        frames_unannounced: get(Count::FramesUnannounced),
        resources_refused: get(Count::ResourceRefused),
        leases_parked: get(Count::LeasesParked),
        blocked: get(Count::Blocked),
        blocked_now: gauge(&|instance| u64::from(blocked_now(instance))),
        dispatch_revoked: get(Count::Revoked),
        log_dropped: get(Count::LogDropped),
        reloads: get(Count::Reloads),
        reload_failures: get(Count::ReloadFailures),
        rollouts: shared.rollouts(),
        latency: shared.counters.latencies(),
        metrics: shared.metrics.snapshot(),
    }
}
