// SPDX-License-Identifier: BSD-3-Clause
//! The lines of `--headless`.
//!
//! Each begins with `schema`, `ts` and `kind`. A count is two fields, `…_total` since the beginning
//! and `…_delta` since the previous line of the same object (`null` in its first). A rate is `null`
//! while there are no two readings far enough apart. Under one `schema` fields are only ever added.

use std::collections::HashMap;

use becket_ipc::monitor::{
    ChannelReport, ChannelTotals, PluginReport, PluginWorker, Report, SessionReport, WorkerReport,
};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use super::super::store::{Of, Store, Unit, of_worker};

/// The version of these lines.
pub(super) const LINE_SCHEMA: u32 = 1;

/// One line: fields in their order.
#[derive(Debug)]
pub(super) struct Line(Vec<(String, Value)>);

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Objects whose previous counts are kept.
const BEFORE_MAX: usize = 8192;

/// Converts reports to lines, one report after the other.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The counts of the latest line of each object, with the number of its report.
    before: HashMap<Of, (u64, Vec<u64>)>,
    reports: u64,
}

impl Lines {
    /// The lines of a report that the store has processed.
    pub(super) fn of(&mut self, report: &Report, store: &Store) -> Vec<Line> {
        self.reports += 1;
        let mut lines = vec![self.process(report, store), self.totals(report, store)];
        for channel in &report.channels.rows {
            lines.push(self.channel(report, channel, store));
        }
        lines.push(coroutines(report));
        for worker in &report.workers {
            lines.push(self.worker(report, worker, store));
        }
        for plugin in &report.plugins.rows {
            lines.push(self.plugin(report, plugin, store));
            for worker in &plugin.workers {
                lines.push(self.plugin_worker(report, plugin, worker, store));
            }
        }
        for session in &report.sessions.rows {
            lines.push(self.session(report, session, store));
        }
        if self.before.len() > BEFORE_MAX {
            let latest = self.reports;
            self.before.retain(|_, (seen, _)| *seen == latest);
        }
        lines
    }

    fn process(&self, report: &Report, store: &Store) -> Line {
        let process = &report.process;
        Line::new(report.wall_ms, "process")
            .put("pid", process.pid)
            .put("name", process.name.as_str())
            .put("uptime_ms", process.uptime_ms)
            .put("cpu_ms_total", process.cpu_ns / 1_000_000)
            .put("cpus", store.cpus())
    }

    fn totals(&mut self, report: &Report, store: &Store) -> Line {
        let ChannelTotals { channels, full, len, senders_waiting, receivers_waiting, .. } =
            report.totals;
        let totals = &report.totals;
        let line = Line::new(report.wall_ms, "totals")
            .rates(store, &Of::Total)
            .put("channels", channels)
            .put("channels_full", full)
            .put("channels_listed", report.channels.rows.len())
            .put("len", len)
            .put("senders_waiting", senders_waiting)
            .put("receivers_waiting", receivers_waiting);
        self.counts(
            line,
            Of::Total,
            &[
                ("sends", totals.sends),
                ("receives", totals.receives),
                ("bytes_in", totals.bytes_in),
                ("bytes_out", totals.bytes_out),
                ("fail", totals.failures),
                ("dropped", totals.dropped),
            ],
        )
    }

    fn channel(&mut self, report: &Report, channel: &ChannelReport, store: &Store) -> Line {
        let of = Of::Channel(channel.id);
        let line = Line::new(report.wall_ms, "channel")
            .put("id", channel.id)
            .put("name", channel.name.as_str())
            .put("channel_kind", channel.kind.as_str())
            .rates(store, &of)
            .put("len", channel.len)
            .put("capacity", channel.capacity)
            .put("high_water", channel.high_water)
            .put("senders_waiting", channel.senders_waiting)
            .put("receivers_waiting", channel.receivers_waiting)
            .put("closed", channel.closed);
        let (send, receive) = (&channel.failed.send, &channel.failed.receive);
        self.counts(
            line,
            of,
            &[
                ("sends", channel.sends),
                ("receives", channel.receives),
                ("bytes_in", channel.bytes_in),
                ("bytes_out", channel.bytes_out),
                ("fail_send_would_block", send.would_block),
                ("fail_send_timed_out", send.timed_out),
                ("fail_send_closed", send.closed),
                ("fail_send_cancelled", send.cancelled),
                ("fail_receive_would_block", receive.would_block),
                ("fail_receive_timed_out", receive.timed_out),
                ("fail_receive_closed", receive.closed),
                ("fail_receive_cancelled", receive.cancelled),
                ("dropped", channel.dropped),
                ("conflated", channel.conflated),
                ("undelivered", channel.undelivered),
            ],
        )
    }

