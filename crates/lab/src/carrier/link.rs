// SPDX-License-Identifier: BSD-3-Clause
//! A carrier in one direction, with the acks that come back.

use super::channel::{Channel, Hazard};
use super::packer::Packer;
use super::receiver::Receiver;
use super::sender::Sender;
use super::{Carrier, Shape, envelope};
use crate::contract::Tick;

/// Envelopes that are sent before one arrives.
const SENT_AT_ONCE: usize = 4;

/// One direction.
#[derive(Debug)]
pub(crate) struct Link {
    shape: Shape,
    packer: Packer,
    /// Until when what waits is held back for more; decided when the first of it is looked at.
    held_until: Option<Tick>,
    sender: Sender,
    there: Channel,
    back: Channel,
    receiver: Receiver,
    is_broken: bool,
    /// Somebody was refused.
    is_waited_for: bool,
}

/// The connection is over: what came is not what was sent, and there is nothing to repair it with.
#[derive(Debug)]
pub(crate) struct BrokenLink;

impl Link {
    pub(crate) const fn new(carrier: Carrier) -> Self {
        let shape = Shape::of(carrier);
        Self {
            packer: Packer::new(shape.cut),
            held_until: None,
            sender: Sender::new(shape.window, shape.short_first),
            there: Channel::new(&shape),
            back: Channel::new(&shape),
            receiver: Receiver::new(shape.window.is_some()),
            is_broken: false,
            is_waited_for: false,
            shape,
        }
    }

    /// Takes a frame. False: there is no room for it.
    #[cold]
    #[inline(never)]
    pub(crate) fn put(&mut self, frame: Vec<u8>) -> bool {
        self.is_waited_for |= self.packer.is_full();
        if !self.packer.is_full() {
            self.packer.put(frame);
            return true;
        }
        false
    }

    /// There is room again for somebody who was refused; said once.
    #[cold]
    #[inline(never)]
    pub(crate) fn has_room_again(&mut self) -> bool {
        !self.packer.is_full() && std::mem::take(&mut self.is_waited_for)
    }

    /// What is lost on the way is not sent again.
    pub(crate) const fn may_lose(&self) -> bool {
        self.shape.window.is_none()
    }

