// SPDX-License-Identifier: BSD-3-Clause
//! Borrowed views of text and bytes.
//!
//! ```text
//!   NrStr    0        8       12      16        NrBytes  0        8        16
//!            │ ptr    │ len   │ zero  │                  │ ptr    │ len    │
//!            │ *u8    │ u32   │       │                  │ *u8    │ u64    │
//! ```
//!
//! # Safety
//!
//! A view has no trace of its author. Reading one is `unsafe`: the caller promises that, *if*
//! the pointer is not `NULL` and the length is within the limit it passes, the memory is readable
//! for as long as the returned borrow lives. Everything that can be checked without touching the
//! memory is checked: `NULL` with a length, a length above the limit, a range that leaves the
//! addresses that a program's memory can have ([`is_user_range`]). A wild pointer to any other
//! address is followed.

use core::fmt;

/// No memory is mapped below: the first page.
const ADDRESS_MIN: u64 = 4096;

/// No memory of a program is mapped at or above, unless it asks for that: behind it are addresses
/// that are not canonical, and the kernel's.
const ADDRESS_END: u64 = if cfg!(target_arch = "x86_64") {
    1 << 47
} else if cfg!(target_arch = "aarch64") {
    1 << 48
} else if cfg!(target_pointer_width = "64") {
    1 << 56
} else {
    1 << 32
};

/// The most bytes that one range can have.
const RANGE_BYTES_MAX: u64 = ADDRESS_END - ADDRESS_MIN;

/// True if `len` bytes at `address` lie where a program can have memory: not in the first page, not
/// at or above the end of its half of the address space. It does not check that anything is mapped
/// there.
#[inline]
#[must_use]
pub const fn is_user_range(address: usize, len: usize) -> bool {
    let (address, len) = (untagged(address), len as u64);
    len <= RANGE_BYTES_MAX && address.wrapping_sub(ADDRESS_MIN) <= RANGE_BYTES_MAX - len
}

/// The address without the tag that AArch64 ignores in its first byte.
#[inline]
const fn untagged(address: usize) -> u64 {
    if cfg!(target_arch = "aarch64") { address as u64 & (u64::MAX >> 8) } else { address as u64 }
}

/// Why a view from the other side of the boundary was refused. Nothing was dereferenced, except to
/// find [`Self::NotUtf8`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViewError {
    /// The pointer is `NULL` and the length is not zero.
    Null,
    /// The length is above the limit that the reader set, in bytes.
    TooLong {
        /// The length found.
        len: u64,
        /// The limit.
        len_max: u64,
    },
    /// The address range wraps around the address space.
    Wraps,
    /// The range begins in the first page, or reaches addresses that no program has.
    Unmappable {
        /// The address found.
        address: usize,
    },
    /// The text is not UTF-8.
    NotUtf8,
}

impl fmt::Display for ViewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL pointer with a length"),
            Self::TooLong { len, len_max } => {
                write!(f, "length of {len} bytes above the limit of {len_max}")
            }
            Self::Wraps => f.write_str("address range wraps around"),
            Self::Unmappable { address } => {
                write!(f, "no memory of a program is at address {address:#x}")
            }
            Self::NotUtf8 => f.write_str("text is not UTF-8"),
        }
    }
}

impl core::error::Error for ViewError {}

/// A borrowed view of UTF-8 text, valid for the call it is passed to.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NrStr {
    /// The first byte; `NULL` when empty.
    pub ptr: *const u8,
    /// Length in bytes.
    pub len: u32,
    /// Zero.
    pub _reserved: u32,
}

/// A borrowed view of bytes, valid for the call it is passed to.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NrBytes {
    /// The first byte; `NULL` when empty.
    pub ptr: *const u8,
    /// Length in bytes.
    pub len: u64,
}

impl NrStr {
    /// The empty view: `NULL`, 0.
    pub const EMPTY: Self = Self { ptr: core::ptr::null(), len: 0, _reserved: 0 };

