// SPDX-License-Identifier: BSD-3-Clause
//! Descriptors in place of bytes: becket-zcopy beside messages that are copied, and beside
//! channels of boxes.
//!
//! | module | what lives there |
//! |---|---|
//! | `table` | the columns; measuring a row |
//! | `through` | a descriptor through each kind of channel |
//! | `handoff` | a block that is leased, sent, read, returned |
//! | `many` | four threads to four |

mod handoff;
mod many;
mod table;
mod through;

use self::table::{COLUMNS, FLOORS};
use crate::error::BenchError;
use crate::harness::Plan;
use crate::machine::{FIRST_CPU, cpus, pin, set};
use crate::report::{Group, Shape};
use crate::versions::pinned;

const NOTES: &str = "\
Nanoseconds for one operation, unless the row says otherwise. Floors are becket-chan's own \
channels of the same kind with a message of the size that the row's goal names, or the same \
hand-off of a block of 64 B; *ahead by* leaves them out. *A descriptor through* a channel: 40 \
bytes that name 1 MiB, which is not touched; the peers send 40 bytes. *Rendezvous*: one task \
polls a send and a receive. *Handed off*: a block is leased from its pool, its first and last \
word are written, its descriptor is sent and received, the block is claimed, the two words are \
read, and it is returned; the peers send a `Vec` of 1 MiB that is allocated zeroed and freed each \
time. *4 to 4*: threads, placed by the kernel, through bounded(1024); the bytes of the received \
blocks are counted; the peers send boxes of 4 KiB, allocated and freed each time. *By pointer*: \
as before, only the ends of a block are touched; *filled and read*: all of it.
";

/// Repetitions of a row, at most.
const REPETITIONS_MAX: usize = 15;

/// Measures the group `zcopy`.
pub(crate) fn run(plan: Plan<'_>) -> Result<Group, BenchError> {
    let plan = Plan { repetitions: plan.repetitions.min(REPETITIONS_MAX), ..plan };
    let cpus = cpus()?;
    pin(FIRST_CPU)?;
    let mut rows = through::rows(plan)?;
    rows.extend(handoff::rows(plan)?);
    set(&cpus)?;
    rows.extend(many::rows(plan, cpus)?);
    let versions =
        pinned(|name| ["crossbeam-channel", "crossfire", "flume", "kanal"].contains(&name));
    Ok(Group {
        name: "zcopy",
        title: "Zero copy",
        notes: format!("{NOTES}\nPeers: {}.\n", versions.join(", ")),
        columns: COLUMNS.iter().map(|name| (*name).to_owned()).collect(),
        floors: FLOORS,
        shape: Shape::Peers,
        rows,
    })
}
