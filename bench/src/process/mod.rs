// SPDX-License-Identifier: BSD-3-Clause
//! Plugin calls to another process: the placement `process`, beside other ways to have a plugin there.
//!
//! | module | what lives there |
//! |---|---|
//! | `ours` | the plugin at both placements, and how its callers wait |
//! | `workers` | the processes that this one has started |
//! | `server` | servers in processes of their own, over a Unix socket: asyncio's, Node's |
//! | `grpc` | the same with gRPC, as tonic has it |

pub(crate) mod grpc;
mod ours;
mod server;
mod workers;

use self::ours::{BYTES, Language, Ours, Placement};
use crate::error::BenchError;
use crate::harness::{Contestant, Plan, contest};
use crate::ipc::contest::side;
use crate::ipc::floors::{futex, word};
use crate::ipc::peers::unix_stream;
use crate::ipc::place::Place::Apart;
use crate::ipc::way::Kind;
use crate::ipc::work::Work;
use crate::machine::{FIRST_CPU, cpus, pin, set};
use crate::report::{Goal, Group, Row};

/// The argument that makes this program a plugin's worker.
pub(crate) const SERVE: &str = "--serve-plugin";

/// Repetitions of a row, at most.
const REPETITIONS_MAX: usize = 15;

const COLUMNS: [&str; 9] = [
    Placement::Process.column(),
    unix_stream::Plain::COLUMN,
    unix_stream::Coalesced::COLUMN,
    grpc::COLUMN,
    server::ASYNCIO_COLUMN,
    server::NODE_COLUMN,
    Placement::Inline.column(),
    word::Word::COLUMN,
    futex::Futex::COLUMN,
];
/// How many of the columns are floors.
const FLOORS: usize = 3;

const NOTES: &str = "\
Nanoseconds for one call and its answer, which is the payload, unless the row says otherwise; every \
answer is compared. The plugin is `bench/plugin/bench_plugin.c` in a worker without a sandbox, which keeps to the second \
CPU; its callers are on the first. *Thread*: a thread waits for each answer (`block_on`); *task*: a task \
of a tokio runtime of one thread. *Asleep*: before each call all threads of the worker sleep, and the \
plugin answers when the caller's thread sleeps, as `/proc` shows; both halves are timed, the time \
between them is not. *64 deep*: so many calls are under way at once, of one thread.

The floors: the same plugin at the placement `inline`; *spinning word* and *futex* carry no payload. The \
Unix stream (the kernel's) carries a length before each message, to a process that sends it back; *coalesced*: messages \
are buffered until the sender waits. *gRPC*: unary calls over a Unix socket to a process on the second CPU, whose \
messages are the bytes; hashicorp's go-plugin, which uses it, was published with 6 to 145 µs a call.

*Python*, *Node*: the sample plugin of `examples/plugins` in the language, whose entry `echo` answers its payload; \
beside it the language's own server over a Unix socket, without a framework: `asyncio` with a length before each \
message, Node's `http` with keep-alive.
";

type Sides = fn() -> Result<Vec<Contestant>, BenchError>;

struct Case {
    name: &'static str,
    goal: Option<Goal>,
    /// Millions a second, in place of nanoseconds.
    is_rate: bool,
    sides: Sides,
}

const SMALL: Work = Work::RoundTrip(BYTES[0]);

const CASES: [Case; 7] = [
    Case {
        name: "64 B, a thread, awake",
        goal: Some(Goal::Figure(1200.0)),
        is_rate: false,
        sides: || {
            Ok(vec![
                Ours::by_thread(Placement::Process, BYTES[0])?,
                side::<unix_stream::Plain>(Apart, SMALL)?,
                Ours::by_thread(Placement::Inline, BYTES[0])?,
                side::<word::Word>(Apart, SMALL)?,
            ])
        },
    },
    Case {
        name: "64 B, a task, awake",
        goal: None,
        is_rate: false,
        sides: || {
            Ok(vec![
                Ours::by_task(Placement::Process)?,
                side::<unix_stream::Plain>(Apart, SMALL)?,
                grpc::calls(BYTES[0])?,
                Ours::by_task(Placement::Inline)?,
            ])
        },
    },
    Case {
        name: "64 B, a thread, asleep",
        goal: Some(Goal::Times(1.15, futex::Futex::COLUMN)),
        is_rate: false,
        sides: || {
            let work = Work::Asleep(BYTES[0]);
            Ok(vec![
                Ours::asleep(Placement::Process)?,
                side::<unix_stream::Plain>(Apart, work)?,
                side::<futex::Futex>(Apart, work)?,
            ])
        },
    },
    Case {
        name: "64 B, 64 deep: M calls/s",
        goal: Some(Goal::Figure(4.0)),
        is_rate: true,
        sides: || {
            let work = Work::Window(BYTES[0], 64);
            Ok(vec![
                Ours::pipelined(Placement::Process)?,
                side::<unix_stream::Plain>(Apart, work)?,
                side::<unix_stream::Coalesced>(Apart, work)?,
                Ours::pipelined(Placement::Inline)?,
            ])
        },
    },
    Case {
        name: "1 MiB, a thread",
        goal: None,
        is_rate: false,
        sides: || {
            Ok(vec![
                Ours::by_thread(Placement::Process, BYTES[1])?,
                side::<unix_stream::Plain>(Apart, Work::RoundTrip(BYTES[1]))?,
                Ours::by_thread(Placement::Inline, BYTES[1])?,
            ])
        },
    },
    Case {
        name: "64 B, a thread, Python",
        goal: None,
        is_rate: false,
        sides: || {
            Ok(vec![Ours::in_language(Language::Python, BYTES[0])?, server::asyncio(BYTES[0])?])
        },
    },
    Case {
        name: "64 B, a thread, Node",
        goal: None,
        is_rate: false,
        sides: || Ok(vec![Ours::in_language(Language::Node, BYTES[0])?, server::node(BYTES[0])?]),
    },
];

/// Measures the group.
pub(crate) fn run(plan: Plan<'_>) -> Result<Group, BenchError> {
    let plan = plan.at_most(REPETITIONS_MAX).with_threads().with_own_counts();
    let cpus = cpus()?;
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| plan.wants(case.name)) {
        // Threads that are started from here on are where this one is.
        pin(FIRST_CPU)?;
        let taken = contest(plan, 1, (case.sides)()?)?;
        set(&cpus)?;
        let row = Row::of(&COLUMNS, case.name, case.goal, taken);
        rows.push(if case.is_rate { row.into_rate(2, |ns| 1e3 / ns) } else { row });
    }
    let named = ("process", "Plugins in processes");
    Ok(Group::of_peers(named, NOTES.to_owned(), &COLUMNS, FLOORS, rows))
}

/// This program as a worker, on this CPU.
pub(crate) fn serve(cpu: &str) -> Result<(), BenchError> {
    pin(cpu.parse().map_err(|_| BenchError::Worker)?)?;
    becket_process::worker::run_on_stdin().map_err(|error| BenchError::host("a worker", error))
}

/// A runtime of one thread.
fn runtime() -> Result<tokio::runtime::Runtime, BenchError> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|source| BenchError::System { what: "start a runtime", source })
}
