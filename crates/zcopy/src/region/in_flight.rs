// SPDX-License-Identifier: BSD-3-Clause
//! Descriptors in flight: sent and not yet received.
//!
//! A descriptor in flight pins its region, so that the region is not released before the receiver
//! has the descriptor. It has the size of a descriptor: the mark occupies the padding.
//!
//! | a descriptor of | costs, beside the message of 40 bytes that carries it |
//! |---|---|
//! | local memory | one check; no locked instruction |
//! | a region | the range's check; a plain addition to a count of the sender's thread, and one to a count of the receiver's ([`RegionState`](super::state::RegionState)); no locked instruction where the kernel has `membarrier` |
//!
//! ```text
//!   byte  0       8      16           24       32      36     40
//!        ┌───────┬──────┬────────────┬────────┬───────┬──────┐     mark: DESCRIPTOR
//!        │ addr  │ len  │ region_id  │ offset │ flags │ mark │           | COUNTED: holds a pin
//!        └───────┴──────┴────────────┴────────┴───────┴──────┘
//! ```
//!
//! # Invariants
//!
//! 1. Each `InFlight` with `COUNTED` is counted as a flight in the region `region_id`, until it lands
//!    or is dropped.
//! 2. A local pointer costs one comparison; its region is looked up by address only on request, and
//!    only while any region is registered.

use std::mem::{ManuallyDrop, offset_of, size_of};

use super::table;
use crate::desc::Desc;
use crate::error::Error;
use crate::pool;

/// A descriptor in flight. Dropping it unpins its region and releases the reference that it
/// carries.
#[repr(C)]
#[derive(Debug)]
pub struct InFlight {
    addr: *mut u8,
    len: usize,
    region_id: u64,
    offset: u64,
    flags: u32,
    mark: u32,
}

const _: () = {
    assert!(size_of::<InFlight>() == size_of::<Desc>());
    assert!(offset_of!(InFlight, mark) == InFlight::MARK_OFFSET);
};

// SAFETY: plain data, like a descriptor, and a pin, which belongs to the whole process.
unsafe impl Send for InFlight {}
// SAFETY: a shared reference only allows numbers to be read.
unsafe impl Sync for InFlight {}

impl InFlight {
    /// A bit of the mark that is set in every descriptor in flight.
    pub const DESCRIPTOR: u32 = 1;
    /// A bit of the mark: the descriptor holds a pin of its region.
    pub const COUNTED: u32 = 2;
    /// The offset of the mark, in bytes.
    pub const MARK_OFFSET: usize = 36;

    /// Puts a descriptor in flight.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`]; if it names a region: [`Error::Stale`], [`Error::Unknown`],
    /// [`Error::Leaving`], [`Error::Revoked`], [`Error::OutOfRange`], [`Error::Misaligned`].
    #[inline]
    pub fn launch(desc: Desc) -> Result<Self, Error> {
        Self::of(&desc)
    }

    /// As [`launch`](Self::launch).
    ///
    /// The fields are read one by one: a copy of the whole descriptor would wait for the stores
    /// that have just made it, which cannot be forwarded to its wider loads.
    #[inline]
    pub(crate) fn of(desc: &Desc) -> Result<Self, Error> {
        let Desc { addr, len, region_id, offset, flags } = *desc;
        let mut mark = Self::DESCRIPTOR;
        if region_id != 0 || len == 0 || addr.is_null() {
            depart(desc)?;
            mark |= Self::COUNTED;
        }
        Ok(Self { addr, len, region_id, offset, flags, mark })
    }

    /// Puts a descriptor in flight that may have a number of a backend in place of a region's (below
    /// 2^32, and passed on unchanged), or lie in a region of this process without naming it: its
    /// region and offset are then filled in. If it has an address, that is checked too.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`], [`Error::Wraps`], [`Error::Stale`], [`Error::Unknown`],
    /// [`Error::Leaving`], [`Error::Revoked`], [`Error::OutOfRange`], [`Error::Misaligned`],
    /// [`Error::Elsewhere`].
    #[inline]
    pub fn launch_any(desc: Desc) -> Result<Self, Error> {
        let desc = desc.checked()?;
        if desc.addr.addr().checked_add(desc.len).is_none() {
            return Err(Error::Wraps { len: desc.len as u64 });
        }
        if table::regions() == 0 && desc.region_id >> 32 == 0 {
            return Ok(Self::new(desc, false));
        }
        Self::any(desc)
    }

    fn any(mut desc: Desc) -> Result<Self, Error> {
        if desc.region_id == 0 {
            let Some((region_id, offset)) = table::at(desc.addr.addr(), desc.len) else {
                return Ok(Self::new(desc, false));
            };
            (desc.region_id, desc.offset) = (region_id, offset);
        } else if desc.region_id >> 32 == 0 {
            // No region has such a number.
            return Ok(Self::new(desc, false));
        }
        let at = table::depart(&desc)?;
        if !desc.addr.is_null() && desc.addr != at.as_ptr() {
            table::arrive(desc.region_id);
            return Err(Error::Elsewhere { region_id: desc.region_id, offset: desc.offset });
        }
        Ok(Self::new(desc, true))
    }

    #[inline]
    fn new(desc: Desc, counted: bool) -> Self {
        let Desc { addr, len, region_id, offset, flags } = desc;
        let mark = Self::DESCRIPTOR | if counted { Self::COUNTED } else { 0 };
        Self { addr, len, region_id, offset, flags, mark }
    }

    /// Ends the flight: unpins the region. The reference that the descriptor carries is the
    /// receiver's.
    #[inline]
    #[must_use]
    pub fn land(self) -> Desc {
        let landed = ManuallyDrop::new(self);
        landed.unpin();
        landed.desc()
    }

    /// The descriptor.
    #[inline]
    #[must_use]
    pub fn desc(&self) -> Desc {
        let Self { addr, len, region_id, offset, flags, .. } = *self;
        Desc { addr, len, region_id, offset, flags }
    }

    #[inline]
    fn unpin(&self) {
        if self.mark & Self::COUNTED != 0 {
            arrive(self.region_id);
        }
    }
}

/// Counts a flight in the region that a descriptor names. Apart, as [`arrive`]: so the path of a
/// local pointer is short enough to be part of its caller.
#[inline(never)]
fn depart(desc: &Desc) -> Result<(), Error> {
    desc.checked()?;
    table::depart(desc).map(|_| ())
}

#[inline(never)]
fn arrive(region_id: u64) {
    table::arrive(region_id);
}

impl Drop for InFlight {
    fn drop(&mut self) {
        pool::give_back(&self.desc());
        self.unpin();
    }
}
