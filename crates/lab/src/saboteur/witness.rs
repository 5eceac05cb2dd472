// SPDX-License-Identifier: BSD-3-Clause
//! A run in which a saboteur shows what is wrong with it.

use crate::carrier::Carrier;
use crate::choice::Choices;
use crate::config::Config;
use crate::contract::{Limits, Tick};
use crate::fault::{FaultKinds, FaultPlan};
use crate::source::{FlowPlan, Source};
use crate::target::Behaviour;
use crate::trace::{FaultKind, Trace};
use crate::world::{self, Factory, Setup};

/// A run, but for the adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witness {
    /// What the source does.
    pub source: Source,
    /// What the target does.
    pub behaviour: Behaviour,
    /// What decides the rest.
    pub seed: u64,
    /// How many flows, if the source has several.
    pub flows: u32,
    /// What the adapters may hold.
    pub limits: Limits,
    /// Bytes of each flow that may be under way.
    pub window_bytes: u64,
    /// What is done to everybody meanwhile.
    pub faults: FaultPlan,
    /// How what the sessions say is carried between them.
    pub carrier: Carrier,
}

impl Witness {
    /// Four flows, with room for everything.
    #[must_use]
    pub const fn new(source: Source, behaviour: Behaviour) -> Self {
        let limits = Limits {
            flows_max: 16,
            buffered_bytes_max: 512 << 10,
            flow_buffered_bytes_max: 128 << 10,
        };
        Self {
            source,
            behaviour,
            seed: 1,
            flows: 4,
            limits,
            window_bytes: 64 << 10,
            faults: FaultPlan::NONE,
            carrier: Carrier::Stream,
        }
    }

    /// The same with another seed.
    #[must_use]
    pub const fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The same with so many flows.
    #[must_use]
    pub const fn flows(self, flows: u32) -> Self {
        Self { flows, ..self }
    }

    /// The same with so much room for all flows, and for each.
    #[must_use]
    pub const fn room(self, buffered_bytes_max: u64, flow_buffered_bytes_max: u64) -> Self {
        let flows_max = self.limits.flows_max;
        let limits = Limits { flows_max, buffered_bytes_max, flow_buffered_bytes_max };
        Self { limits, ..self }
    }

    /// The same with adapters that carry so many flows at once.
    #[must_use]
    pub const fn flows_max(self, flows_max: u32) -> Self {
        Self { limits: Limits { flows_max, ..self.limits }, ..self }
    }

    /// The same with so many bytes of each flow under way.
    #[must_use]
    pub const fn window(self, window_bytes: u64) -> Self {
        Self { window_bytes, ..self }
    }

    /// The same with faults of this kind, eight at most, in the first 50 ticks.
    #[must_use]
    pub const fn fault(self, kind: FaultKind) -> Self {
        Self { faults: FaultPlan::new(FaultKinds::only(kind), 8, Tick(50)), ..self }
    }

    /// The same on another network.
    #[must_use]
    pub const fn carrier(self, carrier: Carrier) -> Self {
        Self { carrier, ..self }
    }

    /// The limits of the run.
    #[must_use]
    pub fn config(&self) -> Config {
        Config { deterministic_seed: self.seed, max_events: 1 << 12, ..Config::default() }
    }

    /// What the sources do.
    #[must_use]
    pub fn plans(&self) -> Vec<FlowPlan> {
        self.source.plan(&self.config(), self.flows)
    }

    /// The run, but for the adapters.
    #[must_use]
    pub fn setup<'a>(&self, config: &'a Config) -> Setup<'a> {
        Setup {
            config,
            plans: self.plans(),
            behaviour: self.behaviour,
            window_bytes: self.window_bytes,
            carrier: self.carrier,
            faults: self.faults,
        }
    }

    /// Runs it with adapters from a factory.
    #[must_use]
    pub fn run(&self, factory: Factory<'_>) -> Trace {
        let config = self.config();
        let mut trace = Trace::new(config.max_events);
        let mut choices = Choices::seeded(self.seed);
        world::run_with(&self.setup(&config), factory, &mut choices, &mut trace);
        trace
    }
}
