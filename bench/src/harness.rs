// SPDX-License-Identifier: BSD-3-Clause
//! The measuring: several sides do the same number of operations, in turns.
//!
//! ```text
//!   repetition 0    A A A A   B B B B   C C C C      each block: the same number of operations,
//!   repetition 1    B B B B   C C C C   A A A A      long enough for the clock, shorter than
//!   repetition 2    C C C C   A A A A   B B B B      the kernel's time slice
//! ```
//!
//! 1. The first side changes with every repetition, so that a machine that slows down or speeds up
//!    does so for all sides.
//! 2. A block's result is checked by the side itself; one wrong answer ends the run.
//! 3. A block in which the kernel gave the CPU to another process is repeated, a bounded number of
//!    times: its length is not that of the side's work.
//! 4. The report has the median of the repetitions, with the smallest and the largest. A
//!    ratio is the median of the repetitions' own ratios: both of its terms were taken within the
//!    same few milliseconds.

use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::machine::switches;

/// One side of a comparison: does that many operations, checks them, and says how long they took.
pub(crate) type Side<'a> = Box<dyn FnMut(u64) -> Result<Duration, BenchError> + 'a>;

/// How often a disturbed block is done again when the result is to be kept.
const TRIES_MAX: usize = 16;

/// The kernel's time slices are a few milliseconds.
const MANY_SLICES: Duration = Duration::from_millis(60);

/// What to measure, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'a> {
    /// How often every side has its turn.
    pub(crate) repetitions: usize,
    /// How long one turn should last at least.
    pub(crate) block: Duration,
    /// A look, not a result.
    pub(crate) is_quick: bool,
    /// Only the rows whose name has this in it.
    pub(crate) only: Option<&'a str>,
    /// Blocks are taken as they are.
    pub(crate) is_shared: bool,
    /// Each side does as many operations as fill its own block.
    pub(crate) is_wide: bool,
}

/// How a row is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// One thread, which stays awake.
    Alone,
    /// Several threads.
    Threads,
    /// One operation is much work, and for some peers very much.
    Long,
}

impl Plan<'_> {
    /// What RESULTS.md is made with.
    pub(crate) const FULL: Self = Self {
        repetitions: 101,
        block: Duration::from_millis(2),
        is_quick: false,
        only: None,
        is_shared: false,
        is_wide: false,
    };
    /// A look, not a result.
    pub(crate) const QUICK: Self = Self {
        repetitions: 15,
        block: Duration::from_millis(1),
        is_quick: true,
        only: None,
        is_shared: false,
        is_wide: false,
    };

    /// For a row of this pace.
    #[must_use]
    pub(crate) fn at(self, pace: Pace) -> Self {
        match pace {
            Pace::Alone => self,
            Pace::Threads => self.with_threads(),
            Pace::Long => self.with_long_operations(),
        }
    }

    /// With no more repetitions than this.
    #[must_use]
    pub(crate) fn at_most(self, repetitions: usize) -> Self {
        Self { repetitions: self.repetitions.min(repetitions), ..self }
    }

    /// For sides in which the kernel takes part: threads that wake each other, or more of them
    /// than there are CPUs. Longer blocks, so that its time slices average out, and fewer of them.
    #[must_use]
    pub(crate) fn with_threads(self) -> Self {
        match self.is_quick {
            true => Self { repetitions: 5, block: Duration::from_millis(2), ..self },
            false => Self { repetitions: 9, block: Duration::from_millis(4), ..self },
        }
    }

    /// For operations that take milliseconds, and with some sides near a second.
    #[must_use]
    pub(crate) fn with_long_operations(self) -> Self {
        match self.is_quick {
            true => Self { repetitions: 3, block: Duration::from_millis(2), ..self },
            false => Self { repetitions: 9, block: Duration::from_millis(4), ..self },
        }
    }

    /// For sides that share a CPU: they take it from each other all the time, which is no
    /// disturbance.
    #[must_use]
    pub(crate) fn with_one_cpu(self) -> Self {
        Self { is_shared: true, ..self }
    }

    /// For sides of which some are a thousand times faster than others: the same number of
    /// operations would keep the slow ones busy for seconds.
    #[must_use]
    pub(crate) fn with_own_counts(self) -> Self {
        Self { is_wide: true, ..self }
    }

    /// How often a disturbed block is done again.
    pub(crate) fn tries_max(self) -> usize {
        match self {
            Self { is_shared: true, .. } => 1,
            Self { is_quick: true, .. } => 3,
            _ => TRIES_MAX,
        }
    }

    /// Whether the row of this name is asked for.
    pub(crate) fn wants(&self, row: &str) -> bool {
        self.only.is_none_or(|part| row.contains(part))
    }
}

/// The figures of one side, one for each repetition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    /// Figures that were taken elsewhere.
    pub(crate) fn new(figures: Vec<f64>) -> Self {
        Self(figures)
    }

    /// The middle one.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let upper = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
        if sorted.len() % 2 == 1 {
            return upper;
        }
        let lower = sorted.get((sorted.len() / 2).wrapping_sub(1)).copied().unwrap_or(f64::NAN);
        f64::midpoint(lower, upper)
    }

    /// The smallest one.
    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The largest one.
    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Each figure in another unit.
    pub(crate) fn map(&self, convert: impl Fn(f64) -> f64) -> Self {
        Self(self.0.iter().copied().map(convert).collect())
    }

    /// This side's figures divided by another's, repetition by repetition.
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(mine, theirs)| mine / theirs).collect())
    }
}

