// SPDX-License-Identifier: BSD-3-Clause
//! The source of reports: an [`Exporter`], with which a program registers what is to be shown.
//!
//! Registered items are read only when a report is requested. Channels are held weakly, and a
//! runtime's handle keeps nothing running.

mod channels;
mod coroutines;
mod process;

use std::fmt;
use std::time::Instant;

use becket_chan::{Probe, Receiver, Sender, Snapshot};
use becket_coro::Handle;
use parking_lot::Mutex;

use self::channels::Channels;
pub(super) use self::process::at_ns;
use super::query::Query;
use super::report::{PluginReport, Report, SCHEMA, SessionReport};
use super::tame::ROWS_MAX;

/// A source of reports.
pub trait Source: Send + Sync + 'static {
    /// Creates a report. It reads counters and changes none; any thread, also concurrently.
    fn collect(&self, query: &Query) -> Report;
}

/// The limits of an [`Exporter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum number of channels at a time.
    pub channels_max: usize,
    /// The maximum number of runtimes.
    pub runtimes_max: usize,
    /// The maximum number of closures for plugins, and as many for sessions and for runtimes.
    pub closures_max: usize,
    /// The maximum number of live coroutines of one runtime that are listed: beyond it they are
    /// only counted. Reading one takes about 100 ns.
    pub coroutines_listed_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            channels_max: 65_536,
            runtimes_max: 64,
            closures_max: 64,
            coroutines_listed_max: 50_000,
        }
    }
}

/// Why an item cannot be exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The maximum of [`Limits`] is reached.
    #[error("no more than {max} {what} can be exported")]
    TooMany {
        /// The kind of item.
        what: &'static str,
        /// The maximum.
        max: usize,
    },
}

type Closure<T> = Box<dyn Fn() -> Vec<T> + Send + Sync>;
type Runtimes = Mutex<Vec<std::sync::Arc<Closure<Handle>>>>;

/// The items that a program exports. Thread safe: share it in an `Arc`.
pub struct Exporter {
    name: String,
    limits: Limits,
    channels: Channels,
    runtimes: Mutex<Vec<Handle>>,
    /// Closures that return runtimes.
    runtime_closures: Runtimes,
    plugins: Mutex<Vec<std::sync::Arc<Closure<PluginReport>>>>,
    sessions: Mutex<Vec<std::sync::Arc<Closure<SessionReport>>>>,
}

impl Exporter {
    /// An empty exporter of a process named `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self::with_limits(name, Limits::default())
    }

    /// An exporter with other limits.
    pub fn with_limits(name: impl Into<String>, limits: Limits) -> Self {
        // Sets the clock's origin, unless it is set.
        at_ns(Instant::now());
        Self {
            name: name.into(),
            limits,
            channels: Channels::new(limits.channels_max),
            runtimes: Mutex::default(),
            runtime_closures: Mutex::default(),
            plugins: Mutex::default(),
            sessions: Mutex::default(),
        }
    }

    /// Exports a channel under `name`, until all its handles are dropped. Returns its id.
    ///
    /// # Errors
    ///
    /// The maximum is reached. Names need not be unique.
    pub fn channel<T: Send + 'static>(
        &self,
        name: impl Into<String>,
        channel: &impl Shows<T>,
    ) -> Result<u64, ExportError> {
        let probe = channel.probed();
        self.channel_with(name, move || probe.snapshot())
    }

    /// Exports a channel that `look` reads, until it returns `None`. `look` should hold the channel
    /// weakly and is called for each report, by the thread that creates it. Returns the channel's
    /// id.
    ///
    /// # Errors
    ///
    /// The maximum is reached.
    pub fn channel_with(
        &self,
        name: impl Into<String>,
        look: impl Fn() -> Option<Snapshot> + Send + Sync + 'static,
    ) -> Result<u64, ExportError> {
        self.channels.add(name.into(), Box::new(look))
    }

    /// Shows a channel under another name. False: there is no channel of this id any more.
    pub fn rename_channel(&self, id: u64, name: impl Into<String>) -> bool {
        self.channels.rename(id, name.into())
    }

    /// Removes a channel. Its counts, as last read, stay in the sums. Without this it is removed by
    /// the next report after its end.
    pub fn remove_channel(&self, id: u64) {
        self.channels.remove(id);
    }

    /// Exports a runtime's coroutines and workers.
    ///
    /// # Errors
    ///
    /// The maximum is reached. Exporting a runtime again has no effect.
    pub fn runtime(&self, runtime: &Handle) -> Result<(), ExportError> {
        let mut runtimes = self.runtimes.lock();
        if runtimes.contains(runtime) {
            return Ok(());
        }
        let max = self.limits.runtimes_max;
        if runtimes.len() >= max {
            return Err(ExportError::TooMany { what: "runtimes", max });
        }
        runtimes.push(runtime.clone());
        Ok(())
    }

    /// Exports the runtimes that `look` returns, an `Option` or a list of them. It is called for
    /// each report, by the thread that creates it.
    ///
    /// # Errors
    ///
    /// The maximum number of closures is reached.
    pub fn runtime_with<R: IntoIterator<Item = Handle>>(
        &self,
        look: impl Fn() -> R + Send + Sync + 'static,
    ) -> Result<(), ExportError> {
        let looks = Box::new(move || look().into_iter().collect());
        self.add(&self.runtime_closures, looks, "closures for runtimes")
    }

    /// Exports the plugins that `plugins` returns, at most [`ROWS_MAX`](super::ROWS_MAX) of them.
    /// It is called for each report, by the thread that creates it.
    ///
    /// # Errors
    ///
    /// The maximum number of closures is reached.
    pub fn plugins(
        &self,
        plugins: impl Fn() -> Vec<PluginReport> + Send + Sync + 'static,
    ) -> Result<(), ExportError> {
        self.add(&self.plugins, Box::new(plugins), "closures for plugins")
    }

    /// Exports the sessions that `sessions` returns, as [`plugins`](Self::plugins) does.
    ///
    /// # Errors
    ///
    /// The maximum number of closures is reached.
    pub fn sessions(
        &self,
        sessions: impl Fn() -> Vec<SessionReport> + Send + Sync + 'static,
    ) -> Result<(), ExportError> {
        self.add(&self.sessions, Box::new(sessions), "closures for sessions")
    }

    fn add<T>(
        &self,
        list: &Mutex<Vec<std::sync::Arc<Closure<T>>>>,
        closure: Closure<T>,
        what: &'static str,
    ) -> Result<(), ExportError> {
        let mut list = list.lock();
        let max = self.limits.closures_max;
        if list.len() >= max {
            return Err(ExportError::TooMany { what, max });
        }
        list.push(std::sync::Arc::new(closure));
        Ok(())
    }
}

