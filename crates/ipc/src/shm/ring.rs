// SPDX-License-Identifier: BSD-3-Clause
//! The ring: one producer, one consumer, one frame per slot, the sequence inside the slot.
//!
//! Algorithm: a single-producer single-consumer ring whose slots carry their own sequence, as in
//! Vyukov's bounded queue, so that a frame and its sequence share a cache line. The consumer's
//! position is in the *consumer's* segment and is published every eighth of the ring; the producer
//! reads it only when the position that it knows leaves no room.
//!
//! ```text
//!   a slot, 128 B      0        4        8              32                         128
//!                      ┌────────┬────────┬──────────────┬─────────────────────────────┐
//!                      │sequence│ meta   │ head, 24 B   │ body, up to 96 B            │
//!                      └────────┴────────┴──────────────┴─────────────────────────────┘
//!                        one word of 64 bits, written last; `meta`: see `validate::SlotMeta`
//! ```
//!
//! Invariants:
//! 1. Frame `p` (from 0) is in slot `p mod slots`, whose sequence is then `p + 1` (mod 2³²). Before
//!    that the slot has the sequence of the previous lap, or 0. Any other value is a violation.
//! 2. The producer writes slot `p` only when the consumer has published a position above `p -
//!    slots`; `known ≤ published ≤ sent`, otherwise the peer has violated this rule.
//! 3. A block belongs to the producer's private lists, or to one position between `known` and
//!    `sent` (`arena`).
//! 4. The consumer copies the word, then head and body, each once, and validates the copies. Bytes
//!    that change meanwhile result in other bytes, never in another location.
//! 5. The consumer publishes its position every eighth of the ring, every [`PUBLISH_BYTES`] of blocks,
//!    and when a `take` ends after blocks were read. So a producer that waits for room always gets it:
//!    a ring full of frames is more than an eighth. There may be two blocks of a size: the producer
//!    fills one while the other is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use becket_wire::{HEAD_BYTES, Head};

use super::arena::Arena;
use super::segment::{OwnSegment, PeerSegment};
use super::validate::{
    Body, INLINE_BYTES, SLOT_BODY, SLOT_HEAD, SlotMeta, TAKEN, Violation, check_body,
    check_sequence, check_taken, sequence,
};

/// So many bytes of blocks that were read are returned together.
const PUBLISH_BYTES: usize = 16 << 10;

/// Puts frames into this side's segment.
#[derive(Debug)]
pub struct Producer {
    own: Arc<OwnSegment>,
    peer: Arc<PeerSegment>,
    sent: u64,
    /// The position that the peer is known to have read up to.
    known: u64,
    arena: Arena,
}

/// Takes frames out of the peer's segment.
#[derive(Debug)]
pub struct Consumer {
    own: Arc<OwnSegment>,
    peer: Arc<PeerSegment>,
    probe: Arc<FrameProbe>,
    taken: u64,
    published: u64,
    publish_every: u64,
    /// Bytes of blocks that were read and not returned yet.
    blocks_taken: usize,
    body_bytes_max: u32,
    inline: [u8; INLINE_BYTES],
    block: Box<[u8]>,
    /// The last frame with descriptors, and whether its body is in `block`.
    last: Option<(Head, bool)>,
}

/// The location of the next frame, for threads that check for it without holding the consumer.
#[derive(Debug)]
pub struct FrameProbe {
    peer: Arc<PeerSegment>,
    /// The consumer's position, possibly an earlier one.
    taken: AtomicU64,
}

/// Why a frame was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No slot, or no block that is large enough: retry when the peer has read frames.
    Full,
    /// There is no block of that size.
    TooLong,
    /// The peer's position is impossible.
    Violation(Violation),
}

/// A received frame: a private copy.
#[derive(Debug)]
pub struct Taken<'a> {
    /// Its head.
    pub head: Head,
    /// Its body.
    pub body: &'a [u8],
    /// The number of its file descriptors.
    pub descriptors: usize,
}

