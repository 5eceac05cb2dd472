// SPDX-License-Identifier: BSD-3-Clause
//! The participants: the columns of the tables; and how a row is measured.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Instant;

use rustix::thread::CpuSet;

use super::work::{Answer, LIMIT, Work};
use crate::error::{BenchError, check};
use crate::harness::{Figures, Plan, Side, measure, undisturbed};
use crate::machine::{FIRST_CPU, pin, set};
use crate::report::{Better, Goal, Row};

/// The columns; ours first.
pub(crate) const COLUMNS: [&str; 7] =
    ["Becket", "Go", "may", "tokio", "async-executor", "corosensei", "generator"];

/// A peer and its way to do a row's work.
pub(crate) struct Contestant {
    /// Its column.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) side: Side<'static>,
}

impl Contestant {
    /// One that works on the calling thread.
    pub(crate) fn timed(
        name: &'static str,
        mut operations: impl FnMut(u64) -> Result<(), BenchError> + 'static,
    ) -> Self {
        let side = move |n| {
            let begin = Instant::now();
            operations(n)?;
            Ok(begin.elapsed())
        };
        Self { name, side: Box::new(side) }
    }

    /// One that works on threads of its own: `begin` starts so many operations there and leaves
    /// the sender of their answer with them.
    pub(crate) fn answering(
        name: &'static str,
        work: Work,
        mut begin: impl FnMut(u64, Sender<Option<Answer>>) -> Result<(), BenchError> + 'static,
    ) -> Self {
        Self::of(name, work, move |n| {
            let (answers, answer) = channel();
            begin(n, answers)?;
            match answer.recv_timeout(LIMIT) {
                Ok(answer) => answer.ok_or_else(|| BenchError::Program {
                    program: name,
                    output: format!("something in `{}` was refused or late", work.name()),
                }),
                Err(RecvTimeoutError::Timeout) => Err(BenchError::Stuck {
                    host: name,
                    operation: work.name(),
                    limit_s: LIMIT.as_secs(),
                }),
                Err(RecvTimeoutError::Disconnected) => Err(BenchError::Worker),
            }
        })
    }

    /// One of which a block gives an answer.
    pub(crate) fn of(
        name: &'static str,
        work: Work,
        mut block: impl FnMut(u64) -> Result<Answer, BenchError> + 'static,
    ) -> Self {
        // To prepare a block with so many is longer than any block.
        let tries_max = if work.count() < 100_000 { TRIES_MAX } else { 1 };
        let side = move |n| {
            undisturbed(tries_max, || {
                let answer = block(n)?;
                check(name, work.name(), work.expected(n), answer.sum)?;
                Ok((answer.taken, answer.disturbed))
            })
        };
        Self { name, side: Box::new(side) }
    }
}

/// How often a disturbed block is done again.
const TRIES_MAX: usize = 5;

/// How long a row is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Everything stays on one thread.
    Alone,
    /// There are worker threads.
    Workers,
    /// An operation is long by itself.
    Long,
}

/// A row and its participants.
pub(crate) struct Case {
    /// The row's name.
    pub(crate) name: String,
    /// The goal for Becket.
    pub(crate) goal: Option<f64>,
    /// How it is measured.
    pub(crate) pace: Pace,
    /// In how many equal parts an operation is counted.
    pub(crate) parts: u64,
    /// How many workers it has; one of them keeps to the first CPU.
    pub(crate) workers: usize,
    /// Makes the sides.
    pub(crate) sides: Box<dyn Fn() -> Result<Vec<Contestant>, BenchError>>,
}

impl Case {
    /// Measures it.
    pub(crate) fn run(&self, plan: Plan<'_>, cpus: &CpuSet) -> Result<Row, BenchError> {
        // Threads and processes that are started from here on are where this one is.
        if self.workers == 1 {
            pin(FIRST_CPU)?
        } else {
            set(cpus)?
        }
        let plan = match self.pace {
            Pace::Alone => plan,
            Pace::Workers => plan.with_threads(),
            Pace::Long => plan.with_long_operations(),
        };
        let (names, mut sides): (Vec<_>, Vec<_>) =
            (self.sides)()?.into_iter().map(|one| (one.name, one.side)).unzip();
        let measured = measure(plan, self.parts, &mut sides)?;
        let row = row(self.name.as_str(), self.goal, names.into_iter().zip(measured));
        Ok(row)
    }
}

/// A row of nanoseconds.
pub(crate) fn row(
    name: impl Into<String>,
    goal: Option<f64>,
    taken: impl IntoIterator<Item = (&'static str, Figures)>,
) -> Row {
    let mut figures = vec![None; COLUMNS.len()];
    for (name, taken) in taken {
        let columns = COLUMNS.iter().zip(&mut figures);
        columns.filter(|(column, _)| **column == name).for_each(|(_, cell)| {
            *cell = Some(taken.clone());
        });
    }
    let goal = goal.map(Goal::Figure);
    Row { name: name.into(), better: Better::Less, digits: 1, goal, figures }
}
