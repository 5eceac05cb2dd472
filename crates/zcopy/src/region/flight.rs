// SPDX-License-Identifier: BSD-3-Clause
//! Descriptors that have been sent and have not arrived.
//!
//! One in flight has its region pinned, so that the region does not go before the receiver has it. It
//! is as large as a descriptor: the mark stands where that has padding.
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
//! 1. Each `InFlight` with `COUNTED` holds one pin of `region_id`, and gives it up when it lands or
//!    is dropped.
//! 2. A descriptor of a local pointer costs one comparison; by its address it is looked for only if
//!    asked to, and then only while any region is registered.

use std::mem::{ManuallyDrop, offset_of, size_of};

use super::table::{self, Pin};
use crate::desc::Desc;
use crate::error::Error;
use crate::pool;

/// A descriptor on its way. Dropped, it is lost: its region is told, and a pool's share goes back.
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

// SAFETY: plain data, like a descriptor, and a pin, which is of the whole process.
unsafe impl Send for InFlight {}
// SAFETY: nothing can be done through a shared reference but to read numbers.
unsafe impl Sync for InFlight {}

impl InFlight {
    /// Set in every mark.
    pub const DESCRIPTOR: u32 = 1;
    /// Set in the mark if a region counts it.
    pub const COUNTED: u32 = 2;
    /// Where the mark is, in bytes.
    pub const MARK_OFFSET: usize = 36;

    /// Sends a descriptor on its way.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`]; of the region that it names, [`Error::Stale`], [`Error::Unknown`],
    /// [`Error::Leaving`], [`Error::Revoked`], [`Error::OutOfRange`], [`Error::Misaligned`].
    #[inline]
    pub fn launch(desc: Desc) -> Result<Self, Error> {
        let desc = desc.checked()?;
        if desc.region_id == 0 { Ok(Self::new(desc, false)) } else { Self::in_region(desc) }
    }

    /// Sends a descriptor on its way, which may name somebody else's region, or lie in one of ours
    /// without saying so: then its region and offset are filled in.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`], [`Error::Stale`], [`Error::Leaving`], [`Error::Revoked`].
    #[inline]
    pub fn launch_any(desc: Desc) -> Result<Self, Error> {
        let desc = desc.checked()?;
        if table::regions() == 0 && desc.region_id >> 32 == 0 {
            return Ok(Self::new(desc, false));
        }
        Self::any(desc)
    }

    fn in_region(desc: Desc) -> Result<Self, Error> {
        let _kept_on_success = super::Pinned::of(&desc)?.into_pin().keep();
        Ok(Self::new(desc, true))
    }

    fn any(mut desc: Desc) -> Result<Self, Error> {
        if desc.region_id == 0 {
            let Some((region_id, offset)) = table::at(desc.addr.addr()) else {
                return Ok(Self::new(desc, false));
            };
            (desc.region_id, desc.offset) = (region_id, offset);
        }
        match Pin::take(desc.region_id) {
            Ok(pin) => {
                pin.keep();
                Ok(Self::new(desc, true))
            }
            Err(Error::Unknown { .. }) => Ok(Self::new(desc, false)),
            Err(error) => Err(error),
        }
    }

    fn new(desc: Desc, counted: bool) -> Self {
        let Desc { addr, len, region_id, offset, flags } = desc;
        let mark = Self::DESCRIPTOR | if counted { Self::COUNTED } else { 0 };
        Self { addr, len, region_id, offset, flags, mark }
    }

    /// It has arrived: it is in flight no more. A pool's share is the receiver's now.
    #[inline]
    #[must_use]
    pub fn land(self) -> Desc {
        let landed = ManuallyDrop::new(self);
        landed.unpin();
        landed.desc()
    }

    /// What is on its way.
    #[must_use]
    pub fn desc(&self) -> Desc {
        let Self { addr, len, region_id, offset, flags, .. } = *self;
        Desc { addr, len, region_id, offset, flags }
    }

    #[inline]
    fn unpin(&self) {
        if self.mark & Self::COUNTED != 0 {
            // SAFETY: kept when it was launched, and given back once: `land` forgets it.
            drop(unsafe { Pin::kept(self.region_id) });
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        pool::give_back(&self.desc());
        self.unpin();
    }
}
