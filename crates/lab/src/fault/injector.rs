// SPDX-License-Identifier: BSD-3-Clause
//! Decides whether a fault is injected.

use super::FaultPlan;
use crate::choice::Choices;
use crate::contract::{FlowId, Tick};
use crate::trace::{EventKind, FaultKind, Trace};

/// Longest period of a plan, in ticks.
const UNTIL_MS_MAX: u64 = 100_000;
const RUN: FlowId = FlowId::new(0);

/// The remainder of a plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Injector {
    plan: FaultPlan,
    left: u32,
    is_cleared: bool,
}

impl Injector {
    pub(crate) fn new(plan: FaultPlan) -> Self {
        let until = plan.until.min(plan.from.after(UNTIL_MS_MAX));
        Self { plan: FaultPlan { until, ..plan }, left: plan.budget, is_cleared: plan.is_none() }
    }

    /// Whether all faults are cleared.
    pub(crate) const fn is_cleared(&self) -> bool {
        self.is_cleared
    }

    /// Whether the plan is used up and its end is not recorded yet.
    pub(crate) fn is_spent(&self, now: Tick) -> bool {
        !self.is_cleared && (self.left == 0 || now > self.plan.until)
    }

    /// Clears all faults.
    pub(crate) const fn clear(&mut self) {
        self.is_cleared = true;
    }

    /// Whether a fault of this kind is possible now.
    pub(crate) fn may(&self, kind: FaultKind, now: Tick) -> bool {
        let plan = &self.plan;
        let is_time = now >= plan.from && now <= plan.until;
        !self.is_cleared && plan.kinds.has(kind) && self.left > 0 && is_time
    }

    /// Decides whether a fault of this kind is injected here, with a chance of one in `once_in`. If
    /// so, it has been recorded.
    #[inline]
    pub(crate) fn inject(
        &mut self,
        kind: FaultKind,
        flow: Option<FlowId>,
        once_in: u32,
        now: Tick,
        (choices, trace): (&mut Choices, &mut Trace),
    ) -> bool {
        if self.is_cleared || !self.may(kind, now) || !choices.happens(1, once_in) {
            return false;
        }
        self.left -= 1;
        trace.push(now, flow.unwrap_or(RUN), EventKind::Fault(kind));
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
        let mut injector = Injector::new(plan);
        let mut injected = Vec::new();
        for tick in (0..10).flat_map(|tick| [Tick(tick); 20]) {
            assert!(!injector.inject(FaultKind::Delay, None, 8, tick, (&mut choices, &mut trace)));
            if injector.inject(FaultKind::Drop, None, 8, tick, (&mut choices, &mut trace)) {
                injected.push(tick.0);
            }
        }
        assert!(
            injected.len() == 5 && injected.iter().all(|tick| (3..=6).contains(tick)),
            "{injected:?}"
        );
        assert!(injector.is_spent(Tick(4)) && trace.events().len() == 5);

        let (mut zeros, mut injector) = (Choices::replayed(Vec::new()), Injector::new(plan));
        let to = (&mut zeros, &mut trace);
        assert!(!injector.inject(FaultKind::Drop, None, 8, Tick(4), to));
        assert!(!injector.is_spent(Tick(6)) && injector.is_spent(Tick(7)));
        assert!(!Injector::new(FaultPlan::NONE).is_spent(Tick(7)));
    }
}
