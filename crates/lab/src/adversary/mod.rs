// SPDX-License-Identifier: BSD-3-Clause
//! The adversary: detects a pair that only appears to work.
//!
//! A pair that does the same whatever it is given passes many rules. So [features](Features) are
//! taken from the trace of each run, never from configuration names; the [scanner](Collapse)
//! measures how alike those of all runs are.
//!
//! | number | meaning | bound |
//! |---|---|---|
//! | dominant ratio | runs with the commonest features, of all runs | at most 0.94, or as below |
//! | diversity | different features, of all runs | at least 0.12, or as below |
//! | success | runs without an unexpected failure, of all runs | at least 0.90 |
//!
//! A run that was aborted by a panic of an adapter counts too: all such runs look the same. Ratios
//! are in thousandths, so that reports contain whole numbers. They are rounded against the adapter
//! under test.
//!
//! The number of ways in which runs can differ is limited: with more runs, fewer of them are
//! different, whichever pair is examined. So at most [`TOGETHER_MAX`] consecutive profiles are
//! examined together; for the first two numbers the worst of all such ranges counts.
//!
//! How many ways there are depends on the scenarios and on the profiles: three scenarios in twenty
//! profiles have seven kinds of runs from some start seeds, for every healthy pair. So a range
//! beyond one of the first two bounds is repeated with the memory adapters of the lab. It is
//! suspicious only if it shows less than [`REFERENCE_SHARE`] thousandths of the variety that they
//! show in the same runs: of the diversity, and of the runs that do not have the commonest
//! features. A pair that does the same whatever it is given shows at most one class per scenario,
//! far below that.
//!
//! A pair may also be fixed in one [aspect](Aspect) while its runs differ in others: each aspect is
//! compared with that of the memory adapters in the same runs. It is *fixed* if nearly all runs show
//! the same, and more than a tenth of those of the memory adapters show something else.
//!
//! | aspect | feature |
//! |---|---|
//! | ingress mapping, egress mapping | whether bytes come out on more flows than one |
//! | backpressure | how often the ingress adapter took less than it was offered |
//! | reset | how many flows adapters reported as reset or failed |
//!
//! Each run has features of several kinds. The first two numbers are those of all kinds together,
//! and sizes are not a kind of their own: a pair whose runs differ only in lengths is not diverse.

mod features;

pub use features::Features;
pub(crate) use features::OF_NOTHING;

use std::array;
use std::collections::BTreeMap;
use std::ops::Range;

/// Maximum share of the commonest features, in thousandths of all runs.
pub const DOMINANT_MAX: u64 = 940;
/// Minimum share of different features, in thousandths of all runs.
pub const DIVERSITY_MIN: u64 = 120;
/// Minimum share of runs that did not fail, in thousandths.
pub const SUCCESS_MIN: u64 = 900;

/// Maximum number of profiles that are examined together: as many as a full check has.
pub const TOGETHER_MAX: usize = 20;

/// Sufficient share of the variety of the lab's memory adapters in the same runs, in thousandths.
pub const REFERENCE_SHARE: u64 = 500;

/// Maximum share of the commonest value of an aspect among the memory adapters, in thousandths: with
/// a larger one the runs do not tell whether the aspect is fixed.
const ASPECT_REFERENCE_MAX: u64 = 900;

/// Minimum number of runs that tell whether an aspect is fixed: in fewer a healthy pair may happen to
/// do the same in each.
const ASPECT_RUNS_MIN: usize = 50;

/// The refusal of what is not claimed.
const UNSUPPORTED: &str = "unsupported";

/// What a pair may do the same way in each run, however else its runs differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    /// On which flows the ingress adapter puts bytes out.
    IngressMapping,
    /// The same of the egress adapter.
    EgressMapping,
    /// When the ingress adapter takes less than it is offered.
    Backpressure,
    /// Which flows are reported as reset or failed.
    Reset,
}

impl Aspect {
    const ALL: [Self; 4] =
        [Self::IngressMapping, Self::EgressMapping, Self::Backpressure, Self::Reset];

    /// The suspicion, if it is fixed.
    const fn suspicion(self) -> &'static str {
        match self {
            Self::IngressMapping => "fixed mapping of flows at the ingress adapter",
            Self::EgressMapping => "fixed mapping of flows at the egress adapter",
            Self::Backpressure => "fixed backpressure",
            Self::Reset => "fixed resets",
        }
    }

    /// Whether it is expected of the pair: one that refuses resets as unsupported reports none.
    fn is_claimed(self, runs: &[&Features]) -> bool {
        let refuses = |features: &&Features| features.refusals.contains(UNSUPPORTED);
        self != Self::Reset || !runs.iter().any(refuses)
    }

    /// The share of its commonest value in runs, in thousandths.
    fn dominant(self, runs: &[&Features]) -> u64 {
        let value = |features: &&Features| {
            let [ingress, egress] = features.others;
            match self {
                Self::IngressMapping => ingress,
                Self::EgressMapping => egress,
                Self::Backpressure => features.pushbacks,
                Self::Reset => features.resets,
            }
        };
        let most = counted(runs.iter().map(value)).into_values().max().unwrap_or(0);
        (1000 * most).div_ceil((runs.len() as u64).max(1))
    }
}