    /// A view of `text`, which must outlive every use of it. Text beyond `u32::MAX` bytes becomes
    /// the empty view.
    #[inline]
    #[must_use]
    pub const fn from_str(text: &str) -> Self {
        if text.is_empty() || text.len() > u32::MAX as usize {
            return Self::EMPTY;
        }
        Self { ptr: text.as_ptr(), len: text.len() as u32, _reserved: 0 }
    }

    /// The text, if the view is sound and UTF-8.
    ///
    /// # Errors
    /// [`ViewError`]; nothing was dereferenced unless the range is plausible.
    ///
    /// # Safety
    /// If `ptr` is not `NULL` and `len <= len_max`, `len` bytes at `ptr` are readable and unchanged
    /// for `'a`.
    #[inline]
    pub unsafe fn checked<'a>(self, len_max: u64) -> Result<&'a str, ViewError> {
        // SAFETY: the caller's promise, unchanged.
        let bytes = unsafe { checked(self.ptr, u64::from(self.len), len_max) }?;
        core::str::from_utf8(bytes).map_err(|_| ViewError::NotUtf8)
    }

    /// The text of a view from a trusted side; an unsound or non-UTF-8 one reads as empty.
    ///
    /// # Safety
    /// As for [`Self::checked`], with no limit.
    #[inline]
    #[must_use]
    pub unsafe fn as_str<'a>(self) -> &'a str {
        // SAFETY: the caller's promise, unchanged.
        unsafe { self.checked(u64::MAX) }.unwrap_or("")
    }
}

impl NrBytes {
    /// The empty view: `NULL`, 0.
    pub const EMPTY: Self = Self { ptr: core::ptr::null(), len: 0 };

    /// A view of `bytes`, which must outlive every use of it.
    #[inline]
    #[must_use]
    pub const fn from_slice(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::EMPTY;
        }
        Self { ptr: bytes.as_ptr(), len: bytes.len() as u64 }
    }

    /// The bytes, if the view is sound.
    ///
    /// # Errors
    /// [`ViewError`]; nothing was dereferenced.
    ///
    /// # Safety
    /// If `ptr` is not `NULL` and `len <= len_max`, `len` bytes at `ptr` are readable and unchanged
    /// for `'a`.
    #[inline]
    pub unsafe fn checked<'a>(self, len_max: u64) -> Result<&'a [u8], ViewError> {
        // SAFETY: the caller's promise, unchanged.
        unsafe { checked(self.ptr, self.len, len_max) }
    }

    /// The bytes of a view from a trusted side; an unsound one reads as empty.
    ///
    /// # Safety
    /// As for [`Self::checked`], with no limit.
    #[inline]
    #[must_use]
    pub unsafe fn as_slice<'a>(self) -> &'a [u8] {
        // SAFETY: the caller's promise, unchanged.
        unsafe { self.checked(u64::MAX) }.unwrap_or(&[])
    }
}

/// # Safety
/// If `ptr` is not `NULL` and `len <= len_max`, `len` bytes at `ptr` are readable for `'a`.
#[inline]
unsafe fn checked<'a>(ptr: *const u8, len: u64, len_max: u64) -> Result<&'a [u8], ViewError> {
    if len == 0 {
        return Ok(&[]);
    }
    // `from_raw_parts` wants at most `isize::MAX` bytes.
    let len_max = len_max.min(isize::MAX as u64);
    if len > len_max || !is_user_range(ptr as usize, len as usize) {
        return Err(why_not(ptr as usize, len, len_max));
    }
    // SAFETY: not NULL, at most `len_max` long, so the caller promised it readable for `'a`; `u8`
    // has no alignment; the length fits `isize`, and the range does not wrap.
    Ok(unsafe { core::slice::from_raw_parts(ptr, len as usize) })
}

