// SPDX-License-Identifier: BSD-3-Clause
//! Simpler cases: fewer flows, fewer and shorter chunks, everything at once, a simpler target.
//!
//! Every case that is tried is valid: a flow whose last chunk is final has at least one chunk.
//! Without one the flow would never end, and no adapter would be at fault.

use super::size::{WINDOW_BYTES, plainer, plainer_links};
use super::{Candidate, Failed, Progress, Shrinker, least};
use crate::choice::Random;
use crate::contract::{Class, FlowId, Tick};
use crate::fault::FaultPlan;
use crate::replay::Case;
use crate::source::{End, FlowPlan};

/// Number of random orders that are tried when a flow was removed.
const OTHER_ORDERS: u64 = 8;
/// A failure with more deviations than this after the long blocks needs many of them.
const DEVIATIONS_MANY: usize = 32;
/// Windows that are tried, in bytes, from the smallest; among them those of one or a few chunks, of
/// which a single grant that is lost is the whole.
const SMALL_WINDOWS: [u64; 6] = [1, 8, 16, 32, 64, 512];
/// Answers of random orders are below this: most questions have no more alternatives.
const ANSWERS: u32 = 6;

impl<F, P> Shrinker<'_, F, P>
where
    F: FnMut(&Candidate) -> Option<Failed>,
    P: FnMut(&Progress),
{
    /// One round.
    pub(super) fn setup(&mut self) {
        self.step = "fewer faults";
        self.faults();
        self.step = "fewer flows";
        self.flows();
        self.step = "a plainer target";
        for behaviour in plainer(self.best.case.behaviour) {
            if self.edit(|case| case.behaviour = behaviour) {
                break;
            }
        }
        self.step = "a plainer link";
        for link in plainer_links(self.best.case.link) {
            if self.edit(|case| case.link = link) {
                break;
            }
        }
        self.step = "fewer chunks";
        self.chunks();
        self.step = "plainer flows";
        for at in 0..self.best.case.plans.len() {
            self.plainer_flow(at);
        }
        self.step = "shorter chunks";
        self.bytes();
        self.step = "a plain window";
        self.edit(|case| case.window_bytes = WINDOW_BYTES);
    }

    /// A credit leak stops a flow only when its whole window is lost. With a smaller window that
    /// happens sooner, and a prefix of the answers may suffice. The answers then apply to other
    /// moments, so other orders are tried too.
    pub(super) fn small_window(&mut self) {
        // With a small window a run has more events, whatever is wrong: that it has too many would
        // be shown by a healthy adapter as well.
        let is_too_long = self.size.events as u64 >= u64::from(self.best.case.config.max_events);
        if self.size.deviations <= DEVIATIONS_MANY || is_too_long {
            return;
        }
        self.step = "a small window";
        for bytes in SMALL_WINDOWS {
            let mut case = self.best.case.clone();
            if case.window_bytes <= bytes {
                break;
            }
            case.window_bytes = bytes;
            let all = self.best.recording.clone();
            let begins = |it: &mut Self, part: usize| {
                let recording = all.iter().take(all.len() / part).copied().collect();
                it.try_it(Candidate { case: case.clone(), recording })
            };
            if [8, 2, 1].into_iter().any(|part| begins(self, part)) || self.try_other_orders(&case)
            {
                break;
            }
        }
    }

    fn edit(&mut self, edit: impl FnOnce(&mut Case)) -> bool {
        let mut case = self.best.case.clone();
        edit(&mut case);
        case.plans.iter().all(ends) && self.try_case(case)
    }

    fn edit_flow(&mut self, at: usize, edit: impl FnOnce(&mut FlowPlan)) -> bool {
        self.edit(|case| {
            if let Some(plan) = case.plans.get_mut(at) {
                edit(plan);
            }
        })
    }

    fn faults(&mut self) {
        if self.best.case.faults.is_none() || self.edit(|case| case.faults = FaultPlan::NONE) {
            return;
        }
        for kind in self.best.case.faults.kinds.iter() {
            self.edit(|case| case.faults.kinds = case.faults.kinds.without(kind));
        }
        let FaultPlan { budget, from, until, .. } = self.best.case.faults;
        least(budget.into(), |less| self.edit(|case| case.faults.budget = less as u32));
        least(from.0, |tick| self.edit(|case| case.faults.from = Tick(tick)));
        least(until.0, |tick| self.edit(|case| case.faults.until = Tick(tick)));
    }

    /// Tries two flows that share one number: that usually reproduces a failure of many flows under
    /// few numbers.
    fn share_one_number(&mut self) {
        let mut case = self.best.case.clone();
        if case.plans.len() > case.config.max_flows as usize {
            case.config.max_flows = 1;
            case.plans.truncate(2);
            self.try_case(case);
        }
    }

    /// Removes blocks of flows, long ones first, and renumbers the others.
    fn flows(&mut self) {
        self.share_one_number();
        let mut length = self.best.case.plans.len().next_power_of_two();
        while length > 0 {
            let mut end = self.best.case.plans.len();
            while end > 0 && !self.is_spent() {
                let start = end.saturating_sub(length);
                let mut case = self.best.case.clone();
                case.plans.drain(start..end);
                for (number, plan) in (1..).zip(&mut case.plans) {
                    plan.flow = FlowId::new(number);
                }
                let _is_kept = self.try_case(case.clone()) || self.try_other_orders(&case);
                end = start.min(self.best.case.plans.len());
            }
            length /= 2;
        }
    }

    /// Tries random orders: when a flow was removed, its answers apply to other flows. A failure
    /// that needs a certain order often shows in another order too, which is then shrunk.
    fn try_other_orders(&mut self, case: &Case) -> bool {
        let length = self.best.recording.len();
        length > 0
            && (0..OTHER_ORDERS).any(|seed| {
                let mut random = Random::new(seed);
                let recording = (0..2 * length).map(|_| random.below(ANSWERS)).collect();
                self.try_it(Candidate { case: case.clone(), recording })
            })
    }

    fn chunks(&mut self) {
        for at in 0..self.best.case.plans.len() {
            let count = |it: &Self| it.best.case.plans.get(at).map_or(0, |plan| plan.chunks.len());
            let mut length = count(self).next_power_of_two();
            while length > 0 {
                let mut end = count(self);
                while end > 0 && !self.is_spent() {
                    let start = end.saturating_sub(length);
                    self.edit_flow(at, |plan| drop(plan.chunks.drain(start..end)));
                    end = start;
                }
                length /= 2;
            }
        }
    }

    fn plainer_flow(&mut self, at: usize) {
        self.edit_flow(at, |plan| plan.end = End::Final);
        self.edit_flow(at, |plan| plan.class = Class::default());
        self.edit_flow(at, |plan| {
            plan.opens_at = Tick(0);
            plan.chunks.iter_mut().for_each(|chunk| chunk.at = Tick(0));
        });
        let opens_at = self.best.case.plans.get(at).map_or(0, |plan| plan.opens_at.0);
        least(opens_at, |tick| self.edit_flow(at, |plan| plan.opens_at = Tick(tick)));
        // Moves each chunk as early as the one before it allows.
        let mut earliest = 0;
        for chunk in 0..self.best.case.plans.get(at).map_or(0, |plan| plan.chunks.len()) {
            let tick = |it: &Self| {
                let plan = it.best.case.plans.get(at)?;
                Some(plan.chunks.get(chunk)?.at.0)
            };
            least(tick(self).unwrap_or(0).saturating_sub(earliest), |later| {
                self.edit_flow(at, |plan| {
                    if let Some(chunk) = plan.chunks.get_mut(chunk) {
                        chunk.at = Tick(earliest.saturating_add(later));
                    }
                })
            });
            earliest = tick(self).unwrap_or(earliest);
        }
    }

    /// Shortens chunks to at least one byte: an empty chunk is a special case.
    fn bytes(&mut self) {
        let lengths = self.best.case.plans.iter().map(|plan| plan.chunks.len());
        let lengths: Vec<_> = lengths.enumerate().collect();
        for (at, chunks) in lengths {
            for number in 0..chunks {
                let chunk = self.best.case.plans.get(at).and_then(|plan| plan.chunks.get(number));
                let bytes = chunk.map_or(0, |chunk| chunk.bytes);
                least(bytes.saturating_sub(1), |less| {
                    self.edit_flow(at, |plan| {
                        if let Some(chunk) = plan.chunks.get_mut(number) {
                            chunk.bytes = chunk.bytes.min(less + 1);
                        }
                    })
                });
            }
        }
    }
}

fn ends(plan: &FlowPlan) -> bool {
    !plan.chunks.is_empty() || !matches!(plan.end, End::Final | End::LateWrite)
}
