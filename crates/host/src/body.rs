// SPDX-License-Identifier: BSD-3-Clause
//! The bytes of an answer or a frame.
//!
//! Six forms, so that none pays for another, in three words: nothing; up to [`SMALL_BYTES_MAX`] bytes in a
//! block that its thread keeps for the next one; more of them on the heap; and, behind a pointer to
//! such a block, shared [`Bytes`], a lease that the plugin wrote into, kept for its next one, and bytes
//! in the plugin's memory, released when the last reader is done.
//!
//! A body is moved some four times between the plugin's callback and the caller, so each word counts;
//! and most are empty or short, so their drop is one test.
//!
//! # Invariants
//!
//! 1. An owned body retains its instance: the plugin's image is not unmapped before `release` ran.
//! 2. `release` runs exactly once: on the thread that drops the body only if the plugin's code may
//!    run there, else on a worker of the plugin ([`Instance::release_bytes`]).

use std::{ffi::c_void, fmt, ops::Deref};

use becket_abi::NrOwnedBytes;
use bytes::Bytes;

use crate::{
    callbacks::TakenLease,
    instance::Instance,
    reentry,
    small::{SMALL_BYTES_MAX, SmallBlock, SmallBox},
};

/// The bytes of an answer or a frame; dereferences to `[u8]`.
///
/// Turning it into [`Bytes`] costs nothing for bodies above 64 bytes and one small allocation for
/// those below.
#[derive(Default)]
pub struct Body(Option<Repr>);

enum Repr {
    Small(SmallBlock),
    Copied(Box<[u8]>),
    Held(SmallBox<Held>),
}

enum Held {
    Shared(Bytes),
    Leased(LeasedBody),
    Owned(OwnedBody),
}

impl Held {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Leased(body) => body.as_ref(),
            Self::Owned(body) => body.as_ref(),
        }
    }
}

impl Body {
    /// The empty body.
    pub(crate) const EMPTY: Self = Self(None);

    /// Whether the plugin's code runs when it is dropped.
    #[inline]
    #[must_use]
    pub fn is_owned(&self) -> bool {
        matches!(&self.0, Some(Repr::Held(held)) if matches!(**held, Held::Owned(_)))
    }

    /// A copy of `bytes`.
    #[inline]
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        Self(match bytes.len() {
            0 => None,
            1..=SMALL_BYTES_MAX => Some(Repr::Small(SmallBlock::copy_of(bytes))),
            _ => Some(Repr::Copied(copy(bytes))),
        })
    }

    #[inline(always)]
    fn held(held: impl FnOnce() -> Held) -> Self {
        Self(Some(Repr::Held(SmallBox::new(held))))
    }

    /// These bytes.
    pub(crate) fn shared(bytes: Bytes) -> Self {
        match bytes.len() {
            0..=SMALL_BYTES_MAX => Self::copy_of(&bytes),
            _ => Self::held(|| Held::Shared(bytes)),
        }
    }

    /// The first `len` bytes of a lease that `instance` wrote into.
    pub(crate) fn leased(lease: TakenLease, len: usize, instance: &'static Instance) -> Self {
        Self::held(|| Held::Leased(LeasedBody { lease: Some(lease), len, instance }))
    }

    /// The bytes that `body` takes over.
    #[inline(always)]
    pub(crate) fn owned(body: impl FnOnce() -> OwnedBody) -> Self {
        Self::held(|| Held::Owned(body()))
    }

    /// The bytes, shared.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            None => Bytes::new(),
            Some(Repr::Small(block)) => Bytes::copy_from_slice(&block),
            Some(Repr::Copied(bytes)) => bytes.into(),
            Some(Repr::Held(held)) => match held.into_inner() {
                Held::Shared(bytes) => bytes,
                Held::Leased(body) => Bytes::from_owner(body),
                Held::Owned(body) => Bytes::from_owner(body),
            },
        }
    }
}

/// Not inlined: it is rare beside short bodies, which need no more registers than they have.
#[inline(never)]
fn copy(bytes: &[u8]) -> Box<[u8]> {
    bytes.into()
}

