// SPDX-License-Identifier: BSD-3-Clause
//! Coroutines: becket-coro beside the runtimes of the field.
//!
//! | module | what lives there |
//! |---|---|
//! | `rows`, `curves` | the rows of the two groups: name, goal, participants |
//! | `work` | the workload of a row, and its expected result |
//! | `straight`, `tasks` | the workloads for coroutines with stacks, and for futures |
//! | `peers` | the operations of each runtime; `bench/go` is the one in Go |
//! | `raw` | coroutines without a scheduler |
//! | `parked` | a million waiting coroutines |
//! | `child` | peers in separate processes |
//! | `peer` | the columns; measuring one row |

pub(crate) mod child;
mod curves;
mod parked;
mod peer;
mod peers;
mod raw;
mod rows;
mod straight;
mod tasks;
mod work;

use self::peer::{COLUMNS, Case};
use crate::error::BenchError;
use crate::harness::Plan;
use crate::machine::{cpus, set};
use crate::report::Group;
use crate::versions::pinned;

const NOTES: &str = "\
Nanoseconds for one operation of the row, unless the row says otherwise. Every operation starts \
inside a coroutine; one worker is pinned to one CPU, two workers are placed by the kernel. Each \
runtime is used as its documentation recommends: Becket's, may's and Go's coroutines have stacks \
and their own channels, tokio's and async-executor's are tasks (tokio's current-thread runtime \
for one worker, its multi-thread runtime for two; async-executor is woken by tokio's `Notify`, \
and has no timers). Go and may run in their own processes, alternating with the others. *The \
goal* was set on another machine; *ahead by* compares with the best peer of the row.

*By hand*: without a scheduler; corosensei and generator run the next coroutine on the stack of \
the previous one. *Yield*: per yield of one coroutine. *Wait, woken by another*: one coroutine \
waits, another wakes it and yields until it has run. The timeout is an hour; its row is the \
difference of the two rows above it, taken in one block; Go's timer is made once and reset. *100 \
000 sleep* for 1 to 1.1 s each, at random: *per timer fired* is the CPU time of the process from \
when all of them sleep until all have been joined, so that waiting costs nothing and the end of a \
coroutine is included. may has no rendezvous and no bound: there, a second channel acknowledges \
each value, and the channel of 4 to 4 is unbounded.

*A million waiting*, in a separate process for each peer and repetition, on one worker: created \
until the last one waits; woken one by one until the last one is joined; memory is the growth of \
the process, with everything that is needed to wake and join them. may's stacks take two mappings \
each, of which a process may have 65 530.
";
const SCALING_NOTES: &str = "\
Nanoseconds for one spawn and join, one yield, one wake, one wait with a timeout, or one value, \
while that many coroutines exist, on one worker. When all of them run in turn and their memory is \
larger than a cache, a round includes the cache misses: for a coroutine with a stack, a page of \
its own and an entry of the page table. A pair's values go through its channel 16 at a time. may \
is measured up to 10 000, since its stacks take two mappings each, of which a process may have 65 \
530.
";

/// Repetitions of a row, at most.
const REPETITIONS_MAX: usize = 15;

/// Measures the group `coroutines`.
pub(crate) fn run(plan: Plan<'_>) -> Result<Group, BenchError> {
    let mut group = measured(plan, ("coroutines", "Coroutines"), NOTES, rows::rows())?;
    group.rows.extend(parked::rows(plan)?);
    Ok(group)
}

/// Measures the group `coroutines_scaling`.
pub(crate) fn run_scaling(plan: Plan<'_>) -> Result<Group, BenchError> {
    let group = ("coroutines_scaling", "Coroutines: scaling");
    measured(plan, group, SCALING_NOTES, curves::rows())
}

fn measured(
    plan: Plan<'_>,
    group: (&'static str, &'static str),
    notes: &str,
    cases: Vec<Case>,
) -> Result<Group, BenchError> {
    let plan = plan.at_most(REPETITIONS_MAX);
    let cpus = cpus()?;
    let mut rows = Vec::new();
    for case in cases.into_iter().filter(|case| plan.wants(&case.name)) {
        rows.push(case.run(plan, &cpus)?);
    }
    set(&cpus)?;
    let notes = format!("{notes}\n{}", versions()?);
    Ok(Group::of_peers(group, notes, &COLUMNS, 0, rows))
}

fn versions() -> Result<String, BenchError> {
    let crates = pinned(|name| COLUMNS.contains(&name));
    Ok(format!("Peers: Go {}, {}.\n", peers::go::version()?, crates.join(", ")))
}
