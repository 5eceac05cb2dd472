// SPDX-License-Identifier: BSD-3-Clause
//! Who makes reports: an [`Exporter`], to which a program says once what there is to see.
//!
//! What it is told of it looks at when somebody asks, and only then. It holds channels weakly, and
//! a runtime's handle keeps nothing running.

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

/// Something that can be reported on.
pub trait Source: Send + Sync + 'static {
    /// Makes a report. It reads counters and changes none; any thread, also several at once.
    fn collect(&self, query: &Query) -> Report;
}

/// How much an [`Exporter`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Channels at a time.
    pub channels_max: usize,
    /// Runtimes.
    pub runtimes_max: usize,
    /// Closures for plugins, and as many for sessions and for runtimes.
    pub closures_max: usize,
    /// Coroutines that live, of one runtime: with more of them they are counted, not listed. To look
    /// at one takes about 100 ns.
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

/// Why something cannot be exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// There are as many as [`Limits`] allow.
    #[error("no more than {max} {what} can be exported")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// So many there may be.
        max: usize,
    },
}

type Closure<T> = Box<dyn Fn() -> Vec<T> + Send + Sync>;
type Runtimes = Mutex<Vec<std::sync::Arc<Closure<Handle>>>>;

/// What a program shows of itself. Thread safe: share it in an `Arc`.
pub struct Exporter {
    name: String,
    limits: Limits,
    channels: Channels,
    runtimes: Mutex<Vec<Handle>>,
    /// Those that come and go.
    runtimes_later: Runtimes,
    plugins: Mutex<Vec<std::sync::Arc<Closure<PluginReport>>>>,
    sessions: Mutex<Vec<std::sync::Arc<Closure<SessionReport>>>>,
}

impl Exporter {
    /// One that shows nothing yet, of a process that calls itself `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self::with_limits(name, Limits::default())
    }

    /// One with other limits.
    pub fn with_limits(name: impl Into<String>, limits: Limits) -> Self {
        // The clock's beginning, unless it has begun.
        at_ns(Instant::now());
        Self {
            name: name.into(),
            limits,
            channels: Channels::new(limits.channels_max),
            runtimes: Mutex::default(),
            runtimes_later: Mutex::default(),
            plugins: Mutex::default(),
            sessions: Mutex::default(),
        }
    }

    /// Shows a channel under `name`, until all its handles are gone. Its id.
    ///
    /// # Errors
    ///
    /// There are as many as may be. Names may be there twice.
    pub fn channel<T: Send + 'static>(
        &self,
        name: impl Into<String>,
        channel: &impl Shows<T>,
    ) -> Result<u64, ExportError> {
        let probe = channel.probed();
        self.channel_with(name, move || probe.snapshot())
    }

    /// Shows a channel that `look` looks at, until it says `None`. It should hold the channel weakly
    /// and is called for each report, by the thread that makes it. Its id.
    ///
    /// # Errors
    ///
    /// There are as many as may be.
    pub fn channel_with(
        &self,
        name: impl Into<String>,
        look: impl Fn() -> Option<Snapshot> + Send + Sync + 'static,
    ) -> Result<u64, ExportError> {
        self.channels.add(name.into(), Box::new(look))
    }

    /// Shows a channel no longer. False if it was not there.
    pub fn remove_channel(&self, id: u64) -> bool {
        self.channels.remove(id)
    }

    /// Shows a runtime's coroutines and workers.
    ///
    /// # Errors
    ///
    /// There are as many as may be. One that is there already is there once.
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

    /// Shows the runtimes that `look` returns, an `Option` or a list of them. It is called for each
    /// report, by the thread that makes it.
    ///
    /// # Errors
    ///
    /// There are as many closures as may be.
    pub fn runtime_with<R: IntoIterator<Item = Handle>>(
        &self,
        look: impl Fn() -> R + Send + Sync + 'static,
    ) -> Result<(), ExportError> {
        let looks = Box::new(move || look().into_iter().collect());
        self.add(&self.runtimes_later, looks, "closures for runtimes")
    }

    /// Shows what `plugins` returns, at most [`ROWS_MAX`](super::ROWS_MAX) of them. It is called for
    /// each report, by the thread that makes it.
    ///
    /// # Errors
    ///
    /// There are as many closures as may be.
    pub fn plugins(
        &self,
        plugins: impl Fn() -> Vec<PluginReport> + Send + Sync + 'static,
    ) -> Result<(), ExportError> {
        self.add(&self.plugins, Box::new(plugins), "closures for plugins")
    }

    /// Shows what `sessions` returns, as [`plugins`](Self::plugins) does.
    ///
    /// # Errors
    ///
    /// There are as many closures as may be.
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
        for runtime in called(&self.runtimes_later) {
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
        // Names are the program's; what they may hold is not left to it.
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

/// A handle of a channel that can be shown: [`Sender`] and [`Receiver`].
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

/// What the closures return, called without the lock, so that one may export more.
fn called<T>(list: &Mutex<Vec<std::sync::Arc<Closure<T>>>>) -> Vec<T> {
    let closures = list.lock().clone();
    let mut rows = Vec::new();
    for closure in closures {
        rows.extend(closure());
        rows.truncate(ROWS_MAX);
    }
    rows
}
