// SPDX-License-Identifier: BSD-3-Clause
//! The cases, their windows and consumers, the table.

use tokio::runtime::{Builder, Runtime};

use crate::bare::{COLUMN, DOUBLE_ACK_COLUMN, ONE_THREAD_COLUMN};
use crate::error::BenchError;
use crate::harness::Figures;
use crate::report::{Better, Goal, Group, Row};
use crate::server::Server;
use crate::side::{BOUNDED, Case, Side, UNLIMITED};
use crate::{bare, drive, instructions, ours};

/// Ours, the peers, and a floor.
const COLUMNS: [&str; 4] = [ours::COLUMN, COLUMN, DOUBLE_ACK_COLUMN, ONE_THREAD_COLUMN];
const FLOORS: usize = 1;

const WINDOWS: [usize; 4] = [1, 8, 64, 256];
const NUMBERS: [usize; 4] = [1, 2, 4, 8];
/// Calls in flight when the number of nodes is what changes.
const CALLS: usize = 64;

/// The rate is to be at least so many times the peer's, the latency at most so many times.
const RATE: Goal = Goal::Times(0.9, COLUMN);
const LATENCY: Goal = Goal::Times(1.1, COLUMN);

const ROUNDS: usize = 15;
const ROUNDS_QUICK: usize = 5;

const NOTES: &str = "\
Becket and the bare client do the same work on one nats-server on loopback, in turns, in rounds of 60 ms or more: the \
same subjects, streams and consumers (in memory), payloads of 64 bytes, and the same guarantees. *Publish*: the server's \
acknowledgement is awaited, and each message has an id that the server deduplicates by. *Queue*: send, lease, and an \
acknowledgement that the server confirms. *Drain*: the same of values that are stored already, by consumers with a \
connection each. *Watch*: a conflated channel, the rate of its sends while a consumer takes and acknowledges what is \
there. *Request*: a call of a plugin's entry on a node, beside a NATS service; with more nodes, 64 calls in flight. \
*Rendezvous*: beside a request to a queue group that is answered when its value is taken. Every value is counted and \
compared, and what is left in the stream too. *k/s*: thousands of operations a second. *p50*, *p99*: microseconds of one \
operation. *Instructions*: of the client's process for one operation, with both its ends, counted by callgrind: what the \
machine does besides is no part of them.

What Becket does beyond the peer: a message of a channel has the condition that the channel is not closed (two headers, \
of which the client makes two more entries of a map, and the server reads the last message of the gate); an acknowledged message of a \
bounded or unlimited channel has a note that there is room; each operation has a limit, a retry with the same id, and \
exact counters; a call is kept by notes, passes through a host on both sides, and is a task on its node, where the \
peer answers in the loop that takes the requests. Each of Becket's connections has a thread, also those of several nodes and consumers; \
those of the peer share one, which is easier on a machine of two CPUs.

*`double_ack`*: the acknowledgement as the client's own function makes it, with a subscription for each; the other \
column acknowledges with a request, as Becket does. *One thread* is the floor: the client on a runtime of one thread, \
which is that of its caller too, so that no thread wakes another. The server runs on the same two CPUs, and so does \
what else the machine does: on a busy one the ratios of the rates and of p50 vary, p99 is mostly the scheduler's, and the \
instructions are exact.
";

/// What a row is about.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) case: Case,
    pub(crate) window: usize,
    /// A row of a curve: its rate alone.
    is_curve: bool,
}

fn all() -> Vec<Measured> {
    let windowed = [
        ("publish, bounded", Case::Publish(BOUNDED)),
        ("publish, unlimited", Case::Publish(UNLIMITED)),
        ("queue", Case::Queue),
        ("watch", Case::Watch),
        ("rendezvous", Case::Rendezvous),
        ("request", Case::Request { nodes: 1 }),
    ];
    let windowed = windowed.into_iter().flat_map(|(name, case)| {
        WINDOWS.map(|window| Measured {
            name: format!("{name}, {window} in flight"),
            case,
            window,
            is_curve: false,
        })
    });
    let drained = NUMBERS.map(|consumers| Measured {
        name: format!("drain, {consumers} consumers"),
        case: Case::Drain { consumers },
        window: CALLS,
        is_curve: true,
    });
    let served = NUMBERS.map(|nodes| Measured {
        name: format!("request, {nodes} nodes"),
        case: Case::Request { nodes },
        window: CALLS,
        is_curve: true,
    });
    windowed.chain(drained).chain(served).collect()
}

