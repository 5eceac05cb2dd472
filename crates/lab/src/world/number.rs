// SPDX-License-Identifier: BSD-3-Clause
//! The numbers of flows as adapters see them: as many as flows may be open at once, used
//! repeatedly.
//!
//! ```text
//!   flows of the run    1 ── over   2 ── open   3 ── over   (max_flows: 3)
//!                       4 ── open       │       6 ── open   5 waits for 2, 7 for 4
//!   adapters see        1               2       3
//! ```
//!
//! In a run with at most as many flows as may be open at once, each has its own number. Otherwise,
//! flows that share a number come one after another: the next one opens when all sides know that
//! the previous one is over. The trace has the numbers of the run, so that no two flows are mixed
//! up in it.

use crate::contract::FlowId;

#[derive(Debug)]
pub(super) struct Numbers {
    /// Number of flows of the run.
    flows: u32,
    /// For each number that adapters see, its current flow. Empty: each flow has its own.
    has: Vec<u32>,
}

impl Numbers {
    pub(super) fn new(flows: usize, max_flows: u32) -> Self {
        let flows = u32::try_from(flows).unwrap_or(u32::MAX);
        let has = if flows > max_flows { (1..=max_flows).collect() } else { Vec::new() };
        Self { flows, has }
    }

    #[inline]
    pub(super) const fn are_shared(&self) -> bool {
        !self.has.is_empty()
    }

    fn place(&self, flow: FlowId) -> usize {
        (flow.number() as usize).wrapping_sub(1) % self.has.len().max(1)
    }

    /// The number that adapters see for a flow.
    #[inline]
    pub(super) fn seen(&self, flow: FlowId) -> FlowId {
        if self.are_shared() { FlowId::new(self.place(flow) as u32 + 1) } else { flow }
    }

    /// The flow of a number that an adapter uses. An unassigned number gives a flow that is not in
    /// the run.
    #[inline]
    pub(super) fn whose(&self, seen: FlowId) -> FlowId {
        if !self.are_shared() {
            return seen;
        }
        let at = (seen.number() as usize).wrapping_sub(1);
        let unassigned = || self.flows.saturating_add(seen.number().max(1));
        FlowId::new(self.has.get(at).copied().unwrap_or_else(unassigned))
    }

    /// Whether its number is free for it.
    #[inline]
    pub(super) fn has_turn(&self, flow: FlowId) -> bool {
        !self.are_shared() || self.has.get(self.place(flow)) == Some(&flow.number())
    }

    /// The flow with the number at this index gives it to the next one, if there is one.
    fn pass_on(&mut self, at: usize) -> Option<FlowId> {
        let each = self.has.len() as u32;
        let has = self.has.get_mut(at)?;
        let next = has.checked_add(each).filter(|next| *next <= self.flows)?;
        *has = next;
        Some(FlowId::new(next))
    }
}

impl super::Parts<'_> {
    /// Opens flows that waited for a number, if the previous ones are over.
    pub(super) fn pass_numbers_on(&mut self) {
        for at in 0..self.numbers.has.len() {
            while let Some(has) = self.numbers.has.get(at).copied()
                && self.flow(FlowId::new(has)).is_some_and(|flow| flow.is_settled())
                && let Some(next) = self.numbers.pass_on(at)
            {
                self.may_offer(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_flows_keep_their_numbers_and_many_share_them() {
        let few = Numbers::new(3, 3);
        for number in [0, 1, 3, 9] {
            let flow = FlowId::new(number);
            assert_eq!((few.seen(flow), few.whose(flow), few.has_turn(flow)), (flow, flow, true));
        }
        let mut many = Numbers::new(7, 3);
        let seen: Vec<_> = (1..=7).map(|flow| many.seen(FlowId::new(flow)).number()).collect();
        assert_eq!(seen, [1, 2, 3, 1, 2, 3, 1]);
        assert_eq!(many.pass_on(0), Some(FlowId::new(4)));
        assert!(many.has_turn(FlowId::new(4)) && !many.has_turn(FlowId::new(1)));
        assert_eq!((many.whose(FlowId::new(1)), many.whose(FlowId::new(2))), {
            (FlowId::new(4), FlowId::new(2))
        });
        assert_eq!((many.pass_on(0), many.pass_on(0)), (Some(FlowId::new(7)), None));
        assert_eq!((many.pass_on(1), many.pass_on(1)), (Some(FlowId::new(5)), None));
        for unassigned in [0, 4, 7, u32::MAX] {
            assert!(many.whose(FlowId::new(unassigned)).number() > 7, "{unassigned}");
        }
    }
}
