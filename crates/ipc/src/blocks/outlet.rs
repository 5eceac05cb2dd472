// SPDX-License-Identifier: BSD-3-Clause
//! The memfd of the frame that announces its region.

use becket_wire::{Full, Head, Kind, Outlet};

use super::Blocks;
use crate::transport::Link;

/// A link that adds the memfd to each region's frame.
pub(crate) struct Announcing<'a> {
    pub(crate) link: &'a mut dyn Link,
    pub(crate) blocks: &'a mut Blocks,
}

impl Outlet for Announcing<'_> {
    #[inline]
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        if head.kind == Kind::Region {
            return self.announce(head, body);
        }
        self.link.put(head, body)
    }
}

impl Announcing<'_> {
    #[cold]
    fn announce(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        // Without its memfd the peer does not map the region, and gets bytes.
        let memfd = self.blocks.to_announce(head.stream).into_iter().collect();
        let ancillary = self.link.put_descriptors(memfd);
        tracing::debug!(region = head.stream, ?ancillary, "announcing a region");
        match self.link.put(head, body) {
            Ok(()) => {
                self.blocks.announced(head.stream);
                Ok(())
            }
            Err(full) => {
                // Otherwise it would go with the next frame that is put.
                let _cleared = self.link.put_descriptors(Vec::new());
                Err(full)
            }
        }
    }
}
