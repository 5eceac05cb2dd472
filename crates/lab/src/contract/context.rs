// SPDX-License-Identifier: BSD-3-Clause
//! What comes with a call.

use super::{FlowId, Tick};
use crate::choice::Random;

/// What an adapter said during a call.
#[derive(Debug, Default)]
pub struct Calls {
    pub(crate) wants_poll: bool,
    /// Flows that would take more, in the order in which it was said.
    pub(crate) with_room: Vec<FlowId>,
}

/// The world, as an adapter sees it during one call.
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

    /// The time, which does not pass during a call.
    #[must_use]
    pub const fn now(&self) -> Tick {
        self.now
    }

    /// A number below `bound`, decided by the run's seed; 0 if the bound is.
    pub fn random(&mut self, bound: u32) -> u32 {
        self.random.below(bound)
    }

    /// How many bytes it should move in this call at most, so that others have their turn.
    #[must_use]
    pub const fn budget_bytes(&self) -> usize {
        self.budget_bytes
    }

    /// It has something to put out, or will have without another call: it is polled.
    pub const fn wants_poll(&mut self) {
        self.calls.wants_poll = true;
    }

    /// The flow would take more than it did when it was offered something last.
    pub fn has_room(&mut self, flow: FlowId) {
        self.calls.with_room.push(flow);
    }
}
