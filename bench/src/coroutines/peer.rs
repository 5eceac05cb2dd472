// SPDX-License-Identifier: BSD-3-Clause
//! The participants: the columns of the tables; and how a row is measured.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};

use rustix::thread::CpuSet;

use super::work::{Answer, LIMIT, Work};
use crate::error::{BenchError, check};
use crate::harness::{Contestant, Pace, Plan, contest, undisturbed};
use crate::machine::{FIRST_CPU, pin, set};
use crate::report::{Goal, Row};

/// The columns; ours first.
pub(crate) const COLUMNS: [&str; 7] =
    ["Becket", "Go", "may", "tokio", "async-executor", "corosensei", "generator"];

/// One that works on threads of its own: `begin` starts so many operations there and leaves
/// the sender of their answer with them.
pub(crate) fn answering(
    name: &'static str,
    work: Work,
    mut begin: impl FnMut(u64, Sender<Option<Answer>>) -> Result<(), BenchError> + 'static,
) -> Contestant {
    answered(name, work, move |n| {
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
pub(crate) fn answered(
    name: &'static str,
    work: Work,
    mut block: impl FnMut(u64) -> Result<Answer, BenchError> + 'static,
) -> Contestant {
    // To prepare a block with so many is longer than any block.
    let tries_max = if work.count() < 100_000 { TRIES_MAX } else { 1 };
    let side = move |n| {
        undisturbed(tries_max, || {
            let answer = block(n)?;
            check(name, work.name(), work.expected(n), answer.sum)?;
            Ok((answer.taken, answer.disturbed))
        })
    };
    Contestant { column: name, side: Box::new(side) }
}

/// How often a disturbed block is done again.
const TRIES_MAX: usize = 5;

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
        let taken = contest(plan.at(self.pace), self.parts, (self.sides)()?)?;
        Ok(Row::of(&COLUMNS, self.name.as_str(), self.goal.map(Goal::Figure), taken))
    }
}
