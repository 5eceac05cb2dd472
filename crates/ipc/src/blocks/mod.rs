// SPDX-License-Identifier: BSD-3-Clause
//! Blocks of shared memory that cross as descriptors: a megabyte costs what 24 bytes cost.
//!
//! ```text
//!   sender                                              receiver
//!   Pool ─lease─► Lease ─freeze─► Block
//!                                  │ send
//!   regions, lent ◄────────────────┤
//!        │    Region + its memfd   │  once for each region     map it, read-only
//!        │ ──────────────────────────────────────────────────────────► regions
//!        │    Notice "mapped"                                            │
//!        │ ◄─────────────────────────────────────────────────────────────┤
//!        │    Data | DESCRIPTOR: 24 bytes                                ▼
//!        │ ──────────────────────────────────────────────────────────► PeerBlock
//!        │    Release                                                    │ the last clone dropped
//!        ▼ ◄─────────────────────────────────────────────────────────────┘
//!   the block returns to its pool
//!
//!   descriptor  ├ region u32 ┼ generation u32 ┼ offset u64 ┼ len u64 ┤   little-endian
//! ```
//!
//! | file | contents |
//! |---|---|
//! | `lending` | this side's regions, and its blocks that the peer holds |
//! | `lent` | the blocks of one region that the peer holds |
//! | `borrowing` | the peer's regions, and descriptors into them |
//! | `peer_block` | a block of the peer |
//! | `budget` | the budget for mapping peers' memory |
//! | `outlet` | the memfd of the frame that announces its region |
//! | `counts` | counters |
//!
//! # Ownership
//!
//! A [`Block`] that was sent stays the sender's memory: the connection keeps a reference to it
//! until the peer has released it, so that its pool does not lease it to a writer. The peer reads
//! it in place. It is free again when
//!
//! 1. the last clone of the [`PeerBlock`] was dropped there, and the release has arrived here; also
//!    when the element was refused, or withdrawn by its sender;
//! 2. the element was requeued at the front of its channel, instead of a release;
//! 3. it was never transmitted;
//! 4. the peer has disconnected, or violated the protocol.
//!
//! A connection that is closed while blocks are held, by either side, ends for its users, and its
//! socket stays open only for releases: a block is not reused while its holder can read it. The peer
//! disconnects when it holds no more. A peer of an earlier version disconnects at once: a block that
//! it still holds may be overwritten. At most [`LINGERING_MAX`] such connections are kept.
//!
//! # When bytes are copied instead
//!
//! A block is sent as bytes, and counted so, when its memory has no memfd or its region was
//! revoked; until the peer has confirmed that it has mapped the region, and permanently if it does
//! not (the transport carries no descriptors, its budget is exhausted); when [`LENT_MAX`] blocks
//! are lent; when it is another connection's block: data of one peer is not passed to another in
//! memory that the first can still write.
//!
//! # A hostile peer
//!
//! A descriptor is read once, and its copy is checked: a region that was announced and mapped, its
//! generation, a range within it (checked arithmetic; byte alignment), no more blocks than may be
//! lent. A region is mapped once, with its seals, its type and its length checked, within a budget.
//! A release has to match a block that was lent, in a table that only this process can write.
//! Anything else ends the connection with [`Ended::Protocol`], without other effects. The bytes are
//! not available as a slice while the peer could write them: [`PeerBlock`] copies, reading each
//! byte once.
//!
//! # Invariants
//!
//! 1. Every descriptor that arrived is answered once: by a release, or by being returned itself.
//! 2. A region's frame, with its memfd, precedes the first descriptor into it; the region is
//!    withdrawn only when none of its blocks is lent.
//! 3. A mapping is created once per region, never per message; it is removed with the last block,
//!    or with the connection.

mod borrowing;
mod budget;
mod counts;
mod lending;
mod lent;
mod outlet;
mod peer_block;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Waker;

