// SPDX-License-Identifier: BSD-3-Clause
//! Another process that shows what a plugin reports.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plugin::RefusedAnswers;

/// Receives what a plugin logs, in place of this process's log, and is notified when a metric of it
/// has changed. For a host that runs a plugin on behalf of another process.
///
/// Its functions are called on the plugin's threads, inside its callbacks: they must not wait.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// The least severe level that is logged, as `BK_LOG_*` has them; 0: nothing is.
    fn log_level_max(&self) -> u32;

    /// A message of that level or a more severe one; `from` is the plugin's own target.
    fn log(&self, level: u32, from: &str, message: &str);

    /// A metric has changed. Called again only after
    /// [`Plugin::changed_metrics`](crate::Plugin::changed_metrics).
    fn metrics_changed(&self);

    /// A message of this process's watchdog on the plugin, of a level of `BK_LOG_*`. Called on a
    /// thread of the host's.
    fn watchdog(&self, level: u32, message: &str);

    /// A thread that is no worker of the plugin's has been inside for some milliseconds. Once each time, on a
    /// thread of the host's.
    fn stuck(&self) {}

    /// [`Plugin::reported_counts`](crate::Plugin::reported_counts) has changed. Called under locks of
    /// the host: it must call none of its functions.
    fn counts_changed(&self);
}

/// What is counted of a plugin where it runs, and nowhere else; and whether threads are stuck in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportedCounts {
    /// Answers and frames that were not taken.
    pub refused_answers: RefusedAnswers,
    /// Leases, timers and state that were refused at their bound.
    pub resources_refused: u64,
    /// Leases that the plugin still had when their calls were over.
    pub leases_parked: u64,
    /// Frames behind the one answer that a caller had asked for.
    pub frames_unannounced: u64,
    /// Notifications that were refused, or given up.
    pub notifies_refused: u64,
    /// Times that a thread was found stuck inside.
    pub blocked: u64,
    /// Times that its calls were sent to workers because one blocked.
    pub dispatch_revoked: u64,
    /// Threads that are stuck inside now.
    pub blocked_now: u32,
    /// It takes no calls until it is loaded again.
    pub is_quarantined: bool,
}

impl ReportedCounts {
    /// What was counted since `before`. What is so now stays.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        let (now, then) = (self.refused_answers, before.refused_answers);
        Self {
            refused_answers: RefusedAnswers {
                unknown: now.unknown.saturating_sub(then.unknown),
                late: now.late.saturating_sub(then.late),
                foreign: now.foreign.saturating_sub(then.foreign),
                invalid: now.invalid.saturating_sub(then.invalid),
                backpressure: now.backpressure.saturating_sub(then.backpressure),
            },
            resources_refused: self.resources_refused.saturating_sub(before.resources_refused),
            leases_parked: self.leases_parked.saturating_sub(before.leases_parked),
            frames_unannounced: self.frames_unannounced.saturating_sub(before.frames_unannounced),
            notifies_refused: self.notifies_refused.saturating_sub(before.notifies_refused),
            blocked: self.blocked.saturating_sub(before.blocked),
            dispatch_revoked: self.dispatch_revoked.saturating_sub(before.dispatch_revoked),
            ..self
        }
    }
}

/// A change of a metric that was counted in another process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricChange<'a> {
    /// A counter grew by this.
    Counter(u64),
    /// A gauge was set to this.
    Gauge(f64),
    /// A histogram recorded more values.
    Histogram {
        /// What its sum grew by.
        sum: f64,
        /// Values, and how often each was recorded.
        recorded: &'a [(f64, u64)],
    },
}
