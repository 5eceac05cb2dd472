// SPDX-License-Identifier: BSD-3-Clause
//! Envelopes in transit, and what happens to them: by the nature of the link, or by a fault.
//!
//! Invariant: the link itself loses at most [`LOST_IN_ROW_MAX`] envelopes in a row, so that what is
//! sent repeatedly arrives.

use super::Shape;
use crate::choice::Choices;
use crate::contract::Tick;
use crate::fault::Injector;
use crate::trace::{FaultKind, Trace};

/// An enabled fault is injected into one of this many envelopes.
const ONCE_IN: u32 = 8;
const LOST_IN_ROW_MAX: u32 = 3;
/// Longest delay of one envelope, in ticks.
const DELAY_MS_MAX: u32 = 8;
/// Longest stall of all envelopes, in ticks.
const STALL_MS_MAX: u32 = 100;

/// Decides what happens to an envelope.
pub(crate) struct Hazard<'a> {
    pub(crate) now: Tick,
    pub(crate) injector: &'a mut Injector,
    pub(crate) choices: &'a mut Choices,
    pub(crate) trace: &'a mut Trace,
}

impl Hazard<'_> {
    fn inject(&mut self, kind: FaultKind) -> bool {
        self.injector.inject(kind, None, ONCE_IN, self.now, (&mut *self.choices, &mut *self.trace))
    }

    /// The length of an injected delay, if one is injected.
    #[cold]
    #[inline(never)]
    pub(crate) fn delay(&mut self) -> Option<u64> {
        self.inject(FaultKind::Delay).then(|| self.up_to(DELAY_MS_MAX))
    }

    /// The length of an injected stall, if one is injected.
    #[cold]
    #[inline(never)]
    pub(crate) fn stall(&mut self) -> Option<u64> {
        self.inject(FaultKind::Stall)
            .then(|| u64::from(DELAY_MS_MAX) + self.up_to(STALL_MS_MAX - DELAY_MS_MAX))
    }

    fn up_to(&mut self, most: u32) -> u64 {
        1 + u64::from(self.choices.below(most))
    }
}

#[derive(Debug)]
pub(super) struct Channel {
    /// In the order of arrival.
    under_way: Vec<(Tick, Vec<u8>)>,
    late_ms_max: u32,
    is_overtaken: bool,
    lost: u32,
    doubled: u32,
    lost_in_row: u32,
    held_until: Tick,
}

impl Channel {
    pub(super) const fn new(shape: &Shape) -> Self {
        let Shape { late_ms_max, is_overtaken, lost, doubled, .. } = *shape;
        Self {
            under_way: Vec::new(),
            late_ms_max,
            is_overtaken,
            lost,
            doubled,
            lost_in_row: 0,
            held_until: Tick(0),
        }
    }

    /// When the next one arrives.
    pub(super) fn next_due(&self) -> Option<Tick> {
        self.under_way.first().map(|(due, _)| (*due).max(self.held_until))
    }

    /// Takes an envelope that has arrived.
    pub(super) fn arrive(&mut self, now: Tick) -> Option<Vec<u8>> {
        self.next_due().filter(|due| *due <= now)?;
        Some(self.under_way.remove(0).1)
    }

    pub(super) fn send(&mut self, mut sealed: Vec<u8>, hazard: &mut Hazard<'_>) {
        if let Some(ms) = hazard.stall() {
            self.held_until = self.held_until.max(hazard.now.after(ms));
        }
        let is_lost = self.lost_in_row < LOST_IN_ROW_MAX && hazard.choices.happens(self.lost, 16);
        self.lost_in_row = if is_lost { self.lost_in_row + 1 } else { 0 };
        if is_lost || hazard.inject(FaultKind::Drop) {
            return;
        }
        if hazard.inject(FaultKind::Corrupt) {
            let bit = hazard.choices.below(sealed.len() as u32 * 8) as usize;
            if let Some(byte) = sealed.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
        if hazard.inject(FaultKind::Truncate) {
            let end = sealed.len() - hazard.up_to(sealed.len() as u32) as usize;
            sealed.truncate(end);
        }
        let mut due = hazard.now;
        if self.late_ms_max > 0 && hazard.choices.happens(1, 4) {
            due = due.after(hazard.up_to(self.late_ms_max));
        }
        if let Some(ms) = hazard.delay() {
            due = due.after(ms);
        }
        if hazard.choices.happens(self.doubled, 16) || hazard.inject(FaultKind::Duplicate) {
            self.insert(due, sealed.clone());
        }
        if !self.under_way.is_empty() && hazard.inject(FaultKind::Reorder) {
            let first = self.under_way.first().map_or(due, |first| first.0);
            return self.under_way.insert(0, (first, sealed));
        }
        self.insert(due, sealed);
    }

    fn insert(&mut self, due: Tick, sealed: Vec<u8>) {
        let last = self.under_way.last().map_or(due, |last| last.0);
        let due = if self.is_overtaken { due } else { due.max(last) };
        let at = self.under_way.partition_point(|(before, _)| *before <= due);
        self.under_way.insert(at, (due, sealed));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::super::Link;
    use super::*;
    use crate::fault::FaultPlan;

    /// The state that a [`Hazard`] borrows.
    pub(in super::super) struct Chances {
        injector: Injector,
        pub(in super::super) choices: Choices,
        trace: Trace,
    }

    impl Chances {
        /// Without a seed all choices are 0.
        pub(in super::super) fn new(plan: FaultPlan, seed: Option<u64>) -> Self {
            let choices = seed.map_or_else(|| Choices::replayed(Vec::new()), Choices::seeded);
            Self { injector: Injector::new(plan), choices, trace: Trace::new(1000) }
        }

        pub(in super::super) fn hazard(&mut self, now: Tick) -> Hazard<'_> {
            let Self { injector, choices, trace } = self;
            Hazard { now, injector, choices, trace }
        }
    }

    /// The numbers of envelopes in the order of arrival.
    fn arrivals(link: Link, seed: u64) -> Vec<u8> {
        let mut chances = Chances::new(FaultPlan::NONE, Some(seed));
        let mut channel = Channel::new(&Shape::of(link));
        for number in 0..100 {
            channel.send(vec![number], &mut chances.hazard(Tick(u64::from(number / 10))));
        }
        let mut arrived = Vec::new();
        while let Some(due) = channel.next_due() {
            arrived.extend(channel.arrive(due).unwrap_or_default());
        }
        arrived
    }

    #[test]
    fn only_those_that_say_so_lose_double_and_mix() {
        for link in Link::ALL {
            let (mut lost, mut doubled, mut mixed) = (0, 0, 0);
            for seed in 0..20 {
                let arrived = arrivals(link, seed);
                let different: BTreeSet<_> = arrived.iter().collect();
                lost += 100 - different.len();
                doubled += arrived.len() - different.len();
                mixed += arrived.windows(2).filter(|pair| pair[0] > pair[1]).count();
            }
            let expected = match link {
                Link::LossyReordered => (true, true, true),
                Link::Datagram => (false, false, true),
                _ => (false, false, false),
            };
            assert_eq!((lost > 0, doubled > 0, mixed > 0), expected, "{link:?}");
        }
    }
}
