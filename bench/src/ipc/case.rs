// SPDX-License-Identifier: BSD-3-Clause
//! A row: its workload, its placement and its participants; and how it is measured.

use rustix::thread::CpuSet;

use super::place::Place;
use super::work::Work;
use crate::error::BenchError;
use crate::harness::{Contestant, Plan, contest};
use crate::machine::{FIRST_CPU, pin, set};
use crate::report::{Goal, Row};

/// In what a row is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nanoseconds for one operation.
    Nanoseconds,
    /// 10⁹ bytes of payload a second.
    GigabytesPerSecond,
    /// 10⁶ operations a second.
    MillionPerSecond,
}

/// The participants: makes their sides.
pub(crate) type Sides = fn(Place, Work) -> Result<Vec<Contestant>, BenchError>;

/// A row and its participants.
pub(crate) struct Case {
    /// The row's name.
    pub(crate) name: String,
    /// The goal for Becket.
    pub(crate) goal: Option<Goal>,
    /// How it is counted.
    pub(crate) unit: Unit,
    /// Where the two processes are.
    pub(crate) place: Place,
    /// What they do.
    pub(crate) work: Work,
    /// The participants.
    pub(crate) sides: Sides,
}

impl Case {
    /// Measures it.
    pub(crate) fn run(
        &self,
        plan: Plan<'_>,
        columns: &[&str],
        cpus: &CpuSet,
    ) -> Result<Row, BenchError> {
        // Threads that are started from here on are where this one is.
        pin(FIRST_CPU)?;
        let plan = match self.place {
            Place::Apart => plan.with_threads().with_own_counts(),
            Place::Packed => plan.with_threads().with_own_counts().with_one_cpu(),
        };
        let taken = contest(plan, 1, (self.sides)(self.place, self.work)?)?;
        set(cpus)?;
        let row = Row::of(columns, self.name.as_str(), self.goal, taken);
        let bytes = self.work.bytes() as f64;
        Ok(match self.unit {
            Unit::Nanoseconds => row,
            Unit::GigabytesPerSecond => row.into_rate(2, |ns| bytes / ns),
            Unit::MillionPerSecond => row.into_rate(2, |ns| 1e3 / ns),
        })
    }
}
