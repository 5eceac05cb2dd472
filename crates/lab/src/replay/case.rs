// SPDX-License-Identifier: BSD-3-Clause
//! What a run is made of, as a value: it can be kept, made smaller and written down.

use crate::carrier::Carrier;
use crate::config::Config;
use crate::fault::FaultPlan;
use crate::source::FlowPlan;
use crate::target::Behaviour;
use crate::world::Setup;

/// What a run is made of, but for adapters and choices. The plans are in it, not what they were made
/// from: it is the same run when the generator of plans is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The limits.
    pub config: Config,
    /// What the sources do: flow 1, flow 2 and so on.
    pub plans: Vec<FlowPlan>,
    /// What the target does.
    pub behaviour: Behaviour,
    /// Bytes of each flow that may be under way.
    pub window_bytes: u64,
    /// How what the sessions say is carried between them.
    pub carrier: Carrier,
    /// What is done to everybody meanwhile.
    pub faults: FaultPlan,
}

impl Case {
    /// As a run takes it.
    #[must_use]
    pub fn setup(&self) -> Setup<'_> {
        Setup {
            config: &self.config,
            plans: self.plans.clone(),
            behaviour: self.behaviour,
            window_bytes: self.window_bytes,
            carrier: self.carrier,
            faults: self.faults,
        }
    }
}

impl From<&Setup<'_>> for Case {
    fn from(setup: &Setup<'_>) -> Self {
        Self {
            config: setup.config.clone(),
            plans: setup.plans.clone(),
            behaviour: setup.behaviour,
            window_bytes: setup.window_bytes,
            carrier: setup.carrier,
            faults: setup.faults,
        }
    }
}
