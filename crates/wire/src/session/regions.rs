// SPDX-License-Identifier: BSD-3-Clause
//! Commands: regions of memory for descriptors.
//!
//! The session passes the frames on and checks the numbers: announced once, released only while they
//! are known. The memory, its file descriptor and its blocks belong to the application. Frames of
//! regions precede elements: announce a region before its first descriptor, and take it back only when
//! every block has been released.

use bytes::Bytes;

use super::Session;
use crate::{Head, Kind, Refused};

#[derive(Debug, Default)]
pub(super) struct Regions {
    /// (number, generation), announced by this side.
    pub(super) own: Vec<(u32, u32)>,
    /// Announced by the peer.
    pub(super) peer: Vec<(u32, u32)>,
}

impl Session {
    /// Announces a region. The outlet sees the head and sends the file descriptor beside the frame.
    pub fn region(&mut self, region: u32, generation: u32, bytes: u64) -> Result<(), Refused> {
        let result = self.try_region(region, generation, bytes);
        self.counted(result)
    }

    fn try_region(&mut self, region: u32, generation: u32, bytes: u64) -> Result<(), Refused> {
        self.usable()?;
        let max = self.peer.regions_max.min(self.limits.regions_max) as usize;
        if self.regions.own.len() >= max {
            return Err(Refused::TooMany);
        }
        if self.regions.own.iter().any(|(number, _)| *number == region) {
            return Err(Refused::Region);
        }
        let head = about(Kind::Region, region, generation, bytes);
        self.queue_unordered(head, Bytes::new())?;
        self.regions.own.push((region, generation));
        Ok(())
    }

    /// Takes back a region of this side.
    pub fn unregion(&mut self, region: u32, generation: u32) -> Result<(), Refused> {
        let result = self.try_unregion(region, generation);
        self.counted(result)
    }

    fn try_unregion(&mut self, region: u32, generation: u32) -> Result<(), Refused> {
        self.usable()?;
        let place = self.regions.own.iter().position(|own| *own == (region, generation));
        let place = place.ok_or(Refused::Region)?;
        self.queue_unordered(about(Kind::Unregion, region, generation, 0), Bytes::new())?;
        self.regions.own.swap_remove(place);
        Ok(())
    }

    /// Releases a block of a region of the peer.
    pub fn release(&mut self, region: u32, generation: u32, offset: u64) -> Result<(), Refused> {
        let result = self.try_release(region, generation, offset);
        self.counted(result)
    }

    fn try_release(&mut self, region: u32, generation: u32, offset: u64) -> Result<(), Refused> {
        self.usable()?;
        if !self.regions.peer.contains(&(region, generation)) {
            return Err(Refused::Region);
        }
        self.queue_unordered(about(Kind::Release, region, generation, offset), Bytes::new())
    }
}

fn about(kind: Kind, region: u32, generation: u32, sequence: u64) -> Head {
    Head { stream: region, aux: generation, sequence, ..Head::new(kind) }
}
