// SPDX-License-Identifier: BSD-3-Clause
//! The peer's regions, and descriptors into them.
//!
//! ```text
//!   Region + memfd ──► seals, type, length, budget ──► mapped, once
//!   descriptor ──► a copy ──► region, generation, range, number ──► PeerBlock
//!   PeerBlock dropped ──► released ──► session, in the next dispatch
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;

use becket_wire::Session;
use becket_zcopy::{Error, ImportedRegion, Meta};
use bytes::Bytes;

use super::budget::Share;
use super::counts::Tally;
use super::peer_block::{Home, PeerBlock};
use super::{Descriptor, Fault, LENT_MAX, MAPPED, MAPPED_BYTES_MAX, WOKEN};
use crate::connection::At;
use crate::streams::told;
use crate::transport::Beside;

#[derive(Default)]
pub(super) struct Borrowing {
    regions: Vec<Mapped>,
    /// Where dropped blocks are queued: set once a region was mapped.
    home: Option<Arc<Home>>,
    /// Releases that the session has not accepted yet; kept for its capacity.
    releases: Vec<Descriptor>,
}

struct Mapped {
    region: u32,
    generation: u32,
    /// The mapping and its part of the budget; blocks hold it too, as long as they exist.
    memory: Arc<Memory>,
}

/// A mapping and its part of the budget, which are freed together.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) mapping: ImportedRegion,
    share: Share,
}

impl Borrowing {
    /// A region was announced. A region that exceeds the budget is ignored: its owner then sends bytes.
    pub(super) fn announced(
        &mut self,
        at: &mut At<'_>,
        (region, generation, bytes): (u32, u32, u64),
        beside: Beside<'_>,
        tally: &Arc<Tally>,
    ) -> Result<(), Fault> {
        let mut beside = beside.take();
        let Some(memfd) = beside.pop() else {
            tally.region(false);
            return Ok(());
        };
        if !beside.is_empty() {
            return Err(Fault::Beside(beside.len() + 1));
        }
        // Memory that is held only by blocks counts for the process, not for the connection.
        let mapped: u64 = self.regions.iter().map(|mapped| mapped.memory.share.bytes()).sum();
        let fits = mapped.checked_add(bytes).is_some_and(|mapped| mapped <= MAPPED_BYTES_MAX);
        let Some(share) = fits.then(|| Share::take(bytes)).flatten() else {
            tally.region(false);
            return Ok(());
        };
        let id = u64::from(generation) << 32 | u64::from(region);
        let mapping = match ImportedRegion::import(memfd, id, bytes, Meta::default()) {
            Ok(mapping) => mapping,
            Err(Error::System { .. }) => {
                tally.region(false);
                return Ok(());
            }
            Err(error) => return Err(Fault::Region(error)),
        };
        tally.region(true);
        self.home.get_or_insert_with(|| Home::new(at.waker(WOKEN), tally.clone()));
        let memory = Arc::new(Memory { mapping, share });
        self.regions.push(Mapped { region, generation, memory });
        // Refused: its owner continues to send bytes.
        told(at.session.notice(MAPPED, id, Bytes::new()));
        Ok(())
    }

    /// A region was withdrawn. Blocks of it that are held keep their memory.
    pub(super) fn forget(&mut self, region: u32, generation: u32) {
        self.regions.retain(|mapped| (mapped.region, mapped.generation) != (region, generation));
    }

    /// An element has arrived whose body is a descriptor.
    pub(super) fn take(&mut self, body: &[u8], tally: &Tally) -> Result<PeerBlock, Fault> {
        let descriptor = Descriptor::decode(body).ok_or(Fault::Length)?;
        let Descriptor { region, generation, offset, len } = descriptor;
        let known = |mapped: &&Mapped| (mapped.region, mapped.generation) == (region, generation);
        let unknown = Fault::UnknownRegion { region, generation };
        let mapped = self.regions.iter().find(known).ok_or(unknown)?;
        let home = self.home.as_ref().ok_or(unknown)?;
        if tally.held.load(Ordering::Relaxed) >= LENT_MAX as u64 {
            return Err(Fault::TooMany);
        }
        let bytes = mapped.memory.mapping.bytes() as u64;
        let len = usize::try_from(len)
            .map_err(|_| Fault::Refused(Error::OutOfRange { offset, len, bytes }))?;
        let view = mapped.memory.mapping.translate(offset, len).map_err(Fault::Refused)?;
        tally.received();
        Ok(PeerBlock::new(view, descriptor, mapped.memory.clone(), home.clone()))
    }

    /// Releases dropped blocks to the peer, as far as the session has room.
    pub(super) fn release(&mut self, session: &mut Session) {
        let Some(home) = &self.home else { return };
        home.take_dropped(&mut self.releases);
        let mut released = 0;
        for Descriptor { region, generation, offset, .. } in &self.releases {
            match session.release(*region, *generation, *offset) {
                Err(becket_wire::Refused::Full) => break,
                // Refused: the region was withdrawn, and its owner needs no releases.
                done => told(done),
            }
            released += 1;
        }
        self.releases.drain(..released);
        home.released(released);
    }

    /// The connection has ended.
    pub(super) fn end(&mut self) {
        self.regions.clear();
        if let Some(home) = self.home.take() {
            home.released(self.releases.len());
            self.releases.clear();
            home.end();
        }
    }
}
