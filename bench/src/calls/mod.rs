// SPDX-License-Identifier: BSD-3-Clause
//! Plugin calls: Becket's host beside nylon-ring-host, over one plugin in C.
//!
//! | module | what lives there |
//! |---|---|
//! | `subject` | the operations |
//! | `becket` | how Becket does them |
//! | `nylon` | how nylon-ring-host does them |
//! | `floor` | what the plugin's function costs by itself |
//! | `scaling` | two workers against one |
//! | `control` | a host's copy of the plugin |

mod becket;
mod control;
mod floor;
mod nylon;
mod scaling;
mod subject;

use std::time::Instant;

use self::becket::Becket;
use self::floor::Floor;
use self::nylon::{Hold, Nylon};
use self::subject::{STREAM_FRAMES, Subject};
use crate::error::BenchError;
use crate::harness::{Figures, Plan, Side, measure, timed};
use crate::machine::{FIRST_CPU, cpus, pin, set};
use crate::report::{Better, Group, Row, Shape};

/// One row: what is done, in how many equal parts one operation is counted, and how.
struct Operation {
    name: &'static str,
    parts: u64,
    run: fn(&dyn Subject, u64) -> Result<(), BenchError>,
}

const OPERATIONS: [Operation; 11] = [
    Operation { name: "notify, by id", parts: 1, run: |subject, n| subject.notify(n) },
    Operation {
        name: "answered inside `handle`, by id",
        parts: 1,
        run: |subject, n| subject.inside_handle(n),
    },
    Operation { name: "unary, awaited, by id", parts: 1, run: |subject, n| subject.unary(n) },
    Operation {
        name: "unary with a full `NrRequest` (4 headers) ¹",
        parts: 1,
        run: |subject, n| subject.request(n),
    },
    Operation {
        name: "the same, the request made for each call ¹",
        parts: 1,
        run: |subject, n| subject.request_made(n),
    },
    Operation {
        name: "4 KiB owned response, by name ²",
        parts: 1,
        run: |subject, n| subject.owned(n),
    },
    Operation {
        name: "leased 4 KiB buffer, filled by the plugin",
        parts: 1,
        run: |subject, n| subject.leased(n),
    },
    Operation {
        name: "stream, per empty frame ³",
        parts: STREAM_FRAMES as u64 + 1,
        run: |subject, n| subject.stream(n, 0),
    },
    Operation {
        name: "stream, per 64 B frame ³",
        parts: STREAM_FRAMES as u64 + 1,
        run: |subject, n| subject.stream(n, 64),
    },
    Operation {
        name: "bidirectional session (open, 5 frames, data, echo, close)",
        parts: 1,
        run: |subject, n| subject.session(n),
    },
    Operation {
        name: "unary, awaited, by name",
        parts: 1,
        run: |subject, n| subject.unary_by_name(n),
    },
];

const NOTES: &str = "\
Nanoseconds for one operation; the row of two workers is a ratio of rates. No payload unless the \
row names one. The plugin is one file in C that implements both ABIs \
(`bench/plugin/bench_plugin.c`); each host loads a copy. Becket's plugin can be unloaded at any \
time and every call has the default deadline; nylon-ring-host is shown as `load` (can be unloaded \
too, no deadline) and `load_pinned` (can never be unloaded). *Ahead by* compares with the better \
of the two.

¹ nylon-ring-host 0.2.2, like every published version, has no request; its caller packs method, \
path, query and headers into the payload, and the plugin unpacks it as far as the header it wants.
² In nylon-ring-host an answer without a copy is offered by name only, so both call by name.
³ A stream of 63 frames and its end, opening included.
⁴ Both threads spin, each on a CPU of its own.
";

/// Measures the whole group.
pub(crate) fn run(plan: Plan) -> Result<Group, BenchError> {
    let before = cpus()?;
    let floor = Floor::load()?;
    let becket = Becket::load()?;
    let unloadable = Nylon::load(Hold::Unloadable)?;
    let pinned = Nylon::load(Hold::Pinned)?;
    let subjects: [&dyn Subject; 3] = [&becket, &unloadable, &pinned];
    for subject in subjects {
        subject.verify()?;
    }

    pin(FIRST_CPU)?;
    let mut rows = floors(plan, &floor)?;
    for operation in OPERATIONS.iter().filter(|operation| plan.wants(operation.name)) {
        let mut sides = subjects.map(|subject| timed(move |n| (operation.run)(subject, n)));
        let figures = measure(plan, operation.parts, &mut sides)?;
        rows.push(row(operation.name, Better::Less, 1, figures));
    }
    let name = "answer from another thread, both awake ⁴";
    if plan.wants(name) {
        let figures = measure(plan, 1, &mut subjects.map(answered_elsewhere))?;
        rows.push(row(name, Better::Less, 1, figures));
    }
    set(&before)?;
    let name = "unary by id, 2 workers / 1 worker";
    if plan.wants(name) {
        let figures = scaling::measure(plan, &subjects)?;
        rows.push(row(name, Better::More, 2, figures));
    }

    Ok(Group {
        name: "calls",
        title: "Plugin calls",
        notes: NOTES.to_owned(),
        floors: 0,
        columns: ["Becket", "nylon-ring-host 0.2.2, `load`", "the same, `load_pinned`"]
            .map(str::to_owned)
            .into(),
        shape: Shape::Columns,
        rows,
    })
}

/// The plugin's function by itself: no host, no peer.
fn floors(plan: Plan, floor: &Floor) -> Result<Vec<Row>, BenchError> {
    let names = ["floor: the bare function", "floor: the bare function with a callback"];
    if !names.iter().any(|name| plan.wants(name)) {
        return Ok(Vec::new());
    }
    let mut sides: [Side<'_>; 2] = [timed(|n| floor.notify(n)), timed(|n| floor.answered(n))];
    let figures = measure(plan, 1, &mut sides)?;
    Ok(names
        .into_iter()
        .zip(figures)
        .map(|(name, figures)| Row {
            name: name.to_owned(),
            better: Better::Less,
            digits: 1,
            goal: None,
            figures: vec![Some(figures), None, None],
        })
        .collect())
}

/// A side that runs beside the thread that answers, and is timed while that thread runs.
fn answered_elsewhere(subject: &dyn Subject) -> Side<'_> {
    Box::new(move |n| {
        subject.control().with_answerer(|| {
            let begin = Instant::now();
            subject.other_thread(n)?;
            Ok(begin.elapsed())
        })
    })
}

fn row(name: &str, better: Better, digits: usize, figures: Vec<Figures>) -> Row {
    let figures = figures.into_iter().map(Some).collect();
    Row { name: name.to_owned(), better, digits, goal: None, figures }
}
