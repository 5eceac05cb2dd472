// SPDX-License-Identifier: BSD-3-Clause
//! Scenarios: what a pair of adapters is run through, and what its runs must show.
//!
//! A scenario gives the behaviour of sources and target, the room of adapters, the required limits,
//! and what a run must show to count. A [profile](Profile) draws the rest from a seed. Limits that
//! cannot carry a scenario make it *not applicable*: it is never reduced.
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
//! | bidirectional | bidirectional | 2 | each flow ends in order, also if its answer ends first |
//! | zero_length | zero_length | 3 | each flow ends in order |
//! | one_byte_drip | one_byte_drip | 1 | each flow ends in order |
//! | exact_limit | exact_limit | 4 | each flow ends in order |
//! | late_open | late_open | 4 | each flow ends in order |
//! | priority_inversion | priority_inversion | 4 | each flow ends in order; rule CAP-05 judges the order of flows |
//! | many_flows | many_flows | 2000, of which as many are open as may be | each flow ends in order |
//! | one_flow_too_many | crowd: one flow more than adapters carry, without faults | as many as may be open | it is refused as too many |
//! | crash_and_after | early_and_late: the only fault is a crash, before the late ones | 3 | nothing of its own: rule ROB-04 judges the late ones |
//! | blocked_flow | elephant_and_mice: the only fault is a sink that takes nothing of the long one while the others come and go | 4 | the others end meanwhile, its source is turned away, and then it ends too |
//! | swarm | swarm: what the seed leaves on, of targets, links and faults too | 4 | nothing of its own: rules judge it |
//! | session_calls | bidirectional, without faults, while both sessions do whatever else they can | 2 | each flow ends in order; rules INT-11 and RES-08 judge the sessions |
//! | every_order | small_burst, without faults, in all orders within bounds | 2 | each flow ends in order, in each |
//!
//! The first eleven are the named ones, of which the first three are quick.
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

use crate::choice::Bounds;
use crate::config::Config;
use crate::contract::{Capability, FlowId, FlowState, Limits, Manifest, Tick};
use crate::fault::{FaultKinds, FaultPlan};
use crate::source::{FlowPlan, Source};
use crate::target::Behaviour;
use crate::trace::FaultKind;

/// The room that adapters have for a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// As the profile drew it.
    Drawn,
    /// An eighth of the longest chunk: sources are turned away.
    Tight,
}

/// A scenario: the source, the target and the limits of a run, and what the run must show.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Scenario {
    /// Name in reports.
    pub name: &'static str,
    /// Behaviour of the sources.
    pub source: Source,
    /// Number of flows. More than may be open at once share their numbers, one after another; of
    /// [`Source::Crowd`] there are as many as may be open.
    pub flows: u32,
    /// Behaviours of the target; the profile draws one.
    pub behaviours: &'static [Behaviour],
    /// The room of a flow.
    pub room: Room,
    /// Minimum of the maximum chunk length: with a shorter one the source would cut its chunks.
    pub chunk_bytes_min: u64,
    /// Capability that both adapters must claim.
    pub needs: Option<Capability>,
    /// Faults in place of those of the profile. `None`: those of the profile.
    pub faults: Option<FaultPlan>,
    /// What a run must show.
    pub demand: Demand,
    /// Runs every order within these bounds. `None`: one order, which the scheduler of the profile
    /// picks.
    pub orders: Option<Bounds>,
    /// It is also part of quick mode.
    pub is_quick: bool,
}

/// Behaviours whose response ends in order.
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
    faults: None,
    demand: Demand::AllEnd(FlowState::Closed),
    orders: None,
    is_quick: false,
};

/// Orders with up to two deviations from the default schedule, which reveal most ordering defects:
/// some hundred for two small flows. The slowest links have more, but fewer than `runs_max`.
const ORDERS: Bounds =
    Bounds { runs_max: 1 << 12, depth_max: 32, deviations_max: 2, tries_amounts: false };

/// Maximum of `Config::max_flows`.
const FLOWS_MAX: u32 = 64;

