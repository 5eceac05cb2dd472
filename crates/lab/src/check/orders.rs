// SPDX-License-Identifier: BSD-3-Clause
//! All orders of a small run, one after another.
//!
//! ```text
//!   the plainest order ──► run and examined as any other, twice, with each flow alone, listened to
//!          │
//!          └─► each order within the bounds ──► run once, and examined beside the flows alone
//!                        │
//!                        └─► the first that fails ──► is the run: examined as any other, and kept
//! ```
//!
//! An order costs one run: the runs of its flows alone are the same for all orders, and are made
//! once. A failing order is a recording like every other. So its file, its shrinking and its replay
//! work as for a run that was drawn from a seed.
//!
//! # Invariants
//!
//! 1. The search continues until an order fails, and reports the number of orders and how much of
//!    all orders they cover. A bound that cut the search is always reported.
//! 2. A failing order must fail again. An order that does not repeat is no pass.

use std::ops::ControlFlow;

use super::Make;
use super::case::{Case, claims};
use crate::adapters::caught;
use crate::choice::{Bounds, Choices, Coverage, explore};
use crate::rules::{Examined, Examiner, RuleSets, Verdict};
use crate::trace::Trace;
use crate::world;

/// The orders that were tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Orders {
    pub(crate) runs: u64,
    pub(crate) coverage: Coverage,
    pub(crate) bounds: Bounds,
}

impl Orders {
    /// The default order fails: no others are needed.
    pub(super) const fn of_the_first(bounds: Bounds) -> Self {
        Self { runs: 1, coverage: Coverage::Stopped, bounds }
    }

    /// An order fails, or does not depend on its choices alone.
    pub(super) const fn has_failed(self) -> bool {
        matches!(self.coverage, Coverage::Stopped | Coverage::Diverged)
    }
}

/// The result of a search.
pub(super) struct Searched {
    pub(super) orders: Orders,
    /// Over all orders, which rules applied and had occasion.
    pub(super) rule_sets: RuleSets,
    /// The recording of the first order that fails; if none does, of the first one that does not
    /// show what its scenario demands.
    pub(super) found: Option<Vec<u32>>,
}

/// Runs a case in every order within the bounds until one fails: a rule is violated, an adapter
/// panics, or a demand of the scenario is not met.
pub(super) fn search(
    case: &Case,
    make: Make<'_>,
    bounds: Bounds,
    is_otherwise: impl Fn(&Trace) -> bool,
    examiner: &mut Examiner,
) -> Searched {
    let alone = case.each_alone(make);
    let claimed = claims(make, case.limits);
    let mut trace = Trace::new(case.run.config.max_events);
    let (mut rule_sets, mut loose, mut last) = (RuleSets::default(), None, Vec::new());
    let explored = explore(bounds, |choices: &mut Choices| {
        trace.clear();
        let factory = || make(case.limits);
        let ran = caught(|| world::run_with(&case.run, &factory, choices, &mut trace));
        last.clear();
        last.extend_from_slice(choices.recorded());
        if ran.is_err() {
            return ControlFlow::Break(());
        }
        let mut examined = Examined::new(&trace, &case.run, claimed.each_ref());
        examined.solo = Some(&alone);
        let one = examiner.examine(&examined);
        rule_sets = rule_sets.join(RuleSets { broken: 0, ..one });
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
    Searched { orders, rule_sets, found: if is_found { Some(last) } else { loose } }
}
