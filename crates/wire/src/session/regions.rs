// SPDX-License-Identifier: BSD-3-Clause
//! Commands: regions of memory for descriptors.
//!
//! The session passes the frames on and checks the numbers: a region is announced once, and its
//! blocks are released only while it is announced. The memory, its file descriptor and its blocks
//! belong to the application. Frames of regions precede elements: announce a region before its
//! first descriptor, and take it back only when every block has been released.

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
        self.command(|session| {
            session.usable()?;
            let max = session.peer.regions_max.min(session.limits.regions_max) as usize;
            if session.regions.own.len() >= max {
                return Err(Refused::TooMany);
            }
            if session.regions.own.iter().any(|(number, _)| *number == region) {
                return Err(Refused::Region);
            }
            let head = about(Kind::Region, region, generation, bytes);
            session.queue_unordered(head, Bytes::new())?;
            session.regions.own.push((region, generation));
            Ok(())
        })
    }

    /// Takes back a region of this side.
    pub fn unregion(&mut self, region: u32, generation: u32) -> Result<(), Refused> {
        self.command(|session| {
            session.usable()?;
            let place = session.regions.own.iter().position(|own| *own == (region, generation));
            let place = place.ok_or(Refused::Region)?;
            session.queue_unordered(about(Kind::Unregion, region, generation, 0), Bytes::new())?;
            session.regions.own.swap_remove(place);
            Ok(())
        })
    }

    /// Releases a block of a region of the peer.
    pub fn release(&mut self, region: u32, generation: u32, offset: u64) -> Result<(), Refused> {
        self.command(|session| {
            session.usable()?;
            if !session.regions.peer.contains(&(region, generation)) {
                return Err(Refused::Region);
            }
            session.queue_unordered(about(Kind::Release, region, generation, offset), Bytes::new())
        })
    }
}

fn about(kind: Kind, region: u32, generation: u32, sequence: u64) -> Head {
    Head { stream: region, aux: generation, sequence, ..Head::new(kind) }
}
