// SPDX-License-Identifier: BSD-3-Clause
//! Another process that shows what a plugin reports.

use std::fmt;

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