impl Source for Exporter {
    fn collect(&self, query: &Query) -> Report {
        let at_ns = at_ns(Instant::now());
        let mut runtimes = self.runtimes.lock().clone();
        for runtime in called(&self.runtime_closures) {
            if !runtimes.contains(&runtime) {
                runtimes.push(runtime);
            }
        }
        let (channels, totals) = self.channels.collect(&query.channels);
        let (coroutines, workers) =
            coroutines::collect(&runtimes, &query.coroutines, self.limits.coroutines_listed_max);
        let mut plugins = called(&self.plugins);
        for plugin in plugins.iter_mut().filter(|plugin| plugin.at_ns == 0) {
            plugin.at_ns = at_ns;
        }
        let mut sessions = called(&self.sessions);
        for session in sessions.iter_mut().filter(|session| session.at_ns == 0) {
            session.at_ns = at_ns;
        }
        let mut report = Report {
            schema: SCHEMA,
            at_ns,
            wall_ms: process::wall_ms(),
            process: process::read(&self.name),
            totals,
            channels,
            coroutines,
            workers,
            plugins: query.plugins.page(
                &plugins,
                |plugin| &plugin.name,
                |plugin| plugin_id(&plugin.name),
                |a, b| query.plugins.sort.order(a, b),
                Clone::clone,
            ),
            sessions: query.sessions.page(
                &sessions,
                |session| &session.transport,
                |session| session.id,
                |a, b| query.sessions.sort.order(a, b),
                Clone::clone,
            ),
        };
        // Names come from the program; their contents are validated here.
        report.tame();
        report
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter")
            .field("name", &self.name)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A handle of a channel that can be exported: [`Sender`] and [`Receiver`].
pub trait Shows<T>: sealed::Sealed {
    #[doc(hidden)]
    fn probed(&self) -> Probe;
}

mod sealed {
    pub trait Sealed {}
    impl<T> Sealed for super::Sender<T> {}
    impl<T> Sealed for super::Receiver<T> {}
}

impl<T: Send + 'static> Shows<T> for Sender<T> {
    fn probed(&self) -> Probe {
        self.probe()
    }
}

impl<T: Send + 'static> Shows<T> for Receiver<T> {
    fn probed(&self) -> Probe {
        self.probe()
    }
}

/// A plugin's id in a query's `pin`: FNV-1a of its name, since plugins have no number.
pub fn plugin_id(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The results of the closures, called without the lock, so that a closure may export more.
fn called<T>(list: &Mutex<Vec<std::sync::Arc<Closure<T>>>>) -> Vec<T> {
    let closures = list.lock().clone();
    let mut rows = Vec::new();
    for closure in closures {
        rows.extend(closure());
        rows.truncate(ROWS_MAX);
    }
    rows
}
