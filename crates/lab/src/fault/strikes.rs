// SPDX-License-Identifier: BSD-3-Clause
//! Whether a fault strikes.

use super::FaultPlan;
use crate::choice::Choices;
use crate::contract::{FlowId, Tick};
use crate::trace::{FaultKind, Trace, What};

/// A plan lasts for so many ticks at most.
const UNTIL_MS_MAX: u64 = 100_000;
const RUN: FlowId = FlowId::new(0);

/// What is left of a plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strikes {
    plan: FaultPlan,
    left: u32,
    is_calm: bool,
}

impl Strikes {
    pub(crate) fn new(plan: FaultPlan) -> Self {
        let until = plan.until.min(plan.from.after(UNTIL_MS_MAX));
        Self { plan: FaultPlan { until, ..plan }, left: plan.budget, is_calm: plan.is_none() }
    }

    /// No fault strikes any more.
    pub(crate) const fn is_calm(&self) -> bool {
        self.is_calm
    }

    /// There were to be faults, and it is time to say that there are no more.
    pub(crate) fn is_spent(&self, now: Tick) -> bool {
        !self.is_calm && (self.left == 0 || now > self.plan.until)
    }

    /// No more from here on.
    pub(crate) const fn calm(&mut self) {
        self.is_calm = true;
    }

    /// This kind could strike at this moment.
    pub(crate) fn may(&self, kind: FaultKind, now: Tick) -> bool {
        let plan = &self.plan;
        let is_time = now >= plan.from && now <= plan.until;
        !self.is_calm && plan.kinds.has(kind) && self.left > 0 && is_time
    }

    /// Whether this kind strikes here, as it does once in so many times. If so it has been written
    /// down.
    #[inline]
    pub(crate) fn strike(
        &mut self,
        kind: FaultKind,
        flow: Option<FlowId>,
        once_in: u32,
        now: Tick,
        (choices, trace): (&mut Choices, &mut Trace),
    ) -> bool {
        if self.is_calm || !self.may(kind, now) || !choices.happens(1, once_in) {
            return false;
        }
        self.left -= 1;
        trace.push(now, flow.unwrap_or(RUN), What::Fault(kind));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultKinds;

    #[test]
    fn no_more_than_the_budget_in_its_time_and_none_by_zeros() {
        let plan = FaultPlan {
            from: Tick(3),
            ..FaultPlan::new(FaultKinds::only(FaultKind::Drop), 5, Tick(6))
        };
        let (mut trace, mut choices) = (Trace::new(100), Choices::seeded(1));
        let mut strikes = Strikes::new(plan);
        let mut struck = Vec::new();
        for tick in (0..10).flat_map(|tick| [Tick(tick); 20]) {
            assert!(!strikes.strike(FaultKind::Delay, None, 8, tick, (&mut choices, &mut trace)));
            if strikes.strike(FaultKind::Drop, None, 8, tick, (&mut choices, &mut trace)) {
                struck.push(tick.0);
            }
        }
        assert!(
            struck.len() == 5 && struck.iter().all(|tick| (3..=6).contains(tick)),
            "{struck:?}"
        );
        assert!(strikes.is_spent(Tick(4)) && trace.events().len() == 5);

        let (mut zeros, mut strikes) = (Choices::replayed(Vec::new()), Strikes::new(plan));
        let to = (&mut zeros, &mut trace);
        assert!(!strikes.strike(FaultKind::Drop, None, 8, Tick(4), to));
        assert!(!strikes.is_spent(Tick(6)) && strikes.is_spent(Tick(7)));
        assert!(!Strikes::new(FaultPlan::NONE).is_spent(Tick(7)));
    }
}
