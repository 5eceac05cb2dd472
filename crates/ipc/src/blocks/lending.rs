// SPDX-License-Identifier: BSD-3-Clause
//! This side's regions, and its blocks that the peer holds.
//!
//! ```text
//!            its first block is sent                  the peer has mapped it
//!   unknown ───────────────────────────► announced ──────────────────────────► mapped
//!      ▲                                   │ blocks are sent as bytes           │ as descriptors
//!      └── its entry is needed, or its memory was released; and none is lent ───┘
//! ```
//!
//! Its memfd is kept only until it has been transmitted: a region that its process releases is not
//! kept alive here.

use std::os::fd::OwnedFd;

use becket_wire::{Refused, Session};
use becket_zcopy::{Block, Desc, Error, Pinned};

use super::lent::Lent;
use super::{Descriptor, Fault, LENT_MAX};

#[derive(Default)]
pub(super) struct Lending {
    regions: Vec<Own>,
    /// Loans, over all regions.
    count: usize,
}

/// A region of this process that was announced to the peer.
struct Own {
    id: u64,
    /// `None` once it has been transmitted.
    memfd: Option<OwnedFd>,
    is_mapped: bool,
    lent: Lent,
}

/// A block that is lent, or about to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loan {
    id: u64,
    offset: u64,
}

/// The number and the generation of a region in the protocol.
const fn name_of(id: u64) -> (u32, u32) {
    (id as u32, (id >> 32) as u32)
}

impl Lending {
    /// The descriptor of a block. `None`: its bytes have to be sent.
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

    /// Announces the block's region to the peer, if it has a memfd and there is room.
    fn announce(&mut self, session: &mut Session, block: &Block) {
        let Ok(export) = block.export() else { return };
        let Ok(memfd) = export.fd.try_clone_to_owned() else { return };
        let (region, generation) = name_of(export.id);
        self.forget_unused(session, |own| {
            name_of(own.id).0 == region || matches!(is_there(own.id), Err(Error::Stale { .. }))
        });
        let mut announced = session.region(region, generation, export.bytes);
        if announced == Err(Refused::TooMany) {
            // A region without loans makes room.
            let mut one = true;
            self.forget_unused(session, |_| std::mem::take(&mut one));
            announced = session.region(region, generation, export.bytes);
        }
        if announced.is_err() {
            return;
        }
        let memfd = Some(memfd);
        self.regions.push(Own { id: export.id, memfd, is_mapped: false, lent: Lent::default() });
    }

    fn forget_unused(&mut self, session: &mut Session, mut which: impl FnMut(&Own) -> bool) {
        self.regions.retain(|own| {
            let (region, generation) = name_of(own.id);
            // Refused: it stays, and is withdrawn another time.
            !(own.lent.is_empty() && which(own) && session.unregion(region, generation).is_ok())
        });
    }

    /// The session accepted the descriptor.
    pub(super) fn lend(&mut self, loan: Loan, block: &Block) {
        if let Some(own) = self.regions.iter_mut().find(|own| own.id == loan.id) {
            own.lent.add(block);
            self.count += 1;
        }
    }

    /// Ends one loan.
    pub(super) fn take_back(&mut self, loan: Loan, len: Option<usize>) -> Option<Block> {
        let own = self.regions.iter_mut().find(|own| own.id == loan.id)?;
        let block = own.lent.take(loan.offset, len)?;
        self.count -= 1;
        Some(block)
    }

    /// Whether the region is announced.
    pub(super) fn has(&self, region: u32, generation: u32) -> bool {
        self.regions.iter().any(|own| name_of(own.id) == (region, generation))
    }

    /// The peer has dropped a block.
    pub(super) fn released(
        &mut self,
        region: u32,
        generation: u32,
        offset: u64,
    ) -> Result<(), Fault> {
        let loan = Loan { id: u64::from(generation) << 32 | u64::from(region), offset };
        self.take_back(loan, None).map(drop).ok_or(Fault::NotLent { region, offset })
    }

    /// The peer has returned an element whose body is this descriptor.
    pub(super) fn returned(&mut self, body: &[u8]) -> Result<Block, Fault> {
        let Descriptor { region, generation, offset, len } =
            Descriptor::decode(body).ok_or(Fault::Length)?;
        let loan = Loan { id: u64::from(generation) << 32 | u64::from(region), offset };
        let len = usize::try_from(len).ok();
        let block = len.and_then(|len| self.take_back(loan, Some(len)));
        block.ok_or(Fault::NotLent { region, offset })
    }

    /// The peer has mapped a region. A region that was withdrawn meanwhile is ignored.
    pub(super) fn mapped(&mut self, region: u32, generation: u32) {
        if let Some(own) =
            self.regions.iter_mut().find(|own| name_of(own.id) == (region, generation))
        {
            own.is_mapped = own.memfd.is_none();
        }
    }

    /// The memfd for the frame that announces a region.
    pub(super) fn to_announce(&self, region: u32) -> Option<OwnedFd> {
        let own = self.regions.iter().find(|own| name_of(own.id).0 == region)?;
        own.memfd.as_ref()?.try_clone().ok()
    }

    /// The frame has been transmitted.
    pub(super) fn announced(&mut self, region: u32) {
        if let Some(own) = self.regions.iter_mut().find(|own| name_of(own.id).0 == region) {
            own.memfd = None;
        }
    }

    /// The number of lent blocks.
    pub(super) const fn count(&self) -> usize {
        self.count
    }
}

/// Whether the region still exists in this process.
fn is_there(id: u64) -> Result<(), Error> {
    Desc::in_region(id, 0, 1).and_then(|desc| Pinned::of(&desc)).map(drop)
}
