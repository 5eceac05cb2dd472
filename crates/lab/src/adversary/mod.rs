// SPDX-License-Identifier: BSD-3-Clause
//! The adversary: does a pair only look as if it did something?
//!
//! Who does the same whatever it is given passes many a rule. Of each run the [features](Features)
//! are taken, from its trace and never from the names of what it was made of; the
//! [scanner](Collapse) looks at how alike those of all runs are.
//!
//! | number | is | has to be |
//! |---|---|---|
//! | dominant ratio | runs with the commonest features, of all runs | at most 0.94 |
//! | diversity | different features, of all runs | at least 0.12 |
//! | success | runs in which no rule was broken, of all runs | at least 0.90 |
//!
//! Ratios are in thousandths, so that reports have whole numbers in them. One is rounded against
//! whoever is examined.
//!
//! Each run has features of several kinds. The first two numbers are those of all kinds together, and
//! sizes are no kind of their own: who differs in lengths alone is not diverse.

mod features;

pub use features::Features;

use std::collections::BTreeMap;

/// The commonest features may be those of so many thousandths of all runs.
pub const DOMINANT_MAX: u64 = 940;
/// Different features have to be so many thousandths of all runs.
pub const DIVERSITY_MIN: u64 = 120;
/// Runs without a broken rule have to be so many thousandths.
pub const SUCCESS_MIN: u64 = 900;

/// How alike runs are, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collapse {
    /// How many runs were looked at.
    pub runs: u64,
    /// How many different features they had.
    pub distinct: u64,
    /// Of the commonest.
    pub dominant: u64,
    /// Of different ones.
    pub diversity: u64,
    /// Of those without a broken rule.
    pub success: u64,
}

impl Collapse {
    /// Of these runs: what was seen of each, and whether no rule was broken.
    pub fn of(runs: impl IntoIterator<Item = (Features, bool)>) -> Self {
        let mut seen: BTreeMap<Features, u64> = BTreeMap::new();
        let (mut all, mut passed) = (0, 0);
        for (features, is_passed) in runs {
            *seen.entry(features.without_sizes()).or_default() += 1;
            all += 1;
            passed += u64::from(is_passed);
        }
        if all == 0 {
            return Self::default();
        }
        let most = seen.values().copied().max().unwrap_or(0);
        let distinct = seen.len() as u64;
        Self {
            runs: all,
            distinct,
            dominant: (1000 * most).div_ceil(all),
            diversity: 1000 * distinct / all,
            success: 1000 * passed / all,
        }
    }

    /// What is suspicious. Of one run nothing is: it is like itself.
    #[must_use]
    pub const fn suspicion(&self) -> Option<&'static str> {
        if self.runs < 2 {
            return None;
        }
        if self.dominant > DOMINANT_MAX {
            return Some("nearly all runs look the same");
        }
        if self.diversity < DIVERSITY_MIN {
            return Some("there are few different runs");
        }
        if self.success < SUCCESS_MIN {
            return Some("too many runs broke a rule");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{FlowId, FlowState, Tick};
    use crate::trace::{Place, Trace, What};

    fn features(events: &[What]) -> Features {
        let mut trace = Trace::new(1000);
        for what in events {
            trace.push(Tick(0), FlowId::new(1), *what);
        }
        Features::of(&trace, 1)
    }

    fn ended(state: FlowState) -> Features {
        features(&[What::Moved { state }])
    }

    fn many(of: Features, count: usize) -> impl Iterator<Item = (Features, bool)> {
        (0..count).map(move |_| (of.clone(), true))
    }

    #[test]
    fn thresholds_are_exact() {
        let (closed, reset) = (ended(FlowState::Closed), ended(FlowState::Reset));
        let two = |of_one, of_other| {
            let other = many(reset.clone(), of_other);
            Collapse::of(many(closed.clone(), of_one).chain(other))
        };
        assert_eq!(two(10, 0).suspicion(), Some("nearly all runs look the same"));
        assert_eq!(two(15, 1).suspicion(), None);
        assert_eq!(two(15, 1).diversity, 125);
        assert_eq!(two(16, 1).suspicion(), Some("nearly all runs look the same"));
        assert_eq!(two(9, 8).suspicion(), Some("there are few different runs"));
        assert_eq!(two(1, 0).suspicion(), None);
        assert_eq!(Collapse::of([]), Collapse::default());
    }

    #[test]
    fn success_counts() {
        let (closed, reset) = (ended(FlowState::Closed), ended(FlowState::Reset));
        let runs = |failed: usize| {
            let both = many(closed.clone(), 5).chain(many(reset.clone(), 5)).enumerate();
            Collapse::of(both.map(move |(at, (features, _))| (features, at >= failed)))
        };
        assert_eq!(runs(1).suspicion(), None);
        assert_eq!(runs(2).suspicion(), Some("too many runs broke a rule"));
    }

    #[test]
    fn lengths_alone_are_no_diversity() {
        let out = |bytes| {
            let place = Place::Egress;
            features(&[What::Out { place, sequence: 1, offset: 0, bytes, is_final: true }])
        };
        assert_ne!(out(1), out(5000));
        let runs = [1, 2000, 5000, 1 << 20].map(|bytes| (out(bytes), true));
        assert_eq!(Collapse::of(runs).distinct, 1);
    }
}
