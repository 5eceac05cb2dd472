// SPDX-License-Identifier: BSD-3-Clause
//! Messages between two processes: becket-ipc beside its peers, and beside the limits of the
//! machine.
//!
//! | module | what lives there |
//! |---|---|
//! | `rows`, `curves` | the rows of the two groups: name, goal, participants |
//! | `columns` | the participants |
//! | `case` | a row, measured |
//! | `contest` | one side of a row |
//! | `work` | the workload of the two processes, and its expected result |
//! | `way` | the trait of a transport between two processes |
//! | `payload` | the payload of a message |
//! | `child` | the other process |
//! | `place`, `asleep` | the CPUs of the two processes; whether the other one sleeps |
//! | `death` | one of the two processes is killed |
//! | `streams` | many streams on one session |
//! | `shared` | memory that both processes have mapped |
//! | `watchdog` | ends a run that hangs |
//! | `ours`, `peers`, `floors` | the transports |

pub(crate) mod asleep;
mod case;
pub(crate) mod child;
pub(crate) mod columns;
pub(crate) mod contest;
mod curves;
mod death;
pub(crate) mod floors;
mod ours;
pub(crate) mod payload;
pub(crate) mod peers;
pub(crate) mod place;
mod rows;
mod shared;
mod streams;
mod watchdog;
pub(crate) mod way;
pub(crate) mod work;

use self::case::Case;
use self::columns::{COLUMNS, FLOORS};
pub(crate) use self::ours::COLUMN;
pub(crate) use self::ours::c::COLUMN as C_COLUMN;
use crate::error::BenchError;
use crate::harness::Plan;
use crate::machine::cpus;
use crate::report::{Goal, Group, Row};
use crate::versions::pinned;

const NOTES: &str = "\
Nanoseconds for one message, or for one round trip, unless the row says otherwise; this program \
and a second process of it, with one thread each. Every byte of a message is written by the \
sender and read by the receiver, which compares the sum. *Awake*: each process has a CPU and does \
not have to sleep; peers that can only wait by sleeping do. *Packed*: both share one CPU. \
*Asleep*: a CPU each, and before each half of the round trip the sender has seen in `/proc` that \
all threads of the receiver sleep; the two halves are timed, the time between them is not. \
*Window*: that many messages are in flight, each answer makes room for the next. *One way*: there \
are no answers; the receiver reports when the last message arrived. *Handed over*: a block is \
passed and another, or the same, comes back; only its first and last word are touched. *kill -9* \
of the other process, while both slept, until the survivor's call has returned its error; \
iceoryx2 and shmem-ipc do not notice. *Most ÷ least share*: elements received from the stream \
with the most divided by those from the stream with the least, in a block of 400 for each stream \
on average, while all have elements to send.

*Ring alone*: the ring of becket-ipc without session and channels. *Channels*: channels of \
another process, over shared memory unless the row says otherwise; each process serves the \
channel into which it sends, and receives from the channel of the other process, or one of them \
serves both (*of one server*). A *request* is a message and its answer.

Floors are not peers: *ahead by* leaves them out. *spinning word* and *futex* have no payload, \
*slots, spinning* are slots in shared memory that are filled and read in place. iceoryx2 is shown \
with one publisher and one subscriber in each direction, polled (*polling*), or with an event \
after each sample (*events*); ipc-channel with its channels of bytes, and, where a block is \
handed over, with its shared memory, whose descriptor is sent each time; shmem-ipc with rings of \
bytes. The Unix stream carries a length before each message; *polled*: both sides poll and never \
sleep; *coalesced*: messages are buffered until the sender waits.
";

const SCALING_NOTES: &str = "\
*Filled and read*: bytes of payload per second through the ring alone. As in the group `ipc` \
every byte is written and read, so beyond the caches the figure measures the memory. *memcpy*: \
from private memory to private memory. *Streams*: that many channels of another process, which \
keeps them full, and one thread that receives from all of them; no peer has streams.
";

/// Repetitions of a row, at most.
const REPETITIONS_MAX: usize = 15;

/// Measures the group `ipc`.
pub(crate) fn run(plan: Plan<'_>) -> Result<Group, BenchError> {
    let plan = plan.at_most(REPETITIONS_MAX);
    let mut rows = measured(plan, &COLUMNS, rows::rows())?;
    rows.extend(streams::shares(plan)?);
    rows.extend(death::rows(plan)?);
    Ok(group(("ipc", "Between processes"), NOTES, rows))
}

/// Measures the group `ipc_scaling`.
pub(crate) fn run_scaling(plan: Plan<'_>) -> Result<Group, BenchError> {
    let plan = plan.at_most(REPETITIONS_MAX);
    let mut rows = measured(plan, &COLUMNS, curves::rows())?;
    rows.extend(streams::curve(plan)?);
    Ok(group(("ipc_scaling", "Between processes: scaling"), SCALING_NOTES, rows))
}

/// Measures the rows of channels between processes from C and from Rust.
pub(crate) fn of_c(plan: Plan<'_>, columns: &[&str], goal: Goal) -> Result<Vec<Row>, BenchError> {
    measured(plan.at_most(REPETITIONS_MAX), columns, rows::of_c(goal))
}

fn measured(plan: Plan<'_>, columns: &[&str], cases: Vec<Case>) -> Result<Vec<Row>, BenchError> {
    let cpus = cpus()?;
    let wanted = cases.into_iter().filter(|case| plan.wants(&case.name));
    wanted.map(|case| case.run(plan, columns, &cpus)).collect()
}

fn group(named: (&'static str, &'static str), notes: &str, rows: Vec<Row>) -> Group {
    let versions = pinned(|name| COLUMNS.contains(&name)).join(", ");
    let notes = format!("{notes}\nPeers: {versions}, and the kernel's sockets.\n");
    Group::of_peers(named, notes, &COLUMNS, FLOORS, rows)
}
