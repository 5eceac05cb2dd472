// SPDX-License-Identifier: BSD-3-Clause
//! The network, one way: bytes that were put in and have not come out.

use becket_wire::{DecodeError, Decoder, Frame, Full, HEAD_BYTES, Head, Outlet};

use super::Setup;
use super::planted::{self, Planted};
use super::probe::Frames;
use crate::carrier::{BrokenLink, Carrier, Hazard, Link};
use crate::contract::Tick;

/// A carrier that is wrong on purpose changes bodies of this length, which are elements.
const SPOILED_BYTES: usize = 32;
/// So many bytes that were decoded are kept at most.
const COMPACT_BYTES: usize = 256 << 10;

/// Bytes that are under way. It is as long as the sessions' credit allows.
///
/// A stream's bytes lie here while they are under way; those of other carriers come here from a
/// [`Link`] when they have arrived.
#[derive(Debug)]
pub(super) struct Pipe {
    bytes: Vec<u8>,
    /// Where those begin that were not decoded.
    start: usize,
    /// How far they have come.
    arrived: usize,
    decoder: Decoder,
    link: Option<Box<Link>>,
    /// Of a stream nothing arrives before.
    held_until: Tick,
    /// What is under way, so that a change is seen.
    frames: Frames,
}

impl Pipe {
    /// One that carries nothing.
    pub(super) fn new() -> Self {
        let (decoder, frames) = (Decoder::new(0), Frames::default());
        let (bytes, held_until) = (Vec::new(), Tick(0));
        Self { bytes, start: 0, arrived: 0, decoder, link: None, held_until, frames }
    }

    /// As the setup has it, empty, with the memory of before.
    pub(super) fn renew(&mut self, setup: &Setup<'_>, frame_body_bytes_max: u32) {
        let Self { bytes, start, arrived, decoder, link, held_until, frames } = self;
        frames.renew(setup.faults.breaks_network());
        bytes.clear();
        (*start, *arrived, *held_until) = (0, 0, Tick(0));
        *decoder = Decoder::new(frame_body_bytes_max);
        let needs_link = setup.carrier != Carrier::Stream || setup.faults.breaks_network();
        *link = needs_link.then(|| Box::new(Link::new(setup.carrier)));
    }

    /// What is lost on the way is not sent again.
    pub(super) fn may_lose(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.may_lose())
    }

    /// When something arrives, or goes on.
    pub(super) fn next_due(&self, now: Tick) -> Option<Tick> {
        if self.arrived < self.bytes.len() {
            return Some(self.held_until.max(now));
        }
        self.link.as_ref()?.next_due(now)
    }

    /// Something arrives, or goes on, at this moment.
    #[inline]
    pub(super) fn is_due(&self, now: Tick) -> bool {
        match &self.link {
            // Nothing to be foreseen: both are as random as the run.
            None => (self.arrived < self.bytes.len()) & (self.held_until <= now),
            Some(_) => self.next_due(now).is_some_and(|due| due <= now),
        }
    }

    /// A frame that was refused would be taken; said once.
    pub(super) fn has_room_again(&mut self) -> bool {
        self.link.as_mut().is_some_and(|link| link.has_room_again())
    }

    /// What is due goes on. Of a stream all that is under way arrives, if nothing else is chosen.
    pub(super) fn carry(&mut self, hazard: &mut Hazard<'_>) -> Result<(), BrokenLink> {
        if self.link.is_some() {
            return self.carry_by_link(hazard);
        }
        if !hazard.strikes.is_calm()
            && let Some(ms) = hazard.delay().or_else(|| hazard.stall())
        {
            self.held_until = hazard.now.after(ms);
            return Ok(());
        }
        let bytes = self.bytes.len() - self.arrived;
        self.arrived += if bytes > 1 && hazard.choices.happens(1, 4) {
            let most = u32::try_from(bytes - 1).unwrap_or(u32::MAX);
            1 + hazard.choices.below(most) as usize
        } else {
            bytes
        };
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn carry_by_link(&mut self, hazard: &mut Hazard<'_>) -> Result<(), BrokenLink> {
        if let Some(link) = &mut self.link {
            link.carry(hazard, &mut self.bytes)?;
            self.arrived = self.bytes.len();
        }
        Ok(())
    }

    /// The bytes, so that frames in them can be looked at while the rest of the world is changed. Until
    /// they are [taken back](Self::take_back) nothing is put in and nothing carried.
    pub(super) fn lend(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// The next frame in the bytes that were lent, if one has arrived whole.
    #[inline]
    pub(super) fn next<'b>(&mut self, lent: &'b [u8]) -> Result<Option<Frame<'b>>, DecodeError> {
        let arrived = lent.get(self.start..self.arrived).unwrap_or_default();
        let Some((frame, length)) = self.decoder.decode(arrived)? else { return Ok(None) };
        let whole = arrived.get(..length).unwrap_or_default();
        if let Some((head, body)) = whole.split_at_checked(HEAD_BYTES) {
            self.frames.came(head, body);
        }
        self.start += length;
        Ok(Some(frame))
    }

    /// The carrier changed something.
    pub(super) const fn is_changed(&self) -> bool {
        self.frames.is_changed()
    }

    /// What was lent.
    pub(super) fn take_back(&mut self, lent: Vec<u8>) {
        self.bytes = lent;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            (self.start, self.arrived) = (0, 0);
        } else if self.start > COMPACT_BYTES {
            self.bytes.drain(..self.start);
            self.arrived -= self.start;
            self.start = 0;
        }
    }
}

impl Pipe {
    /// Changes the last byte, if the carrier is wrong on purpose.
    #[inline]
    fn spoil(&mut self, body_bytes: usize) {
        if planted::is(Planted::Carrier)
            && body_bytes >= SPOILED_BYTES
            && let Some(last) = self.bytes.last_mut()
        {
            *last ^= 1;
        }
    }
}

impl Outlet for Pipe {
    // In place, so that heads are never written field by field and then read as words.
    #[inline(always)]
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        if let Some(link) = &mut self.link {
            // A copy, so that nothing but this needs the head in memory.
            return put_on(link, &mut self.frames, *head, body);
        }
        let head = head.encode();
        self.frames.put(&head, body);
        self.bytes.extend_from_slice(&head);
        if !body.is_empty() {
            self.bytes.extend_from_slice(body);
            self.spoil(body.len());
        }
        Ok(())
    }
}

#[cold]
#[inline(never)]
fn put_on(link: &mut Link, frames: &mut Frames, head: Head, body: &[u8]) -> Result<(), Full> {
    let (mut frame, head) = (Vec::with_capacity(HEAD_BYTES + body.len()), head.encode());
    frame.extend_from_slice(&head);
    frame.extend_from_slice(body);
    if !link.put(frame) {
        return Err(Full);
    }
    frames.put(&head, body);
    Ok(())
}