impl Deref for Body {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            None => &[],
            Some(Repr::Small(block)) => block,
            Some(Repr::Copied(bytes)) => bytes,
            Some(Repr::Held(held)) => held.bytes(),
        }
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// At most 64 bytes are copied, more are shared.
impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::shared(bytes)
    }
}

impl From<Body> for Bytes {
    fn from(body: Body) -> Self {
        body.into_bytes()
    }
}

impl Clone for Body {
    fn clone(&self) -> Self {
        match &self.0 {
            Some(Repr::Held(held)) if let Held::Shared(bytes) = &**held => {
                Self::held(|| Held::Shared(bytes.clone()))
            }
            _ => Self::copy_of(self),
        }
    }
}

impl PartialEq<[u8]> for Body {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

/// Shows the length only: payloads are never logged.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.len())
    }
}

/// A lease that was sent; on drop it goes back to the instance.
struct LeasedBody {
    lease: Option<TakenLease>,
    len: usize,
    instance: &'static Instance,
}

impl AsRef<[u8]> for LeasedBody {
    fn as_ref(&self) -> &[u8] {
        self.lease.as_ref().and_then(|lease| lease.buffer.get(..self.len)).unwrap_or_default()
    }
}

impl Drop for LeasedBody {
    fn drop(&mut self) {
        if !self.instance.is_stopped()
            && let Some(lease) = self.lease.take()
        {
            self.instance.leases.keep(lease);
        }
    }
}

/// Bytes in the plugin's memory, released on drop.
pub(crate) struct OwnedBody {
    /// As the plugin gave it: may be null if there are no bytes.
    ptr: *const u8,
    len: usize,
    owner_ctx: *mut c_void,
    release: Option<ReleaseFn>,
    instance: &'static Instance,
}

type ReleaseFn = unsafe extern "C" fn(*mut c_void, *const u8, u64);

/// Bytes in the plugin's memory that have no reader any more, and that are still to be released.
#[must_use]
pub(crate) struct OwnedBytes {
    ptr: *const u8,
    len: usize,
    owner_ctx: *mut c_void,
    release: ReleaseFn,
}

impl OwnedBytes {
    /// Gives them back to the plugin. Runs its code: the caller keeps the instance.
    pub(crate) fn release(self) {
        // SAFETY: the plugin gave this function for these bytes; this is the only call, since it
        // takes the value, and there is one for each body; the caller keeps the image mapped.
        let run = || unsafe { (self.release)(self.owner_ctx, self.ptr, self.len as u64) };
        // It may call the host, also where a host function drops the last of the bytes.
        reentry::outside(run);
    }
}

impl OwnedBody {
    /// Takes over `raw`, whose pointer and length were checked; it has `len` bytes.
    ///
    /// # Safety
    /// `len` bytes at `raw.ptr` are readable and unchanged until `raw.release` is called, and no
    /// other code calls that.
    #[inline(always)]
    pub(crate) unsafe fn new(len: usize, raw: &NrOwnedBytes, instance: &'static Instance) -> Self {
        instance.retain();
        Self { ptr: raw.ptr, len, owner_ctx: raw.owner_ctx, release: raw.release, instance }
    }

    /// The bytes, if they are to be released.
    fn take(&mut self) -> Option<OwnedBytes> {
        let (ptr, len, owner_ctx) = (self.ptr, self.len, self.owner_ctx);
        self.release.take().map(|release| OwnedBytes { ptr, len, owner_ctx, release })
    }
}

impl AsRef<[u8]> for OwnedBody {
    fn as_ref(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: `new`'s caller promised `len` readable, unchanging bytes until `release`, which
        // runs after `drop`, so after this borrow.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }
}

impl Drop for OwnedBody {
    fn drop(&mut self) {
        match self.take() {
            Some(bytes) => self.instance.release_bytes(bytes),
            None => self.instance.release(),
        }
    }
}

// SAFETY: the ABI says that the bytes do not change and that `release` may be called from any
// thread; the pointers are used for nothing else.
unsafe impl Send for OwnedBody {}
// SAFETY: shared access only reads the bytes, which do not change.
unsafe impl Sync for OwnedBody {}
// SAFETY: as for `OwnedBody`; nothing reads the bytes any more.
unsafe impl Send for OwnedBytes {}

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
