// SPDX-License-Identifier: BSD-3-Clause
//! Faults, as far as they are the world's: what is done to flows, adapters, sink and time. What is
//! done to the network is the carrier's.

use super::{RUN, World};
use crate::fault::CALM_MS;
use crate::trace::What;

impl World<'_> {
    /// Faults have their chance, before a task is taken; and it is seen to that they end.
    pub(super) fn strike(&mut self) {
        if self.parts.strikes.is_spent(self.parts.now) {
            self.calm();
        }
    }

    /// Nothing moves, and faults could still strike: they do not any more. False: it was calm.
    pub(super) fn calms(&mut self) -> bool {
        let calms = !self.parts.strikes.is_calm();
        if calms {
            self.calm();
        }
        calms
    }

    /// From here on everything is as it should be, and every flow has to end.
    fn calm(&mut self) {
        let parts = &mut self.parts;
        parts.strikes.calm();
        parts.say(RUN, What::Calm);
        parts.ends_by = Some(parts.now.after(CALM_MS));
        for calls in &mut parts.calls {
            calls.wants_poll = true;
        }
    }
}
