// SPDX-License-Identifier: BSD-3-Clause
//! A range of a region of this process that stays at its address.

use std::ptr::NonNull;
use std::slice;

use super::table::Pin;
use crate::desc::Desc;
use crate::error::Error;

/// A range of a region of this process. The region is not released while it lives.
#[derive(Debug)]
pub struct Pinned {
    at: NonNull<u8>,
    len: usize,
    frozen: bool,
    _pin: Pin,
}

// SAFETY: the bytes stay allocated while the pin does; safe reads are of immutable bytes only.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// The range that a descriptor names, if its region is in this process and allows it. The
    /// descriptor's address is ignored: the region determines the location.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::Unknown`] (also for a local pointer), [`Error::Leaving`],
    /// [`Error::Revoked`], [`Error::Busy`], [`Error::Empty`], [`Error::OutOfRange`],
    /// [`Error::Misaligned`].
    pub fn of(desc: &Desc) -> Result<Self, Error> {
        let pin = Pin::take(desc.region_id)?;
        let region = pin.region().ok_or(Error::Unknown { region_id: desc.region_id })?;
        let start = region.meta.locate(desc.offset, desc.len, region.bytes)?;
        // SAFETY: within the region, whose memory is there while it is pinned.
        let at = unsafe { region.at().add(start) };
        let frozen = region.is_frozen();
        Ok(Self { at, len: desc.len, frozen, _pin: pin })
    }

    /// The length in bytes. Never 0.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The address, valid while this lives.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.at.as_ptr()
    }

    /// The bytes, if they never change.
    #[must_use]
    pub fn as_slice(&self) -> Option<&[u8]> {
        // SAFETY: pinned; frozen bytes are written only before the region is registered.
        self.frozen.then(|| unsafe { slice::from_raw_parts(self.at.as_ptr(), self.len) })
    }

    /// The bytes.
    ///
    /// # Safety
    ///
    /// The bytes are not written while the slice lives: the caller has received them from their
    /// only writer, or they do not belong to a pool that is in use.
    #[must_use]
    pub unsafe fn as_slice_unchecked(&self) -> &[u8] {
        // SAFETY: pinned; the caller's guarantee.
        unsafe { slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}