/// A side of which everything is timed.
pub(crate) fn timed<'a>(
    mut operations: impl FnMut(u64) -> Result<(), BenchError> + 'a,
) -> Side<'a> {
    Box::new(move |n| {
        let begin = Instant::now();
        operations(n)?;
        Ok(begin.elapsed())
    })
}

/// A participant of a row: its column, and its way to do the row's work.
pub(crate) struct Contestant {
    pub(crate) column: &'static str,
    pub(crate) side: Side<'static>,
}

impl Contestant {
    /// One of which everything is timed.
    pub(crate) fn timed(
        column: &'static str,
        operations: impl FnMut(u64) -> Result<(), BenchError> + 'static,
    ) -> Self {
        Self { column, side: timed(operations) }
    }
}

/// Measures the participants in turns: their figures by column.
pub(crate) fn contest(
    plan: Plan<'_>,
    parts: u64,
    contestants: Vec<Contestant>,
) -> Result<Vec<(&'static str, Figures)>, BenchError> {
    let (columns, mut sides): (Vec<_>, Vec<_>) =
        contestants.into_iter().map(|one| (one.column, one.side)).unzip();
    Ok(columns.into_iter().zip(measure(plan, parts, &mut sides)?).collect())
}

/// Measures the sides in turns. The figures are nanoseconds for one of `parts` equal parts of an
/// operation (the frames of a stream, say), in the order of the sides.
pub(crate) fn measure(
    plan: Plan,
    parts: u64,
    sides: &mut [Side<'_>],
) -> Result<Vec<Figures>, BenchError> {
    let mut counts = Vec::new();
    for side in sides.iter_mut() {
        counts.push(calibrate(plan, side)?);
    }
    if !plan.is_wide {
        // The same number for all: what the fastest needs to fill its block.
        let most = counts.iter().copied().max().unwrap_or(1);
        counts.fill(most);
    }

    let mut figures = vec![Figures::default(); sides.len()];
    for repetition in 0..plan.repetitions {
        for turn in 0..sides.len() {
            let index = (repetition + turn) % sides.len();
            let (Some(side), Some(figures), Some(&operations)) =
                (sides.get_mut(index), figures.get_mut(index), counts.get(index))
            else {
                continue;
            };
            let taken = undisturbed(plan.tries_max(), || {
                let before = switches();
                Ok((side(operations)?, switches() != before))
            })?;
            figures.0.push(taken.as_nanos() as f64 / (operations * parts) as f64);
        }
    }
    Ok(figures)
}

/// Does a block again while it says that the kernel disturbed it, up to `tries_max` times, and
/// returns how long the first undisturbed one took, or else the shortest. A block of many time
/// slices is taken as it is: it would be disturbed every time, and alike.
pub(crate) fn undisturbed(
    tries_max: usize,
    mut block: impl FnMut() -> Result<(Duration, bool), BenchError>,
) -> Result<Duration, BenchError> {
    let mut shortest = Duration::MAX;
    for _ in 0..tries_max {
        let (taken, disturbed) = block()?;
        if !disturbed || taken > MANY_SLICES {
            return Ok(taken);
        }
        shortest = shortest.min(taken);
    }
    Ok(shortest)
}

/// How many operations fill a block. What runs here also warms the side up.
fn calibrate(plan: Plan, side: &mut Side<'_>) -> Result<u64, BenchError> {
    let mut operations = 1;
    loop {
        let taken = side(operations)?;
        if taken >= plan.block {
            return Ok(operations);
        }
        let missing = plan.block.as_nanos() / taken.as_nanos().max(1) + 1;
        operations *= u64::try_from(missing).unwrap_or(u64::MAX).clamp(2, 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_figure_or_the_middle_of_two() {
        assert_eq!(Figures::new(vec![3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(Figures::new(vec![4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert!(Figures::default().median().is_nan());
    }

    #[test]
    fn a_disturbed_block_is_done_again_but_not_for_ever() {
        let mut blocks = [(9, true), (5, false)].into_iter();
        let next = || Ok(blocks.next().map(|(ms, bad)| (Duration::from_millis(ms), bad)).unwrap());
        assert_eq!(undisturbed(TRIES_MAX, next).unwrap(), Duration::from_millis(5));

        let mut tries = 0;
        let never = || {
            tries += 1;
            Ok((Duration::from_millis(20 - tries), true))
        };
        assert_eq!(undisturbed(TRIES_MAX, never).unwrap(), Duration::from_millis(4));
    }

    #[test]
    fn every_side_does_the_same_number_of_operations_in_each_turn() {
        let mut first = Vec::new();
        let mut second = Vec::new();
        let plan = Plan { repetitions: 8, block: Duration::from_micros(50), ..Plan::QUICK };
        let figures = measure(
            plan,
            1,
            &mut [
                Box::new(|operations| {
                    first.push(operations);
                    Ok(Duration::from_nanos(operations))
                }),
                Box::new(|operations| {
                    second.push(operations);
                    Ok(Duration::from_nanos(2 * operations))
                }),
            ],
        )
        .unwrap();
        let medians: Vec<_> = figures.iter().map(Figures::median).collect();
        assert_eq!(medians, [1.0, 2.0]);
        assert_eq!(first.last(), second.last());
    }
}