#[cold]
fn why_not(address: usize, len: u64, len_max: u64) -> ViewError {
    if address == 0 {
        ViewError::Null
    } else if len > len_max {
        ViewError::TooLong { len, len_max }
    } else if (address as u64).checked_add(len).is_none() {
        ViewError::Wraps
    } else {
        ViewError::Unmappable { address }
    }
}

impl Default for NrStr {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Default for NrBytes {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl fmt::Debug for NrStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NrStr({:p}, {} bytes)", self.ptr, self.len)
    }
}

impl fmt::Debug for NrBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NrBytes({:p}, {} bytes)", self.ptr, self.len)
    }
}

// SAFETY: a view is an address and a number; moving it moves no data, and every read is an
// `unsafe` call that states for how long the memory must stay valid.
unsafe impl Send for NrStr {}
// SAFETY: as above; `&NrStr` gives no more than a copy of it does.
unsafe impl Sync for NrStr {}
// SAFETY: as for `NrStr`.
unsafe impl Send for NrBytes {}
// SAFETY: as for `NrStr`.
unsafe impl Sync for NrBytes {}

crate::assert_layout!(NrStr, 16, { ptr: 0, len: 8, _reserved: 12 });
crate::assert_layout!(NrBytes, 16, { ptr: 0, len: 8 });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_views_are_null() {
        assert!(NrStr::from_str("").ptr.is_null());
        assert!(NrBytes::from_slice(&[]).ptr.is_null());
    }

    #[test]
    fn hostile_views_are_refused_without_a_read() {
        let dangling = core::ptr::dangling::<u8>();
        let read = |ptr, len| {
            // SAFETY: every case is refused before the memory is touched: limit 1024.
            unsafe { NrBytes { ptr, len }.checked(1024) }
        };
        assert_eq!(read(core::ptr::null(), 8), Err(ViewError::Null));
        for len in [1025, 1 << 44, 1 << 62, u64::MAX] {
            assert_eq!(read(dangling, len), Err(ViewError::TooLong { len, len_max: 1024 }));
        }
        assert_eq!(read((usize::MAX - 3) as *const u8, 8), Err(ViewError::Wraps));
        assert_eq!(read(dangling, 0), Ok(&[][..]));
        for address in [1, 8, 4088, 4095, 1 << 63, usize::MAX - 4096] {
            let refused = Err(ViewError::Unmappable { address });
            assert_eq!(read(address as *const u8, 8), refused, "{address:#x}");
        }
        if cfg!(target_arch = "x86_64") {
            for address in [1 << 47, (1 << 47) - 7, 1 << 48, 1 << 56, 0xffff_8000 << 32] {
                let refused = Err(ViewError::Unmappable { address });
                assert_eq!(read(address as *const u8, 8), refused, "{address:#x}");
            }
        }
    }

    #[test]
    fn every_address_that_a_program_can_have_passes() {
        let local = 0_u64;
        static DATA: u64 = 0;
        let own = every_address_that_a_program_can_have_passes as *const () as usize;
        for address in [&raw const local as usize, &raw const DATA as usize, own, 4096] {
            assert!(is_user_range(address, 8), "{address:#x}");
        }
        let end = ADDRESS_END as usize;
        assert!(is_user_range(end - 8, 8) && !is_user_range(end - 7, 8));
        assert!(is_user_range(4096, end - 4096) && !is_user_range(4096, end - 4095));
        assert!(!is_user_range(0, 0) && !is_user_range(4095, 1) && !is_user_range(8, usize::MAX));
    }

    #[test]
    fn text_must_be_utf8() {
        let bytes = [0xff, 0xfe];
        let view = NrStr { ptr: bytes.as_ptr(), len: 2, _reserved: 0 };
        // SAFETY: `bytes` outlives the borrow.
        assert_eq!(unsafe { view.checked(16) }, Err(ViewError::NotUtf8));
        // SAFETY: as above.
        assert_eq!(unsafe { view.as_str() }, "");
    }
}
