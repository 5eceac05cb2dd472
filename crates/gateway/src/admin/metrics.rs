// SPDX-License-Identifier: BSD-3-Clause
//! The metrics in Prometheus' text format.
//!
//! [`FAMILIES`] is the one list of names; `docs/src/metrics.md` shows it as a table, and a test
//! compares the two. A plugin's own metrics are three families with the metric's name as a label,
//! so that no plugin can make up a family or contradict another's type.

use std::fmt::{Display, Write};
use std::time::Instant;

use becket_host::{
    Latency, MetricValue, PluginSnapshot, PluginState, Restarts, WorkerInfo, WorkerState,
};

use crate::shared::Shared;

/// One metric family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// Its `# HELP` line.
    pub help: &'static str,
}

macro_rules! families {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(const $id: Family = Family {
            name: $name,
            kind: stringify!($kind),
            labels: &[$($label),*],
            help: $help,
        };)*

        /// Every family, in the order of the text.
        const FAMILIES: &[Family] = &[$($id),*];
    };
}

families! {
    BUILD_INFO = gauge "becket_build_info" ["version"] "1, for the running version.";
    UPTIME = gauge "becket_uptime_seconds" [] "Seconds since the gateway started.";
    DRAINING = gauge "becket_draining" [] "1 while the gateway drains, else 0.";
    CONNECTIONS = gauge "becket_http_connections" [] "Connections open now, WebSockets included.";
    CONNECTIONS_TOTAL = counter "becket_http_connections_total" [] "Connections accepted.";
    REQUESTS = counter "becket_http_requests_total" ["plugin", "entry", "code"]
        "Requests answered, by status; 499: the client left first; 0: another status.";
    IN_FLIGHT = gauge "becket_http_requests_in_flight" ["plugin", "entry"]
        "Requests that are being answered.";
    BODIES = gauge "becket_http_bodies_held_bytes" []
        "Bytes of requests' bodies that are held now, at most bodies_bytes_max.";
    REQUEST_SECONDS = histogram "becket_http_request_seconds" ["plugin", "entry"]
        "From a request's headers to the head of its answer.";
    REQUEST_BYTES = counter "becket_http_request_body_bytes_total" ["plugin", "entry"]
        "Bytes of requests' bodies.";
    RESPONSE_BYTES = counter "becket_http_response_body_bytes_total" ["plugin", "entry"]
        "Bytes of answers' bodies.";
    FILTERS = counter "becket_http_filter_answers_total" ["plugin", "entry", "result"]
        "Calls of filters, by result: continue, respond, failed, skipped (failed with fail_open).";
    UPSTREAM_UP = gauge "becket_http_upstream_up" ["route", "server"]
        "1 while requests are passed on to the server, 0 while it is ejected or its checks have it down.";
    UPSTREAM_EJECTIONS = counter "becket_http_upstream_ejections_total" ["route", "server"]
        "Times that a server was ejected after failures.";
    REFUSED = counter "becket_http_refused_total" ["cause"]
        "Requests and connections refused before a plugin was asked.";
    ACCESS_LINES_DROPPED = counter "becket_http_access_lines_dropped_total" []
        "Lines of the access log for which there was no room, or that could not be written.";
    SPANS = counter "becket_trace_spans_total" ["result"]
        "Spans, by result: exported; dropped for no_room in the queue, refused by the receiver, failed to be sent.";
    WEBSOCKETS = gauge "becket_websockets" [] "WebSockets open now.";
    WEBSOCKETS_TOTAL = counter "becket_websockets_total" [] "WebSockets opened.";
    WS_MESSAGES = counter "becket_websocket_messages_total" ["direction"]
        "Messages from clients (in) and to them (out).";
    CONFIG_RELOADS = counter "becket_config_reloads_total" ["result"]
        "Configurations put in force (ok) and refused (failed).";
    PLUGIN_INFO = gauge "becket_plugin_info" ["plugin", "version", "layout", "placement"]
        "1, for each loaded plugin.";
    PLUGIN_SANDBOX_MISSING = gauge "becket_plugin_sandbox_missing" ["plugin", "measure"]
        "1 for a measure of the sandbox of the plugin's process that the kernel did not give wholly, else 0.";
    PLUGIN_STATE = gauge "becket_plugin_state" ["plugin", "state"]
        "1 for the state that the plugin is in, 0 for the others.";
    PLUGIN_GENERATION = gauge "becket_plugin_generation" ["plugin"]
        "How often the plugin was loaded.";
    PLUGIN_CALLS = counter "becket_plugin_calls_total" ["plugin"]
        "Calls, without notifications and streams.";
    PLUGIN_OK = counter "becket_plugin_calls_ok_total" ["plugin"] "Calls answered Ok.";
    PLUGIN_FAILURES = counter "becket_plugin_failures_total" ["plugin", "cause"]
        "Calls that were not answered Ok.";
    PLUGIN_CALL_SECONDS = histogram "becket_plugin_call_seconds" ["plugin"]
        "How long calls took; calls answered inside handle are sampled.";
    PLUGIN_NOTIFIES = counter "becket_plugin_notifies_total" ["plugin"] "Notifications.";
    PLUGIN_NOTIFIES_REFUSED = counter "becket_plugin_notifies_refused_total" ["plugin"]
        "Notifications refused by a bound or by handle.";
    PLUGIN_PENDING = gauge "becket_plugin_calls_pending" ["plugin"]
        "Calls that wait for their answer.";
    PLUGIN_STREAMS = gauge "becket_plugin_streams" ["plugin"] "Streams open now.";
    PLUGIN_STREAMS_TOTAL = counter "becket_plugin_streams_total" ["plugin"] "Streams opened.";
    PLUGIN_STREAMS_ENDED = counter "becket_plugin_streams_ended_total" ["plugin"]
        "Streams that are over.";
    PLUGIN_STREAMS_REFUSED = counter "becket_plugin_streams_refused_total" ["plugin"]
        "Streams refused by a bound or by handle.";
    PLUGIN_FRAMES = counter "becket_plugin_frames_total" ["plugin", "direction"]
        "Frames to the plugin (in) and from it (out).";
    PLUGIN_BYTES = counter "becket_plugin_bytes_total" ["plugin", "direction"]
        "Payload bytes to the plugin (in) and from it (out).";
    PLUGIN_REFUSED = counter "becket_plugin_refused_answers_total" ["plugin", "cause"]
        "Answers and frames of the plugin that were not taken.";
    PLUGIN_UNANNOUNCED = counter "becket_plugin_frames_unannounced_total" ["plugin"]
        "Frames behind the one answer asked of a plugin that does not describe its entries.";
    PLUGIN_RESOURCES = counter "becket_plugin_resources_refused_total" ["plugin"]
        "Leases, timers and state refused at their bound.";
    PLUGIN_LEASES_PARKED = counter "becket_plugin_leases_parked_total" ["plugin"]
        "Leases that the plugin still had when their calls were over.";
    PLUGIN_BLOCKED = gauge "becket_plugin_threads_blocked" ["plugin"]
        "Threads stuck inside the plugin now.";
    PLUGIN_BLOCKED_TOTAL = counter "becket_plugin_blocked_total" ["plugin"]
        "Times that a thread was found stuck inside the plugin.";
    PLUGIN_REVOKED_TOTAL = counter "becket_plugin_dispatch_revoked_total" ["plugin"]
        "Loads whose calls were sent to workers because one blocked a thread that serves requests.";
    PLUGIN_LOG_DROPPED = counter "becket_plugin_log_dropped_total" ["plugin"]
        "Messages of a plugin in a process of its own that were dropped: it logged too many.";
    PLUGIN_RELOADS = counter "becket_plugin_reloads_total" ["plugin", "result"]
        "Reloads that succeeded (ok) and that kept the version before (failed).";
    ROLLOUT_PERCENT = gauge "becket_plugin_rollout_percent" ["plugin"]
        "The share of the calls that a new version of the plugin gets; 0: no rollout is under way.";
    ROLLOUT_AGE = gauge "becket_plugin_rollout_age_seconds" ["plugin"]
        "How long the rollout is under way; 0: none is.";
    CANARY_CALLS = counter "becket_plugin_canary_calls_total" ["plugin"]
        "Calls of new versions that were answered or failed while they were rolled out.";
    CANARY_ERRORS = counter "becket_plugin_canary_errors_total" ["plugin"]
        "Those of them that failed.";
    ROLLOUTS = counter "becket_plugin_rollouts_total" ["plugin", "result"]
        "Rollouts that ended, by result: promoted, taken_back.";
    WORKERS = gauge "becket_plugin_workers" ["plugin", "role", "state"]
        "Processes of the plugin, by state: running, restarting, failed. Role: stable, canary.";
    WORKER_RESTARTS = counter "becket_plugin_worker_restarts_total" ["plugin", "reason"]
        "Processes of the plugin started again, by the reason of the end before.";
    WORKER_CALLS = gauge "becket_plugin_worker_calls" ["plugin", "role", "worker"]
        "Calls and streams that a process of the plugin has in hand.";
    WORKER_RESIDENT = gauge "becket_plugin_worker_resident_bytes" ["plugin", "role", "worker"]
        "Resident memory of a process of the plugin.";
    WORKER_CPU = counter "becket_plugin_worker_cpu_seconds_total" ["plugin", "role", "worker"]
        "Processor time of a process of the plugin, since it was started.";
    WORKER_IDLE_CLASS = gauge "becket_plugin_worker_idle_class_threads" ["plugin", "role", "worker"]
        "Threads of a process of the plugin that compute for no call, and yield to all others therefore.";
    WORKER_LINES_DROPPED = counter "becket_plugin_output_lines_dropped_total" ["plugin"]
        "Lines that processes of the plugin wrote and that were not logged.";
    OWN_COUNTER = counter "becket_plugin_own_counter_total" ["plugin", "name"]
        "Counters that plugins registered.";
    OWN_GAUGE = gauge "becket_plugin_own_gauge" ["plugin", "name"]
        "Gauges that plugins registered.";
    OWN_HISTOGRAM = histogram "becket_plugin_own_histogram" ["plugin", "name"]
        "Histograms that plugins registered.";
}

