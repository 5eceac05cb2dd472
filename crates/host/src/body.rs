// SPDX-License-Identifier: BSD-3-Clause
//! The bytes of an answer or a frame.
//!
//! Six forms, so that none pays for another, in two words, which are passed in registers:
//!
//! ```text
//!   address                                63 62   61                     0
//!   │ of the bytes, or of what has them │  │ kind │ how many bytes          │
//!
//!   kind 0   nothing; or up to SMALL_BYTES_MAX bytes in a block that its thread keeps for the next one
//!   kind 1   more of them, on the heap
//!   kind 2   a value in such a block: shared `Bytes`, a lease that the plugin wrote into, kept for its
//!            next one, or bytes in the plugin's memory, released when the last reader is done
//! ```
//!
//! A body is moved some four times between the plugin's callback and the caller, so each word counts;
//! and most are empty or short, so their drop is one test.
//!
//! # Invariants
//!
//! 1. An owned body retains its instance: the plugin's image is not unmapped before `release` ran.
//! 2. `release` runs exactly once: on the thread that drops the body only if the plugin's code may
//!    run there, else on a worker of the plugin ([`Instance::release_bytes`]).
//! 3. What stands at the address is this body's alone, and what its kind says, from when it is made until it is
//!    dropped or taken apart.

use std::{ffi::c_void, fmt, mem::ManuallyDrop, ops::Deref, ptr};

use becket_abi::NrOwnedBytes;
use bytes::Bytes;

use crate::{
    callbacks::TakenLease,
    instance::Instance,
    reentry,
    small::{self, SMALL_BYTES_MAX, SmallBox},
    thread::ThreadRecord,
};

const KIND_SHIFT: u32 = usize::BITS - 2;
const LEN_MASK: usize = (1 << KIND_SHIFT) - 1;
const COPIED: usize = 1 << KIND_SHIFT;
const HELD: usize = 2 << KIND_SHIFT;

/// The bytes of an answer or a frame; dereferences to `[u8]`.
///
/// Turning it into [`Bytes`] costs nothing for bodies above 64 bytes and one small allocation for
/// those below.
pub struct Body {
    /// What it is: see the module's documentation. Not read if `meta` is 0.
    address: *mut u8,
    /// Its kind and, unless that is `HELD`, its length.
    meta: usize,
}

// SAFETY: what stands at the address is this body's alone (invariant 3), and `Send`: plain bytes, or `Held`.
unsafe impl Send for Body {}
// SAFETY: shared access only reads bytes, or shares a `Held`, which is `Sync`.
unsafe impl Sync for Body {}

enum Held {
    Shared(Bytes),
    Leased(LeasedBody),
    Owned(OwnedBody),
}

const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Held>();
};

impl Held {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Leased(body) => body.as_ref(),
            Self::Owned(body) => body.as_ref(),
        }
    }
}

/// A body taken apart.
enum Parts {
    Empty,
    Small,
    Copied(Box<[u8]>),
    Held(SmallBox<Held>),
}

impl Body {
    /// The empty body.
    pub(crate) const EMPTY: Self = Self { address: ptr::null_mut(), meta: 0 };

    /// Whether the plugin's code runs when it is dropped.
    #[inline]
    #[must_use]
    pub fn is_owned(&self) -> bool {
        matches!(self.as_held(), Some(Held::Owned(_)))
    }

    /// A copy of `bytes`.
    #[inline]
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        match bytes.len() {
            0 => Self::EMPTY,
            len @ 1..=SMALL_BYTES_MAX => {
                Self { address: small::copy_of(bytes).as_ptr(), meta: len }
            }
            _ => copy(bytes),
        }
    }

    /// The same of at most [`SMALL_BYTES_MAX`] bytes, with the calling thread's record.
    #[inline(always)]
    pub(crate) fn short_copy_of(record: &ThreadRecord, bytes: &[u8]) -> Self {
        let len = bytes.len().min(SMALL_BYTES_MAX);
        if len == 0 {
            return Self::EMPTY;
        }
        Self { address: small::copy_on(record, bytes).as_ptr(), meta: len }
    }

    #[inline(always)]
    fn held(held: impl FnOnce() -> Held) -> Self {
        Self { address: SmallBox::new(held).into_raw().as_ptr(), meta: HELD }
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
        if self.meta <= LEN_MASK {
            return Bytes::copy_from_slice(&self);
        }
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is neither used nor dropped any more.
        match unsafe { this.take_apart() } {
            // Neither: its kind was looked at.
            Parts::Empty | Parts::Small => Bytes::new(),
            Parts::Copied(bytes) => bytes.into(),
            Parts::Held(held) => match held.into_inner() {
                Held::Shared(bytes) => bytes,
                Held::Leased(body) => Bytes::from_owner(body),
                Held::Owned(body) => Bytes::from_owner(body),
            },
        }
    }

    /// What it is a view of, if that is neither nothing nor plain bytes.
    #[inline]
    fn as_held(&self) -> Option<&Held> {
        if self.meta & HELD == 0 {
            return None;
        }
        // SAFETY: a `Held` in a block stands there (invariant 3), for as long as this borrow lives.
        Some(unsafe { &*self.address.cast::<Held>() })
    }

    /// What it is made of. Of a small one nothing is left.
    ///
    /// # Safety
    /// The body is neither used nor dropped after this.
    unsafe fn take_apart(&mut self) -> Parts {
        let (address, len) = (self.address, self.meta & LEN_MASK);
        if self.meta == 0 {
            return Parts::Empty;
        }
        match self.meta & !LEN_MASK {
            COPIED => {
                let bytes = ptr::slice_from_raw_parts_mut(address, len);
                // SAFETY: `copy` made it of a box of this length, which is this body's alone (invariant 3).
                Parts::Copied(unsafe { Box::from_raw(bytes) })
            }
            // SAFETY: as above, of a `SmallBox`.
            HELD => Parts::Held(unsafe { SmallBox::from_raw(address) }),
            _ => {
                // SAFETY: as above, of a block.
                unsafe { small::free(address) };
                Parts::Small
            }
        }
    }

    #[inline(never)]
    fn drop_long(&mut self) {
        // SAFETY: called where it is dropped.
        drop(unsafe { self.take_apart() });
    }
}

/// Not inlined: it is rare beside short bodies, which need no more registers than they have.
#[inline(never)]
fn copy(bytes: &[u8]) -> Body {
    let address = Box::into_raw(Box::<[u8]>::from(bytes)).cast();
    Body { address, meta: COPIED | bytes.len() }
}

impl Drop for Body {
    #[inline]
    fn drop(&mut self) {
        if self.meta > LEN_MASK {
            self.drop_long();
        } else if self.meta != 0 {
            // SAFETY: `copy_of` made it of a block, which is this body's alone (invariant 3) and not used any more.
            unsafe { small::free(self.address) };
        }
    }
}

impl Default for Body {
    #[inline]
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Deref for Body {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        if self.meta == 0 {
            return &[];
        }
        match self.as_held() {
            Some(held) => held.bytes(),
            // SAFETY: so many bytes stand there (invariant 3), and nothing writes while this borrow lives.
            None => unsafe { std::slice::from_raw_parts(self.address, self.meta & LEN_MASK) },
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
        match self.as_held() {
            Some(Held::Shared(bytes)) => Self::held(|| Held::Shared(bytes.clone())),
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
