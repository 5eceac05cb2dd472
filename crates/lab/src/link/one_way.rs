// SPDX-License-Identifier: BSD-3-Clause
//! One direction of a link, with the acks that come back.

use super::channel::{Channel, Hazard};
use super::packer::Packer;
use super::receiver::Receiver;
use super::sender::Sender;
use super::{Link, Shape, envelope};
use crate::contract::Tick;

/// Envelopes that are sent before one arrives.
const SENT_AT_ONCE: usize = 4;

/// One direction of a link.
#[derive(Debug)]
pub(crate) struct OneWay {
    shape: Shape,
    packer: Packer,
    /// Until when the waiting frames are held back for more; decided when the first of them is
    /// packed.
    held_until: Option<Tick>,
    sender: Sender,
    there: Channel,
    back: Channel,
    receiver: Receiver,
    is_broken: bool,
    /// A frame was refused for lack of room.
    is_waited_for: bool,
}

/// The connection is over: a received envelope is wrong, and this link cannot repair it.
#[derive(Debug)]
pub(crate) struct Broken;

impl OneWay {
    pub(crate) const fn new(link: Link) -> Self {
        let shape = Shape::of(link);
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

    /// Queues a frame; returns false if there is no room for it.
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

    /// Whether there is room again after a refusal. Returns true once per refusal.
    #[cold]
    #[inline(never)]
    pub(crate) fn has_room_again(&mut self) -> bool {
        !self.packer.is_full() && std::mem::take(&mut self.is_waited_for)
    }

    /// Whether lost bytes stay lost.
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
            // The other side's poll has expired, and it polls again.
            Some(asks) if held.0 % asks == asks - 1 => held.after(1),
            _ => held,
        }
    }

    /// Carries a part of what is due. Bytes that have arrived in order are appended to `out`.
    #[cold]
    #[inline(never)]
    pub(crate) fn carry(
        &mut self,
        hazard: &mut Hazard<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Broken> {
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
                    return Err(Broken);
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

    /// The result of sending frames through one direction until it is idle: the output, its times,
    /// and the most envelopes that were kept for an ack.
    struct Carried {
        all: Vec<u8>,
        ticks: Vec<Tick>,
        kept_max: usize,
        is_broken: bool,
    }

    fn carry(link: Link, plan: FaultPlan, seed: Option<u64>, frames: &[Vec<u8>]) -> Carried {
        let (mut one_way, mut chances) = (OneWay::new(link), Chances::new(plan, seed));
        let (mut now, mut frames) = (Tick(0), frames.iter().cloned().peekable());
        let (mut all, mut ticks) = (Vec::new(), Vec::new());
        let (mut kept_max, mut is_broken) = (0, false);
        loop {
            // One at a time, or several.
            if frames.peek().is_some() && chances.choices.below(2) == 0 {
                assert!(one_way.put(frames.next().unwrap()));
            }
            let Some(due) = one_way.next_due(now).or(frames.peek().map(|_| now)) else { break };
            now = now.max(due);
            let mut out = Vec::new();
            is_broken |= one_way.carry(&mut chances.hazard(now), &mut out).is_err();
            kept_max = kept_max.max(one_way.sender.kept());
            ticks.extend((!out.is_empty()).then_some(now));
            all.extend(out);
        }
        assert!(one_way.sender.kept() == 0 && one_way.packer.is_empty() || is_broken);
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
        for link in Link::ALL.into_iter().filter(|link| link.repairs()) {
            for seed in 0..100 {
                let carried = carry(link, plan, Some(seed), &frames);
                assert!(carried.all == frames.concat() && !carried.is_broken, "{link:?} {seed}");
                let window = if link == Link::LongPoll { 1 } else { 32 };
                assert!(carried.kept_max <= window, "{link:?} {seed}");
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
                let carried = carry(Link::Stream, plan, Some(seed), &frames);
                let good = &frames.concat()[..carried.all.len()];
                assert!(carried.all == good, "{kind:?} {seed}");
                broken += usize::from(carried.is_broken);
            }
            // An envelope can be overtaken only by one that is behind it.
            let least = if kind == FaultKind::Reorder { 10 } else { 40 };
            assert!(broken >= least, "{kind:?}: {broken}");
        }
    }

    #[test]
    fn the_plainest_choices_lose_nothing_and_take_no_time() {
        for link in Link::ALL {
            let carried = carry(link, FaultPlan::NONE, None, &frames(20));
            assert!(carried.all == frames(20).concat(), "{link:?}");
            assert!(carried.ticks.iter().all(|tick| tick.0 == 0), "{link:?}");
        }
    }

    #[test]
    fn links_delay_envelopes_as_documented() {
        let last = |link| {
            let runs = (0..50).map(|seed| carry(link, FaultPlan::NONE, Some(seed), &frames(20)));
            runs.map(|carried| carried.ticks.last().unwrap().0).max().unwrap()
        };
        let prompt = [Link::Message, Link::Chunked, Link::Interactive, Link::Stream];
        assert!(prompt.into_iter().all(|link| last(link) == 0));
        let slow = [Link::Datagram, Link::Batch, Link::LongPoll];
        assert!(slow.into_iter().all(|link| last(link) > 0));
        // A lost envelope is retransmitted after eight ticks at the earliest.
        assert!(last(Link::LossyReordered) > 8);
    }

    #[test]
    fn what_is_short_overtakes_what_is_long() {
        for (link, first) in [(Link::Interactive, 0), (Link::Message, 1000)] {
            let mut chances = Chances::new(FaultPlan::NONE, None);
            let mut one_way = OneWay::new(link);
            assert!(one_way.put(vec![1; 1000]) && one_way.put(vec![2; 30]));
            let mut out = Vec::new();
            // The second envelope has arrived, and waits for the first one.
            assert!(one_way.carry(&mut chances.hazard(Tick(0)), &mut out).is_ok());
            assert_eq!(out.len(), first, "{link:?}");
            assert!(one_way.carry(&mut chances.hazard(Tick(0)), &mut out).is_ok());
            assert_eq!(out, [vec![1; 1000], vec![2; 30]].concat());
        }
    }

    #[test]
    fn a_full_link_takes_no_frame_and_says_when_it_does() {
        let (mut one_way, mut chances) =
            (OneWay::new(Link::LongPoll), Chances::new(FaultPlan::NONE, None));
        let mut taken = 0;
        while one_way.put(vec![7; 1000]) {
            taken += 1;
        }
        assert!((262..=264).contains(&taken), "{taken}");
        assert!(!one_way.has_room_again());
        let (mut now, mut out) = (Tick(0), Vec::new());
        while let Some(due) = one_way.next_due(now) {
            now = now.max(due);
            assert!(one_way.carry(&mut chances.hazard(now), &mut out).is_ok());
        }
        assert!(one_way.has_room_again() && !one_way.has_room_again() && one_way.put(vec![7]));
        assert_eq!(out.len(), taken * 1000);
    }
}
