// SPDX-License-Identifier: BSD-3-Clause
//! The network, one way: bytes that were put in and have not come out.

use becket_wire::{DecodeError, Decoder, Full, HEAD_BYTES, Head, Outlet};

use super::Setup;
use crate::carrier::{BrokenLink, Carrier, Hazard, Link};
use crate::contract::Tick;

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
}

impl Pipe {
    pub(super) const fn new(frame_body_bytes_max: u32) -> Self {
        let decoder = Decoder::new(frame_body_bytes_max);
        Self { bytes: Vec::new(), start: 0, arrived: 0, decoder, link: None, held_until: Tick(0) }
    }

    /// As the setup has it.
    pub(super) fn of(setup: &Setup<'_>, frame_body_bytes_max: u32) -> Self {
        let needs_link = setup.carrier != Carrier::Stream || setup.faults.breaks_network();
        let link = needs_link.then(|| Box::new(Link::new(setup.carrier)));
        Self { link, ..Self::new(frame_body_bytes_max) }
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
        self.next_due(now).is_some_and(|due| due <= now)
    }

    /// A frame that was refused would be taken; said once.
    pub(super) fn has_room_again(&mut self) -> bool {
        self.link.as_mut().is_some_and(|link| link.has_room_again())
    }

    /// What is due goes on. Of a stream all that is under way arrives, if nothing else is chosen.
    pub(super) fn carry(&mut self, hazard: &mut Hazard<'_>) -> Result<(), BrokenLink> {
        if let Some(link) = &mut self.link {
            link.carry(hazard, &mut self.bytes)?;
            self.arrived = self.bytes.len();
            return Ok(());
        }
        if let Some(ms) = hazard.delay().or_else(|| hazard.stall()) {
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

    /// Gives each frame that has arrived whole to `each`, until one is not, or `each` says that it is
    /// enough.
    pub(super) fn frames<E: From<DecodeError>>(
        &mut self,
        mut each: impl FnMut(becket_wire::Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let arrived = self.bytes.get(self.start..self.arrived).unwrap_or_default();
            let Some((frame, length)) = self.decoder.decode(arrived)? else { break };
            self.start += length;
            each(frame)?;
        }
        if self.start == self.bytes.len() || self.start > COMPACT_BYTES {
            self.bytes.drain(..self.start);
            self.arrived -= self.start;
            self.start = 0;
        }
        Ok(())
    }
}

impl Outlet for Pipe {
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        if let Some(link) = &mut self.link {
            let mut frame = Vec::with_capacity(HEAD_BYTES + body.len());
            frame.extend_from_slice(&head.encode());
            frame.extend_from_slice(body);
            return if link.put(frame) { Ok(()) } else { Err(Full) };
        }
        self.bytes.extend_from_slice(&head.encode());
        self.bytes.extend_from_slice(body);
        Ok(())
    }
}
