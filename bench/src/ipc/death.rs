// SPDX-License-Identifier: BSD-3-Clause
//! One of two processes is killed while both sleep: the time until the survivor gets an error.
//!
//! ```text
//!   survivor   take() … sleeps ──────────────────────▶ error
//!   killer        has seen that both sleep ─ kill -9 ┘
//! ```
//!
//! The survivor is pinned to the first CPU, the killer to the second, where its victim was. The
//! kernel frees a killed process's memory first, and closes its sockets after that.

use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::asleep::Threads;
use super::columns::COLUMNS;
use super::contest::Pair;
use super::ours::remote;
use super::peers::{ipc_channel, seqpacket, unix_stream};
use super::place::Place;
use super::watchdog::Watchdog;
use super::way::{Kind, Way};
use super::work::{Work, now_ns};
use crate::error::BenchError;
use crate::harness::{Figures, Plan};
use crate::machine::{FIRST_CPU, SECOND_CPU, cpus, pin, set};
use crate::report::{Goal, Row};

const OPERATION: &str = "the end of the other process";
const GOAL_US: f64 = 200.0;
const REPETITIONS: usize = 15;

type Victim = (&'static str, fn() -> Result<Duration, BenchError>);

/// iceoryx2 and shmem-ipc do not notice.
const PEERS: [Victim; 3] = [
    (unix_stream::Plain::COLUMN, killed::<unix_stream::Plain>),
    (seqpacket::Seqpacket::COLUMN, killed::<seqpacket::Seqpacket>),
    (ipc_channel::Bytes::COLUMN, killed::<ipc_channel::Bytes>),
];

const ROWS: [(&str, Victim); 2] = [
    ("kill -9: µs until the error", (remote::Shared::COLUMN, killed::<remote::Shared>)),
    (
        "kill -9, over a Unix socket: µs until the error",
        (remote::Unix::COLUMN, killed::<remote::Unix>),
    ),
];

/// Measures the rows: a new process each time.
pub(crate) fn rows(plan: Plan<'_>) -> Result<Vec<Row>, BenchError> {
    let cpus = cpus()?;
    pin(FIRST_CPU)?;
    let repetitions = if plan.is_quick { 3 } else { REPETITIONS };
    let mut rows = Vec::new();
    for (name, ours) in ROWS.into_iter().filter(|(name, _)| plan.wants(name)) {
        let mut taken: Vec<_> = std::iter::once(ours)
            .chain(PEERS)
            .map(|(column, kill)| (column, kill, Vec::new()))
            .collect();
        for _ in 0..repetitions {
            for (_, kill, taken) in &mut taken {
                taken.push(kill()?.as_secs_f64() * 1e6);
            }
        }
        let figures = taken.into_iter().map(|(column, _, taken)| (column, Figures::new(taken)));
        rows.push(Row::of(&COLUMNS, name, Some(Goal::Figure(GOAL_US)), figures));
    }
    set(&cpus)?;
    Ok(rows)
}

fn killed<K: Kind>() -> Result<Duration, BenchError> {
    let mut pair = Pair::<K>::start(Place::Apart, Work::Death)?;
    let _watchdog = Watchdog::set(K::COLUMN, OPERATION);
    // It answers once, then waits for what does not come.
    pair.meet(1)?;
    let victim = pair.child.id();
    let survivor = rustix::thread::gettid();
    let killer = thread::spawn(move || -> Result<u64, BenchError> {
        pin(SECOND_CPU)?;
        Threads::one(survivor)?.wait_until_asleep()?;
        Threads::of(victim)?.wait_until_asleep()?;
        let now = now_ns();
        let pid = Pid::from_raw(victim.cast_signed()).ok_or(BenchError::Worker)?;
        kill_process(pid, Signal::KILL).map_err(|error| BenchError::System {
            what: "kill the other process",
            source: error.into(),
        })?;
        Ok(now)
    });
    let answer = pair.way.take();
    let end_ns = now_ns();
    let begin_ns = killer.join().map_err(|_| BenchError::Worker)??;
    match answer {
        // Its own words, not a wrong message.
        Err(BenchError::Host { .. }) => Ok(Duration::from_nanos(end_ns.saturating_sub(begin_ns))),
        other => Err(BenchError::Wrong {
            host: K::COLUMN,
            operation: OPERATION,
            expected: "an error of the way".to_owned(),
            got: format!("{other:?}"),
        }),
    }
}