use becket_wire::codes::{APPLICATION, PROTOCOL};
use becket_wire::{Event, Frame, Full, Kind, Session, flags};
use becket_zcopy::Block;
use bytes::Bytes;

use self::borrowing::Borrowing;
use self::counts::BlockCounters;
pub use self::counts::Counts;
use self::lending::Lending;
pub(crate) use self::lending::Loan;
pub(crate) use self::outlet::Announcing;
pub use self::peer_block::{BlockRef, PeerBlock};
use crate::connection::{At, Ended};
use crate::element::Element;
use crate::transport::{Ancillary, Link};

/// The maximum number of blocks that one side of a connection may have lent at a time. More are
/// sent as bytes.
pub const LENT_MAX: usize = 1024;
/// The maximum number of bytes of the peer's regions that a connection maps. A region beyond that
/// is not mapped, and its blocks arrive as bytes.
pub const MAPPED_BYTES_MAX: u64 = 256 << 20;
/// The same, over all connections of the process.
pub const MAPPED_BYTES_IN_ALL_MAX: u64 = 4 << 30;

/// The maximum number of closed connections of this process whose blocks are still held. At the
/// bound the oldest of the peer with the most of them is ended: its blocks are reused.
pub const LINGERING_MAX: usize = 1024;

/// Closed connections of this process whose blocks are still held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Lingerings {
    /// Their number now.
    pub now: usize,
    /// How many were ended at [`LINGERING_MAX`], or could not be watched.
    pub cut: u64,
}

/// The closed connections of this process whose blocks are still held.
#[must_use]
pub fn lingering() -> Lingerings {
    crate::connection::linger::all()
}

/// The stream number under which dropped blocks wake their connection: no stream has it.
pub(crate) const WOKEN: u32 = 0;
/// The notice that a region was mapped: its number, and its generation in the upper half.
const MAPPED: u16 = APPLICATION + 1;

/// A descriptor in place of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) region: u32,
    pub(crate) generation: u32,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// The length of an encoded descriptor.
pub(crate) const DESCRIPTOR_BYTES: usize = 24;

impl Descriptor {
    pub(crate) fn encode(&self) -> [u8; DESCRIPTOR_BYTES] {
        let mut bytes = [0; DESCRIPTOR_BYTES];
        let (words, _) = bytes.as_chunks_mut::<8>();
        let first = u64::from(self.region) | u64::from(self.generation) << 32;
        for (place, word) in words.iter_mut().zip([first, self.offset, self.len]) {
            *place = word.to_le_bytes();
        }
        bytes
    }

    /// `None`: of another length.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = <&[u8; DESCRIPTOR_BYTES]>::try_from(bytes).ok()?;
        let (words, _) = bytes.as_chunks::<8>();
        let [first, offset, len] = *words else { return None };
        let first = u64::from_le_bytes(first);
        Some(Self {
            region: first as u32,
            generation: (first >> 32) as u32,
            offset: u64::from_le_bytes(offset),
            len: u64::from_le_bytes(len),
        })
    }
}

/// A peer's violation of the rules for blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("a descriptor has another length than 24 bytes")]
    Length,
    #[error("a descriptor names region {region}, generation {generation}, which is not mapped")]
    UnknownRegion { region: u32, generation: u32 },
    #[error("invalid descriptor: {0}")]
    Refused(becket_zcopy::Error),
    #[error("invalid region: {0}")]
    Region(becket_zcopy::Error),
    #[error("{0} file descriptors with a region, expected 1")]
    Descriptors(usize),
    #[error("more than {LENT_MAX} blocks lent at once")]
    TooMany,
    #[error("a block that was not lent was released: offset {offset} of region {region}")]
    NotLent { region: u32, offset: u64 },
}

/// The blocks of one side of a connection, in both directions.
#[derive(Default)]
pub(crate) struct Blocks {
    lending: Lending,
    borrowing: Borrowing,
    counters: Arc<BlockCounters>,
    fault: Option<Fault>,
}