impl From<Violation> for Refused {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl Producer {
    /// The producing end. A segment has one producer.
    pub(super) fn new(own: Arc<OwnSegment>, peer: Arc<PeerSegment>) -> Self {
        let arena = Arena::new(&own.geometry);
        Self { own, peer, sent: 0, known: 0, arena }
    }

    /// Frames put so far.
    #[inline]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Puts a frame; a polling peer sees it at once. `head.length` is the body's length.
    #[inline]
    pub fn put(&mut self, head: &Head, body: &[u8], descriptors: u32) -> Result<(), Refused> {
        let slots = u64::from(self.own.geometry.slots());
        if self.sent - self.known >= slots {
            self.refresh()?;
            if self.sent - self.known >= slots {
                return Err(Refused::Full);
            }
        }
        let slot = self.own.geometry.slot(self.sent);
        let memory = &self.own.memory;
        let mut meta = SlotMeta::new(0, 0, descriptors);
        if body.len() <= INLINE_BYTES {
            memory.copy_in(slot + SLOT_BODY, body).map_err(Violation::from)?;
        } else {
            meta.0 |= self.put_block(body)?.0;
        }
        let memory = &self.own.memory;
        let encoded = Head { length: body.len() as u32, ..*head }.encode();
        memory.copy_in(slot + SLOT_HEAD, &encoded).map_err(Violation::from)?;
        let word = u64::from(sequence(self.sent)) | u64::from(meta.0) << 32;
        memory.publish(slot, word).map_err(Violation::from)?;
        self.sent += 1;
        Ok(())
    }

    /// Whether the peer has read past the known position: there may be room now.
    #[inline]
    pub fn has_news(&self) -> bool {
        self.peer.memory.load(TAKEN).is_ok_and(|taken| taken != self.known)
    }

    /// Makes sure that the next frame, with a body of `bytes` bytes, has room.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), Refused> {
        if bytes > self.own.geometry.body_bytes_max() as usize {
            return Err(Refused::TooLong);
        }
        self.refresh()?;
        let slot = self.sent - self.known < u64::from(self.own.geometry.slots());
        let block = bytes <= INLINE_BYTES || self.arena.has(bytes);
        if slot && block { Ok(()) } else { Err(Refused::Full) }
    }

    /// The position that the peer is known to have read up to.
    #[inline]
    pub(super) fn known(&self) -> u64 {
        self.known
    }

    #[cold]
    fn put_block(&mut self, body: &[u8]) -> Result<SlotMeta, Refused> {
        if body.len() > self.own.geometry.body_bytes_max() as usize {
            return Err(Refused::TooLong);
        }
        let meta = match self.arena.lend(self.sent, body.len()) {
            Some(meta) => meta,
            None => {
                self.refresh()?;
                self.arena.lend(self.sent, body.len()).ok_or(Refused::Full)?
            }
        };
        let (class, index) = (meta.class(), meta.index());
        let block = self.own.geometry.block(class, index);
        let (offset, _) = block.ok_or(Violation::Block { class, index })?;
        self.own.memory.copy_in(offset, body).map_err(Violation::from)?;
        Ok(meta)
    }

    #[cold]
    fn refresh(&mut self) -> Result<(), Violation> {
        let taken = check_taken(self.peer.memory.acquire(TAKEN)?, self.known, self.sent)?;
        if self.arena.is_lent() {
            self.arena.reclaim(self.known..taken);
        }
        self.known = taken;
        Ok(())
    }
}

impl Consumer {
    /// The consuming end. Bodies have at most `body_bytes_max`, and at most the peer's block
    /// length.
    pub(super) fn new(own: Arc<OwnSegment>, peer: Arc<PeerSegment>, body_bytes_max: u32) -> Self {
        let geometry = &peer.geometry;
        let body_bytes_max = body_bytes_max.min(geometry.body_bytes_max());
        let publish_every = u64::from(geometry.slots() / 8);
        let probe = FrameProbe { peer: Arc::clone(&peer), taken: AtomicU64::new(0) };
        Self {
            own,
            probe: Arc::new(probe),
            taken: 0,
            published: 0,
            publish_every,
            blocks_taken: 0,
            body_bytes_max,
            inline: [0; INLINE_BYTES],
            block: vec![0; body_bytes_max as usize].into_boxed_slice(),
            last: None,
            peer,
        }
    }

