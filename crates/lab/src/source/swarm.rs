// SPDX-License-Identifier: BSD-3-Clause
//! What a seed switches off: a random half of all features and faults, completely (swarm testing:
//! Groce, Zhang, Eide, Chen and Regehr, 2012).
//!
//! Runs that may do everything rarely do one thing often: a reset ends what a stall would have
//! shown, and one link in eight is the one that matters. A swarm leaves out half of everything,
//! each seed another half, and the rest occurs more often. The report of a profile contains what
//! was drawn.
//!
//! A kind of which everything is off has its simplest form: an echo, a stream, the random
//! scheduler, small final chunks, no fault.

use std::fmt;

use strum::{IntoStaticStr, VariantArray};

use super::plan::{End, Sketch, of_lengths};
use crate::all;
use crate::choice::{Random, Scheduler};
use crate::config::Config;
use crate::contract::{Class, Tick};
use crate::fault::{FaultKinds, FaultPlan};
use crate::link::Link;
use crate::target::Behaviour;
use crate::trace::FaultKind;

/// The names of this module's random numbers among those of a seed.
const SWARM: u64 = 0x73_7761_726d;
const FLOWS: u64 = 0x66_6c6f_7773;
/// Maximum number of chunks of a flow that may have several.
const CHUNKS_MAX: u32 = 6;
/// Flows open before this tick; chunks follow one another within this many ticks.
const OPENS_MS_MAX: u32 = 12;
const EVERY_MS_MAX: u32 = 4;
/// Maximum number of faults, and the last tick of faults.
const BUDGET_MAX: u32 = 6;
const UNTIL: Tick = Tick(30);

/// A feature of the flows of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Feature {
    /// Several chunks.
    SeveralChunks,
    /// Chunks as long as they may be.
    LongChunks,
    /// Chunks without a byte.
    EmptyChunks,
    /// Chunks that come later than the one before.
    SlowChunks,
    /// Flows that open later than others.
    LateOpen,
    /// Flows that are interactive, or bulk.
    Classes,
    /// Flows that end by a half-close.
    HalfClose,
    /// Flows that their source resets.
    Reset,
    /// Flows that offer more after their end.
    LateWrite,
    /// Flows that offer something after a gap.
    Malformed,
}

impl Feature {
    /// All features.
    pub const ALL: [Self; Self::VARIANTS.len()] = all(Self::VARIANTS);

    /// Name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

const SCHEDULERS: [Scheduler; 3] =
    [Scheduler::Random, Scheduler::RoundRobin, Scheduler::Pct { changes: 3, steps: 256 }];

/// Number of fault kinds, the last ones, that are drawn after everything else, one by one. So a new
/// kind does not change what a seed draws otherwise.
const TOSSED: usize = 1;

/// Number of the other things that can be off: features, behaviours, links, schedulers, faults.
const COUNT: usize = Feature::ALL.len()
    + Behaviour::ALL.len()
    + Link::ALL.len()
    + SCHEDULERS.len()
    + FaultKind::ALL.len()
    - TOSSED;

/// The features that a seed keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swarm {
    seed: u64,
    /// Features of flows.
    pub features: Vec<Feature>,
    /// Behaviours of targets.
    pub behaviours: Vec<Behaviour>,
    /// Links.
    pub links: Vec<Link>,
    /// Schedulers.
    pub schedulers: Vec<Scheduler>,
    /// Faults.
    pub faults: FaultKinds,
}