/// An element as it is passed to the session.
pub(crate) struct Packed<'a> {
    pub(crate) flags: u8,
    pub(crate) body: PackedBody<'a>,
    /// The loan that begins when the session accepts it.
    pub(crate) loan: Option<Loan>,
}

/// The body of a packed element. It is owned only when it has to be queued.
pub(crate) enum PackedBody<'a> {
    Of(&'a Element),
    Descriptor([u8; DESCRIPTOR_BYTES]),
    Copied(Bytes),
}

impl PackedBody<'_> {
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Of(element) => element.as_slice(),
            Self::Descriptor(bytes) => bytes,
            Self::Copied(bytes) => bytes,
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn to_bytes(&self) -> Bytes {
        match self {
            Self::Of(element) => (*element).clone().into_bytes(),
            Self::Descriptor(bytes) => Bytes::copy_from_slice(bytes),
            Self::Copied(bytes) => bytes.clone(),
        }
    }
}

impl Blocks {
    /// Encodes an element: a block as a descriptor if possible, anything else as bytes.
    #[inline]
    pub(crate) fn pack<'a>(&mut self, session: &mut Session, element: &'a Element) -> Packed<'a> {
        match element.as_block() {
            None => Packed { flags: 0, body: PackedBody::Of(element), loan: None },
            Some(block) => self.pack_block(session, block, element),
        }
    }

    fn pack_block<'a>(
        &mut self,
        session: &mut Session,
        block: BlockRef<'_>,
        element: &'a Element,
    ) -> Packed<'a> {
        let described = match block {
            BlockRef::Own(block) => self.lending.describe(session, block),
            // Of this peer or of another: the bytes, copied once however often the send is retried.
            BlockRef::Peers(block) => {
                return Packed { flags: 0, body: PackedBody::Copied(block.copied()), loan: None };
            }
        };
        match described {
            Some((descriptor, loan)) => Packed {
                flags: flags::DESCRIPTOR,
                body: PackedBody::Descriptor(descriptor.encode()),
                loan: Some(loan),
            },
            None => Packed { flags: 0, body: PackedBody::Of(element), loan: None },
        }
    }

    /// The session accepted the packed element.
    #[inline]
    pub(crate) fn sent(&mut self, element: &Element, loan: Option<Loan>) {
        match (element.as_block(), loan) {
            (Some(BlockRef::Own(block)), Some(loan)) => {
                self.lending.lend(loan, block);
                self.counters.lent(self.lending.count());
            }
            (Some(block), None) => self.counters.copied(block.len()),
            _ => {}
        }
    }

    /// Ends the loan of an element that was never transmitted, and returns the element.
    pub(crate) fn take_back(&mut self, loan: Loan) -> Option<Element> {
        let block = self.lending.take_back(loan, None)?;
        self.counters.back(self.lending.count());
        Some(block.into())
    }

    /// An element has arrived whose body is a descriptor. `None`: the connection has ended.
    pub(crate) fn received(&mut self, at: &mut At<'_>, body: &[u8]) -> Option<Element> {
        match self.borrowing.take(body, &self.counters) {
            Ok(block) => Some(Element::from(block)),
            Err(fault) => self.fail(at, fault),
        }
    }

    /// The peer has returned an element whose body is a descriptor.
    pub(crate) fn returned(&mut self, at: &mut At<'_>, body: &[u8]) -> Option<Element> {
        match self.lending.returned(body) {
            Ok(block) => {
                self.counters.back(self.lending.count());
                Some(block.into())
            }
            Err(fault) => self.fail(at, fault),
        }
    }

    /// Handles events of regions and blocks; ignores others.
    pub(crate) fn event(&mut self, at: &mut At<'_>, event: &Event<'_>, ancillary: Ancillary<'_>) {
        let done = match *event {
            Event::Region { region, generation, bytes } => {
                let region = (region, generation, bytes);
                self.borrowing.announced(at, region, ancillary, &self.counters)
            }
            Event::Unregion { region, generation } => {
                self.borrowing.forget(region, generation);
                Ok(())
            }
            Event::Release { region, generation, offset } => {
                let released = self.lending.released(region, generation, offset);
                self.counters.back(self.lending.count());
                released
            }
            Event::Notice { code: MAPPED, of, .. } => {
                self.lending.mapped(of as u32, (of >> 32) as u32);
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(fault) = done {
            self.fail::<()>(at, fault);
        }
    }

    /// Blocks were dropped: releases them to the peer.
    pub(crate) fn woken(&mut self, at: &mut At<'_>) {
        self.borrowing.release(at.session);
    }

    /// The connection has ended: what is to go on, if blocks are out.
    pub(crate) fn split_off(&mut self, session: &mut Session) -> Self {
        let mut borrowing = std::mem::take(&mut self.borrowing);
        borrowing.unsent(session.take_unsent_blocks(), &self.counters);
        let lending = std::mem::take(&mut self.lending);
        Self { lending, borrowing, counters: self.counters.clone(), fault: self.fault }
    }

    /// Whether a block of either side is held by the other.
    pub(crate) fn are_out(&self) -> bool {
        self.lending.count() > 0 || self.counters.is_holding()
    }

    /// Dropped blocks wake another owner from now on.
    pub(crate) fn wake_by(&self, waker: Waker) {
        self.borrowing.wake_by(waker);
    }

    /// A frame behind the close of either side.
    pub(crate) fn after_close(&mut self, frame: &Frame<'_>) {
        let Frame { head, body } = frame;
        let is_descriptor = head.flags & flags::DESCRIPTOR != 0;
        let done = match head.kind {
            // As the session does: it may have crossed the withdrawal of its region.
            Kind::Release if !self.lending.has(head.stream, head.aux) => Ok(()),
            Kind::Release => self.lending.released(head.stream, head.aux, head.sequence),
            Kind::Return if is_descriptor => self.lending.returned(body).map(drop),
            Kind::Data if is_descriptor => self.borrowing.refuse(body, &self.counters),
            _ => Ok(()),
        };
        self.counters.back(self.lending.count());
        if let Err(fault) = done {
            self.fault.get_or_insert(fault);
        }
    }

    /// Puts the releases of dropped blocks, without a session.
    pub(crate) fn put_releases(&mut self, link: &mut dyn Link) -> Result<(), Full> {
        self.borrowing.put_releases(link)
    }

    /// The connection has ended: lent blocks are free, and nothing is released any more.
    pub(crate) fn ended(&mut self) {
        self.lending = Lending::default();
        self.borrowing.end();
        self.counters.back(0);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counters.counts()
    }

    /// How the connection has to end, if the peer violated a rule.
    #[inline]
    pub(crate) fn fault(&self) -> Option<Ended> {
        self.fault.map(|fault| Ended::Protocol(fault.to_string().into()))
    }

    fn fail<T>(&mut self, at: &mut At<'_>, fault: Fault) -> Option<T> {
        at.session.close(PROTOCOL, fault.to_string());
        self.fault.get_or_insert(fault);
        None
    }

    fn to_announce(&self, region: u32) -> Option<OwnedFd> {
        self.lending.to_announce(region)
    }

    fn announced(&mut self, region: u32) {
        self.lending.announced(region);
    }
}

#[cfg(test)]
impl Blocks {
    /// With blocks of a peer that are held.
    pub(crate) fn holding(count: u64) -> Self {
        let blocks = Self::default();
        blocks.counters.held.store(count, std::sync::atomic::Ordering::Relaxed);
        blocks
    }
}

impl From<Block> for Element {
    fn from(block: Block) -> Self {
        Self::of_block(block)
    }
}