    /// Frames taken so far.
    #[inline]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether the next slot has another sequence than in the previous lap: a frame, or a
    /// violation.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.probe.sees(self.taken)
    }

    /// For threads that check without holding the consumer.
    pub(super) fn probe(&self) -> &Arc<FrameProbe> {
        &self.probe
    }

    /// Copies the next frame. It counts as taken; [`publish_due`](Self::publish_due) reports that
    /// to the producer.
    #[inline]
    pub fn take(&mut self) -> Result<Option<Taken<'_>>, Violation> {
        let word = self.word()?;
        let geometry = &self.peer.geometry;
        if !check_sequence(word as u32, self.taken, geometry.slots())? {
            return Ok(None);
        }
        let memory = &self.peer.memory;
        let slot = geometry.slot(self.taken);
        let mut head = [0; HEAD_BYTES];
        memory.copy_out(slot + SLOT_HEAD, &mut head)?;
        let head = Head::decode(&head)?;
        let meta = SlotMeta((word >> 32) as u32);
        let length = head.length;
        let too_long = Violation::Length { bytes: length, bytes_max: self.body_bytes_max };
        let body = match check_body(geometry, self.body_bytes_max, meta, length)? {
            Body::Inline => {
                let body = self.inline.get_mut(..length as usize).ok_or(too_long)?;
                memory.copy_out(slot + SLOT_BODY, body)?;
                body
            }
            Body::At(offset) => {
                let body = self.block.get_mut(..length as usize).ok_or(too_long)?;
                self.blocks_taken += body.len();
                memory.copy_out(offset, body)?;
                body
            }
        };
        if meta.descriptors() > 0 {
            self.last = Some((head, meta.class() > 0));
        }
        self.taken += 1;
        self.probe.taken.store(self.taken, Ordering::Relaxed);
        Ok(Some(Taken { head, body, descriptors: meta.descriptors() }))
    }

    /// The frame that was taken last, again: the same copy.
    pub(super) fn last(&self) -> Option<Taken<'_>> {
        let (head, in_block) = self.last?;
        let copied: &[u8] = if in_block { &self.block } else { &self.inline };
        Some(Taken { head, body: copied.get(..head.length as usize)?, descriptors: 0 })
    }

    /// Publishes the position if an eighth of the ring, or 16 KiB of blocks, have been read
    /// since; if `ends` (no more frames are taken now), also if any block was read. True: the producer may have room that it
    /// waits for.
    #[inline]
    pub fn publish_due(&mut self, ends: bool) -> Result<bool, Violation> {
        let of_blocks = if ends { 1 } else { PUBLISH_BYTES };
        let due =
            self.taken - self.published >= self.publish_every || self.blocks_taken >= of_blocks;
        if due { self.publish() } else { Ok(false) }
    }

    /// Publishes the position. True: it differs from the last one.
    pub fn publish(&mut self) -> Result<bool, Violation> {
        if self.published == self.taken {
            return Ok(false);
        }
        self.own.memory.publish(TAKEN, self.taken)?;
        self.published = self.taken;
        self.blocks_taken = 0;
        Ok(true)
    }

    #[inline]
    fn word(&self) -> Result<u64, Violation> {
        Ok(self.peer.memory.acquire(self.peer.geometry.slot(self.taken))?)
    }
}

impl FrameProbe {
    /// Whether there is a frame to take. While another thread takes frames, the answer may be
    /// outdated.
    #[inline]
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.sees(self.taken.load(Ordering::Relaxed))
    }

    #[inline]
    fn sees(&self, taken: u64) -> bool {
        let geometry = &self.peer.geometry;
        self.peer.memory.acquire(geometry.slot(taken)).is_ok_and(|word| {
            let before = taken.checked_sub(u64::from(geometry.slots()));
            word as u32 != before.map_or(0, sequence)
        })
    }
}

#[cfg(test)]
impl Consumer {
    /// Reads the last slot again.
    pub(super) fn again(&mut self) {
        self.taken -= 1;
    }
}
