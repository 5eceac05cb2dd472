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
    pub(crate) fn put(&mut self, frame: Vec<u8>) -> bool {
        self.is_waited_for |= self.packer.is_full();
        if !self.packer.is_full() {
            self.packer.put(frame);
            return true;
        }
        false
    }

    /// There is room again for somebody who was refused; said once.
    pub(crate) fn has_room_again(&mut self) -> bool {
        !self.packer.is_full() && std::mem::take(&mut self.is_waited_for)
    }

    /// When there is something to carry.
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
