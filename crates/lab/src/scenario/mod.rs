// SPDX-License-Identifier: BSD-3-Clause
//! Scenarios: what a pair of adapters is put through, and what has to be seen of it.
//!
//! A scenario says what sources and target do, what room adapters have, what limits have to allow,
//! and what a run has to show so that it counts. A [profile](Profile) draws the rest from a seed.
//! Limits that cannot carry a scenario make it *not applicable*: it is never made smaller.
//!
//! | scenario | source | flows | has to show |
//! |---|---|---|---|
//! | single_flow_echo | small_burst | 1 | each flow ends in order |
//! | many_small_flows | late_write: small ones, the first offers more behind its end | 4 | the same |
//! | large_flow_backpressure | large_object | 2 | a source is turned away |
//! | slow_drip | slow_drip | 1 | each flow ends in order |
//! | mixed_flows | mixed_flow | 4 | a flow ends as reset |
//! | reset_isolation | resetting | 3 | a flow ends as reset |
//! | target_error_mapping | small_burst | 3 | each flow ends as failed |
//! | target_reset_mapping | small_burst | 3 | each flow ends as reset |
//! | half_close | half_close | 1 | a direction is half-closed |
//! | queue_pressure | mixed_flow | 2 | a source is turned away |
//! | malformed_source_chunk | malformed | 1 | it is refused as malformed |
//!
//! | file | holds |
//! |---|---|
//! | `demand` | what a run has to show |
//! | `profile` | what is drawn from a seed |

mod demand;
mod profile;

pub(crate) use demand::is_disturbed;
pub use demand::{Demand, Shown};
pub use profile::Profile;

use crate::config::Config;
use crate::contract::{Capability, FlowId, FlowState, Limits, Manifest};
use crate::source::{FlowPlan, Source};
use crate::target::Behaviour;

/// The room that adapters have for a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// As the profile drew it.
    Drawn,
    /// An eighth of the longest chunk: sources are turned away.
    Tight,
}

/// Something that is tried with every pair.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Scenario {
    /// Its name, in reports.
    pub name: &'static str,
    /// What the sources do.
    pub source: Source,
    /// How many flows.
    pub flows: u32,
    /// What the target does: one of these, drawn by the profile.
    pub behaviours: &'static [Behaviour],
    /// The room of a flow.
    pub room: Room,
    /// Chunks have to be allowed to be so long, or the source would cut them shorter than it says.
    pub chunk_bytes_min: u64,
    /// Both adapters have to claim this.
    pub needs: Option<Capability>,
    /// What a run has to show.
    pub demand: Demand,
    /// It is tried in quick mode too.
    pub is_quick: bool,
}

/// Answers that end in order.
const ANSWERS: &[Behaviour] = &[
    Behaviour::Echo,
    Behaviour::Discard,
    Behaviour::FixedResponse,
    Behaviour::SlowResponse,
    Behaviour::ChunkedResponse,
    Behaviour::DripResponse,
    Behaviour::JitteryResponse,
];

const PLAIN: Scenario = Scenario {
    name: "single_flow_echo",
    source: Source::SmallBurst,
    flows: 1,
    behaviours: &[Behaviour::Echo],
    room: Room::Drawn,
    chunk_bytes_min: 95,
    needs: None,
    demand: Demand::AllEnd(FlowState::Closed),
    is_quick: false,
};

/// All of them, in the order in which they are tried.
pub static SCENARIOS: [Scenario; 11] = [
    Scenario { is_quick: true, ..PLAIN },
    Scenario {
        name: "many_small_flows",
        source: Source::LateWrite,
        flows: 4,
        behaviours: ANSWERS,
        chunk_bytes_min: 128,
        is_quick: true,
        ..PLAIN
    },
    Scenario {
        name: "large_flow_backpressure",
        source: Source::LargeObject,
        flows: 2,
        behaviours: &[Behaviour::Echo, Behaviour::LargeObject, Behaviour::SlowResponse],
        room: Room::Tight,
        chunk_bytes_min: 4096,
        demand: Demand::Stalls,
        is_quick: true,
        ..PLAIN
    },
    Scenario {
        name: "slow_drip",
        source: Source::SlowDrip,
        behaviours: &[Behaviour::Echo, Behaviour::DripResponse, Behaviour::JitteryResponse],
        chunk_bytes_min: 31,
        ..PLAIN
    },
    Scenario {
        name: "mixed_flows",
        source: Source::MixedFlow,
        flows: 4,
        behaviours: ANSWERS,
        chunk_bytes_min: 192,
        needs: Some(Capability::FlowReset),
        demand: Demand::OneEnds(FlowState::Reset),
        ..PLAIN
    },
    Scenario {
        name: "reset_isolation",
        source: Source::Resetting,
        flows: 3,
        behaviours: &[Behaviour::Echo, Behaviour::SlowResponse, Behaviour::DripResponse],
        chunk_bytes_min: 128,
        needs: Some(Capability::FlowReset),
        demand: Demand::OneEnds(FlowState::Reset),
        ..PLAIN
    },
    Scenario {
        name: "target_error_mapping",
        flows: 3,
        behaviours: &[Behaviour::ErrorResponse],
        demand: Demand::AllEnd(FlowState::Failed),
        ..PLAIN
    },
    Scenario {
        name: "target_reset_mapping",
        flows: 3,
        behaviours: &[Behaviour::ResetMidstream],
        demand: Demand::AllEnd(FlowState::Reset),
        ..PLAIN
    },
    Scenario {
        name: "half_close",
        source: Source::HalfClose,
        behaviours: &[Behaviour::FixedResponse, Behaviour::ChunkedResponse],
        chunk_bytes_min: 128,
        needs: Some(Capability::FlowHalfClose),
        demand: Demand::HalfCloses,
        ..PLAIN
    },
    Scenario {
        name: "queue_pressure",
        source: Source::MixedFlow,
        flows: 2,
        behaviours: &[Behaviour::Echo, Behaviour::SlowResponse, Behaviour::DripResponse],
        room: Room::Tight,
        chunk_bytes_min: 1024,
        demand: Demand::Stalls,
        ..PLAIN
    },
    Scenario {
        name: "malformed_source_chunk",
        source: Source::Malformed,
        chunk_bytes_min: 128,
        demand: Demand::RefusesMalformed,
        ..PLAIN
    },
];

