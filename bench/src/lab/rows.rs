// SPDX-License-Identifier: BSD-3-Clause
//! The rows: runs per second, the cost of a flow, and what takes longer than a run.

use becket_lab::check::Mode;
use rustix::thread::CpuSet;

use super::ours::{Failure, Kind, Runs, check_all};
use super::{proptest, shuttle, turmoil};
use crate::error::BenchError;
use crate::harness::{Contestant, Plan, Side, contest, measure, timed};
use crate::machine::{FIRST_CPU, pin, set};
use crate::report::{Goal, Row};

/// Our column.
pub(super) const OURS: &str = "Becket";
pub(super) const TURMOIL: &str = "turmoil";
pub(super) const SHUTTLE: &str = "shuttle";
pub(super) const PROPTEST: &str = "proptest";

/// The columns.
pub(super) const COLUMNS: [&str; 4] = [OURS, TURMOIL, SHUTTLE, PROPTEST];

const FLOWS: u32 = 4;
const RUNS_GOAL: f64 = 200_000.0;
const QUICK_S_GOAL: f64 = 5.0;
const FULL_S_GOAL: f64 = 60.0;

/// Repetitions of a row in which a peer has milliseconds a run, and of one that takes seconds.
const REPETITIONS_MAX: usize = 31;
const LONG_REPETITIONS: usize = 7;

fn ours(kind: Kind, flows: u32) -> Contestant {
    let mut all = Runs::new(kind, flows);
    Contestant::timed(OURS, move |runs| all.run(runs))
}

/// A side whose runs begin with an unused seed.
fn peer(
    column: &'static str,
    mut run: impl FnMut(u64, u64) -> Result<(), BenchError> + 'static,
) -> Contestant {
    let mut next = 1;
    Contestant::timed(column, move |runs| {
        let first = next;
        next += runs;
        run(first, runs)
    })
}

/// Runs a second.
pub(super) fn runs(plan: Plan<'_>) -> Result<Vec<Row>, BenchError> {
    let plan = plan.at_most(REPETITIONS_MAX).with_own_counts();
    let peers = || -> Vec<Contestant> {
        vec![
            peer(TURMOIL, |first, runs| turmoil::run(first, runs, FLOWS)),
            peer(SHUTTLE, |first, runs| shuttle::run(first, runs, FLOWS)),
            peer(PROPTEST, |first, runs| proptest::run(first, runs, FLOWS)),
        ]
    };
    let all = [
        ("4 flows, checked", Kind::Checked, Some(Goal::Figure(RUNS_GOAL)), true),
        ("4 flows, checked and hashed", Kind::Hashed, None, false),
        ("4 flows, not checked", Kind::Bare, None, false),
        ("4 flows, checked, all made anew", Kind::Anew, None, false),
    ];
    let mut rows = Vec::new();
    for (name, kind, goal, has_peers) in all {
        let name = format!("{name}: runs/s");
        if !plan.wants(&name) {
            continue;
        }
        let mut sides = vec![ours(kind, FLOWS)];
        if has_peers {
            sides.extend(peers());
        }
        let row = Row::of(&COLUMNS, name, goal, contest(plan, 1, sides)?);
        rows.push(row.into_rate(0, |ns| 1e9 / ns));
    }
    Ok(rows)
}

/// What a flow of a checked run costs: it must not grow with their number.
pub(super) fn costs(plan: Plan<'_>) -> Result<Vec<Row>, BenchError> {
    let plan = plan.at_most(REPETITIONS_MAX).with_own_counts();
    let mut rows = Vec::new();
    for flows in [1, 4, 16, 64] {
        let name = match flows {
            1 => "1 flow, checked: ns a flow".to_owned(),
            _ => format!("{flows} flows, checked: ns a flow"),
        };
        if plan.wants(&name) {
            let taken = contest(plan, flows.into(), vec![ours(Kind::Checked, flows)])?;
            rows.push(Row { digits: 0, ..Row::of(&COLUMNS, name, None, taken) });
        }
    }
    Ok(rows)
}

/// Checks, in seconds, and a failure that is made small, in milliseconds.
pub(super) fn checks(plan: Plan<'_>, cpus: &CpuSet) -> Result<Vec<Row>, BenchError> {
    let plan = Plan { repetitions: LONG_REPETITIONS, is_shared: true, ..plan };
    let mut rows = Vec::new();
    let mut row = |name: &str, unit_ns: f64, digits, goal: Option<f64>, side: Side<'static>| {
        if !plan.wants(name) {
            return Ok(());
        }
        let taken = measure(plan, 1, &mut [side])?;
        let scaled = taken.iter().map(|side| (OURS, side.map(|ns| ns / unit_ns)));
        rows.push(Row { digits, ..Row::of(&COLUMNS, name, goal.map(Goal::Figure), scaled) });
        Ok::<_, BenchError>(())
    };
    let checks = |mode, jobs| timed(move |n| (0..n).try_for_each(|_| check_all(mode, jobs)));
    row("a quick check: s", 1e9, 3, Some(QUICK_S_GOAL), checks(Mode::Quick, 1))?;
    row("a full check: s", 1e9, 2, Some(FULL_S_GOAL), checks(Mode::Full, 1))?;
    let failure = Failure::find()?;
    let shrinks = timed(move |n| (0..n).try_for_each(|_| failure.shrink()));
    row("a failure of 8 flows, made small: ms", 1e6, 1, None, shrinks)?;
    set(cpus)?;
    row("a full check on 2 CPUs: s", 1e9, 2, None, checks(Mode::Full, 2))?;
    pin(FIRST_CPU)?;
    Ok(rows)
}
