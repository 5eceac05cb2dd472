// SPDX-License-Identifier: BSD-3-Clause
//! The plans of a source, as constants.
//!
//! A source is sampled with a few hundred seeds. What is equal for all of them becomes a constant.
//! The length of a chunk may be `base + (seed + salt) % span`, cut at a maximum, with a span that
//! is a power of two up to `SPAN_MAX`. The result is checked with further seeds: a source that does
//! not fit is an error.

use super::error::GenerateError;
use super::profile::Profile;
use crate::config::Config;
use crate::scenario::plans;
use crate::source::FlowPlan;

/// Number of seeds, from 0, that are sampled.
const SEEDS: u64 = 2 * SPAN_MAX;
/// The longest span that is tried.
const SPAN_MAX: u64 = 128;
/// Further seeds, for the check.
const FAR: [u64; 6] = [1 << 20, (1 << 31) + 17, (1 << 40) - 1, 1 << 63, u64::MAX - 40, u64::MAX];

/// The length of a chunk for any seed, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Length {
    pub(super) base: u64,
    pub(super) span: u64,
    pub(super) salt: u64,
    pub(super) bytes_max: u64,
}

/// A flow, and the lengths of its chunks.
pub(super) type Lengths = (FlowPlan, Vec<Length>);

/// The plan of a profile's source for one seed.
pub(crate) fn of_seed(profile: &Profile, seed: u64) -> Vec<FlowPlan> {
    let config = Config { deterministic_seed: seed, ..profile.config.clone() };
    plans(profile.source, &config, profile.flows)
}

/// The plan of a profile's source for any seed.
pub(super) fn of(profile: &Profile) -> Result<Vec<Lengths>, GenerateError> {
    let fail = || GenerateError::Source(profile.source.name());
    let plans: Vec<_> = (0..SEEDS).map(|seed| of_seed(profile, seed)).collect();
    let first = plans.first().ok_or_else(fail)?;
    let far = FAR.map(|seed| (seed, of_seed(profile, seed)));
    if !plans.iter().chain(far.iter().map(|(_, plan)| plan)).all(|plan| is_alike(plan, first)) {
        return Err(fail());
    }
    let length = |flow: usize, chunk: usize| {
        let bytes = |plan: &[FlowPlan]| Some(plan.get(flow)?.chunks.get(chunk)?.bytes);
        let near: Option<Vec<u64>> = plans.iter().map(|plan| bytes(plan)).collect();
        let found = Length::of(&near?)?;
        let holds = |(seed, plan): &(u64, Vec<FlowPlan>)| bytes(plan) == Some(found.bytes(*seed));
        far.iter().all(holds).then_some(found)
    };
    let flows = first.iter().enumerate().map(|(flow, plan)| {
        let lengths = (0..plan.chunks.len()).map(|chunk| length(flow, chunk));
        Some((plan.clone(), lengths.collect::<Option<Vec<_>>>()?))
    });
    flows.collect::<Option<Vec<_>>>().ok_or_else(fail)
}

/// Whether two plans are equal except for the lengths of chunks.
fn is_alike(one: &[FlowPlan], other: &[FlowPlan]) -> bool {
    let plain = |plans: &[FlowPlan]| {
        let mut plans = plans.to_vec();
        plans.iter_mut().flat_map(|plan| &mut plan.chunks).for_each(|chunk| chunk.bytes = 0);
        plans
    };
    plain(one) == plain(other)
}

impl Length {
    /// The formula that gives these lengths for the seeds from 0 on.
    fn of(near: &[u64]) -> Option<Self> {
        let (least, most) = (*near.iter().min()?, *near.iter().max()?);
        if least == most {
            return Some(Self { base: least, span: 1, salt: 0, bytes_max: least });
        }
        let spans = (1..).map(|power| 1 << power).take_while(|span| *span <= SPAN_MAX);
        let tried = spans.flat_map(|span| (0..span).map(move |salt| (span, salt)));
        let formulas = tried.map(|(span, salt)| Self { base: least, span, salt, bytes_max: most });
        let holds =
            |length: &Self| (0..).zip(near).all(|(seed, bytes)| length.bytes(seed) == *bytes);
        formulas.into_iter().find(holds)
    }

    const fn bytes(&self, seed: u64) -> u64 {
        let bytes = self.base + seed.wrapping_add(self.salt) % self.span;
        if bytes < self.bytes_max { bytes } else { self.bytes_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::STEADY;
    use crate::source::Source;

    #[test]
    fn lengths_are_found_and_nothing_is_guessed() {
        let of = |length: fn(u64) -> u64| Length::of(&(0..SEEDS).map(length).collect::<Vec<_>>());
        assert_eq!(of(|_| 7), Some(Length { base: 7, span: 1, salt: 0, bytes_max: 7 }));
        let found = of(|seed| 24 + (seed + 5) % 8);
        assert_eq!(found, Some(Length { base: 24, span: 8, salt: 5, bytes_max: 31 }));
        let found = of(|seed| (64 + (seed + 2) % 32).min(70));
        assert_eq!(found, Some(Length { base: 64, span: 32, salt: 2, bytes_max: 70 }));
        assert_eq!(of(|seed| seed * seed % 13), None);
        assert_eq!(of(|seed| seed), None);
    }

    /// Every source, at every length at which something is cut: as its own plan says.
    #[test]
    fn plans_say_what_sources_give() {
        let mut profile = STEADY.profile().unwrap();
        for source in Source::ALL {
            for (flows, chunk) in [(1, 16_384), (4, 16_384), (3, 80), (2, 1)] {
                profile.source = source;
                profile.flows = flows;
                profile.config.max_chunk_bytes = chunk;
                if source == Source::Swarm {
                    // What a seed switches off is no formula of it.
                    assert!(of(&profile).is_err());
                    continue;
                }
                let Ok(plan) = of(&profile) else { panic!("{} {flows} {chunk}", source.name()) };
                for seed in (0..300).chain([1 << 30, u64::MAX - 7]) {
                    let expected = of_seed(&profile, seed);
                    let given = plan.iter().map(|(flow, lengths)| {
                        let mut flow = flow.clone();
                        for (chunk, length) in flow.chunks.iter_mut().zip(lengths) {
                            chunk.bytes = length.bytes(seed);
                        }
                        flow
                    });
                    assert!(given.eq(expected), "{} {flows} {chunk} {seed}", source.name());
                }
            }
        }
    }
}
