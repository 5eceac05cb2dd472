// SPDX-License-Identifier: BSD-3-Clause
//! One direction of the network: bytes that were written and not read.

use becket_wire::{DecodeError, Decoder, Frame, Full, HEAD_BYTES, Head, Outlet};

use super::planted::{self, Planted};
use super::probe::Frames;
use crate::contract::Tick;
use crate::link::{Broken, Hazard, Link, OneWay};
use crate::replay::Case;

/// Length of the bodies that a link changes if it is made wrong, which are elements.
const SPOILED_BYTES: usize = 32;
/// Number of decoded bytes after which the buffer is compacted.
const COMPACT_BYTES: usize = 256 << 10;

/// Bytes in flight, bounded by the sessions' credit.
///
/// The bytes of a stream are here while they are in flight; those of other links come here from a
/// [`OneWay`] when they have arrived.
#[derive(Debug)]
pub(super) struct Pipe {
    bytes: Vec<u8>,
    /// Start of the bytes that were not decoded.
    start: usize,
    /// End of the bytes that have arrived.
    arrived: usize,
    decoder: Decoder,
    one_way: Option<Box<OneWay>>,
    /// For a stream: nothing arrives before.
    held_until: Tick,
    /// For a stream: `bytes` as they were written, to detect changes.
    written: Vec<u8>,
    /// A byte arrived that differs from the written one.
    is_changed: bool,
    /// For other links: checksums of the frames in flight, to detect changes.
    frames: Frames,
}

impl Pipe {
    /// An empty pipe.
    pub(super) fn new() -> Self {
        let (decoder, frames) = (Decoder::new(0), Frames::default());
        Self {
            bytes: Vec::new(),
            start: 0,
            arrived: 0,
            decoder,
            one_way: None,
            held_until: Tick(0),
            written: Vec::new(),
            is_changed: false,
            frames,
        }
    }

    /// Empties it for the case, and keeps the memory.
    pub(super) fn renew(&mut self, case: &Case, frame_body_bytes_max: u32) {
        let Self {
            bytes,
            start,
            arrived,
            decoder,
            one_way,
            held_until,
            written,
            is_changed,
            frames,
        } = self;
        frames.renew(case.faults.breaks_network());
        bytes.clear();
        written.clear();
        *is_changed = false;
        (*start, *arrived, *held_until) = (0, 0, Tick(0));
        *decoder = Decoder::new(frame_body_bytes_max);
        let needs_envelopes = case.link != Link::Stream || case.faults.breaks_network();
        *one_way = needs_envelopes.then(|| Box::new(OneWay::new(case.link)));
    }

    /// Whether lost bytes stay lost.
    pub(super) fn may_lose(&self) -> bool {
        self.one_way.as_ref().is_some_and(|one_way| one_way.may_lose())
    }

    /// When something next arrives, or moves.
    pub(super) fn next_due(&self, now: Tick) -> Option<Tick> {
        if self.arrived < self.bytes.len() {
            return Some(self.held_until.max(now));
        }
        self.one_way.as_ref()?.next_due(now)
    }

    /// Whether something arrives, or moves, at this moment.
    #[inline]
    pub(super) fn is_due(&self, now: Tick) -> bool {
        match &self.one_way {
            // Evaluated without a branch: both operands are unpredictable.
            None => (self.arrived < self.bytes.len()) & (self.held_until <= now),
            Some(_) => self.next_due(now).is_some_and(|due| due <= now),
        }
    }

    /// Whether there is room again after a refusal. Returns true once per refusal.
    pub(super) fn has_room_again(&mut self) -> bool {
        self.one_way.as_mut().is_some_and(|one_way| one_way.has_room_again())
    }

    /// Moves what is due. For a stream everything in flight arrives, unless the choices decide
    /// otherwise.
    pub(super) fn carry(&mut self, hazard: &mut Hazard<'_>) -> Result<(), Broken> {
        if self.one_way.is_some() {
            return self.carry_enveloped(hazard);
        }
        if !hazard.injector.is_cleared()
            && let Some(ms) = hazard.delay().or_else(|| hazard.stall())
        {
            self.held_until = hazard.now.after(ms);
            return Ok(());
        }
        let bytes = self.bytes.len() - self.arrived;
        let before = self.arrived;
        self.arrived += if bytes > 1 && hazard.choices.happens(1, 4) {
            let most = u32::try_from(bytes - 1).unwrap_or(u32::MAX);
            1 + hazard.choices.below(most) as usize
        } else {
            bytes
        };
        let range = before..self.arrived;
        self.is_changed |= self.bytes.get(range.clone()) != self.written.get(range);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn carry_enveloped(&mut self, hazard: &mut Hazard<'_>) -> Result<(), Broken> {
        if let Some(one_way) = &mut self.one_way {
            one_way.carry(hazard, &mut self.bytes)?;
            self.arrived = self.bytes.len();
        }
        Ok(())
    }

    /// The bytes, for decoding frames in them while the rest of the world is changed. Until they
    /// are [taken back](Self::take_back) nothing is written or moved.
    pub(super) fn lend(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// The next complete frame in the bytes that were lent.
    #[inline]
    pub(super) fn next<'b>(&mut self, lent: &'b [u8]) -> Result<Option<Frame<'b>>, DecodeError> {
        let arrived = lent.get(self.start..self.arrived).unwrap_or_default();
        let Some((frame, length)) = self.decoder.decode(arrived)? else { return Ok(None) };
        if self.one_way.is_some() {
            self.frames.came(arrived.get(..length).unwrap_or_default());
        }
        self.start += length;
        Ok(Some(frame))
    }

    /// The link changed a frame.
    pub(super) const fn is_changed(&self) -> bool {
        self.is_changed || self.frames.is_changed()
    }

    /// Takes back what was lent.
    pub(super) fn take_back(&mut self, lent: Vec<u8>) {
        self.bytes = lent;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.written.clear();
            (self.start, self.arrived) = (0, 0);
        } else if self.start > COMPACT_BYTES {
            self.bytes.drain(..self.start);
            // Only a stream has any.
            self.written.drain(..self.start.min(self.written.len()));
            self.arrived -= self.start;
            self.start = 0;
        }
    }
}

impl Pipe {
    /// Changes the last byte, if the link is made wrong.
    #[inline]
    fn spoil(&mut self, body_bytes: usize) {
        if planted::is(Planted::Link)
            && body_bytes >= SPOILED_BYTES
            && let Some(last) = self.bytes.last_mut()
        {
            *last ^= 1;
        }
    }
}

impl Outlet for Pipe {
    // Inlined, so that heads are never written field by field and then read as words.
    #[inline(always)]
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        if let Some(one_way) = &mut self.one_way {
            // A copy, so that the head stays in registers otherwise.
            return put_on(one_way, &mut self.frames, *head, body);
        }
        let head = head.encode();
        self.written.extend_from_slice(&head);
        self.bytes.extend_from_slice(&head);
        if !body.is_empty() {
            self.written.extend_from_slice(body);
            self.bytes.extend_from_slice(body);
            self.spoil(body.len());
        }
        Ok(())
    }
}

#[cold]
#[inline(never)]
fn put_on(one_way: &mut OneWay, frames: &mut Frames, head: Head, body: &[u8]) -> Result<(), Full> {
    let (mut frame, head) = (Vec::with_capacity(HEAD_BYTES + body.len()), head.encode());
    frame.extend_from_slice(&head);
    frame.extend_from_slice(body);
    let sum = frames.sum(&frame);
    if !one_way.put(frame) {
        return Err(Full);
    }
    frames.put(sum);
    Ok(())
}