/// The row of this name.
pub(crate) fn find(name: &str) -> Option<Measured> {
    all().into_iter().find(|measured| measured.name == name)
}

/// The runtime of a column: that of both clients' callers and of the peer's connections.
pub(crate) fn runtime(column: &str) -> Result<Runtime, BenchError> {
    let mut builder = match column {
        ONE_THREAD_COLUMN => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let built = builder.worker_threads(1).enable_all().build();
    built.map_err(|source| BenchError::System { what: "start a runtime", source })
}

/// The side of a column.
pub(crate) fn start(
    runtime: &Runtime,
    column: &str,
    url: &str,
    case: Case,
    window: usize,
) -> Result<Box<dyn Side>, BenchError> {
    match COLUMNS.into_iter().find(|known| *known == column) {
        None | Some(ours::COLUMN) => ours::start(runtime, url, case, window),
        Some(column) => bare::start(runtime, column, url, case, window),
    }
}

/// The columns that take part.
fn columns(case: Case) -> Vec<&'static str> {
    let acknowledges = matches!(case, Case::Queue | Case::Drain { .. });
    COLUMNS.into_iter().filter(|column| acknowledges || *column != DOUBLE_ACK_COLUMN).collect()
}

/// Measures the group.
pub(crate) fn run(is_quick: bool, only: Option<&str>) -> Result<Group, BenchError> {
    let rounds = if is_quick { ROUNDS_QUICK } else { ROUNDS };
    let mut rows = Vec::new();
    for measured in all() {
        let wants = |row: &Row| only.is_none_or(|part| row.name.contains(part));
        if !only.is_none_or(|part| measured.name.contains(part)) {
            continue;
        }
        eprintln!("{}", measured.name);
        rows.extend(rows_of(&measured, rounds, is_quick)?.into_iter().filter(wants));
    }
    let named = ("cluster", "Between machines");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').nth(2).unwrap_or("unknown").to_owned();
    let notes = format!(
        "{NOTES}\nPeer: async-nats 0.51.0; nats-server 2.15.1. The machine's load average over the 15 minutes before the \
         end of the run: {load}.\n"
    );
    Ok(Group::of_peers(named, notes, &COLUMNS, FLOORS, rows))
}

fn rows_of(measured: &Measured, rounds: usize, is_quick: bool) -> Result<Vec<Row>, BenchError> {
    let Measured { name, case, window, is_curve } = measured;
    // Each row begins with a server of its own: what the row before left is no load.
    let server = Server::start()?;
    let columns = columns(*case);
    let mut sides = Vec::new();
    for column in &columns {
        let runtime = runtime(column)?;
        let side = start(&runtime, column, &server.url, *case, *window)?;
        sides.push((runtime, side));
    }
    let taken = drive::contest(rounds, *window, &sides)?;
    drop(sides);
    let [mut each, mut p50, mut p99] = [const { Vec::new() }; 3];
    for (column, taken) in columns.iter().zip(taken) {
        let figures = taken.figures();
        for (all, figures) in [&mut each, &mut p50, &mut p99].into_iter().zip(figures) {
            all.push((*column, figures));
        }
    }
    let of = |name: String, goal, taken| Row::of(&COLUMNS, name, Some(goal), taken);
    let mut rows = vec![of(format!("{name}: k/s"), RATE, each).into_rate(1, |ns| 1e6 / ns)];
    if *is_curve {
        return Ok(rows);
    }
    for (percentile, taken) in [("p50", p50), ("p99", p99)] {
        let micros =
            taken.into_iter().map(|(column, figures)| (column, figures.map(|ns| ns / 1e3)));
        rows.push(of(format!("{name}: {percentile} µs"), LATENCY, micros.collect()));
    }
    if !is_quick && [1, CALLS].contains(window) {
        let mut counted = Vec::new();
        for column in &columns {
            if let Some(count) = instructions::count(&server.url, name, column)? {
                counted.push((*column, Figures::new(vec![count])));
            }
        }
        if !counted.is_empty() {
            let mut row = of(format!("{name}: instructions"), LATENCY, counted);
            (row.better, row.digits) = (Better::Less, 0);
            rows.push(row);
        }
    }
    Ok(rows)
}