impl Swarm {
    /// The features that this seed keeps: half of all, rounded down; the last fault kinds each with
    /// a chance of one half.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed).fork(SWARM);
        // A uniformly random half of the places (Fisher and Yates).
        let mut places: [usize; COUNT] = std::array::from_fn(|at| at);
        for last in (1..COUNT).rev() {
            places.swap(last, random.below(last as u32 + 1) as usize);
        }
        let mut is_on = [false; COUNT];
        for place in places.iter().take(COUNT / 2) {
            if let Some(is_on) = is_on.get_mut(*place) {
                *is_on = true;
            }
        }
        let tossed: [bool; TOSSED] = std::array::from_fn(|_| random.below(2) == 0);
        let mut on = is_on.into_iter().chain(tossed);
        Self {
            seed,
            features: left(Feature::ALL, &mut on),
            behaviours: left(Behaviour::ALL, &mut on),
            links: left(Link::ALL, &mut on),
            schedulers: left(SCHEDULERS, &mut on),
            faults: left(FaultKind::ALL, &mut on)
                .into_iter()
                .fold(FaultKinds::NONE, FaultKinds::with),
        }
    }

    /// The random numbers for one use.
    fn random(&self, name: u64) -> Random {
        Random::new(self.seed).fork(SWARM).fork(name)
    }

    /// One of the behaviours that are on.
    #[must_use]
    pub fn behaviour(&self) -> Behaviour {
        one_of(&mut self.random(1), &self.behaviours).unwrap_or(Behaviour::Echo)
    }

    /// One of the links that are on.
    #[must_use]
    pub fn link(&self) -> Link {
        one_of(&mut self.random(2), &self.links).unwrap_or_default()
    }

    /// One of the schedulers that are on.
    #[must_use]
    pub fn scheduler(&self) -> Scheduler {
        one_of(&mut self.random(3), &self.schedulers).unwrap_or(Scheduler::Random)
    }

    /// The faults that are on, with a random maximum number.
    #[must_use]
    pub fn faults(&self) -> FaultPlan {
        if self.faults.is_empty() {
            return FaultPlan::NONE;
        }
        FaultPlan::new(self.faults, 1 + self.random(4).below(BUDGET_MAX), UNTIL)
    }

    fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// A flow with features that are on.
    pub(super) fn sketch(&self, config: &Config, number: u32) -> Sketch {
        let mut random = self.random(FLOWS + u64::from(number));
        let it = &mut random;
        let maybe = |feature, it: &mut Random| self.has(feature) && it.below(2) == 0;
        let count = match maybe(Feature::SeveralChunks, it) {
            true => 2 + it.below(CHUNKS_MAX - 1),
            false => 1,
        };
        let longest = config.max_chunk_bytes;
        let length = |_| match () {
            () if maybe(Feature::EmptyChunks, it) => 0,
            () if maybe(Feature::LongChunks, it) => {
                longest - u64::from(it.below(2)).min(longest - 1)
            }
            () => 1 + u64::from(it.below(128)),
        };
        let chunks = of_lengths((0..count).map(length));
        let every =
            if maybe(Feature::SlowChunks, it) { 1 + it.below(EVERY_MS_MAX) } else { 0 }.into();
        let opens_at = if maybe(Feature::LateOpen, it) { it.below(OPENS_MS_MAX) } else { 0 }.into();
        let class = match maybe(Feature::Classes, it) {
            true if it.below(2) == 0 => Class::Interactive,
            true => Class::Bulk,
            false => Class::Normal,
        };
        let ends = [
            (Feature::HalfClose, End::HalfClose),
            (Feature::Reset, End::Reset),
            (Feature::LateWrite, End::LateWrite),
            (Feature::Malformed, End::Malformed),
        ];
        let ends = ends.iter().filter(|(feature, _)| self.has(*feature)).map(|(_, end)| *end);
        let ends: Vec<_> = ends.chain([End::Final]).collect();
        let end = one_of(it, &ends).unwrap_or(End::Final);
        Sketch { class, opens_at, every, chunks, end }
    }
}

/// The values that are on.
fn left<T: Copy, const N: usize>(all: [T; N], on: &mut impl Iterator<Item = bool>) -> Vec<T> {
    all.into_iter().zip(on).filter(|(_, is_on)| *is_on).map(|(one, _)| one).collect()
}

