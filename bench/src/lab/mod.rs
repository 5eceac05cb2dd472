// SPDX-License-Identifier: BSD-3-Clause
//! The lab: runs per second, beside other tools that try one thing in many orders.
//!
//! | module | what lives there |
//! |---|---|
//! | `rows` | the rows |
//! | `ours` | becket-lab: a run, a check, a shrunk failure |
//! | `work` | the bytes of four flows, the same for all sides |
//! | `turmoil` | simulated hosts with TCP |
//! | `shuttle` | threads and channels, scheduled at random |
//! | `proptest` | a simulated transport, cut by a strategy |

mod ours;
mod proptest;
mod rows;
mod shuttle;
mod turmoil;
mod work;

use crate::error::BenchError;
use crate::harness::Plan;
use crate::machine::{FIRST_CPU, cpus, pin, set};
use crate::report::Group;
use crate::versions::pinned;

const NOTES: &str = "\
One thread on one CPU, two for the full check. A *run*: each flow sends 64 to 95 bytes, which \
come back; every byte is checked where it arrives and where it comes back, and each run has a new \
seed, which decides the scheduling. *Becket*: memory adapters at both ends of two real sessions, \
with the virtual network between them; *checked*: the trace of the run is examined by every rule \
that applies; memory, adapters and sessions are reset in place, plans are made for each run. \
*Hashed*: the trace is also hashed. *All made anew*: adapters, sessions and memory are allocated \
for each run. *turmoil*: two hosts, a TCP connection for each flow. *shuttle*: a thread for each \
flow and an echo thread, channels between them, random scheduling. *proptest*: one loop over \
queues that a strategy cuts, without scheduling of tasks; its seeds are consecutive. No peer has \
sessions, flow control or rules; they have other features that this table does not use. *A \
check*: everything that `becket check local-adapter` does except the proof in a fresh process: \
each run twice and each of its flows alone, and mutants. *Made small*: shrinking a reset beside a \
half-closed flow, found among eight flows.
";

/// Measures the group `lab`.
pub(crate) fn run(plan: Plan<'_>) -> Result<Group, BenchError> {
    let cpus = cpus()?;
    pin(FIRST_CPU)?;
    let mut rows = rows::runs(plan)?;
    rows.extend(rows::costs(plan)?);
    rows.extend(rows::checks(plan, &cpus)?);
    set(&cpus)?;
    let versions = pinned(|name| ["proptest", "shuttle", "turmoil"].contains(&name));
    let notes = format!("{NOTES}\nPeers: {}.\n", versions.join(", "));
    Ok(Group::of_peers(("lab", "The lab"), notes, &rows::COLUMNS, 0, rows))
}
