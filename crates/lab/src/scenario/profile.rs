// SPDX-License-Identifier: BSD-3-Clause
//! The part of all scenarios that a seed decides: limits, windows, link, faults, scheduler.
//!
//! A profile depends only on its seed: the tenth profile of a check from seed 1 is the first one of
//! a check from seed 10.
//!
//! | number | around | minimum |
//! |---|---|---|
//! | chunk | 4, 8, 16, 32, 64 KiB | 1, and lengths at or just below what a scenario needs |
//! | bytes between source and sink | a chunk, or 2, 4, 8 | a chunk |
//! | room of a flow | a chunk, a half, a quarter | 1, with short chunks |
//! | window of a flow | a chunk, or 2, 4, a half | 1, with short chunks and without faults |
//! | flows | 4, 8, 16, 64 | 1 |
//!
//! Half of the numbers are round. The others are one more, one less, a prime, or arbitrary: a
//! number that is no multiple of another one reveals rounding errors.

use crate::choice::{Random, Scheduler};
use crate::config::Config;
use crate::contract::Tick;
use crate::fault::{FaultKinds, FaultPlan};
use crate::link::Link;
use crate::source::{Source, Swarm};
use crate::target::Behaviour;
use crate::trace::FaultKind;

use super::Scenario;

/// The name of this module's random numbers among those of a seed.
const PROFILE: u64 = 0x70_726f_6669_6c65;
/// The name of the random numbers for values that are not round.
const BESIDE: u64 = 1;
/// Events of a run: enough for the longest run with the smallest buffers.
const EVENTS_MAX: u32 = 1 << 17;
/// Chunks of this length carry every scenario.
const ROOMY_BYTES: u64 = 4096;
/// Chunk length up to which buffers and windows of one byte stay within the maximum number of
/// steps.
const SHORT_BYTES: u64 = 256;
/// Minimum window in runs with faults, unless chunks are shorter: with one byte per round trip the
/// longest response would take longer than the time in which every flow must end.
const STRUCK_WINDOW_BYTES: u64 = 32;
/// Short chunk lengths: the minimum, lengths that scenarios need, and one less.
const SHORT: [u64; 8] = [1, 30, 31, 64, 94, 95, 127, 192];
/// One in this many consecutive seeds has limits that carry every scenario. A quick check has this
/// many profiles; without such a seed one of its gates might have no occasion.
const ROOMY_ONCE_IN: u64 = 3;

/// What was drawn from a seed.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The limits, the seed among them.
    pub config: Config,
    /// Room of each flow in an adapter, unless a scenario says otherwise.
    pub flow_bytes_max: u64,
    /// Bytes of each flow that may be in flight.
    pub window_bytes: u64,
    /// The link between the sessions.
    pub link: Link,
    /// The faults.
    pub faults: FaultPlan,
    /// The scheduler.
    pub scheduler: Scheduler,
    /// What the scenario `swarm` uses in place of link, faults, scheduler and its behaviours.
    pub swarm: Swarm,
}

fn one_of<T: Copy, const N: usize>(random: &mut Random, all: [T; N]) -> Option<T> {
    all.get(random.below(N as u32) as usize).copied()
}

/// Half of the time `round`, otherwise a number near it; at least 1.
fn number_beside(random: &mut Random, round: u64) -> u64 {
    let beside = match random.below(8) {
        0 => round + 1,
        1 => round.saturating_sub(1),
        2 => (2..=round).rev().find(is_prime).unwrap_or(1),
        3 => round - u64::from(random.below(u32::try_from(round / 4).unwrap_or(u32::MAX))),
        _ => round,
    };
    beside.max(1)
}

fn is_prime(number: &u64) -> bool {
    (2..).take_while(|by| by * by <= *number).all(|by| !number.is_multiple_of(by))
}