    fn worker(&mut self, report: &Report, worker: &WorkerReport, store: &Store) -> Line {
        let of = of_worker(worker);
        let rates = store.track(&of).and_then(|track| track.rates(Unit::Messages));
        let line = Line::new(report.wall_ms, "worker")
            .put("runtime", worker.runtime.as_str())
            .put("index", worker.index)
            .put("dispatches_per_second", rates.map(|rates| rates.now))
            .put("coroutines", worker.coroutines);
        self.counts(
            line,
            of,
            &[
                ("dispatches", worker.dispatches),
                ("steals", worker.steals),
                ("sleeps", worker.sleeps),
                ("remote_wakes", worker.remote_wakes),
                ("timers", worker.timers),
            ],
        )
    }

    fn plugin(&mut self, report: &Report, plugin: &PluginReport, store: &Store) -> Line {
        let of = Of::Plugin(plugin.name.clone());
        let causes: serde_json::Map<String, Value> =
            plugin.errors.iter().map(|(cause, count)| (cause.clone(), (*count).into())).collect();
        let (rollout, last) = (plugin.rollout.as_ref(), plugin.last_rollout.as_ref());
        let quantile = |share| plugin.latency.quantile_ns(share).map(|ns| ns as f64 / 1e3);
        let line = Line::new(report.wall_ms, "plugin")
            .put("name", plugin.name.as_str())
            .put("placement", plugin.placement.as_str())
            .rates(store, &of)
            .put("queue_depth", plugin.queue_depth)
            .put("in_flight", plugin.in_flight)
            .put("latency_us_p50", quantile(0.5))
            .put("latency_us_p99", quantile(0.99))
            .put("errors", causes)
            .put("workers", plugin.workers.len())
            .put("workers_running", plugin.workers_running())
            .put("rollout_version", rollout.map(|now| now.version.as_str()))
            .put("rollout_percent", rollout.map(|now| now.percent))
            .put("rollout_calls", rollout.map(|now| now.calls))
            .put("rollout_errors", rollout.map(|now| now.errors))
            .put("rollout_age_ms", rollout.map(|now| now.age_ms))
            .put("last_rollout_result", last.map(|last| last.result.as_str()))
            .put("last_rollout_cause", last.map(|last| last.cause.as_str()));
        self.counts(
            line,
            of,
            &[
                ("calls", plugin.calls),
                ("fail", plugin.errors()),
                ("bytes_in", plugin.bytes_in),
                ("bytes_out", plugin.bytes_out),
                ("restarts", plugin.restarts),
                ("reloads", plugin.reloads),
                ("promoted", plugin.promoted),
                ("taken_back", plugin.taken_back),
            ],
        )
    }

    fn plugin_worker(
        &mut self,
        report: &Report,
        plugin: &PluginReport,
        worker: &PluginWorker,
        store: &Store,
    ) -> Line {
        let end = worker.last_end.as_ref();
        let line = Line::new(report.wall_ms, "plugin_worker")
            .put("plugin", plugin.name.as_str())
            .put("worker", worker.worker)
            .put("canary", worker.canary)
            .put("state", worker.state.as_str())
            .put("pid", (worker.pid != 0).then_some(worker.pid))
            .put("ready_ms", worker.ready_ms)
            .put("in_hand", worker.in_hand)
            .put("resident_bytes", worker.resident_bytes)
            .put("cpus", store.cpus_of(worker))
            .put("last_end_reason", end.map(|end| end.reason.as_str()))
            .put("last_end_status", end.map(|end| end.status.as_str()))
            .put("last_end_ms_ago", end.map(|end| end.age_ms));
        let of = Of::PluginWorker(plugin.name.clone(), worker.worker, worker.canary);
        self.counts(line, of, &[("restarts", worker.restarts)])
    }

