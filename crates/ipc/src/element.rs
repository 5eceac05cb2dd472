// SPDX-License-Identifier: BSD-3-Clause
//! The message of a channel between processes: bytes, or a block of shared memory.
//!
//! ```text
//!   Short   │ len │ up to 64 bytes in place │   no allocation; a clone copies them
//!   Bytes   │ ptr ──► bytes, counted        │   a clone counts
//!   Own     │ ptr ──► block of a pool       │   crosses as a descriptor
//!   Peers   │ ptr ──► the peer's block      │
//! ```
//!
//! A short message, made of a vector, a string or a constant, is in place from its creation to its
//! receipt, and so is one that arrives: a channel moves it with its slot, and neither process
//! allocates for it. `Bytes` stay what they are.

use std::fmt;
use std::hash::{Hash, Hasher};

use becket_zcopy::Block;
use bytes::Bytes;

use crate::blocks::{BlockRef, DESCRIPTOR_BYTES, PeerBlock};

/// A message: some bytes. Clones share the bytes.
///
/// The bytes may be those of a [`Block`] of a pool: such an element crosses to another process as a
/// descriptor, where the connection allows it, and the receiver gets the block by
/// [`as_block`](Self::as_block). The block returns to its pool when the last clone of the element
/// is dropped, in both processes.
#[derive(Clone)]
pub struct Element(Inner);

#[derive(Clone)]
enum Inner {
    Short(Short),
    Bytes(Bytes),
    Own(Block),
    Peers(PeerBlock),
}

/// The longest message that is in place.
const SHORT_BYTES_MAX: usize = 64;

#[derive(Clone, Copy)]
struct Short {
    /// At most [`SHORT_BYTES_MAX`].
    len: u8,
    bytes: [u8; SHORT_BYTES_MAX],
}

impl Short {
    /// `None`: too long.
    #[inline]
    fn of(bytes: &[u8]) -> Option<Self> {
        let mut short = Self { len: bytes.len() as u8, bytes: [0; SHORT_BYTES_MAX] };
        short.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(short)
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl Element {
    /// A copy of these bytes: in place if there are few of them.
    #[inline]
    pub(crate) fn copied_from(bytes: &[u8]) -> Self {
        Self(match Short::of(bytes) {
            Some(short) => Inner::Short(short),
            None => Inner::Bytes(Bytes::copy_from_slice(bytes)),
        })
    }

    pub(crate) const fn of_block(block: Block) -> Self {
        Self(Inner::Own(block))
    }

    /// The length in bytes.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Inner::Short(short) => usize::from(short.len),
            Inner::Bytes(bytes) => bytes.len(),
            Inner::Own(block) => block.len(),
            Inner::Peers(block) => block.len(),
        }
    }

    /// Whether the length is 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes. Those of another process's block, which that process could still write, are
    /// copied by the first call, and the element keeps the copy; to avoid the copy, or to avoid
    /// keeping it, use [`as_block`](Self::as_block).
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Inner::Short(short) => short.as_slice(),
            Inner::Bytes(bytes) => bytes,
            Inner::Own(block) => block,
            Inner::Peers(block) => block.as_slice(),
        }
    }

    /// The bytes, without a copy except for another process's block and for a short message of at
    /// most 64 bytes.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Inner::Short(short) => Bytes::copy_from_slice(short.as_slice()),
            Inner::Bytes(bytes) => bytes,
            Inner::Own(block) => Bytes::from_owner(block),
            Inner::Peers(block) => block.into_bytes(),
        }
    }

    /// The block, if the element is one.
    #[inline]
    #[must_use]
    pub const fn as_block(&self) -> Option<BlockRef<'_>> {
        match &self.0 {
            Inner::Short(_) | Inner::Bytes(_) => None,
            Inner::Own(block) => Some(BlockRef::Own(block)),
            Inner::Peers(block) => Some(BlockRef::Peers(block)),
        }
    }

    /// The other process's block, if the element is one.
    pub(crate) fn into_peers(self) -> Result<PeerBlock, Self> {
        match self.0 {
            Inner::Peers(block) => Ok(block),
            other => Err(Self(other)),
        }
    }

    /// The bytes of the stream's credit that the element used when it arrived.
    pub(crate) fn paid_bytes(&self) -> u64 {
        match &self.0 {
            Inner::Peers(_) => DESCRIPTOR_BYTES as u64,
            _ => self.len() as u64,
        }
    }
}

impl Default for Element {
    fn default() -> Self {
        Self::copied_from(&[])
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.as_slice() == other.as_slice()
    }
}

impl Eq for Element {}

impl Hash for Element {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl From<PeerBlock> for Element {
    fn from(block: PeerBlock) -> Self {
        Self(Inner::Peers(block))
    }
}

/// Never copied: they may be shared, and what owns them may count them.
impl From<Bytes> for Element {
    #[inline]
    fn from(bytes: Bytes) -> Self {
        Self(Inner::Bytes(bytes))
    }
}

macro_rules! from_bytes {
    ($($owned:ty),*) => {
        $(impl From<$owned> for Element {
            #[inline]
            fn from(bytes: $owned) -> Self {
                Self(match Short::of(bytes.as_ref()) {
                    Some(short) => Inner::Short(short),
                    None => Inner::Bytes(bytes.into()),
                })
            }
        })*
    };
}

from_bytes!(Vec<u8>, String, &'static [u8], &'static str);

impl AsRef<[u8]> for Element {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

/// A payload is never logged: only its length is.
impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Element({} bytes)", self.len())
    }
}
