// SPDX-License-Identifier: BSD-3-Clause
//! The data that the monitor keeps between reports: rates, their history, alerts.
//!
//! It is bounded: [`TRACKS_MAX`] objects are kept; above that, objects that were not in the latest
//! report are dropped.

mod alerts;
mod track;

use std::collections::HashMap;

use becket_ipc::monitor::{
    Meter, PluginReport, PluginWorker, Reading, Report, SessionReport, WorkerReport,
};

pub(crate) use self::alerts::{Alerts, Grade};
pub(crate) use self::track::{Counts, Track, Unit};

/// Objects that are kept: four times as many as one report can show.
const TRACKS_MAX: usize = 4096;

/// What a track is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Of {
    /// All channels together.
    Total,
    /// A channel, by its id.
    Channel(u64),
    /// A plugin, by its name.
    Plugin(String),
    /// A session, by its id.
    Session(u64),
    /// A worker, by its runtime and index.
    Worker(String, u64),
    /// A worker of a plugin, by the plugin's name, its number, and whether it is the canary's.
    PluginWorker(String, u32, bool),
    /// The CPU time of a process, by its id.
    Cpu(u32),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Store {
    tracks: HashMap<Of, Track>,
    cpu: Meter,
    alerts: Alerts,
    reports: u64,
    process: (u32, u64),
}

impl Store {
    /// Processes a report.
    pub(crate) fn take(&mut self, report: &Report) {
        let process = (report.process.pid, report.process.instance);
        if self.reports > 0 && process != self.process {
            // Another process: the history does not apply to it.
            *self = Self::default();
        }
        self.process = process;
        self.reports += 1;
        self.cpu.read(Reading { at_ns: report.at_ns, count: report.process.cpu_ns });
        let totals = &report.totals;
        self.read(
            Of::Total,
            Counts {
                at_ns: totals.at_ns,
                messages: totals.receives,
                bytes: totals.bytes_out,
                failures: totals.failures,
                sent: totals.sends,
            },
        );
        let channels = &report.channels;
        for channel in channels.rows.iter().chain(&channels.pinned) {
            let counts = Counts {
                at_ns: channel.at_ns,
                messages: channel.receives,
                bytes: channel.bytes_out,
                failures: channel.failed.total(),
                sent: channel.sends,
            };
            self.read(Of::Channel(channel.id), counts);
        }
        for plugin in report.plugins.rows.iter().chain(&report.plugins.pinned) {
            self.read(Of::Plugin(plugin.name.clone()), plugin_counts(plugin));
            for worker in plugin.workers.iter().filter(|worker| worker.pid != 0) {
                let (at_ns, messages) = (plugin.at_ns, worker.cpu_ns);
                let counts = Counts { at_ns, messages, bytes: 0, failures: 0, sent: 0 };
                self.read(Of::Cpu(worker.pid), counts);
            }
        }
        for session in report.sessions.rows.iter().chain(&report.sessions.pinned) {
            self.read(Of::Session(session.id), session_counts(session));
        }
        for worker in &report.workers {
            self.read(of_worker(worker), worker_counts(worker));
        }
        self.alerts.take(report);
        if self.tracks.len() > TRACKS_MAX {
            let latest = self.reports;
            self.tracks.retain(|_, track| track.seen == latest);
        }
    }

    fn read(&mut self, of: Of, counts: Counts) {
        self.tracks.entry(of).or_default().read(counts, self.reports);
    }

    /// The history of an object, if there is one.
    pub(crate) fn track(&self, of: &Of) -> Option<&Track> {
        self.tracks.get(of)
    }

    /// How many CPUs the process keeps busy.
    pub(crate) fn cpus(&self) -> Option<f64> {
        self.cpu.rates().map(|rates| rates.now / 1e9)
    }

    /// How many CPUs a worker of a plugin keeps busy.
    pub(crate) fn cpus_of(&self, worker: &PluginWorker) -> Option<f64> {
        let rates = self.track(&Of::Cpu(worker.pid))?.rates(Unit::Messages)?;
        Some(rates.now / 1e9)
    }

