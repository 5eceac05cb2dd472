// SPDX-License-Identifier: BSD-3-Clause
//! A row: what is done, where, by whom; and how it is measured.

use rustix::thread::CpuSet;

use super::columns::COLUMNS;
use super::contest::Contestant;
use super::place::Place;
use super::work::Work;
use crate::error::BenchError;
use crate::harness::{Figures, Plan, measure};
use crate::machine::{FIRST_CPU, pin, set};
use crate::report::{Better, Goal, Row};

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
    pub(crate) fn run(&self, plan: Plan<'_>, cpus: &CpuSet) -> Result<Row, BenchError> {
        // Threads that are started from here on are where this one is.
        pin(FIRST_CPU)?;
        let plan = match self.place {
            Place::Apart => plan.with_threads().with_own_counts(),
            Place::Packed => plan.with_threads().with_own_counts().with_one_cpu(),
        };
        let (columns, mut sides): (Vec<_>, Vec<_>) =
            (self.sides)(self.place, self.work)?.into_iter().map(|c| (c.column, c.side)).unzip();
        let measured = measure(plan, 1, &mut sides)?;
        drop(sides);
        set(cpus)?;
        let taken = columns.into_iter().zip(measured.into_iter().map(|ns| self.counted(&ns)));
        Ok(row(&self.name, self.goal, self.unit, taken))
    }

    fn counted(&self, nanoseconds: &Figures) -> Figures {
        let bytes = self.work.bytes() as f64;
        match self.unit {
            Unit::Nanoseconds => nanoseconds.clone(),
            Unit::GigabytesPerSecond => nanoseconds.map(|ns| bytes / ns),
            Unit::MillionPerSecond => nanoseconds.map(|ns| 1e3 / ns),
        }
    }
}

/// A row of figures by column.
pub(crate) fn row(
    name: &str,
    goal: Option<Goal>,
    unit: Unit,
    taken: impl IntoIterator<Item = (&'static str, Figures)>,
) -> Row {
    let mut figures = vec![None; COLUMNS.len()];
    for (name, taken) in taken {
        let columns = COLUMNS.iter().zip(&mut figures);
        columns.filter(|(column, _)| **column == name).for_each(|(_, cell)| {
            *cell = Some(taken.clone());
        });
    }
    let (better, digits) = match unit {
        Unit::Nanoseconds => (Better::Less, 1),
        Unit::GigabytesPerSecond | Unit::MillionPerSecond => (Better::More, 2),
    };
    Row { name: name.to_owned(), better, digits, goal, figures }
}