/// All scenarios, in the order in which they are run.
pub static SCENARIOS: [Scenario; 24] = [
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
        needs: Some(Capability::FlowBackpressure),
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
        needs: Some(Capability::FlowBackpressure),
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
    Scenario {
        name: "bidirectional",
        source: Source::Bidirectional,
        flows: 2,
        behaviours: &[Behaviour::UnpromptedResponse, Behaviour::Echo],
        ..PLAIN
    },
    Scenario {
        name: "zero_length",
        source: Source::ZeroLength,
        flows: 3,
        behaviours: ANSWERS,
        ..PLAIN
    },
    Scenario {
        name: "one_byte_drip",
        source: Source::OneByteDrip,
        behaviours: &[Behaviour::Echo, Behaviour::Discard, Behaviour::UnpromptedResponse],
        chunk_bytes_min: 1,
        ..PLAIN
    },
    Scenario {
        name: "exact_limit",
        source: Source::ExactLimit,
        flows: 4,
        behaviours: &[Behaviour::Echo, Behaviour::Discard, Behaviour::LargeObject],
        chunk_bytes_min: 1024,
        ..PLAIN
    },
    Scenario {
        name: "late_open",
        source: Source::LateOpen,
        flows: 4,
        behaviours: ANSWERS,
        ..PLAIN
    },
    Scenario {
        name: "priority_inversion",
        source: Source::PriorityInversion,
        flows: 4,
        behaviours: &[Behaviour::Echo, Behaviour::Discard, Behaviour::LargeObject],
        chunk_bytes_min: 1024,
        needs: Some(Capability::FlowPriority),
        ..PLAIN
    },
    Scenario {
        name: "many_flows",
        source: Source::ManyFlows,
        flows: 2000,
        behaviours: &[Behaviour::Echo, Behaviour::Discard],
        chunk_bytes_min: 1024,
        ..PLAIN
    },
    Scenario {
        name: "one_flow_too_many",
        source: Source::Crowd,
        flows: FLOWS_MAX,
        behaviours: &[Behaviour::Echo, Behaviour::Discard],
        // A clock jump could open the last flow after the others have ended.
        faults: Some(FaultPlan::NONE),
        demand: Demand::RefusesTooMany,
        ..PLAIN
    },
    Scenario {
        name: "crash_and_after",
        source: Source::EarlyAndLate,
        flows: 3,
        behaviours: ANSWERS,
        // A chance of 1 in 32 before each of some hundred steps, and none once the late flows are
        // open.
        faults: Some(FaultPlan::new(FaultKinds::only(FaultKind::Crash), 1, Tick(80))),
        demand: Demand::Rules,
        ..PLAIN
    },
    Scenario {
        name: "blocked_flow",
        source: Source::ElephantAndMice,
        flows: 4,
        behaviours: &[Behaviour::Echo, Behaviour::LargeObject],
        room: Room::Tight,
        chunk_bytes_min: 4096,
        needs: Some(Capability::FlowBackpressure),
        // Ends before the other flows open, so that the blocked flow is the long one.
        faults: Some(FaultPlan::new(FaultKinds::only(FaultKind::BlockedConsumer), 1, Tick(999))),
        demand: Demand::OthersEnd,
        ..PLAIN
    },
    Scenario {
        name: "swarm",
        source: Source::Swarm,
        flows: 4,
        behaviours: &Behaviour::ALL,
        chunk_bytes_min: 1024,
        demand: Demand::Rules,
        ..PLAIN
    },
    Scenario {
        name: "session_calls",
        source: Source::Bidirectional,
        flows: 2,
        behaviours: &[Behaviour::BusyEcho],
        chunk_bytes_min: 1024,
        faults: Some(FaultPlan::NONE),
        ..PLAIN
    },
    Scenario {
        name: "every_order",
        flows: 2,
        behaviours: &[Behaviour::Echo, Behaviour::Discard],
        // A possible fault would add a choice to each step.
        faults: Some(FaultPlan::NONE),
        orders: Some(ORDERS),
        ..PLAIN
    },
];