/// How often each value occurs.
fn counted<T: Ord>(values: impl Iterator<Item = T>) -> BTreeMap<T, u64> {
    values.fold(BTreeMap::new(), |mut counts, value| {
        *counts.entry(value).or_default() += 1;
        counts
    })
}

/// The variety of runs, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variety {
    /// The share of the commonest features.
    pub dominant: u64,
    /// Different features, of all runs.
    pub diversity: u64,
}

/// How alike runs are, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collapse {
    /// Number of runs.
    pub runs: u64,
    /// Number of different features.
    pub distinct: u64,
    /// The share of the commonest features, where it is largest.
    pub dominant: u64,
    /// The share of different features, where it is smallest.
    pub diversity: u64,
    /// The share of runs that did not fail.
    pub success: u64,
    /// The variety of the memory adapters in the same runs. `None`: no number was suspicious.
    pub reference: Option<Variety>,
    /// The aspects that are fixed, in the order of [`Aspect`].
    pub fixed: [bool; Aspect::ALL.len()],
}

impl Collapse {
    /// For the runs of these profiles, in order. `reference` makes the runs of a range of them with
    /// the memory adapters.
    pub fn of_profiles(
        profiles: &[Vec<(Features, bool)>],
        reference: impl Fn(Range<usize>) -> Vec<Features>,
    ) -> Self {
        let together = |row: Range<usize>| {
            let runs = profiles.get(row.clone()).unwrap_or_default().iter().flatten();
            let mut collapse = Self::of(runs.clone().cloned());
            let runs: Vec<_> = runs.map(|(features, _)| features).collect();
            let is_alike = |aspect: Aspect| {
                runs.len() >= ASPECT_RUNS_MIN
                    && aspect.is_claimed(&runs)
                    && aspect.dominant(&runs) > DOMINANT_MAX
            };
            let alike = Aspect::ALL.map(is_alike);
            if !collapse.is_uniform() && !alike.contains(&true) {
                return collapse;
            }
            let shown = reference(row);
            let of_reference: Vec<_> = shown.iter().collect();
            for ((fixed, is_alike), aspect) in collapse.fixed.iter_mut().zip(alike).zip(Aspect::ALL)
            {
                *fixed = is_alike && aspect.dominant(&of_reference) <= ASPECT_REFERENCE_MAX;
            }
            if collapse.is_uniform() {
                let shown = Self::of(shown.into_iter().map(|features| (features, true)));
                let Self { dominant, diversity, .. } = shown;
                collapse.reference = Some(Variety { dominant, diversity });
            }
            collapse
        };
        let count = profiles.len();
        // The last range is as long as the others: a short one is always alike.
        let last = count.saturating_sub(TOGETHER_MAX);
        let begins = (0..count).step_by(TOGETHER_MAX).map(|at| at.min(last));
        let rows = begins.map(|at| together(at..count.min(at + TOGETHER_MAX)));
        let rows: Vec<Self> = rows.collect();
        let fixed = array::from_fn(|at| rows.iter().any(|row| row.fixed.get(at) == Some(&true)));
        let all = Self::of(profiles.iter().flatten().cloned());
        let worst = rows.into_iter().min_by_key(Self::margin).unwrap_or(all);
        let Self { dominant, diversity, reference, .. } = worst;
        Self { dominant, diversity, reference, fixed, ..all }
    }

    /// One of the first two numbers is beyond its bound.
    const fn is_uniform(&self) -> bool {
        self.runs > 1 && (self.dominant > DOMINANT_MAX || self.diversity < DIVERSITY_MIN)
    }

    /// Margin of the nearest number from its bound, in thousandths. Negative: beyond it.
    fn margin(&self) -> i64 {
        let apart = |larger: u64, smaller: u64| larger.cast_signed() - smaller.cast_signed();
        let dominant = apart(self.dominant_max(), self.dominant);
        dominant.min(apart(self.diversity, self.diversity_min()))
    }

    /// The bound of the share of the commonest features.
    const fn dominant_max(&self) -> u64 {
        match self.reference {
            Some(shown) => {
                let others = REFERENCE_SHARE * (1000_u64.saturating_sub(shown.dominant)) / 1000;
                let most = 1000 - others;
                if most > DOMINANT_MAX { most } else { DOMINANT_MAX }
            }
            None => DOMINANT_MAX,
        }
    }

    /// The bound of the share of different features.
    const fn diversity_min(&self) -> u64 {
        match self.reference {
            Some(shown) => {
                let least = (REFERENCE_SHARE * shown.diversity).div_ceil(1000);
                if least < DIVERSITY_MIN { least } else { DIVERSITY_MIN }
            }
            None => DIVERSITY_MIN,
        }
    }