    fn session(&mut self, report: &Report, session: &SessionReport, store: &Store) -> Line {
        let of = Of::Session(session.id);
        let line = Line::new(report.wall_ms, "session")
            .put("id", session.id)
            .put("peer_pid", session.peer_pid)
            .put("peer_uid", session.peer_uid)
            .put("transport", session.transport.as_str())
            .put("protocol", session.protocol)
            .put("age_ms", session.age_ms)
            .rates(store, &of)
            .put("streams", session.streams)
            .put("requests", session.requests)
            .put("queued_bytes", session.queued_bytes)
            .put("credit_messages", session.credit_messages)
            .put("credit_bytes", session.credit_bytes);
        self.counts(
            line,
            of,
            &[
                ("frames_in", session.frames_in),
                ("frames_out", session.frames_out),
                ("bytes_in", session.bytes_in),
                ("bytes_out", session.bytes_out),
                ("refused", session.refused()),
            ],
        )
    }

    /// Adds each count as a total and a delta.
    fn counts(&mut self, mut line: Line, of: Of, counts: &[(&str, u64)]) -> Line {
        let totals: Vec<u64> = counts.iter().map(|(_, total)| *total).collect();
        let before = self.before.insert(of, (self.reports, totals));
        let before = before.map(|(_, totals)| totals).unwrap_or_default();
        for (place, (name, total)) in counts.iter().enumerate() {
            let delta = before.get(place).map(|before| total.saturating_sub(*before));
            line = line.put(&format!("{name}_total"), *total).put(&format!("{name}_delta"), delta);
        }
        line
    }
}

fn coroutines(report: &Report) -> Line {
    let all = &report.coroutines;
    let listed = |count: u64| all.listed.then_some(count);
    Line::new(report.wall_ms, "coroutines")
        .put("live", all.live)
        .put("spawned_total", all.spawned)
        .put("finished_total", all.finished)
        .put("fresh", listed(all.fresh))
        .put("ready", listed(all.ready))
        .put("running", listed(all.running))
        .put("parked", listed(all.parked))
        .put("sleeping", listed(all.sleeping))
        .put("workers_held", listed(all.held.len() as u64))
}

/// The last line.
pub(super) fn end(wall_ms: u64, reason: &str, reports: u64) -> Line {
    Line::new(wall_ms, "end").put("reason", reason).put("reports", reports)
}

impl Line {
    fn new(wall_ms: u64, kind: &str) -> Self {
        Self(Vec::new())
            .put("schema", LINE_SCHEMA)
            .put("ts", wall_ms as f64 / 1e3)
            .put("kind", kind)
    }

    fn put(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// Messages and gigabits a second: of the latest interval, smoothed, and the highest.
    fn rates(self, store: &Store, of: &Of) -> Self {
        let track = store.track(of);
        let messages = track.and_then(|track| track.rates(Unit::Messages));
        let bytes = track.and_then(|track| track.rates(Unit::Bytes));
        // Only channels count sends and receives separately.
        let two_sided = matches!(of, Of::Total | Of::Channel(_));
        let sent = track.and_then(|track| track.rates(Unit::Sent)).filter(|_| two_sided);
        let gbps = |bytes: f64| bytes * 8.0 / 1e9;
        self.put("interval_ms", messages.map(|rates| rates.interval.as_secs_f64() * 1e3))
            .put("pps", messages.map(|rates| rates.now))
            .put("pps_sent", sent.map(|rates| rates.now))
            .put("smoothed", messages.map(|rates| rates.smoothed))
            .put("peak", messages.map(|rates| rates.peak))
            .put("gbps", bytes.map(|rates| gbps(rates.now)))
            .put("gbps_smoothed", bytes.map(|rates| gbps(rates.smoothed)))
            .put("gbps_peak", bytes.map(|rates| gbps(rates.peak)))
    }
}
