// SPDX-License-Identifier: BSD-3-Clause
//! The similarity of runs in a report: classes of runs with the same features, and the number of
//! different values of each feature.

use std::collections::{BTreeMap, BTreeSet};

use super::parts::{CollapseReport, FeatureReport, VarietyReport};
use crate::adversary::{Collapse, Features};
use crate::check::Run;

/// The classes of a check's runs.
pub(super) struct Classes {
    /// Number of runs of each class, the largest first.
    sizes: Vec<u64>,
    features: Vec<FeatureReport>,
    /// The class of each run that was made.
    of_runs: Vec<Option<u64>>,
}

impl Classes {
    pub(super) fn of(runs: &[Run]) -> Self {
        let features: Vec<Option<Features>> = runs
            .iter()
            .map(|run| run.features().map(|features| features.clone().without_sizes()))
            .collect();
        let mut counts: BTreeMap<&Features, u64> = BTreeMap::new();
        for one in features.iter().flatten() {
            *counts.entry(one).or_default() += 1;
        }
        let mut order: Vec<_> = counts.into_iter().collect();
        order.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(other.0)));
        let places: BTreeMap<&Features, u64> =
            order.iter().zip(0..).map(|((one, _), at)| (*one, at)).collect();
        let place = |one: &Option<Features>| places.get(one.as_ref()?).copied();
        let of_runs = features.iter().map(place).collect();
        let sizes = order.iter().map(|(_, count)| *count).collect();
        let kinds = by_kind(runs);
        Self { sizes, features: kinds, of_runs }
    }

    /// The class of the run at this index.
    pub(super) fn of_run(&self, at: usize) -> Option<u64> {
        self.of_runs.get(at).copied().flatten()
    }

    pub(super) fn report(self, collapse: Collapse) -> CollapseReport {
        CollapseReport {
            runs: collapse.runs,
            distinct: collapse.distinct,
            dominant_per_mille: collapse.dominant,
            diversity_per_mille: collapse.diversity,
            success_per_mille: collapse.success,
            reference: collapse.reference.map(|shown| VarietyReport {
                dominant_per_mille: shown.dominant,
                diversity_per_mille: shown.diversity,
            }),
            classes: self.sizes,
            features: self.features,
        }
    }
}

/// The number of different values of each feature.
fn by_kind(runs: &[Run]) -> Vec<FeatureReport> {
    let features = || runs.iter().filter_map(Run::features);
    fn ways<'a, T: Ord + 'a>(values: impl Iterator<Item = &'a T>) -> u64 {
        values.collect::<BTreeSet<_>>().len() as u64
    }
    let report = |feature, distinct| FeatureReport { feature, distinct };
    vec![
        report("lifecycle path", ways(features().map(|one| &one.paths))),
        report("chunks", ways(features().map(|one| &one.chunks))),
        report("bytes", ways(features().map(|one| &one.bytes))),
        report("resets", ways(features().map(|one| &one.resets))),
        report("closes", ways(features().map(|one| &one.closes))),
        report("refusals", ways(features().map(|one| &one.refusals))),
        report("stream codes", ways(features().map(|one| &one.codes))),
        report("backpressure", ways(features().map(|one| &one.stalls))),
        report("stream mapping", ways(features().map(|one| &one.streams))),
        report("session result", ways(features().map(|one| &one.session))),
        report("failures", ways(features().map(|one| &one.failures))),
    ]
}