/// The scenario with this name.
#[must_use]
pub fn of_name(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

/// The plans of `flows` flows of a source. A source with a single flow is repeated for each flow.
pub(crate) fn plans(source: Source, config: &Config, flows: u32) -> Vec<FlowPlan> {
    let plans = source.plan(config, flows);
    let Some(first) = plans.first().filter(|_| plans.len() < flows as usize) else {
        return plans;
    };
    let flow = |number| FlowPlan { flow: FlowId::new(number), ..first.clone() };
    (1..=flows).map(flow).collect()
}

impl Scenario {
    /// The plans of its flows. A source with a single flow is repeated for each flow.
    #[must_use]
    pub fn plans(&self, config: &Config) -> Vec<FlowPlan> {
        let flows = if self.is_full() { self.at_once(config) } else { self.flows };
        plans(self.source, config, flows)
    }

    /// Why these limits cannot carry it. `None`: they can.
    #[must_use]
    pub fn obstacle(&self, config: &Config, manifests: &[Manifest; 2]) -> Option<&'static str> {
        let [ingress, egress] = manifests.each_ref().map(|manifest| manifest.limits.flows_max);
        match () {
            () if self.is_full() && self.at_once(config) <= ingress.min(egress) => {
                Some("the limits allow no more flows than the adapters carry")
            }
            () if self.is_full() => self.short(config),
            () if self.at_once(config) < self.flows && !self.shares_numbers() => {
                Some("the limits allow fewer flows")
            }
            () if self.at_once(config) > ingress.min(egress) => {
                Some("the adapters carry fewer flows")
            }
            () => self.short(config),
        }
    }

    /// The obstacle that the limits would cut its chunks.
    fn short(&self, config: &Config) -> Option<&'static str> {
        let is_short = self.chunk_bytes_min > config.max_chunk_bytes;
        is_short.then_some("the limits allow shorter chunks only")
    }

    /// Maximum number of flows that are open at once.
    fn at_once(&self, config: &Config) -> u32 {
        self.flows.min(config.max_flows)
    }

    /// Its flows share numbers: later ones open after earlier ones have ended.
    const fn shares_numbers(&self) -> bool {
        matches!(self.source, Source::ManyFlows)
    }

    /// It needs full adapters: they carry one flow fewer than may be open at once.
    const fn is_full(&self) -> bool {
        matches!(self.source, Source::Crowd)
    }

    /// Whether both adapters claim the capability that it needs.
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
            flows_max: (profile.config.max_flows - u32::from(self.is_full())).max(1),
            buffered_bytes_max: flow * u64::from(self.at_once(&profile.config)),
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
        assert_eq!(names.len(), SCENARIOS.len());
        let quick = SCENARIOS.iter().filter(|scenario| scenario.is_quick).map(|it| it.name);
        let first = SCENARIOS.iter().take(3).map(|scenario| scenario.name);
        assert!(quick.eq(first));
        assert_eq!(SCENARIOS[10].name, "malformed_source_chunk");
        let sources: BTreeSet<_> = SCENARIOS.iter().map(|scenario| scenario.source).collect();
        assert_eq!(sources.len(), Source::ALL.len(), "a source that no scenario has");
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
                let flows = if scenario.is_full() { 16 } else { scenario.flows };
                assert_eq!(scenario.plans(&config(least)).len(), flows as usize);
                let limits = scenario.limits(&Profile::draw(seed));
                let carried = if scenario.is_full() { 15 } else { 64 };
                let manifests = manifests(Limits { flows_max: carried, ..limits });
                assert_eq!(scenario.obstacle(&config(least), &manifests), None);
                assert!(scenario.obstacle(&config(less), &manifests).is_some());
                if !scenario.source.is_long() {
                    let (one, other) = (config(least), config(256 << 10));
                    assert_eq!(scenario.plans(&one), scenario.plans(&other), "{}", scenario.name);
                }
            }
        }
    }

    /// A flow that is blocked at its sink fills everything before it, in most profiles.
    #[test]
    fn a_blocked_flow_is_longer_than_all_that_can_hold_it() {
        let scenario = of_name("blocked_flow").unwrap();
        let mut carried = 0;
        for seed in 0..400 {
            let profile = Profile::draw(seed);
            let limits = scenario.limits(&profile);
            if scenario.obstacle(&profile.config, &manifests(limits)).is_none() {
                carried += 1;
                let between = 2 * (profile.window_bytes + limits.flow_buffered_bytes_max);
                let plans = scenario.plans(&profile.config);
                assert!(plans[0].bytes() > between + 4 * profile.config.max_chunk_bytes);
                let faults = profile.of(scenario).faults;
                assert!(plans[1..].iter().all(|plan| plan.opens_at > faults.until));
            }
        }
        assert!(carried > 320, "{carried}");
    }

    #[test]
    fn few_flows_are_an_obstacle() {
        let scenario = of_name("many_small_flows").unwrap();
        let limits = |flows_max| Limits { flows_max, ..scenario.limits(&Profile::draw(1)) };
        let config = |max_flows| Config { max_flows, ..Config::default() };
        assert_eq!(scenario.obstacle(&config(4), &manifests(limits(4))), None);
        assert!(scenario.obstacle(&config(3), &manifests(limits(4))).is_some());
        assert!(scenario.obstacle(&config(4), &manifests(limits(3))).is_some());
        let full = of_name("one_flow_too_many").unwrap();
        assert_eq!(full.obstacle(&config(4), &manifests(limits(3))), None);
        assert!(full.obstacle(&config(4), &manifests(limits(4))).is_some());
        assert!(full.obstacle(&config(1), &manifests(limits(1))).is_some());
    }
}
