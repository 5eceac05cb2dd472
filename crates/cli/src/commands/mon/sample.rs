// SPDX-License-Identifier: BSD-3-Clause
//! Reports for tests: a small process, second by second, always the same.

use becket_ipc::monitor::{
    Causes, ChannelReport, ChannelTotals, CoroutineRow, Coroutines, Failed, Held, Histogram, Page,
    PluginReport, PluginWorker, Process, Report, RolloutReport, SCHEMA, SessionReport, WorkerEnd,
    WorkerReport,
};

const SECOND_NS: u64 = 1_000_000_000;

/// The process after so many seconds.
pub(super) fn report(second: u64) -> Report {
    let at_ns = SECOND_NS * (second + 1);
    let channels = vec![
        channel(at_ns, 1, "orders", "bounded", Some(16_384), 12_000, 412_345 * second),
        ChannelReport {
            len: 64,
            senders_waiting: 3,
            failed: Failed {
                send: Causes { would_block: 12, timed_out: 2 * second, ..Causes::default() },
                receive: Causes::default(),
            },
            ..channel(at_ns, 2, "payments", "bounded", Some(64), 64, 1_500 * second * second)
        },
        channel(at_ns, 3, "prices", "conflated", Some(1), 1, 90 * second),
        ChannelReport {
            receivers_waiting: 1,
            ..channel(
                at_ns,
                4,
                "a very long name of a channel, to be cut",
                "rendezvous",
                Some(0),
                0,
                7,
            )
        },
        ChannelReport { closed: true, ..channel(at_ns, 5, "old", "unlimited", None, 0, 1_000_000) },
    ];
    let sum = |of: fn(&ChannelReport) -> u64| channels.iter().map(of).sum();
    let totals = ChannelTotals {
        at_ns,
        channels: 5,
        full: 1,
        len: sum(|channel| channel.len),
        senders_waiting: 3,
        receivers_waiting: 1,
        sends: sum(|channel| channel.sends),
        receives: sum(|channel| channel.receives),
        bytes_in: sum(|channel| channel.bytes_in),
        bytes_out: sum(|channel| channel.bytes_out),
        failures: sum(|channel| channel.failed.total()),
        dropped: 0,
    };
    Report {
        schema: SCHEMA,
        at_ns,
        wall_ms: 1_790_000_000_000 + second * 1000,
        process: Process {
            pid: 4711,
            name: "gateway".into(),
            instance: 1,
            uptime_ms: 3_723_000 + second * 1000,
            cpu_ns: SECOND_NS / 2 * second,
        },
        totals,
        channels: page(channels),
        coroutines: coroutines(second),
        workers: workers(at_ns, second),
        plugins: page(vec![plugin(at_ns, second), in_processes(at_ns, second)]),
        sessions: page(vec![session(at_ns, second), older_session(at_ns, second)]),
    }
}

fn page<T>(rows: Vec<T>) -> Page<T> {
    let total = rows.len() as u64;
    Page { total, matched: total, first: 0, rows, pinned: None }
}

fn channel(
    at_ns: u64,
    id: u64,
    name: &str,
    kind: &str,
    capacity: Option<u64>,
    len: u64,
    receives: u64,
) -> ChannelReport {
    ChannelReport {
        id,
        name: name.to_owned(),
        kind: kind.to_owned(),
        at_ns,
        capacity,
        len,
        high_water: len,
        sends: receives + len,
        receives,
        bytes_in: (receives + len) * 1500,
        bytes_out: receives * 1500,
        ..ChannelReport::default()
    }
}

fn coroutines(second: u64) -> Coroutines {
    let row = |id, name: &str, state: &str, state_ms, worker| CoroutineRow {
        id,
        name: name.to_owned(),
        site: "orders/reader.rs:42".into(),
        state: state.to_owned(),
        state_ms,
        worker,
        stack_bytes: 65_536,
        runtime: "main".into(),
    };
    let rows = vec![
        row(64, "reader", "parked", 1_200, Some(1)),
        row(65, "", "sleeping", 59_000, Some(2)),
        row(66, "busy", "running", 1_300, Some(2)),
        row(67, "later", "fresh", 4, None),
    ];
    Coroutines {
        live: 4,
        spawned: 104 + second,
        finished: 100 + second,
        listed: true,
        fresh: 1,
        ready: 0,
        running: 1,
        parked: 1,
        sleeping: 1,
        held: vec![Held { id: 66, what: "busy".into(), worker: 2, held_ms: 1_300 }],
        rows: page(rows),
    }
}

