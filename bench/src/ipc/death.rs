// SPDX-License-Identifier: BSD-3-Clause
//! One of two processes is killed while both sleep: how soon the other one knows.
//!
//! ```text
//!   survivor   take() … sleeps ──────────────────────▶ error
//!   killer        has seen that both sleep ─ kill -9 ┘
//! ```
//!
//! The survivor keeps to the first CPU, the killer to the second, where its victim was. A killed
//! process is no more once its memory is gone; its sockets close after that.

use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::asleep::Threads;
use super::case::{Unit, row};
use super::contest::Pair;
use super::peers::{ipc_channel, seqpacket, unix_stream};
use super::place::Place;
use super::watchdog::Watchdog;
use super::way::{Kind, Way};
use super::work::{Work, now_ns};
use crate::error::BenchError;
use crate::harness::{Figures, Plan};
use crate::machine::{FIRST_CPU, SECOND_CPU, cpus, pin, set};
use crate::report::{Goal, Row};

const NAME: &str = "the other one is killed: µs until the error";
const GOAL_US: f64 = 200.0;
const REPETITIONS: usize = 15;

type Victim = (&'static str, fn() -> Result<Duration, BenchError>);

/// iceoryx2 and shmem-ipc do not notice.
const VICTIMS: [Victim; 3] = [
    (unix_stream::Plain::COLUMN, killed::<unix_stream::Plain>),
    (seqpacket::Seqpacket::COLUMN, killed::<seqpacket::Seqpacket>),
    (ipc_channel::Bytes::COLUMN, killed::<ipc_channel::Bytes>),
];

/// Measures the row: a new process each time.
pub(crate) fn row_of_deaths(plan: Plan<'_>) -> Result<Vec<Row>, BenchError> {
    if !plan.wants(NAME) {
        return Ok(Vec::new());
    }
    let cpus = cpus()?;
    pin(FIRST_CPU)?;
    let repetitions = if plan.is_quick { 3 } else { REPETITIONS };
    let mut taken = VICTIMS.map(|(column, _)| (column, Vec::new()));
    for _ in 0..repetitions {
        for ((_, kill), (_, taken)) in VICTIMS.iter().zip(&mut taken) {
            taken.push(kill()?.as_secs_f64() * 1e6);
        }
    }
    set(&cpus)?;
    let taken = taken.map(|(column, taken)| (column, Figures::new(taken)));
    Ok(vec![row(NAME, Some(Goal::Figure(GOAL_US)), Unit::Nanoseconds, taken)])
}

fn killed<K: Kind>() -> Result<Duration, BenchError> {
    let mut pair = Pair::<K>::start(Place::Apart, Work::Death)?;
    let _watchdog = Watchdog::set(K::COLUMN, NAME);
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
            operation: NAME,
            expected: "an error of the way".to_owned(),
            got: format!("{other:?}"),
        }),
    }
}
