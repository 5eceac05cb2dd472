// SPDX-License-Identifier: BSD-3-Clause
//! This side's regions, and its blocks that the other side has.
//!
//! ```text
//!            the first block of it is sent        the other side has mapped it
//!   unknown ───────────────────────────► told ───────────────────────────────► mapped
//!      ▲                                   │ blocks go as bytes                  │ as descriptors
//!      └──── another needs its place, or its memory is gone, and none is lent ───┘
//! ```
//!
//! Its memfd is kept only until it has been handed to the transport: a region that its process gives
//! up does not live on here.

use std::os::fd::OwnedFd;

use becket_wire::{Refused, Session};
use becket_zcopy::{Block, Desc, Error, Pinned};

use super::lent::Lent;
use super::{Descriptor, Fault, LENT_MAX};

#[derive(Default)]
pub(super) struct Lending {
    regions: Vec<Own>,
    /// Loans of all regions.
    count: usize,
}

/// A region of this process that the other side has been told of.
struct Own {
    id: u64,
    /// Until it has been handed over.
    memfd: Option<OwnedFd>,
    is_mapped: bool,
    lent: Lent,
}

/// A block that is about to be lent, or is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loan {
    id: u64,
    offset: u64,
}

/// The number and the generation by which a region is known to the other side.
const fn name_of(id: u64) -> (u32, u32) {
    (id as u32, (id >> 32) as u32)
}

impl Lending {
    /// How a block is named to the other side. `None`: it is not, its bytes are to be sent.
    pub(super) fn describe(
        &mut self,
        session: &mut Session,
        block: &Block,
    ) -> Option<(Descriptor, Loan)> {
        let id = block.region_id();
        let Some(own) = self.regions.iter().find(|own| own.id == id) else {
            self.announce(session, block);
            return None;
        };
        let is_revoked = || block.export().is_err();
        if !own.is_mapped || self.count >= LENT_MAX || is_revoked() {
            return None;
        }
        let (region, generation) = name_of(id);
        let (offset, len) = (block.offset(), block.len() as u64);
        Some((Descriptor { region, generation, offset, len }, Loan { id, offset }))
    }

    /// Tells the other side of the block's region, if it has a memfd and there is room.
    fn announce(&mut self, session: &mut Session, block: &Block) {
        let Ok(export) = block.export() else { return };
        let Ok(memfd) = export.fd.try_clone_to_owned() else { return };
        let (region, generation) = name_of(export.id);
        self.forget_unused(session, |own| {
            name_of(own.id).0 == region || matches!(is_there(own.id), Err(Error::Stale { .. }))
        });
        let mut told = session.region(region, generation, export.bytes);
        if told == Err(Refused::TooMany) {
            // One of which nothing is lent makes room.
            let mut one = true;
            self.forget_unused(session, |_| std::mem::take(&mut one));
            told = session.region(region, generation, export.bytes);
        }
        if told.is_err() {
            return;
        }
        let memfd = Some(memfd);
        self.regions.push(Own { id: export.id, memfd, is_mapped: false, lent: Lent::default() });
    }

    fn forget_unused(&mut self, session: &mut Session, mut which: impl FnMut(&Own) -> bool) {
        self.regions.retain(|own| {
            let (region, generation) = name_of(own.id);
            // Refused: it stays as it is, and is tried another time.
            !(own.lent.is_empty() && which(own) && session.unregion(region, generation).is_ok())
        });
    }

    /// The session took the descriptor.
    pub(super) fn lend(&mut self, loan: Loan, block: &Block) {
        if let Some(own) = self.regions.iter_mut().find(|own| own.id == loan.id) {
            own.lent.add(block);
            self.count += 1;
        }
    }

    /// One loan is over.
    pub(super) fn take_back(&mut self, loan: Loan, len: Option<usize>) -> Option<Block> {
        let own = self.regions.iter_mut().find(|own| own.id == loan.id)?;
        let block = own.lent.take(loan.offset, len)?;
        self.count -= 1;
        Some(block)
    }

    /// The other side has dropped a block.
    pub(super) fn released(
        &mut self,
        region: u32,
        generation: u32,
        offset: u64,
    ) -> Result<(), Fault> {
        let loan = Loan { id: u64::from(generation) << 32 | u64::from(region), offset };
        self.take_back(loan, None).map(drop).ok_or(Fault::NotLent { region, offset })
    }

    /// An element went back whose body is this descriptor.
    pub(super) fn returned(&mut self, body: &[u8]) -> Result<Block, Fault> {
        let Descriptor { region, generation, offset, len } =
            Descriptor::decode(body).ok_or(Fault::Length)?;
        let loan = Loan { id: u64::from(generation) << 32 | u64::from(region), offset };
        let len = usize::try_from(len).ok();
        let block = len.and_then(|len| self.take_back(loan, Some(len)));
        block.ok_or(Fault::NotLent { region, offset })
    }

    /// The other side has mapped a region. One that it does not know any more says nothing.
    pub(super) fn mapped(&mut self, region: u32, generation: u32) {
        if let Some(own) =
            self.regions.iter_mut().find(|own| name_of(own.id) == (region, generation))
        {
            own.is_mapped = own.memfd.is_none();
        }
    }

    /// The memfd that goes beside the frame that announces a region.
    pub(super) fn to_announce(&self, region: u32) -> Option<OwnedFd> {
        let own = self.regions.iter().find(|own| name_of(own.id).0 == region)?;
        own.memfd.as_ref()?.try_clone().ok()
    }

    /// The frame has been handed to the transport.
    pub(super) fn announced(&mut self, region: u32) {
        if let Some(own) = self.regions.iter_mut().find(|own| name_of(own.id).0 == region) {
            own.memfd = None;
        }
    }

    /// How many blocks are lent.
    pub(super) const fn count(&self) -> usize {
        self.count
    }
}

/// Whether the process still has the region.
fn is_there(id: u64) -> Result<(), Error> {
    Desc::in_region(id, 0, 1).and_then(|desc| Pinned::of(&desc)).map(drop)
}
