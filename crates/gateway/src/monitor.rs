// SPDX-License-Identifier: BSD-3-Clause
//! A host's report to a monitor: its plugins, and the coroutines that serve them.
//!
//! Everything is read when a monitor requests it, from the counters behind the metrics; nothing is
//! kept and nothing runs in between.
//!
//! | in the report | is, of the plugin's snapshot |
//! |---|---|
//! | calls | those answered `Ok` and those that failed, for every cause |
//! | errors | those that failed, by cause |
//! | latency | the histogram of calls, each bucket by itself |
//! | queue depth | what waits for a worker of the plugin |
//! | in flight | calls that wait for their answer, and open streams |
//! | restarts | those of its workers (placement `process`), for every reason |
//! | reloads | those that succeeded |
//! | workers | those of the load that takes calls, and of the canary, each with its last death |
//! | rollout | the one under way, and the one that ended last |

use becket_host::{
    Death, Host, Latency, PluginSnapshot, RolloutEnd, RolloutProgress, WorkerInfo, Workers,
};
use becket_ipc::monitor::{
    ExportError, Exporter, Histogram, PluginReport, PluginWorker, RolloutReport, WorkerEnd,
};

/// Shows the plugins of a host, and the runtimes of their coroutines while they have any.
///
/// The exporter keeps the host; the plugins of a host that is shut down are gone from it.
///
/// # Errors
/// The exporter has as many sources as it takes.
pub fn export(exporter: &Exporter, host: &Host) -> Result<(), ExportError> {
    let plugins = host.clone();
    exporter.plugins(move || {
        plugins
            .plugins()
            .iter()
            .map(|plugin| report(plugin.snapshot(), plugin.info().placement, plugin.workers()))
            .collect()
    })?;
    let host = host.clone();
    exporter.runtime_with(move || host.coroutines())
}

fn report(seen: PluginSnapshot, placement: &str, workers: Option<Workers>) -> PluginReport {
    let (workers, restarts) = workers.map_or_else(Default::default, |seen| {
        let shown = |(one, is_canary)| worker(one, is_canary, seen.last_death(one));
        let workers = seen.each().map(shown).collect();
        (workers, seen.restarts.iter().map(|restarts| restarts.count).sum())
    });
    let failed = seen.failed.by_cause().into_iter().filter(|(_, count)| *count > 0);
    PluginReport {
        name: seen.name,
        placement: placement.to_owned(),
        calls: seen.ok.saturating_add(seen.failed.total()),
        errors: failed.map(|(cause, count)| (cause.to_owned(), count)).collect(),
        latency: histogram(&seen.latency),
        queue_depth: seen.queued,
        in_flight: seen.pending.saturating_add(seen.streams),
        bytes_in: seen.bytes_in,
        bytes_out: seen.bytes_out,
        restarts,
        reloads: seen.reloads,
        workers,
        rollout: seen.rollouts.now.as_ref().map(rollout),
        last_rollout: seen.rollouts.last.as_ref().map(last_rollout),
        promoted: seen.rollouts.promoted,
        taken_back: seen.rollouts.taken_back,
        ..PluginReport::default()
    }
}

fn rollout(seen: &RolloutProgress) -> RolloutReport {
    RolloutReport {
        version: seen.version.clone(),
        percent: seen.percent,
        calls: seen.calls,
        calls_min: seen.calls_min,
        errors: seen.errors,
        errors_max: seen.errors_max,
        age_ms: seen.age_ms,
        timeout_ms: seen.timeout_ms,
        last_error: seen.last_error.clone().unwrap_or_default(),
        ..RolloutReport::default()
    }
}

fn last_rollout(seen: &RolloutEnd) -> RolloutReport {
    RolloutReport {
        result: seen.result.name().to_owned(),
        cause: seen.cause.name().to_owned(),
        ..rollout(&seen.progress)
    }
}

fn worker(seen: &WorkerInfo, canary: bool, last_death: Option<&Death>) -> PluginWorker {
    PluginWorker {
        worker: seen.worker,
        canary,
        state: seen.state.name().to_owned(),
        pid: seen.pid.unwrap_or_default(),
        ready_ms: seen.ready_ms,
        in_hand: seen.in_hand.into(),
        restarts: seen.restarts,
        resident_bytes: seen.resident_bytes.unwrap_or_default(),
        cpu_ns: nanos(seen.cpu_seconds.unwrap_or_default()),
        last_end: last_death.map(|death| WorkerEnd {
            reason: death.reason.name().to_owned(),
            status: death.status.clone(),
            age_ms: death.age_ms(),
        }),
    }
}

/// Counts up to each bound become counts of each bucket; the last bucket has no bound.
fn histogram(seen: &Latency) -> Histogram {
    let finite = seen.buckets.iter().filter(|(bound, _)| bound.is_finite());
    let mut before = 0;
    let counts = seen.buckets.iter().map(|(_, up_to)| {
        let count = up_to.saturating_sub(before);
        before = *up_to;
        count
    });
    Histogram {
        upper_ns: finite.map(|(bound, _)| nanos(*bound)).collect(),
        counts: counts.collect(),
        sum_ns: nanos(seen.sum_seconds),
    }
}

fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

#[cfg(test)]
mod tests {
    use becket_host::{DeathReason, WorkerState};

    use super::*;

    #[test]
    fn a_worker_is_shown_with_its_own_last_death() {
        let seen = WorkerInfo {
            worker: 2,
            generation: 4,
            state: WorkerState::Restarting,
            pid: None,
            ready_ms: 0,
            in_hand: 3,
            restarts: 7,
            resident_bytes: None,
            cpu_seconds: Some(0.25),
            idle_class_threads: 0,
        };
        let death = Death {
            worker: 2,
            generation: 4,
            pid: 5,
            at_unix_ms: u64::MAX,
            reason: DeathReason::Memory,
            status: "signal: 9 (SIGKILL)".into(),
            ran_ms: 10,
            calls_failed: 1,
            last_lines: Vec::new(),
            stack: None,
            no_stack: None,
        };
        let of_another_load = Death { generation: 3, pid: 6, ..death.clone() };
        let workers = Workers {
            workers: Vec::new(),
            canary: vec![seen.clone()],
            restarts: Vec::new(),
            lines_dropped: 0,
            deaths: vec![death, of_another_load],
        };
        let death = workers.last_death(&seen);
        assert_eq!(death.map(|death| death.pid), Some(5));
        let shown = worker(&seen, true, death);
        assert!(shown.canary);
        assert_eq!((shown.worker, shown.pid, shown.cpu_ns), (2, 0, 250_000_000));
        assert_eq!((shown.state.as_str(), shown.restarts), ("restarting", 7));
        let end = shown.last_end.unwrap();
        assert_eq!((end.reason.as_str(), end.age_ms), ("memory", 0));
    }

    #[test]
    fn buckets_are_counted_each_by_itself() {
        let seen = Latency {
            buckets: vec![(256e-9, 3), (512e-9, 3), (1_024e-9, 10), (f64::INFINITY, 12)],
            count: 12,
            sum_seconds: 0.25,
            parts: Vec::new(),
        };
        let histogram = histogram(&seen);
        assert_eq!(histogram.upper_ns, [256, 512, 1024]);
        assert_eq!(histogram.counts, [3, 0, 7, 2]);
        assert_eq!((histogram.sum_ns, histogram.count()), (250_000_000, 12));
        assert_eq!(histogram.quantile_ns(0.5), Some(1024));
        assert_eq!(histogram.quantile_ns(0.99), None, "it lies above the last bound");
    }
}