    /// For these runs: the features of each, and whether it did not fail.
    pub fn of(runs: impl IntoIterator<Item = (Features, bool)>) -> Self {
        let (mut all, mut passed) = (0, 0);
        let seen = counted(runs.into_iter().map(|(features, is_passed)| {
            all += 1;
            passed += u64::from(is_passed);
            features.without_sizes()
        }));
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
            reference: None,
            fixed: Default::default(),
        }
    }

    /// Every suspicion. A single run gives none: it is only like itself.
    #[must_use]
    pub fn suspicions(&self) -> Vec<&'static str> {
        if self.runs < 2 {
            return Vec::new();
        }
        let fixed = self.fixed.into_iter().zip(Aspect::ALL);
        let is_alike = self.dominant > self.dominant_max();
        let ratios = [
            (is_alike, "nearly all runs look the same"),
            (!is_alike && self.diversity < self.diversity_min(), "there are few different runs"),
            (self.success < SUCCESS_MIN, "too many runs failed"),
        ];
        let aspects = fixed.map(|(is_fixed, aspect)| (is_fixed, aspect.suspicion()));
        let all = ratios.into_iter().chain(aspects);
        all.filter(|(is_there, _)| *is_there).map(|(_, suspicion)| suspicion).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{FlowId, FlowState, Tick};
    use crate::trace::{EventKind, Stage, Trace};

    fn features(events: &[EventKind]) -> Features {
        let mut trace = Trace::new(1000);
        for what in events {
            trace.push(Tick(0), FlowId::new(1), *what);
        }
        Features::of(&trace, 1)
    }

    fn ended(state: FlowState) -> Features {
        features(&[EventKind::Moved { state }])
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
        assert_eq!(two(10, 0).suspicions(), ["nearly all runs look the same"]);
        assert!(two(15, 1).suspicions().is_empty());
        assert_eq!(two(15, 1).diversity, 125);
        assert_eq!(two(16, 1).suspicions(), ["nearly all runs look the same"]);
        assert_eq!(two(9, 8).suspicions(), ["there are few different runs"]);
        assert!(two(1, 0).suspicions().is_empty());
        assert_eq!(Collapse::of([]), Collapse::default());
    }

    fn state(number: usize) -> Features {
        let mut features = Features::default();
        features.codes.insert(number as u16);
        features
    }

    #[test]
    fn of_many_profiles_those_in_a_row_are_looked_at_together() {
        let check = |profiles: usize, of: &dyn Fn(usize) -> usize| {
            let profile = |at| vec![(state(of(at)), true), (state(100), true)];
            let all: Vec<_> = (0..profiles).map(profile).collect();
            Collapse::of_profiles(&all, |row| {
                let shown = row.flat_map(|at| [state(at % 10), state(100)]);
                shown.collect()
            })
        };
        // There are ten ways, and more profiles do not add any.
        for profiles in [2, 10, 20, 21, 1000] {
            let many = check(profiles, &|at| at % 10);
            assert!(many.suspicions().is_empty(), "{profiles}: {many:?}");
            assert_eq!((many.runs, many.dominant), (2 * profiles as u64, 500));
        }
        assert_eq!(check(1000, &|at| at % 10).distinct, 11);
        // A pair that always does the same is found, even in one range among many.
        let same = check(1000, &|_| 100).suspicions();
        assert_eq!(same[0], "nearly all runs look the same");
        for row in [0, 20, 980] {
            let alike = |at| if (row..row + 20).contains(&at) { 1 } else { at % 10 };
            assert_eq!(check(1000, &alike).suspicions(), ["there are few different runs"]);
        }
        let ending = |at| if at >= 985 { 1 } else { at };
        assert_eq!(check(1005, &ending).suspicions(), ["there are few different runs"]);
    }

    #[test]
    fn success_counts() {
        let (closed, reset) = (ended(FlowState::Closed), ended(FlowState::Reset));
        let runs = |failed: usize| {
            let both = many(closed.clone(), 5).chain(many(reset.clone(), 5)).enumerate();
            Collapse::of(both.map(move |(at, (features, _))| (features, at >= failed)))
        };
        assert!(runs(1).suspicions().is_empty());
        assert_eq!(runs(2).suspicions(), ["too many runs failed"]);
    }

    #[test]
    fn lengths_alone_are_no_diversity() {
        let out = |bytes| {
            let place = Stage::Egress;
            features(&[EventKind::Out { place, sequence: 1, offset: 0, bytes, is_final: true }])
        };
        assert_ne!(out(1), out(5000));
        let runs = [1, 2000, 5000, 1 << 20].map(|bytes| (out(bytes), true));
        assert_eq!(Collapse::of(runs).distinct, 1);
    }
}