impl Profile {
    /// The profile of this seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed).fork(PROFILE);
        let it = &mut random;
        // With all kinds of faults a roomy profile may show nothing, so its neighbours are roomy
        // too.
        let is_roomy = seed.is_multiple_of(ROOMY_ONCE_IN) || matches!(seed % 12, 1 | 11);
        let beside = &mut Random::new(seed).fork(PROFILE).fork(BESIDE);
        let chunk = match it.below(16) {
            0 if !is_roomy => one_of(beside, SHORT).unwrap_or(1),
            _ => {
                let round = one_of(it, [4096, 8192, 16 << 10, 32 << 10, 64 << 10]);
                let chunk = number_beside(beside, round.unwrap_or(ROOMY_BYTES));
                if is_roomy { chunk.max(ROOMY_BYTES) } else { chunk }
            }
        };
        let flows = match it.below(8) {
            0 if !is_roomy => 1 + it.below(3),
            _ => one_of(it, [4, 5, 8, 17, 64]).unwrap_or(4),
        };
        let buffered = chunk * one_of(it, [1, 2, 4, 8]).unwrap_or(4);
        let config = Config {
            max_flows: flows,
            max_chunk_bytes: chunk,
            max_buffered_bytes: number_beside(beside, buffered).max(chunk),
            max_events: EVENTS_MAX,
            deterministic_seed: seed,
            ..Config::default()
        };
        let room = one_of(it, [chunk, chunk / 2, chunk / 4]).unwrap_or(chunk);
        let window = one_of(it, [chunk, chunk * 2, chunk * 4, chunk / 2]).unwrap_or(chunk);
        let mut length = |round: u64| match beside.below(4) {
            0 if chunk <= SHORT_BYTES => 1,
            _ => number_beside(beside, round),
        };
        let (flow_bytes_max, window) = (length(room), length(window));
        let link = one_of(it, Link::ALL).unwrap_or_default();
        let scheduler = match it.below(4) {
            0 => Scheduler::RoundRobin,
            1 => Scheduler::Pct { changes: 3, steps: 256 },
            _ => Scheduler::Random,
        };
        let faults = faults(seed, it);
        let least = if faults.is_none() { 1 } else { chunk.min(STRUCK_WINDOW_BYTES) };
        let window_bytes = window.max(least);
        let swarm = Swarm::draw(seed);
        Self { config, flow_bytes_max, window_bytes, link, faults, scheduler, swarm }
    }

    /// The profile for this scenario: the scenario may have its own faults, and a swarm draws its
    /// own values. In a scenario that is run in every order nothing is cut into pieces, because
    /// each piece would add a choice.
    #[must_use]
    pub fn of(&self, scenario: &Scenario) -> Self {
        if scenario.source != Source::Swarm {
            let faults = scenario.faults.unwrap_or(self.faults);
            let whole = scenario.orders.map_or(0, |_| scenario.chunk_bytes_min);
            let flow_bytes_max = self.flow_bytes_max.max(whole);
            let window_bytes = self.window_bytes.max(whole);
            return Self { faults, flow_bytes_max, window_bytes, ..self.clone() };
        }
        Self {
            link: self.swarm.link(),
            faults: self.swarm.faults(),
            scheduler: self.swarm.scheduler(),
            ..self.clone()
        }
    }

    /// The behaviour of the target in this scenario.
    #[must_use]
    pub fn behaviour(&self, scenario: &Scenario) -> Behaviour {
        if scenario.source == Source::Swarm {
            return self.swarm.behaviour();
        }
        let all = scenario.behaviours;
        let place = super::SCENARIOS.iter().position(|one| one.name == scenario.name);
        let seed = self.config.deterministic_seed;
        let mut random = Random::new(seed).fork(PROFILE ^ place.unwrap_or(0) as u64);
        all.get(random.below(all.len() as u32) as usize).copied().unwrap_or(Behaviour::Echo)
    }

    /// Name of the faults in reports.
    #[must_use]
    pub const fn faults_name(&self) -> &'static str {
        match self.config.deterministic_seed % 4 {
            0 => "any",
            2 => "survivable",
            _ => "none",
        }
    }
}

