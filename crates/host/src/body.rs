// SPDX-License-Identifier: BSD-3-Clause
//! The bytes of an answer or a frame.
//!
//! Three forms, so that none pays for another: up to [`INLINE_BYTES_MAX`] bytes stand in the value
//! itself and cost no allocation; longer ones are shared [`Bytes`]; owned ones stay in the plugin's
//! memory and are released when the last reader is done.
//!
//! # Invariants
//!
//! 1. An owned body holds its instance: the plugin's image is not unmapped before `release` ran.
//! 2. `release` runs exactly once.

use std::{fmt, ops::Deref, ptr::NonNull};

use becket_abi::NrOwnedBytes;
use bytes::Bytes;

use crate::instance::Instance;

/// Bodies of at most this many bytes are stored in place.
pub(crate) const INLINE_BYTES_MAX: usize = 64;

/// The bytes of an answer or a frame; dereferences to `[u8]`.
///
/// Turning it into [`Bytes`] costs nothing for bodies above 64 bytes and one small allocation for
/// those below.
pub struct Body(Repr);

enum Repr {
    Inline { len: u8, data: [u8; INLINE_BYTES_MAX] },
    Shared(Bytes),
    Owned(OwnedBody),
}

impl Body {
    /// The empty body.
    pub(crate) const EMPTY: Self = Self(Repr::Inline { len: 0, data: [0; INLINE_BYTES_MAX] });

    /// A copy of `bytes`.
    #[inline]
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        if bytes.len() > INLINE_BYTES_MAX {
            return Self(Repr::Shared(Bytes::copy_from_slice(bytes)));
        }
        let mut data = [0; INLINE_BYTES_MAX];
        if let Some(prefix) = data.get_mut(..bytes.len()) {
            prefix.copy_from_slice(bytes);
        }
        Self(Repr::Inline { len: bytes.len() as u8, data })
    }

    /// A body over bytes that are already shared.
    pub(crate) fn shared(bytes: Bytes) -> Self {
        Self(Repr::Shared(bytes))
    }

    pub(crate) fn owned(body: OwnedBody) -> Self {
        Self(Repr::Owned(body))
    }

    /// The bytes, shared.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Repr::Inline { len: 0, .. } => Bytes::new(),
            Repr::Inline { len, data } => {
                Bytes::copy_from_slice(data.get(..usize::from(len)).unwrap_or(&[]))
            }
            Repr::Shared(bytes) => bytes,
            Repr::Owned(body) => Bytes::from_owner(body),
        }
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, data } => data.get(..usize::from(*len)).unwrap_or(&[]),
            Repr::Shared(bytes) => bytes,
            Repr::Owned(body) => body.as_ref(),
        }
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Body> for Bytes {
    fn from(body: Body) -> Self {
        body.into_bytes()
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Clone for Body {
    fn clone(&self) -> Self {
        match &self.0 {
            Repr::Shared(bytes) => Self::shared(bytes.clone()),
            Repr::Inline { .. } | Repr::Owned(_) => Self::copy_of(self),
        }
    }
}

impl PartialEq<[u8]> for Body {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

/// Shows the length only: a payload is nobody's to log.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.len())
    }
}

/// Bytes in the plugin's memory, released on drop.
pub(crate) struct OwnedBody {
    ptr: NonNull<u8>,
    len: usize,
    raw: NrOwnedBytes,
    instance: &'static Instance,
}

impl OwnedBody {
    /// Takes over `raw`, whose pointer and length were checked.
    ///
    /// # Safety
    /// `ptr` and `len` are those of `raw`, readable and unchanged until `raw.release` is called,
    /// which nobody else does.
    pub(crate) unsafe fn new(
        ptr: NonNull<u8>,
        len: usize,
        raw: NrOwnedBytes,
        instance: &'static Instance,
    ) -> Self {
        instance.hold();
        Self { ptr, len, raw, instance }
    }

    /// Forgets the bytes without releasing them: they are the plugin's again.
    pub(crate) fn give_back(mut self) {
        self.raw.release = None;
    }
}

impl AsRef<[u8]> for OwnedBody {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `new`'s caller promised `len` readable, unchanging bytes until `release`, which
        // runs in `drop`, after this borrow.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl Drop for OwnedBody {
    fn drop(&mut self) {
        if let Some(release) = self.raw.release {
            // SAFETY: the plugin gave this function for these bytes; this is the only call, since
            // the value is dropped once; the image is still mapped because `hold` counts us.
            unsafe { release(self.raw.owner_ctx, self.raw.ptr, self.raw.len) };
        }
        self.instance.let_go();
    }
}

// SAFETY: the ABI says that the bytes do not change and that `release` may be called from any
// thread; the pointers are used for nothing else.
unsafe impl Send for OwnedBody {}
// SAFETY: shared access only reads the bytes, which do not change.
unsafe impl Sync for OwnedBody {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back_whole() {
        for len in [0, 1, 63, 64, 65, 4096] {
            let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let body = Body::copy_of(&bytes);
            assert_eq!(*body, *bytes);
            assert_eq!(*body.clone(), *bytes);
            assert_eq!(*body.into_bytes(), *bytes);
        }
    }
}
