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
use std::task::Waker;

use becket_wire::{Full, Head, Kind, Session, UnsentBlocks};
use becket_zcopy::{Error, ImportedRegion, Meta};
use bytes::Bytes;

use super::budget::BudgetShare;
use super::counts::BlockCounters;
use super::peer_block::{PeerBlock, ReleaseQueue};
use super::{Descriptor, Fault, LENT_MAX, MAPPED, MAPPED_BYTES_MAX, WOKEN};
use crate::connection::At;
use crate::streams::ignore_refusal;
use crate::transport::{Ancillary, Link};

#[derive(Default)]
pub(super) struct Borrowing {
    regions: Vec<Mapped>,
    /// Where dropped blocks are queued: set once a region was mapped.
    release_queue: Option<Arc<ReleaseQueue>>,
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
    share: BudgetShare,
}

impl Borrowing {
    /// A region was announced. A region that exceeds the budget is ignored: its owner then sends
    /// bytes.
    pub(super) fn announced(
        &mut self,
        at: &mut At<'_>,
        (region, generation, bytes): (u32, u32, u64),
        ancillary: Ancillary<'_>,
        counters: &Arc<BlockCounters>,
    ) -> Result<(), Fault> {
        let mut ancillary = ancillary.take();
        let Some(memfd) = ancillary.pop() else {
            counters.region(false);
            return Ok(());
        };
        if !ancillary.is_empty() {
            return Err(Fault::Descriptors(ancillary.len() + 1));
        }
        // Memory that is held only by blocks counts for the process, not for the connection.
        let mapped: u64 = self.regions.iter().map(|mapped| mapped.memory.share.bytes()).sum();
        let fits = mapped.checked_add(bytes).is_some_and(|mapped| mapped <= MAPPED_BYTES_MAX);
        let Some(share) = fits.then(|| BudgetShare::take(bytes)).flatten() else {
            counters.region(false);
            return Ok(());
        };
        let id = u64::from(generation) << 32 | u64::from(region);
        let mapping = match ImportedRegion::import(memfd, id, bytes, Meta::default()) {
            Ok(mapping) => mapping,
            Err(Error::System { .. }) => {
                counters.region(false);
                return Ok(());
            }
            Err(error) => return Err(Fault::Region(error)),
        };
        counters.region(true);
        self.release_queue
            .get_or_insert_with(|| ReleaseQueue::new(at.waker(WOKEN), counters.clone()));
        let memory = Arc::new(Memory { mapping, share });
        self.regions.push(Mapped { region, generation, memory });
        // Refused: its owner continues to send bytes.
        ignore_refusal(at.session.notice(MAPPED, id, Bytes::new()));
        Ok(())
    }

    /// A region was withdrawn. Blocks of it that are held keep their memory.
    pub(super) fn forget(&mut self, region: u32, generation: u32) {
        self.regions.retain(|mapped| (mapped.region, mapped.generation) != (region, generation));
    }

    /// An element has arrived whose body is a descriptor.
    pub(super) fn take(
        &mut self,
        body: &[u8],
        counters: &BlockCounters,
    ) -> Result<PeerBlock, Fault> {
        let descriptor = Descriptor::decode(body).ok_or(Fault::Length)?;
        let Descriptor { region, generation, offset, len } = descriptor;
        let known = |mapped: &&Mapped| (mapped.region, mapped.generation) == (region, generation);
        let unknown = Fault::UnknownRegion { region, generation };
        let mapped = self.regions.iter().find(known).ok_or(unknown)?;
        let release_queue = self.release_queue.as_ref().ok_or(unknown)?;
        if counters.held.load(Ordering::Relaxed) >= LENT_MAX as u64 {
            return Err(Fault::TooMany);
        }
        let bytes = mapped.memory.mapping.bytes() as u64;
        let len = usize::try_from(len)
            .map_err(|_| Fault::Refused(Error::OutOfRange { offset, len, bytes }))?;
        let view = mapped.memory.mapping.translate(offset, len).map_err(Fault::Refused)?;
        counters.received();
        Ok(PeerBlock::new(view, descriptor, mapped.memory.clone(), release_queue.clone()))
    }

    /// Releases dropped blocks to the peer, as far as the session has room.
    pub(super) fn release(&mut self, session: &mut Session) {
        let Some(release_queue) = &self.release_queue else { return };
        release_queue.take_dropped(&mut self.releases);
        let mut released = 0;
        for Descriptor { region, generation, offset, .. } in &self.releases {
            match session.release(*region, *generation, *offset) {
                Err(becket_wire::Refused::Full) => break,
                // Refused: the region was withdrawn, and its owner needs no releases.
                done => ignore_refusal(done),
            }
            released += 1;
        }
        self.releases.drain(..released);
        release_queue.released(released);
    }

    /// Blocks that were given back in frames which the session has not sent.
    pub(super) fn unsent(&mut self, unsent: UnsentBlocks, counters: &BlockCounters) {
        self.regions.clear();
        let before = self.releases.len();
        let releases = unsent.releases.into_iter().map(|(region, generation, offset)| Descriptor {
            region,
            generation,
            offset,
            len: 0,
        });
        let returns = unsent.returns.iter().filter_map(|body| Descriptor::decode(body));
        self.releases.extend(releases.chain(returns));
        let more = (self.releases.len() - before) as u64;
        counters.held.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn wake_by(&self, waker: Waker) {
        if let Some(release_queue) = &self.release_queue {
            release_queue.wake_by(waker);
        }
    }

    /// A block arrived that is not received any more.
    pub(super) fn refuse(&mut self, body: &[u8], counters: &BlockCounters) -> Result<(), Fault> {
        let descriptor = Descriptor::decode(body).ok_or(Fault::Length)?;
        if self.release_queue.is_none() {
            let Descriptor { region, generation, .. } = descriptor;
            return Err(Fault::UnknownRegion { region, generation });
        }
        if counters.held.load(Ordering::Relaxed) >= LENT_MAX as u64 {
            return Err(Fault::TooMany);
        }
        counters.held.fetch_add(1, Ordering::Relaxed);
        self.releases.push(descriptor);
        Ok(())
    }

    /// As [`release`](Self::release), without a session.
    pub(super) fn put_releases(&mut self, link: &mut dyn Link) -> Result<(), Full> {
        let Some(release_queue) = &self.release_queue else { return Ok(()) };
        release_queue.take_dropped(&mut self.releases);
        let mut put = 0;
        let done = self.releases.iter().try_for_each(|descriptor| {
            let Descriptor { region, generation, offset, .. } = *descriptor;
            let (stream, aux, sequence) = (region, generation, offset);
            link.put(&Head { stream, aux, sequence, ..Head::new(Kind::Release) }, &[])?;
            put += 1;
            Ok(())
        });
        self.releases.drain(..put);
        release_queue.released(put);
        done
    }

    /// The connection has ended.
    pub(super) fn end(&mut self) {
        self.regions.clear();
        if let Some(release_queue) = self.release_queue.take() {
            release_queue.released(self.releases.len());
            self.releases.clear();
            release_queue.end();
        }
    }
}