/// The scenario of this name.
#[must_use]
pub fn of_name(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// What its flows do. Of sources that have one flow each flow is one.
    #[must_use]
    pub fn plans(&self, config: &Config) -> Vec<FlowPlan> {
        let plans = self.source.plan(config, self.flows);
        let Some(first) = plans.first().filter(|_| plans.len() < self.flows as usize) else {
            return plans;
        };
        let flow = |number| FlowPlan { flow: FlowId::new(number), ..first.clone() };
        (1..=self.flows).map(flow).collect()
    }

    /// Why these limits cannot carry it. `None`: they can.
    #[must_use]
    pub fn obstacle(&self, config: &Config, manifests: &[Manifest; 2]) -> Option<&'static str> {
        let [ingress, egress] = manifests.each_ref().map(|manifest| manifest.limits.flows_max);
        match () {
            () if self.flows > config.max_flows => Some("the limits allow fewer flows"),
            () if self.flows > ingress.min(egress) => Some("the adapters carry fewer flows"),
            () if self.chunk_bytes_min > config.max_chunk_bytes => {
                Some("the limits allow shorter chunks only")
            }
            () => None,
        }
    }

    /// Whether both adapters claim what it is about.
    #[must_use]
    pub fn is_supported(&self, manifests: &[Manifest; 2]) -> bool {
        self.needs.is_none_or(|needed| manifests.iter().all(|one| one.capabilities.has(needed)))
    }

    /// The limits of the adapters.
    #[must_use]
    pub fn limits(&self, profile: &Profile) -> Limits {
        let flow = match self.room {
            Room::Drawn => profile.flow_bytes_max,
            Room::Tight => (profile.config.max_chunk_bytes / 8).max(1),
        };
        Limits {
            flows_max: profile.config.max_flows,
            buffered_bytes_max: flow * u64::from(self.flows),
            flow_buffered_bytes_max: flow,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::adapters::HEALTHY;

    fn manifests(limits: Limits) -> [Manifest; 2] {
        let (ingress, egress) = (HEALTHY[0].make)(limits);
        [ingress.manifest(), egress.manifest()]
    }

    #[test]
    fn names_are_their_own_and_three_are_quick() {
        let names: BTreeSet<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), 11);
        let quick: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.is_quick).collect();
        assert_eq!(quick, [[true; 3].as_slice(), &[false; 8]].concat());
        assert_eq!(of_name("half_close").unwrap().needs, Some(Capability::FlowHalfClose));
    }

    /// Where limits carry a scenario, its source gives what it gives without limits.
    #[test]
    fn nothing_is_made_smaller() {
        for seed in 0..64 {
            for scenario in &SCENARIOS {
                let config = |max_chunk_bytes| Config {
                    deterministic_seed: seed,
                    max_chunk_bytes,
                    ..Config::default()
                };
                let (least, less) = (scenario.chunk_bytes_min, scenario.chunk_bytes_min - 1);
                assert_eq!(scenario.plans(&config(least)).len(), scenario.flows as usize);
                let limits = scenario.limits(&Profile::draw(seed));
                let manifests = manifests(Limits { flows_max: 64, ..limits });
                assert_eq!(scenario.obstacle(&config(least), &manifests), None);
                assert!(scenario.obstacle(&config(less), &manifests).is_some());
                let is_small = !matches!(scenario.source, Source::LargeObject | Source::MixedFlow);
                if is_small {
                    let (one, other) = (config(least), config(256 << 10));
                    assert_eq!(scenario.plans(&one), scenario.plans(&other), "{}", scenario.name);
                }
            }
        }
    }

    #[test]
    fn few_flows_are_an_obstacle() {
        let scenario = of_name("many_small_flows").unwrap();
        let limits = |flows_max| Limits { flows_max, ..scenario.limits(&Profile::draw(1)) };
        let config = |max_flows| Config { max_flows, ..Config::default() };
        assert_eq!(scenario.obstacle(&config(4), &manifests(limits(4))), None);
        assert!(scenario.obstacle(&config(3), &manifests(limits(4))).is_some());
        assert!(scenario.obstacle(&config(4), &manifests(limits(3))).is_some());
    }
}