fn workers(at_ns: u64, second: u64) -> Vec<WorkerReport> {
    (0..2)
        .map(|index| WorkerReport {
            runtime: "main".into(),
            index,
            at_ns,
            dispatches: (index + 1) * 15_000 * second,
            steals: 12 * second,
            sleeps: 31,
            remote_wakes: 250 * second,
            timers: 9,
            coroutines: 2,
        })
        .collect()
}

fn plugin(at_ns: u64, second: u64) -> PluginReport {
    PluginReport {
        name: "greeter".into(),
        placement: "inline".into(),
        at_ns,
        calls: 5_000 * second,
        errors: vec![("deadline".into(), 3), ("refused".into(), 1)],
        latency: Histogram {
            upper_ns: vec![1_000, 10_000, 100_000, 1_000_000, 10_000_000],
            counts: vec![0, 3_000 * second, 1_900 * second, 90 * second, 10 * second, 0],
            sum_ns: 0,
        },
        queue_depth: 2,
        in_flight: 7,
        bytes_in: 1_000_000 * second,
        bytes_out: 9_000_000 * second,
        restarts: 0,
        reloads: 2,
        ..PluginReport::default()
    }
}

/// In three processes, of which one is being started again.
fn in_processes(at_ns: u64, second: u64) -> PluginReport {
    let end = |reason: &str, status: &str, age_ms| {
        Some(WorkerEnd { reason: reason.into(), status: status.into(), age_ms })
    };
    let running = PluginWorker {
        state: "running".into(),
        pid: 1_234_567,
        ready_ms: 1_000 * second,
        in_hand: 4,
        resident_bytes: 48_300_000,
        cpu_ns: 370_000_000 * second,
        ..PluginWorker::default()
    };
    PluginReport {
        name: "thumbnails".into(),
        placement: "process".into(),
        at_ns,
        calls: 300 * second,
        in_flight: 4,
        restarts: 13,
        workers: vec![
            running.clone(),
            PluginWorker {
                worker: 1,
                pid: 4_712,
                in_hand: 0,
                cpu_ns: 1_250_000_000 * second,
                restarts: 12,
                last_end: end("memory", "signal: 9 (SIGKILL)", 306_000),
                ..running
            },
            PluginWorker {
                worker: 2,
                state: "restarting".into(),
                restarts: 1,
                last_end: end("signal", "signal: 11 (SIGSEGV) (core dumped)", 12),
                ..PluginWorker::default()
            },
            PluginWorker {
                canary: true,
                state: "running".into(),
                pid: 4_713,
                ready_ms: 600 * second,
                resident_bytes: 51_200_000,
                ..PluginWorker::default()
            },
        ],
        rollout: Some(RolloutReport {
            version: "2.1.0".into(),
            percent: 10,
            calls: 8 * second,
            calls_min: 100,
            errors_max: 2,
            age_ms: 1_000 * second,
            timeout_ms: 600_000,
            ..RolloutReport::default()
        }),
        last_rollout: Some(RolloutReport {
            version: "2.0.9".into(),
            percent: 10,
            calls: 41,
            calls_min: 100,
            errors: 3,
            errors_max: 2,
            last_error: "the plugin answered Err".into(),
            result: "taken_back".into(),
            cause: "errors".into(),
            ..RolloutReport::default()
        }),
        taken_back: 1,
        ..PluginReport::default()
    }
}

/// Of protocol 1.0.
fn older_session(at_ns: u64, second: u64) -> SessionReport {
    SessionReport {
        id: 12,
        peer_pid: 1_234_567,
        peer_uid: 1000,
        transport: "unix-seqpacket".into(),
        protocol: 1,
        at_ns,
        age_ms: 5_000,
        requests: 17,
        frames_in: 500 * second,
        frames_out: 490 * second,
        bytes_in: 20_000 * second,
        bytes_out: 10_000 * second,
        ..SessionReport::default()
    }
}

fn session(at_ns: u64, second: u64) -> SessionReport {
    SessionReport {
        id: 9,
        peer_pid: 1234,
        peer_uid: 1000,
        transport: "shared-memory".into(),
        protocol: 2,
        at_ns,
        age_ms: 65_000,
        streams: 3,
        requests: 1,
        frames_in: 70_000 * second,
        frames_out: 30_000 * second,
        bytes_in: 7_000_000 * second,
        bytes_out: 3_000_000 * second,
        queued_bytes: 512,
        credit_messages: 64,
        credit_bytes: 65_536,
        refused: vec![("no credit".into(), 5)],
    }
}
