// SPDX-License-Identifier: BSD-3-Clause
//! A descriptor: the location of some bytes, in place of the bytes.
//!
//! ```text
//!   byte  0       8      16           24       32      36    40
//!        ┌───────┬──────┬────────────┬────────┬───────┬─────┐
//!        │ addr  │ len  │ region_id  │ offset │ flags │  -  │    kc_zdesc_t, the same
//!        └───────┴──────┴────────────┴────────┴───────┴─────┘
//!        └ local pointer ┘
//!                └ in a region: len, region_id, offset ┘
//! ```
//!
//! # Invariants
//!
//! 1. A descriptor is a name, not an owner: it is plain data, and copies name the same bytes. The
//!    [ownership rule](crate#ownership), or a [`Block`](crate::Block), determines which side may
//!    touch them.
//! 2. A descriptor of no bytes is refused wherever a descriptor is taken: `len` is not 0.
//! 3. No safe function of this crate dereferences `addr`.

use std::mem::{align_of, offset_of, size_of};
use std::ptr;

use crate::error::Error;

/// The location of some bytes. It has 40 bytes and the layout of `kc_zdesc_t`.
///
/// A local pointer is `addr, len`. Memory of an exported region travels as `region_id, offset,
/// len`, and its receiver translates it
/// ([`ImportedRegion::translate`](crate::ImportedRegion::translate),
/// [`Pinned::of`](crate::Pinned::of)).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Desc {
    /// The address of the bytes in this process; null if only the region locates them.
    pub addr: *mut u8,
    /// Length in bytes. Not 0.
    pub len: usize,
    /// The region that holds the bytes; 0: no region is named.
    pub region_id: u64,
    /// Offset in the region, in bytes.
    pub offset: u64,
    /// The low 8 bits are the backend's. Descriptors of pools use the others.
    pub flags: u32,
}

const _: () = {
    assert!(size_of::<Desc>() == 40 && align_of::<Desc>() == 8);
    assert!(offset_of!(Desc, addr) == 0 && offset_of!(Desc, len) == 8);
    assert!(offset_of!(Desc, region_id) == 16 && offset_of!(Desc, offset) == 24);
    assert!(offset_of!(Desc, flags) == 32);
};

// SAFETY: plain data; the address is a number until unsafe code dereferences it.
unsafe impl Send for Desc {}
// SAFETY: as above.
unsafe impl Sync for Desc {}

impl Desc {
    /// The value that replaces a descriptor once it was sent, in a debug build. It is refused as a
    /// descriptor of no bytes.
    pub const POISON: Self = Self {
        addr: ptr::without_provenance_mut(0xDEAD_DE5C_0000_0001_u64 as usize),
        len: 0,
        region_id: 0,
        offset: u64::MAX,
        flags: u32::MAX,
    };

    /// A descriptor of bytes of this process.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`]: no bytes, or a null address.
    #[inline]
    pub fn local(addr: *mut u8, len: usize) -> Result<Self, Error> {
        Self { addr, len, region_id: 0, offset: 0, flags: 0 }.checked()
    }

    /// A descriptor of bytes of a region, for receivers that can resolve the region.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`]: no bytes, or no region.
    pub fn in_region(region_id: u64, offset: u64, len: usize) -> Result<Self, Error> {
        Self { addr: ptr::null_mut(), len, region_id, offset, flags: 0 }.checked()
    }

    /// Returns itself, if it names any bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`]: no bytes; neither an address nor a region; a descriptor that was sent.
    #[inline]
    pub fn checked(self) -> Result<Self, Error> {
        let names = self.region_id != 0 || !self.addr.is_null();
        if self.len > 0 && names { Ok(self) } else { Err(Error::Empty) }
    }

    /// Whether it was sent, as far as a debug build can tell.
    #[must_use]
    pub fn is_poison(&self) -> bool {
        *self == Self::POISON
    }

    /// Marks the descriptor as sent: in a debug build it becomes [`Desc::POISON`], which is
    /// refused.
    #[inline]
    pub fn poison(&mut self) {
        if cfg!(debug_assertions) {
            *self = Self::POISON;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_no_descriptor() {
        let mut byte = 0;
        assert_eq!(Desc::local(&raw mut byte, 0), Err(Error::Empty));
        assert_eq!(Desc::local(ptr::null_mut(), 1), Err(Error::Empty));
        assert_eq!(Desc::in_region(1 << 32, 0, 0), Err(Error::Empty));
        assert_eq!(Desc::in_region(0, 0, 1), Err(Error::Empty));
        assert_eq!(Desc::POISON.checked(), Err(Error::Empty));
        assert!(Desc::local(&raw mut byte, 1).is_ok());
        assert!(Desc::in_region(1 << 32, 0, 1).is_ok());
    }

    #[test]
    fn a_sent_descriptor_is_not_used_again() {
        let mut desc = Desc::in_region(1 << 32, 0, 1).unwrap();
        desc.poison();
        assert_eq!(desc.is_poison(), cfg!(debug_assertions));
        assert_eq!(desc.checked().is_err(), cfg!(debug_assertions));
    }
}
