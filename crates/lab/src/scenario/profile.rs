// SPDX-License-Identifier: BSD-3-Clause
//! What a seed decides about the runs of all scenarios: limits, windows, carrier, faults, who goes
//! next.
//!
//! A profile depends on its seed alone: the tenth of a check that starts at 1 is the first of one
//! that starts at 10.

use crate::carrier::Carrier;
use crate::choice::{Random, Scheduler};
use crate::config::Config;
use crate::contract::Tick;
use crate::fault::{FaultKinds, FaultPlan};
use crate::target::Behaviour;
use crate::trace::FaultKind;

use super::Scenario;

/// The name of a profile's numbers among those of its seed.
const PROFILE: u64 = 0x70_726f_6669_6c65;
/// Events of a run: enough for the longest, at the smallest rooms.
const EVENTS_MAX: u32 = 1 << 17;

/// What was drawn from a seed.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The limits, the seed among them.
    pub config: Config,
    /// Room of each flow in an adapter, unless a scenario says otherwise.
    pub flow_bytes_max: u64,
    /// Bytes of each flow that may be under way.
    pub window_bytes: u64,
    /// How sessions are carried.
    pub carrier: Carrier,
    /// What strikes.
    pub faults: FaultPlan,
    /// Who goes next.
    pub scheduler: Scheduler,
}

fn one_of<T: Copy, const N: usize>(random: &mut Random, all: [T; N]) -> Option<T> {
    all.get(random.below(N as u32) as usize).copied()
}

impl Profile {
    /// The profile of this seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed).fork(PROFILE);
        let it = &mut random;
        let chunk = match it.below(16) {
            0 => 64,
            _ => one_of(it, [4096, 8192, 16 << 10, 32 << 10, 64 << 10]).unwrap_or(4096),
        };
        let flows = match it.below(8) {
            0 => 1 + it.below(3),
            _ => one_of(it, [4, 5, 8, 16, 64]).unwrap_or(4),
        };
        let config = Config {
            max_flows: flows,
            max_chunk_bytes: chunk,
            max_buffered_bytes: chunk * one_of(it, [2, 4, 8]).unwrap_or(4),
            max_events: EVENTS_MAX,
            deterministic_seed: seed,
            ..Config::default()
        };
        let flow_bytes_max = chunk / one_of(it, [1, 2, 4]).unwrap_or(1);
        let window_bytes = chunk * one_of(it, [1, 2, 4]).unwrap_or(1);
        let carrier = one_of(it, Carrier::ALL).unwrap_or_default();
        let scheduler = match it.below(4) {
            0 => Scheduler::RoundRobin,
            1 => Scheduler::Pct { changes: 3, steps: 256 },
            _ => Scheduler::Random,
        };
        let faults = faults(seed, it);
        Self { config, flow_bytes_max, window_bytes, carrier, faults, scheduler }
    }

    /// What the target does in this scenario.
    #[must_use]
    pub fn behaviour(&self, scenario: &Scenario) -> Behaviour {
        let all = scenario.behaviours;
        let place = super::SCENARIOS.iter().position(|one| one.name == scenario.name);
        let seed = self.config.deterministic_seed;
        let mut random = Random::new(seed).fork(PROFILE ^ place.unwrap_or(0) as u64);
        all.get(random.below(all.len() as u32) as usize).copied().unwrap_or(Behaviour::Echo)
    }

    /// As reports have it.
    #[must_use]
    pub const fn faults_name(&self) -> &'static str {
        match self.config.deterministic_seed % 4 {
            0 => "any",
            2 => "survivable",
            _ => "none",
        }
    }
}

/// Of four seeds in a row one has faults of all kinds, one those that take no flow away.
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
            seen.insert(profile.carrier.name());
        }
        assert_eq!(seen.len(), Carrier::ALL.len());
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
