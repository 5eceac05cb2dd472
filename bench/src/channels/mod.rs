// SPDX-License-Identifier: BSD-3-Clause
//! Channels: becket-chan beside the channel crates of the field.
//!
//! | module | what lives there |
//! |---|---|
//! | `rows`, `curves` | the rows of the two groups: name, goal, participants |
//! | `channel` | the traits of a channel that workloads use |
//! | `becket`, `peers` | their implementations for each crate |
//! | `peer` | the columns; measuring one row |
//! | `stage`, `crew` | shared by all rows: runtimes; threads that are kept |
//! | `alone` | workload: one thread, one task |
//! | `threads`, `tasks` | workloads: n threads or tasks to m |
//! | `conflated` | workload: one slot, overwritten |
//! | `ready`, `parked` | workloads: a select that finds a value, one that waits |
//! | `wake` | workload: all waiters are woken |
//! | `batch` | workload: many values by one call |
//! | `scaling` | workloads: many channels, many receivers of one |

pub(crate) mod alone;
mod batch;
pub(crate) mod becket;
pub(crate) mod channel;
mod conflated;
mod crew;
mod curves;
pub(crate) mod parked;
pub(crate) mod peer;
pub(crate) mod peers;
mod ready;
mod rows;
mod scaling;
pub(crate) mod stage;
mod tasks;
pub(crate) mod threads;
mod wake;

use self::peer::{Case, Peer};
use self::stage::Stage;
use crate::error::BenchError;
use crate::harness::Plan;
use crate::machine::{FIRST_CPU, pin, set};
use crate::report::Group;

const NOTES: &str = "\
Nanoseconds for one value, unless the row names another unit. Values are 8 B unless the row says \
256 B; each is a number, and their sum, with one sender and one receiver also their order, is \
checked. Threads are started before the measurement and kept; a single sender and a single \
receiver have a CPU each, more threads are placed by the kernel. Tasks are tokio's, on its \
current-thread runtime (one worker) or on its multi-thread runtime with two workers. *The goal* \
was set on another machine; *ahead by* compares with the best peer of the row.

Rows with cloneable handles compare handles of which any number may send or receive; rows with \
one handle per side compare handles that cannot be cloned, where a peer has them (crossfire, \
fibre; between tasks crossfire, and the receivers of rapidfire and tachyonix), and otherwise the \
cloneable ones. *In, out*: that many values are sent, and then \
received. rtrb cannot wait: its sides poll. tachyonix has no rendezvous and is shown with room \
for one value. A select of n is over n bounded channels, one of which, a different one each time, \
has a value; sending the value is part of the figure, and everything that can be kept from select \
to select is kept. *Waiting then woken*: the select is a task, the sender another on the same \
worker, one after the other; tokio is shown with its `select!`, other peers without a select for \
tasks with futures' `select_all`. *Cancel* and *close* are measured from the call until the last \
of the 10 000 tasks has ended; tokio's `mpsc` closes on as many senders, since it has one \
receiver. A batch is sent by one call and received by one call where a peer has such a call \
(fibre, rtrb, tokio: both; crossbeam, flume, kanal, rapidfire: receive).
";

const SCALING_NOTES: &str = "\
Nanoseconds for one value. *Alive, all used*: a value is sent into one of that many bounded \
channels, a different one each time in random order, and received; when all of them together are \
larger than a cache, a round includes the cache misses. *One used*: the same with only one of \
them in use. *One is woken*: that many tasks receive from one channel on one worker; each value \
wakes one, which takes it and waits again. A select examines its channels until it finds the \
value, so its cost grows with their number.
";

/// Measures the group `channels`.
pub(crate) fn run(plan: Plan<'_>) -> Result<Group, BenchError> {
    measured(plan, ("channels", "Channels"), NOTES, rows::ROWS)
}

/// Repetitions of a row, at most.
const REPETITIONS_MAX: usize = 15;

/// Measures the group `channels_scaling`.
pub(crate) fn run_scaling(plan: Plan<'_>) -> Result<Group, BenchError> {
    measured(plan, ("channels_scaling", "Channels: scaling"), SCALING_NOTES, curves::ROWS)
}

fn measured(
    plan: Plan<'_>,
    group: (&'static str, &'static str),
    notes: &str,
    cases: &[&[Case]],
) -> Result<Group, BenchError> {
    peers::crossfire::prepare();
    // Some three dozen rows of up to a dozen sides each.
    let stage = Stage::set(plan.at_most(REPETITIONS_MAX))?;
    pin(FIRST_CPU)?;
    let mut rows = Vec::new();
    for case in cases.iter().copied().flatten().filter(|case| plan.wants(case.name)) {
        rows.push(case.run(&stage)?);
    }
    set(&stage.cpus)?;
    let notes = format!("{notes}\n{}", peers::versions());
    Ok(Group::of_peers(group, notes, Peer::NAMES, 0, rows))
}
