// SPDX-License-Identifier: BSD-3-Clause
//! Coroutines: becket-coro beside the runtimes of the field.

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
use crate::report::{Group, Shape};

const NOTES: &str = "";
const SCALING_NOTES: &str = "";

/// Repetitions of a row, at most.
const REPETITIONS_MAX: usize = 15;

/// Measures the group `coroutines`.
pub(crate) fn run(plan: Plan<'_>) -> Result<Group, BenchError> {
    let mut group = measured(plan, "coroutines", "Coroutines", NOTES, rows::rows())?;
    group.rows.extend(parked::rows(plan)?);
    Ok(group)
}

/// Measures the group `coroutines_scaling`.
pub(crate) fn run_scaling(plan: Plan<'_>) -> Result<Group, BenchError> {
    measured(plan, "coroutines_scaling", "Coroutines: scaling", SCALING_NOTES, curves::rows())
}

fn measured(
    plan: Plan<'_>,
    name: &'static str,
    title: &'static str,
    notes: &str,
    cases: Vec<Case>,
) -> Result<Group, BenchError> {
    let plan = Plan { repetitions: plan.repetitions.min(REPETITIONS_MAX), ..plan };
    let cpus = cpus()?;
    let mut rows = Vec::new();
    for case in cases.into_iter().filter(|case| plan.wants(&case.name)) {
        rows.push(case.run(plan, &cpus)?);
    }
    set(&cpus)?;
    let columns = COLUMNS.iter().map(|name| (*name).to_owned()).collect();
    let notes = notes.to_owned();
    Ok(Group { name, title, notes, columns, shape: Shape::Peers, rows })
}