/// Every metric family that `/metrics` may show.
#[must_use]
pub fn metric_families() -> &'static [Family] {
    FAMILIES
}

const STATES: [PluginState; 7] = [
    PluginState::Ready,
    PluginState::Blocked,
    PluginState::Quarantined,
    PluginState::Restarting,
    PluginState::Failed,
    PluginState::Reloading,
    PluginState::Unloaded,
];

/// The roles of workers: of the version that gets the calls, and of the one that a rollout gives a
/// share.
const STABLE: &str = "stable";
const CANARY: &str = "canary";

/// Reads one number of a worker.
type ReadWorker = fn(&WorkerInfo) -> Option<f64>;

/// All metrics as text.
pub(super) fn render(shared: &Shared, since: Instant) -> String {
    let mut text = Text::default();
    gateway(&mut text, shared, since);
    entries(&mut text, shared);
    plugins(&mut text, shared);
    text.0
}

fn gateway(text: &mut Text, shared: &Shared, since: Instant) {
    let stats = &shared.stats;
    text.family(&BUILD_INFO).sample(&[env!("CARGO_PKG_VERSION")], 1);
    text.family(&UPTIME).sample(&[], since.elapsed().as_secs_f64());
    text.family(&DRAINING).sample(&[], u8::from(shared.connections.is_draining()));
    text.family(&CONNECTIONS).sample(&[], shared.connections.open());
    text.family(&CONNECTIONS_TOTAL).sample(&[], stats.connections.get());
    let mut refused = text.family(&REFUSED);
    for (cause, count) in stats.refused() {
        refused.sample(&[cause], count);
    }
    text.family(&BODIES).sample(&[], shared.bodies.used());
    text.family(&ACCESS_LINES_DROPPED).sample(&[], stats.access_lines_dropped.get());
    let mut spans = text.family(&SPANS);
    for (result, count) in stats.spans() {
        spans.sample(&[result], count);
    }
    text.family(&WEBSOCKETS).sample(&[], stats.websockets_open.get());
    text.family(&WEBSOCKETS_TOTAL).sample(&[], stats.websockets.get());
    text.family(&WS_MESSAGES)
        .sample(&["in"], stats.ws_messages_in.get())
        .sample(&["out"], stats.ws_messages_out.get());
    text.family(&CONFIG_RELOADS)
        .sample(&["ok"], stats.reloads.get())
        .sample(&["failed"], stats.reload_failures.get());
}