    /// The current alerts.
    pub(crate) fn alerts(&self) -> &Alerts {
        &self.alerts
    }

    /// Clears peaks, histories and alerts.
    pub(crate) fn clear(&mut self) {
        self.tracks.values_mut().for_each(Track::clear);
        self.alerts = Alerts::default();
    }
}

/// A worker's key.
pub(crate) fn of_worker(worker: &WorkerReport) -> Of {
    Of::Worker(worker.runtime.clone(), worker.index)
}

/// A plugin's counts: calls, bytes both ways, errors.
pub(crate) fn plugin_counts(plugin: &PluginReport) -> Counts {
    Counts {
        at_ns: plugin.at_ns,
        messages: plugin.calls,
        bytes: plugin.bytes_in.saturating_add(plugin.bytes_out),
        failures: plugin.errors(),
        sent: 0,
    }
}

/// A session's counts: frames and bytes both ways, refusals.
pub(crate) fn session_counts(session: &SessionReport) -> Counts {
    Counts {
        at_ns: session.at_ns,
        messages: session.frames_in.saturating_add(session.frames_out),
        bytes: session.bytes_in.saturating_add(session.bytes_out),
        failures: session.refused(),
        sent: 0,
    }
}

/// A worker's counts: `messages` are dispatches, `bytes` steals, `failures` wakes from other
/// threads.
pub(crate) fn worker_counts(worker: &WorkerReport) -> Counts {
    Counts {
        at_ns: worker.at_ns,
        messages: worker.dispatches,
        bytes: worker.steals,
        failures: worker.remote_wakes,
        sent: 0,
    }
}

#[cfg(test)]
mod tests {
    use becket_ipc::monitor::{ChannelReport, Page, SCHEMA};

    use super::*;

    fn report(second: u64, ids: std::ops::Range<u64>, receives: u64) -> Report {
        let at_ns = second * 1_000_000_000;
        let rows = ids
            .map(|id| ChannelReport { id, at_ns, receives, ..ChannelReport::default() })
            .collect();
        Report {
            schema: SCHEMA,
            at_ns,
            channels: Page { rows, ..Page::default() },
            ..Report::default()
        }
    }

    #[test]
    fn rates_are_of_two_reports() {
        let mut store = Store::default();
        store.take(&report(1, 0..2, 0));
        assert_eq!(store.track(&Of::Channel(1)).unwrap().rates(Unit::Messages), None);
        store.take(&report(3, 0..2, 500));
        let track = store.track(&Of::Channel(1)).unwrap();
        assert_eq!(track.rates(Unit::Messages).unwrap().now, 250.0);
        assert_eq!(track.history(Unit::Messages).collect::<Vec<_>>(), [250.0]);
        assert_eq!(track.rates(Unit::Bytes).unwrap().now, 0.0);
    }

    #[test]
    fn however_many_come_by_so_many_are_remembered() {
        let mut store = Store::default();
        for page in 0..20 {
            store.take(&report(page + 1, page * 1000..(page + 1) * 1000, 1));
            assert!(store.tracks.len() <= TRACKS_MAX, "{}", store.tracks.len());
        }
        assert!(store.track(&Of::Channel(19_999)).is_some());
    }

    #[test]
    fn another_process_has_a_past_of_its_own() {
        let mut store = Store::default();
        store.take(&report(1, 0..1, 0));
        let mut other = report(2, 0..1, 1000);
        other.process.instance = 7;
        store.take(&other);
        assert_eq!(store.track(&Of::Channel(0)).unwrap().rates(Unit::Messages), None);
    }

    #[test]
    fn a_past_is_bounded() {
        let mut store = Store::default();
        for second in 0..1000 {
            store.take(&report(second, 0..1, second));
        }
        let track = store.track(&Of::Channel(0)).unwrap();
        assert_eq!(track.history(Unit::Messages).len(), track::SAMPLES_MAX);
        store.clear();
        assert_eq!(store.track(&Of::Channel(0)).unwrap().history(Unit::Messages).len(), 0);
    }
}
