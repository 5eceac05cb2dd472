// SPDX-License-Identifier: BSD-3-Clause
//! The columns of the table; measuring a row.

use crate::error::BenchError;
use crate::harness::{Figures, Plan, Side, measure};
use crate::report::{Better, Goal, Row};

/// Our column.
pub(crate) const OURS: &str = "Becket";
/// A message of the size of a descriptor.
pub(crate) const MESSAGE_40: &str = "a 40 B message";
/// A small message.
pub(crate) const MESSAGE_64: &str = "a 64 B message";
/// A small block, handed off alike.
pub(crate) const BLOCK_64: &str = "a 64 B block";

/// The columns: ours first, the floors last.
pub(crate) const COLUMNS: [&str; 8] =
    [OURS, "crossbeam", "crossfire", "flume", "kanal", MESSAGE_40, MESSAGE_64, BLOCK_64];

/// How many of the columns are floors.
pub(crate) const FLOORS: usize = 3;

/// The sides of a row, by column.
pub(crate) type Sides = Vec<(&'static str, Side<'static>)>;

/// Measures a row of nanoseconds; nothing if it was not asked for.
pub(crate) fn row(
    plan: Plan<'_>,
    name: &str,
    goal: Option<Goal>,
    parts: u64,
    sides: impl FnOnce() -> Result<Sides, BenchError>,
) -> Result<Option<Row>, BenchError> {
    if !plan.wants(name) {
        return Ok(None);
    }
    let (columns, mut sides): (Vec<_>, Vec<_>) = sides()?.into_iter().unzip();
    let measured = measure(plan, parts, &mut sides)?;
    let mut figures: Vec<Option<Figures>> = vec![None; COLUMNS.len()];
    for (column, taken) in columns.into_iter().zip(measured) {
        let cells = COLUMNS.iter().zip(&mut figures);
        cells
            .filter(|(name, _)| **name == column)
            .for_each(|(_, cell)| *cell = Some(taken.clone()));
    }
    Ok(Some(Row { name: name.to_owned(), better: Better::Less, digits: 1, goal, figures }))
}

/// The same row as a rate of so many bits each.
pub(crate) fn gigabits(row: Row, bits: f64) -> Row {
    let figures = row.figures.iter().map(|cell| Some(cell.as_ref()?.map(|ns| bits / ns))).collect();
    Row { better: Better::More, figures, ..row }
}

/// An error of this column.
pub(crate) fn failed(column: &'static str, error: impl std::fmt::Debug) -> BenchError {
    BenchError::host(column, format!("{error:?}"))
}

/// The sum of the numbers below `n`.
pub(crate) fn sum_below(n: u64) -> u64 {
    (0..n).fold(0, u64::wrapping_add)
}