fn one_of<T: Copy>(random: &mut Random, all: &[T]) -> Option<T> {
    all.get(random.below(all.len() as u32) as usize).copied()
}

/// The values that are on, by kind; everything else is off.
impl fmt::Display for Swarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: [(&str, Vec<&str>); 5] = [
            ("flows", self.features.iter().map(|one| one.name()).collect()),
            ("targets", self.behaviours.iter().map(|one| one.name()).collect()),
            ("links", self.links.iter().map(|one| one.name()).collect()),
            ("schedulers", self.schedulers.iter().map(|one| one.name()).collect()),
            ("faults", self.faults.iter().map(FaultKind::name).collect()),
        ];
        for (at, (kind, names)) in kinds.iter().enumerate() {
            let names = if names.is_empty() { "none".into() } else { names.join(" ") };
            write!(f, "{}{kind}: {names}", if at > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::source::Source;

    fn on(swarm: &Swarm) -> usize {
        swarm.features.len()
            + swarm.behaviours.len()
            + swarm.links.len()
            + swarm.schedulers.len()
            + swarm.faults.iter().count()
    }

    #[test]
    fn a_half_is_on_for_each_seed_and_everything_for_half_of_them() {
        let mut times: BTreeMap<String, u32> = BTreeMap::new();
        for seed in 0..2000 {
            let swarm = Swarm::draw(seed);
            let tossed = usize::from(swarm.faults.has(FaultKind::BlockedConsumer));
            assert_eq!(on(&swarm), COUNT / 2 + tossed);
            assert_eq!(swarm, Swarm::draw(seed));
            let shown = swarm.to_string();
            for kind in shown.split("; ") {
                let (kind, names) = kind.split_once(": ").unwrap();
                for name in names.split(' ').filter(|name| *name != "none") {
                    *times.entry(format!("{kind} {name}")).or_default() += 1;
                }
            }
        }
        assert_eq!(times.len(), COUNT + TOSSED);
        assert!(times.values().all(|times| (850..1150).contains(times)), "{times:?}");
    }

    #[test]
    fn what_is_off_does_not_happen_and_what_is_on_does() {
        let (mut seen, mut possible) = ([0; 10], [0; 10]);
        for seed in 0..300 {
            let config = Config { deterministic_seed: seed, ..Config::default() };
            let swarm = Swarm::draw(seed);
            let plans = Source::Swarm.plan(&config, 6);
            let chunks = || plans.iter().flat_map(|plan| &plan.chunks);
            let does = [
                plans.iter().any(|plan| plan.chunks.len() > 1),
                chunks().any(|chunk| chunk.bytes > 128),
                chunks().any(|chunk| chunk.bytes == 0),
                plans.iter().any(|plan| plan.chunks.windows(2).any(|two| two[0].at < two[1].at)),
                plans.iter().any(|plan| plan.opens_at > Tick(0)),
                plans.iter().any(|plan| plan.class != Class::Normal),
                plans.iter().any(|plan| plan.end == End::HalfClose),
                plans.iter().any(|plan| plan.end == End::Reset),
                plans.iter().any(|plan| plan.end == End::LateWrite),
                plans.iter().any(|plan| plan.end == End::Malformed),
            ];
            for (at, (feature, does)) in Feature::ALL.into_iter().zip(does).enumerate() {
                assert!(!does || swarm.has(feature), "{feature:?} {seed}");
                seen[at] += u32::from(does);
                possible[at] += u32::from(swarm.has(feature));
            }
            assert!(swarm.behaviours.is_empty() || swarm.behaviours.contains(&swarm.behaviour()));
            assert!(swarm.links.is_empty() || swarm.links.contains(&swarm.link()));
            assert_eq!(swarm.faults().kinds, swarm.faults);
        }
        // Slow chunks need several.
        let often = seen.iter().zip(possible).all(|(seen, possible)| seen * 3 > possible);
        assert!(often, "{seen:?} {possible:?}");
    }
}
