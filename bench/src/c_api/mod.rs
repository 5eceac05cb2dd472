// SPDX-License-Identifier: BSD-3-Clause
//! The C library beside the Rust crates under it: the same channels, the same work.
//!
//! | module | what lives there |
//! |---|---|
//! | `local` | channels of one process |
//! | `crate::ipc::ours::c` | channels of another process |

mod local;

use crate::error::BenchError;
use crate::harness::{Contestant, Pace, Plan, contest};
use crate::ipc;
use crate::machine::{FIRST_CPU, cpus, pin, set};
use crate::report::{Goal, Group, Row};

const FROM_C: &str = ipc::C_COLUMN;
const FROM_RUST: &str = ipc::COLUMN;
/// The C library's first.
const COLUMNS: [&str; 2] = [FROM_C, FROM_RUST];
/// So many times the nanoseconds of the same in Rust.
pub(crate) const GOAL: Goal = Goal::Times(1.2, FROM_RUST);
/// Nanoseconds of a send and a receive in one process.
const GOAL_ALONE: f64 = 15.0;

const NOTES: &str = "\
Nanoseconds for one value, or for one round trip, unless the row says otherwise. *Becket* is the \
same in Rust: becket-chan, becket-coro, becket-ipc. The functions of C are called through pointers. \
Between processes each offers the channel that it sends into, and receives from the other's with a \
window of 256 messages; *awake*, *packed* and *window* are as in the group `ipc`.
";

type Sides = fn() -> Result<Vec<Contestant>, BenchError>;

/// Measures the group `c_api`.
pub(crate) fn run(plan: Plan<'_>) -> Result<Group, BenchError> {
    let cpus = cpus()?;
    let local: [(&str, Goal, Pace, Sides); 2] = [
        (
            "one thread, kc_chan_send + kc_chan_recv, 8 B, bounded(1024)",
            Goal::Figure(GOAL_ALONE),
            Pace::Alone,
            local::alone,
        ),
        ("rendezvous, two coroutines, one worker", GOAL, Pace::Threads, local::rendezvous),
    ];
    let mut rows = Vec::new();
    for (name, goal, pace, sides) in local.into_iter().filter(|(name, ..)| plan.wants(name)) {
        // A worker that is started from here is where this thread is.
        pin(FIRST_CPU)?;
        let taken = contest(plan.at(pace), 1, sides()?)?;
        set(&cpus)?;
        rows.push(Row::of(&COLUMNS, name, Some(goal), taken));
    }
    rows.extend(ipc::of_c(plan, &COLUMNS, GOAL)?);
    Ok(Group::of_peers(("c_api", "The C library"), NOTES.to_owned(), &COLUMNS, 0, rows))
}
