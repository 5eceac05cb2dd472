// SPDX-License-Identifier: BSD-3-Clause
//! A run of a generated backend, and its result for each flow.

use std::fmt;

use super::compare::{claimed, interpreted, run};
use super::plug::Generated;
use crate::contract::{FlowId, FlowState};
use crate::generate::example::{STEADY, steady};
use crate::source::FlowPlan;
use crate::trace::{EventKind, Stage, Trace, TraceHash, byte_bucket};

/// A run of a generated backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demo {
    /// The profile of the module.
    pub profile: &'static str,
    /// The seed of the run.
    pub seed: u64,
    /// The results of the flows.
    pub flows: Vec<DemoFlow>,
    /// Number of events.
    pub events: usize,
    /// Its trace hash.
    pub generated: TraceHash,
    /// The trace hash of the interpreted backend.
    pub interpreted: TraceHash,
}

/// The result of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoFlow {
    /// The flow.
    pub flow: FlowId,
    /// Its final state.
    pub state: FlowState,
    /// Chunks and bytes that entered the runtime.
    pub entered: (u64, u64),
    /// Chunks and bytes that reached the sink.
    pub sunk: (u64, u64),
}

/// Why a demo cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// Too many flows, or none.
    #[error("{asked} flows, and the profile {profile} has 1 to {max}")]
    Flows {
        /// Requested number.
        asked: u32,
        /// The profile.
        profile: &'static str,
        /// Maximum number.
        max: u32,
    },
    /// The module's constants are not a valid profile.
    #[error("the constants of the module {0} are no profile")]
    Constants(&'static str),
}

/// Runs the lab's generated module with `flows` flows. If the plan has fewer, it is repeated from
/// its first flow on.
///
/// # Errors
///
/// See [`DemoError`].
pub fn demo(flows: u32) -> Result<Demo, DemoError> {
    let (profile, generated) = (STEADY.name, crate::plug!(steady));
    let claimed = claimed(&generated.said.constants).ok_or(DemoError::Constants(profile))?;
    let max = claimed.config.max_flows;
    if flows == 0 || flows > max {
        return Err(DemoError::Flows { asked: flows, profile, max });
    }
    let seed = claimed.config.deterministic_seed;
    let plan = go_round(&generated, seed, flows);
    let one = run(&claimed, seed, None, plan.clone(), &|| generated.pair());
    let other = run(&claimed, seed, None, plan, &|| interpreted(&claimed));
    let flows = (1..=flows).map(|number| DemoFlow::of(&one, FlowId::new(number))).collect();
    let (events, generated, interpreted) = (one.events().len(), one.hash(), other.hash());
    Ok(Demo { profile, seed, flows, events, generated, interpreted })
}

fn go_round(generated: &Generated, seed: u64, flows: u32) -> Vec<FlowPlan> {
    let plan = generated.plan(seed);
    let round = plan.iter().cycle().zip(1..=flows);
    round.map(|(plan, number)| FlowPlan { flow: FlowId::new(number), ..plan.clone() }).collect()
}

impl DemoFlow {
    fn of(trace: &Trace, flow: FlowId) -> Self {
        let mut it = Self { flow, state: FlowState::New, entered: (0, 0), sunk: (0, 0) };
        for event in trace.of_flow(flow) {
            match event.what {
                EventKind::Moved { state } => it.state = state,
                EventKind::Out { place, bytes, .. } => {
                    let sum = if place == Stage::Ingress { &mut it.entered } else { &mut it.sunk };
                    *sum = (sum.0 + 1, sum.1 + bytes);
                }
                _ => {}
            }
        }
        it
    }
}

impl fmt::Display for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { profile, seed, events, .. } = self;
        writeln!(f, "generated backend {profile}, seed {seed}, {events} events")?;
        for DemoFlow { flow, state, entered, sunk } in &self.flows {
            let shown = |(chunks, bytes): (u64, u64)| {
                format!("{chunks:>3} chunks, {} bytes", byte_bucket(bytes))
            };
            let (state, entered, sunk) = (state.name(), shown(*entered), shown(*sunk));
            writeln!(f, "flow {flow:<3} {state:<8} in {entered:<24} out {sunk}")?;
        }
        let same = if self.generated == self.interpreted { "the same" } else { "another" };
        writeln!(f, "trace {}; the interpreted backend gives {same}", self.generated)
    }
}