    /// When there is something to carry.
    #[cold]
    #[inline(never)]
    pub(crate) fn next_due(&self, now: Tick) -> Option<Tick> {
        if self.is_broken {
            return None;
        }
        let packs = !self.packer.is_empty() && self.sender.has_room();
        let packs = packs.then(|| self.packs_at(now));
        [packs, self.sender.next_due(), self.there.next_due(), self.back.next_due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// When the next body is packed.
    fn packs_at(&self, now: Tick) -> Tick {
        let held = self.held_until.filter(|_| !self.packer.has_whole()).unwrap_or(now).max(now);
        match self.shape.asks_ms {
            // The other side's question has run out, and it asks again.
            Some(asks) if held.0 % asks == asks - 1 => held.after(1),
            _ => held,
        }
    }

    /// Carries a little of what is due: bytes that have arrived in order go to `out`.
    #[cold]
    #[inline(never)]
    pub(crate) fn carry(
        &mut self,
        hazard: &mut Hazard<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), BrokenLink> {
        let now = hazard.now;
        self.pack(hazard);
        for _ in 0..SENT_AT_ONCE {
            let Some(sealed) = self.sender.send(now) else { break };
            self.there.send(sealed, hazard);
        }
        if let Some(sealed) = self.there.arrive(now) {
            match self.receiver.take(&sealed, out) {
                Ok(Some(wanted)) => self.back.send(envelope::seal(wanted, &[]), hazard),
                Ok(None) => {}
                Err(_) => {
                    self.is_broken = true;
                    return Err(BrokenLink);
                }
            }
        }
        if let Some(sealed) = self.back.arrive(now)
            && let Some((wanted, _)) = envelope::open(&sealed)
        {
            self.sender.acked(wanted);
        }
        Ok(())
    }

    fn pack(&mut self, hazard: &mut Hazard<'_>) {
        let now = hazard.now;
        while !self.packer.is_empty() && self.sender.has_room() {
            if self.shape.hold_ms_max > 0 && self.held_until.is_none() {
                let held = hazard.choices.below(self.shape.hold_ms_max + 1);
                self.held_until = Some(now.after(held.into()));
            }
            if self.packs_at(now) > now {
                return;
            }
            self.held_until = None;
            let Some(packed) = self.packer.pack(hazard.choices) else { return };
            self.sender.keep(packed, now);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::channel::tests::Chances;
    use super::*;
    use crate::fault::{FaultKinds, FaultPlan};
    use crate::trace::FaultKind;

    /// Frames through a link, until it has nothing more to do: what came out, when, and the most that
    /// was ever kept for an ack.
    struct Carried {
        all: Vec<u8>,
        ticks: Vec<Tick>,
        kept_max: usize,
        is_broken: bool,
    }

    fn carry(carrier: Carrier, plan: FaultPlan, seed: Option<u64>, frames: &[Vec<u8>]) -> Carried {
        let (mut link, mut chances) = (Link::new(carrier), Chances::new(plan, seed));
        let (mut now, mut frames) = (Tick(0), frames.iter().cloned().peekable());
        let (mut all, mut ticks) = (Vec::new(), Vec::new());
        let (mut kept_max, mut is_broken) = (0, false);
        loop {
            // One at a time, or several.
            if frames.peek().is_some() && chances.choices.below(2) == 0 {
                assert!(link.put(frames.next().unwrap()));
            }
            let Some(due) = link.next_due(now).or(frames.peek().map(|_| now)) else { break };
            now = now.max(due);
            let mut out = Vec::new();
            is_broken |= link.carry(&mut chances.hazard(now), &mut out).is_err();
            kept_max = kept_max.max(link.sender.kept());
            ticks.extend((!out.is_empty()).then_some(now));
            all.extend(out);
        }
        assert!(link.sender.kept() == 0 && link.packer.is_empty() || is_broken);
        Carried { all, ticks, kept_max, is_broken }
    }

    fn frames(count: usize) -> Vec<Vec<u8>> {
        let length = |at: usize| if at.is_multiple_of(3) { 1500 + 7 * at } else { 24 + at };
        (0..count).map(|at| (0..length(at)).map(|byte| (at * 31 + byte) as u8).collect()).collect()
    }

    #[test]
    fn all_arrives_in_order_whatever_the_network_does_to_envelopes() {
        let all = FaultKind::ALL.into_iter().filter(|kind| kind.breaks_network());
        let kinds = all.fold(FaultKinds::NONE, FaultKinds::with);
        let plan = FaultPlan::new(kinds, 50, Tick(1000));
        let frames = frames(40);
        for carrier in Carrier::ALL.into_iter().filter(|carrier| carrier.repairs()) {
            for seed in 0..100 {
                let carried = carry(carrier, plan, Some(seed), &frames);
                assert!(carried.all == frames.concat() && !carried.is_broken, "{carrier:?} {seed}");
                let window = if carrier == Carrier::LongPoll { 1 } else { 32 };
                assert!(carried.kept_max <= window, "{carrier:?} {seed}");
            }
        }
    }

    #[test]
    fn a_stream_ends_at_the_first_envelope_that_is_wrong() {
        let frames = frames(40);
        for kind in FaultKind::ALL.into_iter().filter(|kind| kind.breaks_network()) {
            let plan = FaultPlan::new(FaultKinds::only(kind), 1, Tick(1000));
            let mut broken = 0;
            for seed in 0..50 {
                let carried = carry(Carrier::Stream, plan, Some(seed), &frames);
                let good = &frames.concat()[..carried.all.len()];
                assert!(carried.all == good, "{kind:?} {seed}");
                broken += usize::from(carried.is_broken);
            }
            // Only what stands behind another can get before it.
            let least = if kind == FaultKind::Reorder { 10 } else { 40 };
            assert!(broken >= least, "{kind:?}: {broken}");
        }
    }

    #[test]
    fn the_plainest_choices_lose_nothing_and_take_no_time() {
        for carrier in Carrier::ALL {
            let carried = carry(carrier, FaultPlan::NONE, None, &frames(20));
            assert!(carried.all == frames(20).concat(), "{carrier:?}");
            assert!(carried.ticks.iter().all(|tick| tick.0 == 0), "{carrier:?}");
        }
    }

    #[test]
    fn carriers_take_the_time_that_is_theirs() {
        let last = |carrier| {
            let runs = (0..50).map(|seed| carry(carrier, FaultPlan::NONE, Some(seed), &frames(20)));
            runs.map(|carried| carried.ticks.last().unwrap().0).max().unwrap()
        };
        let prompt = [Carrier::Message, Carrier::Chunked, Carrier::Interactive, Carrier::Stream];
        assert!(prompt.into_iter().all(|carrier| last(carrier) == 0));
        let slow = [Carrier::Datagram, Carrier::Batch, Carrier::LongPoll];
        assert!(slow.into_iter().all(|carrier| last(carrier) > 0));
        // What was lost is sent again after eight ticks at the earliest.
        assert!(last(Carrier::LossyReordered) > 8);
    }

    #[test]
    fn what_is_short_overtakes_what_is_long() {
        for (carrier, first) in [(Carrier::Interactive, 0), (Carrier::Message, 1000)] {
            let mut chances = Chances::new(FaultPlan::NONE, None);
            let mut link = Link::new(carrier);
            assert!(link.put(vec![1; 1000]) && link.put(vec![2; 30]));
            let mut out = Vec::new();
            // The second envelope is here, and waits for the first one.
            assert!(link.carry(&mut chances.hazard(Tick(0)), &mut out).is_ok());
            assert_eq!(out.len(), first, "{carrier:?}");
            assert!(link.carry(&mut chances.hazard(Tick(0)), &mut out).is_ok());
            assert_eq!(out, [vec![1; 1000], vec![2; 30]].concat());
        }
    }

    #[test]
    fn a_full_link_takes_no_frame_and_says_when_it_does() {
        let (mut link, mut chances) =
            (Link::new(Carrier::LongPoll), Chances::new(FaultPlan::NONE, None));
        let mut taken = 0;
        while link.put(vec![7; 1000]) {
            taken += 1;
        }
        assert!((262..=264).contains(&taken), "{taken}");
        assert!(!link.has_room_again());
        let (mut now, mut out) = (Tick(0), Vec::new());
        while let Some(due) = link.next_due(now) {
            now = now.max(due);
            assert!(link.carry(&mut chances.hazard(now), &mut out).is_ok());
        }
        assert!(link.has_room_again() && !link.has_room_again() && link.put(vec![7]));
        assert_eq!(out.len(), taken * 1000);
    }
}