fn entries(text: &mut Text, shared: &Shared) {
    let entries = shared.stats.entries();
    let mut requests = text.family(&REQUESTS);
    for ((plugin, entry), stats) in &entries {
        for (code, count) in stats.answers().filter(|(_, count)| *count > 0) {
            requests.sample(&[plugin, entry, &code.to_string()], count);
        }
    }
    let mut in_flight = text.family(&IN_FLIGHT);
    for ((plugin, entry), stats) in &entries {
        in_flight.sample(&[plugin, entry], stats.in_flight());
    }
    let mut seconds = text.family(&REQUEST_SECONDS);
    for ((plugin, entry), stats) in &entries {
        seconds.histogram(&[plugin, entry], &stats.latency());
    }
    let mut bytes = text.family(&REQUEST_BYTES);
    for ((plugin, entry), stats) in &entries {
        bytes.sample(&[plugin, entry], stats.bytes_in());
    }
    let mut bytes = text.family(&RESPONSE_BYTES);
    for ((plugin, entry), stats) in &entries {
        bytes.sample(&[plugin, entry], stats.bytes_out());
    }
    let servers = shared.stats.servers();
    let mut up = text.family(&UPSTREAM_UP);
    for ((route, server), stats) in &servers {
        if let Some(is_up) = stats.is_up() {
            up.sample(&[route, server], u8::from(is_up));
        }
    }
    let mut ejections = text.family(&UPSTREAM_EJECTIONS);
    for ((route, server), stats) in &servers {
        ejections.sample(&[route, server], stats.ejections.get());
    }
    let mut filters = text.family(&FILTERS);
    for ((plugin, entry), stats) in shared.stats.filters() {
        for (result, count) in stats.results() {
            filters.sample(&[&plugin, &entry, result], count);
        }
    }
}

