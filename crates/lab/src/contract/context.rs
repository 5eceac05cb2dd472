// SPDX-License-Identifier: BSD-3-Clause
//! The context that comes with each call.

use super::{FlowId, Tick};
use crate::choice::Random;

/// Requests that an adapter made during a call.
#[derive(Debug, Default)]
pub struct Calls {
    pub(crate) wants_poll: bool,
    /// Flows that would take more, in the order of the requests.
    pub(crate) with_room: Vec<FlowId>,
}

/// Everything that an adapter may use of its environment during one call.
#[derive(Debug)]
pub struct Context<'a> {
    now: Tick,
    random: &'a mut Random,
    budget_bytes: usize,
    calls: &'a mut Calls,
}

impl<'a> Context<'a> {
    pub(crate) const fn new(
        now: Tick,
        random: &'a mut Random,
        budget_bytes: usize,
        calls: &'a mut Calls,
    ) -> Self {
        Self { now, random, budget_bytes, calls }
    }

    /// Virtual time. It does not advance during a call.
    #[must_use]
    pub const fn now(&self) -> Tick {
        self.now
    }

    /// A number below `bound`, decided by the run's seed; 0 if the bound is 0.
    pub fn random(&mut self, bound: u32) -> u32 {
        self.random.below(bound)
    }

    /// Maximum number of bytes to move in this call, for fairness between adapters.
    #[must_use]
    pub const fn budget_bytes(&self) -> usize {
        self.budget_bytes
    }

    /// Requests a poll: the adapter has something to put out, or will have without another call.
    pub const fn wants_poll(&mut self) {
        self.calls.wants_poll = true;
    }

    /// Reports that the flow would take more than it did at the latest offer.
    pub fn has_room(&mut self, flow: FlowId) {
        self.calls.with_room.push(flow);
    }
}
