// SPDX-License-Identifier: BSD-3-Clause
//! A run in which the defect of a mutant shows.

use crate::choice::Choices;
use crate::config::Config;
use crate::contract::{Limits, Tick};
use crate::fault::{FaultKinds, FaultPlan};
use crate::link::Link;
use crate::replay::Case;
use crate::source::{FlowPlan, Source};
use crate::target::Behaviour;
use crate::trace::{FaultKind, Trace};
use crate::world::{self, Factory};

/// A run without its adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witness {
    /// Behaviour of the source.
    pub source: Source,
    /// Behaviour of the target.
    pub behaviour: Behaviour,
    /// The seed of everything else.
    pub seed: u64,
    /// Number of flows, if the source has several.
    pub flows: u32,
    /// Limits of the adapters.
    pub limits: Limits,
    /// Bytes of each flow that may be in flight.
    pub window_bytes: u64,
    /// Faults that are injected.
    pub faults: FaultPlan,
    /// The link between the two sessions.
    pub link: Link,
}

impl Witness {
    /// Four flows, with enough room for all of their bytes.
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
            link: Link::Stream,
        }
    }

    /// The same run with another seed.
    #[must_use]
    pub const fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The same run with another number of flows.
    #[must_use]
    pub const fn flows(self, flows: u32) -> Self {
        Self { flows, ..self }
    }

    /// The same run with these limits for all flows together and for each flow, in bytes.
    #[must_use]
    pub const fn room(self, buffered_bytes_max: u64, flow_buffered_bytes_max: u64) -> Self {
        let flows_max = self.limits.flows_max;
        let limits = Limits { flows_max, buffered_bytes_max, flow_buffered_bytes_max };
        Self { limits, ..self }
    }

    /// The same run with adapters that carry at most this many flows at once.
    #[must_use]
    pub const fn flows_max(self, flows_max: u32) -> Self {
        Self { limits: Limits { flows_max, ..self.limits }, ..self }
    }

    /// The same run with this many bytes of each flow in flight.
    #[must_use]
    pub const fn window(self, window_bytes: u64) -> Self {
        Self { window_bytes, ..self }
    }

    /// The same run with faults of this kind: at most eight, in the first 50 ticks.
    #[must_use]
    pub const fn fault(self, kind: FaultKind) -> Self {
        Self { faults: FaultPlan::new(FaultKinds::only(kind), 8, Tick(50)), ..self }
    }

    /// The same run over another link.
    #[must_use]
    pub const fn link(self, link: Link) -> Self {
        Self { link, ..self }
    }

    /// The limits of the run.
    #[must_use]
    pub fn config(&self) -> Config {
        Config { deterministic_seed: self.seed, max_events: 1 << 12, ..Config::default() }
    }

    /// The plans of the sources.
    #[must_use]
    pub fn plans(&self) -> Vec<FlowPlan> {
        self.source.plan(&self.config(), self.flows)
    }

    /// The inputs of the run, without the adapters.
    #[must_use]
    pub fn case(&self) -> Case {
        Case {
            config: self.config(),
            plans: self.plans(),
            behaviour: self.behaviour,
            window_bytes: self.window_bytes,
            link: self.link,
            faults: self.faults,
        }
    }

    /// Runs it with adapters from a factory.
    #[must_use]
    pub fn run(&self, factory: Factory<'_>) -> Trace {
        let case = self.case();
        let mut trace = Trace::new(case.config.max_events);
        let mut choices = Choices::seeded(self.seed);
        world::run_with(&case, factory, &mut choices, &mut trace);
        trace
    }
}