/// Reads one number of a plugin.
type ReadOne = fn(&PluginSnapshot) -> u64;

fn plugins(text: &mut Text, shared: &Shared) {
    let plugins: Vec<_> =
        shared.plugins().into_values().map(|plugin| (plugin.info(), plugin.snapshot())).collect();
    let mut info_family = text.family(&PLUGIN_INFO);
    for (info, _) in &plugins {
        info_family.sample(&[&info.name, &info.version, info.layout, info.placement], 1);
    }
    let mut missing = text.family(&PLUGIN_SANDBOX_MISSING);
    for (info, _) in &plugins {
        for measure in info.sandbox.iter().flat_map(|sandbox| &sandbox.measures) {
            missing.sample(&[&info.name, measure.kind], u8::from(measure.missing.is_some()));
        }
    }
    let mut states = text.family(&PLUGIN_STATE);
    for (info, snapshot) in &plugins {
        for state in STATES {
            states.sample(&[&info.name, state.name()], u8::from(state == snapshot.state));
        }
    }
    let simple: [(&Family, ReadOne); 20] = [
        (&PLUGIN_GENERATION, |seen| seen.generation),
        (&PLUGIN_CALLS, |seen| seen.calls),
        (&PLUGIN_OK, |seen| seen.ok),
        (&PLUGIN_NOTIFIES, |seen| seen.notifies),
        (&PLUGIN_NOTIFIES_REFUSED, |seen| seen.notifies_refused),
        (&PLUGIN_PENDING, |seen| seen.pending),
        (&PLUGIN_STREAMS, |seen| seen.streams),
        (&PLUGIN_STREAMS_TOTAL, |seen| seen.streams_opened),
        (&PLUGIN_STREAMS_ENDED, |seen| seen.streams_ended),
        (&PLUGIN_STREAMS_REFUSED, |seen| seen.streams_refused),
        (&PLUGIN_UNANNOUNCED, |seen| seen.frames_unannounced),
        (&PLUGIN_RESOURCES, |seen| seen.resources_refused),
        (&PLUGIN_LEASES_PARKED, |seen| seen.leases_parked),
        (&PLUGIN_BLOCKED, |seen| seen.blocked_now),
        (&PLUGIN_BLOCKED_TOTAL, |seen| seen.blocked),
        (&PLUGIN_REVOKED_TOTAL, |seen| seen.dispatch_revoked),
        (&PLUGIN_LOG_DROPPED, |seen| seen.log_dropped),
        (&ROLLOUT_PERCENT, |seen| seen.rollouts.now.as_ref().map_or(0, |now| now.percent.into())),
        (&CANARY_CALLS, |seen| seen.rollouts.canary_calls),
        (&CANARY_ERRORS, |seen| seen.rollouts.canary_errors),
    ];
    for (family, value) in simple {
        let mut family = text.family(family);
        for (info, snapshot) in &plugins {
            family.sample(&[&info.name], value(snapshot));
        }
    }
    let mut ages = text.family(&ROLLOUT_AGE);
    for (info, snapshot) in &plugins {
        let age_ms = snapshot.rollouts.now.as_ref().map_or(0, |now| now.age_ms);
        ages.sample(&[&info.name], number(age_ms as f64 / 1e3));
    }
    let mut failures = text.family(&PLUGIN_FAILURES);
    for (info, snapshot) in &plugins {
        for (cause, count) in snapshot.failed.by_cause() {
            failures.sample(&[&info.name, cause], count);
        }
    }
    let mut refused = text.family(&PLUGIN_REFUSED);
    for (info, snapshot) in &plugins {
        for (cause, count) in snapshot.refused_answers.by_cause() {
            refused.sample(&[&info.name, cause], count);
        }
    }
    let mut seconds = text.family(&PLUGIN_CALL_SECONDS);
    for (info, snapshot) in &plugins {
        seconds.histogram(&[&info.name], &snapshot.latency);
    }
    let mut frames = text.family(&PLUGIN_FRAMES);
    for (info, snapshot) in &plugins {
        frames
            .sample(&[&info.name, "in"], snapshot.frames_in)
            .sample(&[&info.name, "out"], snapshot.frames_out);
    }
    let mut bytes = text.family(&PLUGIN_BYTES);
    for (info, snapshot) in &plugins {
        bytes
            .sample(&[&info.name, "in"], snapshot.bytes_in)
            .sample(&[&info.name, "out"], snapshot.bytes_out);
    }
    let mut reloads = text.family(&PLUGIN_RELOADS);
    for (info, snapshot) in &plugins {
        reloads
            .sample(&[&info.name, "ok"], snapshot.reloads)
            .sample(&[&info.name, "failed"], snapshot.reload_failures);
    }
    let mut rollouts = text.family(&ROLLOUTS);
    for (info, snapshot) in &plugins {
        rollouts
            .sample(&[&info.name, "promoted"], snapshot.rollouts.promoted)
            .sample(&[&info.name, "taken_back"], snapshot.rollouts.taken_back);
    }
    worker_families(text, shared);
    for family in [&OWN_COUNTER, &OWN_GAUGE, &OWN_HISTOGRAM] {
        let mut own = text.family(family);
        for (info, snapshot) in &plugins {
            for metric in &snapshot.metrics {
                let labels: [&str; 2] = [&info.name, &metric.name];
                match &metric.value {
                    MetricValue::Counter(value) if *family == OWN_COUNTER => {
                        own.sample(&labels, value);
                    }
                    MetricValue::Gauge(value) if *family == OWN_GAUGE => {
                        own.sample(&labels, number(*value));
                    }
                    MetricValue::Histogram(value) if *family == OWN_HISTOGRAM => {
                        own.histogram(&labels, value);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// The plugins in processes of their own.
fn worker_families(text: &mut Text, shared: &Shared) {
    let plugins: Vec<_> = shared
        .plugins()
        .into_iter()
        .filter_map(|(name, plugin)| Some((name, plugin.workers()?)))
        .collect();
    let mut states = text.family(&WORKERS);
    for (name, seen) in &plugins {
        for (role, workers) in [(STABLE, &seen.workers), (CANARY, &seen.canary)] {
            let states_of = WorkerState::ALL.iter().filter(|_| !workers.is_empty());
            for state in states_of {
                let count = workers.iter().filter(|worker| worker.state == *state).count();
                states.sample(&[name, role, state.name()], count);
            }
        }
    }
    let mut restarts = text.family(&WORKER_RESTARTS);
    for (name, seen) in &plugins {
        for Restarts { reason, count } in &seen.restarts {
            restarts.sample(&[name, reason.name()], count);
        }
    }
    let each: [(&Family, ReadWorker); 4] = [
        (&WORKER_CALLS, |worker| Some(f64::from(worker.in_hand))),
        (&WORKER_RESIDENT, |worker| worker.resident_bytes.map(|bytes| bytes as f64)),
        (&WORKER_CPU, |worker| worker.cpu_seconds),
        (&WORKER_IDLE_CLASS, |worker| Some(f64::from(worker.idle_class_threads))),
    ];
    for (family, read) in each {
        let mut family = text.family(family);
        for (name, seen) in &plugins {
            for (worker, is_canary) in seen.each() {
                let role = if is_canary { CANARY } else { STABLE };
                if let Some(value) = read(worker) {
                    family.sample(&[name, role, &worker.worker.to_string()], number(value));
                }
            }
        }
    }
    let mut dropped = text.family(&WORKER_LINES_DROPPED);
    for (name, seen) in &plugins {
        dropped.sample(&[name], seen.lines_dropped);
    }
}

/// The text so far.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family<'a>(&'a mut self, family: &'a Family) -> Samples<'a> {
        let Family { name, kind, help, .. } = family;
        put(&mut self.0, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Samples { text: &mut self.0, family }
    }
}

struct Samples<'a> {
    text: &'a mut String,
    family: &'a Family,
}

impl Samples<'_> {
    fn sample(&mut self, labels: &[&str], value: impl Display) -> &mut Self {
        self.line("", labels, None, value);
        self
    }

    fn histogram(&mut self, labels: &[&str], seen: &Latency) {
        for (bound, count) in &seen.buckets {
            self.line("_bucket", labels, Some(&number(*bound)), count);
        }
        self.line("_sum", labels, None, number(seen.sum_seconds));
        self.line("_count", labels, None, seen.count);
    }

    fn line(&mut self, suffix: &str, labels: &[&str], bound: Option<&str>, value: impl Display) {
        put(self.text, format_args!("{}{suffix}", self.family.name));
        let own = self.family.labels.iter().copied().zip(labels.iter().copied());
        for (at, (label, value)) in own.chain(bound.map(|bound| ("le", bound))).enumerate() {
            self.text.push(if at == 0 { '{' } else { ',' });
            put(self.text, format_args!("{label}=\""));
            escape(self.text, value);
            self.text.push('"');
        }
        if !labels.is_empty() || bound.is_some() {
            self.text.push('}');
        }
        put(self.text, format_args!(" {value}\n"));
    }
}

fn put(text: &mut String, args: std::fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _ = text.write_fmt(args);
}

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

/// Prometheus' spelling of a number.
fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_escaped() {
        let mut text = Text::default();
        text.family(&PLUGIN_CALLS).sample(&["a\"b\\c\nd"], 1);
        assert!(text.0.ends_with("becket_plugin_calls_total{plugin=\"a\\\"b\\\\c\\nd\"} 1\n"));
    }

    #[test]
    fn a_histogram_ends_at_infinity() {
        let mut text = Text::default();
        let seen = Latency {
            buckets: vec![(0.5, 1), (f64::INFINITY, 2)],
            count: 2,
            sum_seconds: 9.0,
            parts: Vec::new(),
        };
        text.family(&PLUGIN_CALL_SECONDS).histogram(&["a"], &seen);
        assert!(text.0.ends_with(
            "becket_plugin_call_seconds_bucket{plugin=\"a\",le=\"0.5\"} 1\n\
             becket_plugin_call_seconds_bucket{plugin=\"a\",le=\"+Inf\"} 2\n\
             becket_plugin_call_seconds_sum{plugin=\"a\"} 9\n\
             becket_plugin_call_seconds_count{plugin=\"a\"} 2\n"
        ));
    }

    /// The table in the documentation has these rows and no other.
    #[test]
    fn the_documentation_has_every_family() {
        let page = include_str!("../../../../docs/src/metrics.md");
        let documented: Vec<&str> =
            page.lines().filter(|line| line.starts_with("| `becket_")).collect();
        let rows: Vec<String> = FAMILIES
            .iter()
            .map(|family| {
                let labels: Vec<String> =
                    family.labels.iter().map(|label| format!("`{label}`")).collect();
                let (name, kind, help) = (family.name, family.kind, family.help);
                format!("| `{name}` | {kind} | {} | {help} |", labels.join(" "))
            })
            .collect();
        assert_eq!(documented, rows, "\nthe table should be:\n{}\n", rows.join("\n"));
    }
}
