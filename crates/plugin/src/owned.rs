// SPDX-License-Identifier: BSD-3-Clause
//! [`OwnedBytes`]: an answer that the host reads in place, without a copy.
//!
//! ```text
//!   Vec<u8>            ptr, len; owner_ctx = capacity        no allocation of its own
//!   &'static [u8]      ptr, len; no release
//!   any other owner    ptr, len; owner_ctx = Box<owner>
//! ```
//!
//! # Safety
//!
//! An `OwnedBytes` is the one owner of what it points to, from its making until `into_raw` gives it
//! away. The owner of the raw form calls `release` exactly once: the host, or
//! [`OwnedBytes::from_raw`]'s drop if the host returned `Backpressure`.

use std::ffi::c_void;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::slice;

use becket_abi::NrOwnedBytes;

/// Bytes with an owner, given to the host without a copy.
pub struct OwnedBytes {
    raw: NrOwnedBytes,
}

// SAFETY: it is the one owner of bytes whose owner is `Send` (`Vec<u8>`, static, or `T: Send`).
unsafe impl Send for OwnedBytes {}
// SAFETY: `&OwnedBytes` only reads the bytes, which are never written.
unsafe impl Sync for OwnedBytes {}

impl OwnedBytes {
    /// Bytes that live as long as the process.
    #[must_use]
    pub const fn from_static(bytes: &'static [u8]) -> Self {
        if bytes.is_empty() {
            return Self { raw: NrOwnedBytes::EMPTY };
        }
        Self {
            raw: NrOwnedBytes {
                ptr: bytes.as_ptr(),
                len: bytes.len() as u64,
                ..NrOwnedBytes::EMPTY
            },
        }
    }

    /// The bytes of any owner: an `Arc<[u8]>`, a memory map, a buffer of a pool.
    pub fn from_owner<T: AsRef<[u8]> + Send + Sync + 'static>(owner: T) -> Self {
        // Boxed first: the bytes of an inline owner move with it.
        let owner = Box::new(owner);
        let bytes = (*owner).as_ref();
        if bytes.is_empty() {
            return Self { raw: NrOwnedBytes::EMPTY };
        }
        let (ptr, len) = (bytes.as_ptr(), bytes.len() as u64);
        let owner_ctx = Box::into_raw(owner).cast::<c_void>();
        Self { raw: NrOwnedBytes { ptr, len, owner_ctx, release: Some(release_owner::<T>) } }
    }

    pub(crate) fn into_raw(self) -> NrOwnedBytes {
        ManuallyDrop::new(self).raw
    }

    /// # Safety
    /// `raw` came from [`Self::into_raw`] and was not released.
    pub(crate) const unsafe fn from_raw(raw: NrOwnedBytes) -> Self {
        Self { raw }
    }
}

unsafe extern "C" fn release_owner<T>(owner_ctx: *mut c_void, _ptr: *const u8, _len: u64) {
    // A destructor that panics must not unwind into the host.
    crate::boundary::guard(
        "a buffer's release",
        || None,
        || {
            // SAFETY: `from_owner` made the box, and this is the one release.
            drop(unsafe { Box::from_raw(owner_ctx.cast::<T>()) });
        },
    );
}

unsafe extern "C" fn release_vec(owner_ctx: *mut c_void, ptr: *const u8, len: u64) {
    // SAFETY: the parts of a `Vec<u8>` that was given away, capacity in the context; this is the
    // one release.
    drop(unsafe { Vec::from_raw_parts(ptr.cast_mut(), len as usize, owner_ctx.addr()) });
}

impl From<Vec<u8>> for OwnedBytes {
    fn from(bytes: Vec<u8>) -> Self {
        if bytes.is_empty() {
            return Self { raw: NrOwnedBytes::EMPTY };
        }
        let bytes = ManuallyDrop::new(bytes);
        Self {
            raw: NrOwnedBytes {
                ptr: bytes.as_ptr(),
                len: bytes.len() as u64,
                owner_ctx: std::ptr::without_provenance_mut(bytes.capacity()),
                release: Some(release_vec),
            },
        }
    }
}

impl From<String> for OwnedBytes {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&'static str> for OwnedBytes {
    fn from(text: &'static str) -> Self {
        Self::from_static(text.as_bytes())
    }
}

impl From<&'static [u8]> for OwnedBytes {
    fn from(bytes: &'static [u8]) -> Self {
        Self::from_static(bytes)
    }
}

impl Default for OwnedBytes {
    fn default() -> Self {
        Self::from_static(&[])
    }
}

impl Deref for OwnedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.raw.ptr.is_null() {
            return &[];
        }
        // SAFETY: not given away yet, so the owner keeps `len` bytes at `ptr` readable.
        unsafe { slice::from_raw_parts(self.raw.ptr, self.raw.len as usize) }
    }
}

impl Drop for OwnedBytes {
    fn drop(&mut self) {
        if let Some(release) = self.raw.release {
            // SAFETY: not given away, so this is the one release.
            unsafe { release(self.raw.owner_ctx, self.raw.ptr, self.raw.len) };
        }
    }
}

impl fmt::Debug for OwnedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnedBytes({} bytes)", self.raw.len)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn each_kind_of_owner_is_read_in_place_and_dropped_once() {
        let shared: Arc<[u8]> = Arc::from(&b"shared"[..]);
        let owned = OwnedBytes::from_owner(Arc::clone(&shared));
        assert_eq!((&*owned, owned.as_ptr()), (&b"shared"[..], shared.as_ptr()));
        assert_eq!(Arc::strong_count(&shared), 2);
        drop(owned);
        assert_eq!(Arc::strong_count(&shared), 1);

        let vec = Vec::from(&b"vector"[..]);
        let at = vec.as_ptr();
        let owned = OwnedBytes::from(vec);
        assert_eq!((&*owned, owned.as_ptr()), (&b"vector"[..], at));
        assert_eq!(&*OwnedBytes::from("static"), b"static");
        // An owner that holds its bytes inline moves into its box before they are looked at.
        assert_eq!(&*OwnedBytes::from_owner([7_u8; 4]), &[7; 4]);
    }

    #[test]
    fn nothing_is_null() {
        for empty in [OwnedBytes::from(Vec::new()), OwnedBytes::from(""), OwnedBytes::default()] {
            let raw = empty.into_raw();
            assert!(raw.ptr.is_null() && raw.release.is_none() && raw.len == 0);
        }
    }
}
