// SPDX-License-Identifier: BSD-3-Clause
//! All orders of a small run, one after the other.
//!
//! ```text
//!   the plainest order ──► run and examined as any other, twice, with each flow alone, listened to
//!          │
//!          └─► each order within the bounds ──► run once, and examined beside the flows alone
//!                        │
//!                        └─► the first that fails ──► is the run: examined as any other, and kept
//! ```
//!
//! An order costs a run and no more: the flows alone are the same for all of them, and are run once.
//! An order that fails is a recording as every other. So its file, its shrinking and its replay are
//! those of a run that was drawn from a seed.
//!
//! # Invariants
//!
//! 1. The search goes on until an order fails, and says how many orders there were and how much of all
//!    orders that is. What is cut is never silent.
//! 2. What is found has to be found once more. An order that does not repeat is no pass.

use std::ops::ControlFlow;

use super::Make;
use super::case::{Case, claims};
use crate::adapters::caught;
use crate::choice::{Bounds, Choices, Coverage, explore};
use crate::rules::{Examined, Examiner, Marks, Verdict};
use crate::trace::Trace;
use crate::world;

/// How many orders were tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Orders {
    pub(crate) runs: u64,
    pub(crate) coverage: Coverage,
    pub(crate) bounds: Bounds,
}

impl Orders {
    /// The plainest fails: there is no need of others.
    pub(super) const fn of_the_first(bounds: Bounds) -> Self {
        Self { runs: 1, coverage: Coverage::Stopped, bounds }
    }

    /// One fails, or is not decided by its choices.
    pub(super) const fn has_failed(self) -> bool {
        matches!(self.coverage, Coverage::Stopped | Coverage::Diverged)
    }
}

/// What came of a search.
pub(super) struct Searched {
    pub(super) orders: Orders,
    /// Of all orders, which rules applied and had occasion.
    pub(super) marks: Marks,
    /// The first that fails; if none does, the first in which something is not as it should be. As a
    /// recording.
    pub(super) found: Option<Vec<u32>>,
}

/// Runs a case in every order within the bounds, until one fails: a rule is broken, an adapter panics,
/// or it is otherwise than is demanded.
pub(super) fn search(
    case: &Case,
    make: Make<'_>,
    bounds: Bounds,
    is_otherwise: impl Fn(&Trace) -> bool,
    examiner: &mut Examiner,
) -> Searched {
    let alone = case.each_alone(make);
    let claimed = claims(make, case.limits);
    let setup = case.run.setup();
    let mut trace = Trace::new(case.run.config.max_events);
    let (mut marks, mut loose, mut last) = (Marks::default(), None, Vec::new());
    let explored = explore(bounds, |choices: &mut Choices| {
        trace.clear();
        let factory = || make(case.limits);
        let ran = caught(|| world::run_with(&setup, &factory, choices, &mut trace));
        last.clear();
        last.extend_from_slice(choices.recorded());
        if ran.is_err() {
            return ControlFlow::Break(());
        }
        let mut examined = Examined::new(&trace, &setup, claimed.each_ref());
        examined.solo = Some(&alone);
        let one = examiner.examine(&examined);
        marks = marks.join(Marks { broken: 0, ..one });
        if Verdict::of(&one).is_failure() || is_otherwise(&trace) {
            return ControlFlow::Break(());
        }
        if one.broken != 0 && loose.is_none() {
            loose = Some(last.clone());
        }
        ControlFlow::Continue(())
    });
    let is_found = explored.found.is_some() || explored.coverage == Coverage::Diverged;
    let orders = Orders { runs: explored.runs, coverage: explored.coverage, bounds };
    Searched { orders, marks, found: if is_found { Some(last) } else { loose } }
}