/// Of four consecutive seeds one has faults of all kinds, and one has faults that end no flow.
fn faults(seed: u64, random: &mut Random) -> FaultPlan {
    let survivable = [
        FaultKind::Delay,
        FaultKind::Stall,
        FaultKind::PartialRead,
        FaultKind::PartialWrite,
        FaultKind::WouldBlock,
        FaultKind::SpuriousWake,
        FaultKind::ClockJump,
        FaultKind::SlowConsumer,
        FaultKind::GreedyConsumer,
        FaultKind::BlockedConsumer,
    ];
    let budget = 1 + random.below(6);
    match seed % 4 {
        0 => FaultPlan::new(FaultKinds::ALL, budget, Tick(30)),
        2 => {
            let kinds = survivable.into_iter().fold(FaultKinds::NONE, FaultKinds::with);
            FaultPlan::new(kinds, budget, Tick(30))
        }
        _ => FaultPlan::NONE,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::scenario::SCENARIOS;

    #[test]
    fn a_profile_is_valid_and_its_seeds_own() {
        let mut seen = BTreeSet::new();
        for seed in 0..400 {
            let profile = Profile::draw(seed);
            assert_eq!(profile.config.validate(), Ok(()));
            assert!(profile.flow_bytes_max > 0 && profile.window_bytes > 0);
            assert_eq!(format!("{profile:?}"), format!("{:?}", Profile::draw(seed)));
            let of_faults = profile.faults.is_none();
            assert_eq!(of_faults, profile.faults_name() == "none");
            let is_narrow =
                profile.config.max_chunk_bytes < ROOMY_BYTES || profile.config.max_flows < 4;
            assert!(!is_narrow || seed % 3 != 0);
            let least = profile.config.max_chunk_bytes.min(STRUCK_WINDOW_BYTES);
            assert!(of_faults || profile.window_bytes >= least);
            seen.insert(profile.link.name());
        }
        assert_eq!(seen.len(), Link::ALL.len());
    }

    /// Of each number that has one: those that are round, and what is beside them.
    #[test]
    fn numbers_are_round_and_beside_that_and_the_least() {
        type Number = fn(&Profile) -> u64;
        let all: [(&str, u64, Number); 4] = [
            ("chunk", 1, |it| it.config.max_chunk_bytes),
            ("all", 1, |it| it.config.max_buffered_bytes),
            ("room", 1, |it| it.flow_bytes_max),
            ("window", 1, |it| it.window_bytes),
        ];
        for (name, least, number) in all {
            let drawn = (0..2000).map(|seed| number(&Profile::draw(seed)));
            let long: Vec<_> = drawn.clone().filter(|it| *it > 1000).collect();
            let count = |is_it: fn(u64) -> bool| long.iter().filter(|it| is_it(**it)).count();
            let kinds = [
                ("round", 500, count(u64::is_power_of_two)),
                ("one more", 60, count(|it| (it - 1).is_power_of_two())),
                ("one less", 60, count(|it| (it + 1).is_power_of_two())),
                ("a prime", 100, count(|it| is_prime(&it))),
                ("any", 60, count(|it| it % 64 != 0 && !is_prime(&it))),
            ];
            for (kind, least, count) in kinds {
                assert!(count >= least, "{name}, {kind}: {count} of {}", long.len());
            }
            assert!(drawn.min() == Some(least), "{name}");
        }
        let is_multiple = |it: Profile| it.window_bytes.is_multiple_of(it.config.max_chunk_bytes);
        let multiples = (0..2000).filter(|seed| is_multiple(Profile::draw(*seed))).count();
        assert!((200..1000).contains(&multiples), "{multiples}");
    }

    #[test]
    fn beside_a_number_is_never_nothing_and_never_far() {
        let random = &mut Random::new(1);
        for round in (0..40).chain([4096, 512 << 10]) {
            for _ in 0..200 {
                let beside = number_beside(random, round);
                let is_near = beside + round / 4 + 1 >= round && beside <= round + 1;
                assert!(beside >= 1 && is_near, "{beside} for {round}");
            }
        }
    }

    #[test]
    fn every_behaviour_of_a_scenario_is_drawn() {
        for scenario in &SCENARIOS {
            let drawn = (0..200).map(|seed| Profile::draw(seed).behaviour(scenario).name());
            let drawn: BTreeSet<_> = drawn.collect();
            let all = scenario.behaviours.iter().map(|behaviour| behaviour.name());
            assert_eq!(drawn, all.collect(), "{}", scenario.name);
        }
    }
}
