// SPDX-License-Identifier: BSD-3-Clause
//! Memory for requests' bodies: its bound in the process, and its return to the system.
//!
//! ```text
//!   one piece            the connection's own bytes, not copied
//!   ≤ HEAP_BYTES_MAX     one block of the heap
//!   above                pages of its own, unmapped with the last use
//! ```
//!
//! # Invariants
//!
//! 1. What a body takes is charged to the [`Budget`] before it is stored, and discharged when its
//!    last bytes are dropped, by their last owner: the request, or a call that runs on after its
//!    caller was answered.
//! 2. A body is charged for what came, not for what its client announced: a client that announces
//!    much and sends little does not use up the budget.
//! 3. A long body has pages of its own, because the heap keeps the freed blocks of a burst.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::{Bytes, BytesMut};
use memmap2::MmapMut;

/// The longest body that is put together on the heap.
const HEAP_BYTES_MAX: usize = 64 << 10;

/// Bytes of bodies that the process holds now.
#[derive(Debug, Default)]
pub(crate) struct Budget(AtomicU64);

impl Budget {
    pub(crate) fn used(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one body has taken of a budget.
#[derive(Debug)]
struct Charge {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Charge {
    /// Charges `more` bytes, if the budget is then at most `max`.
    fn add(&mut self, more: u64, max: u64) -> Result<(), NoRoom> {
        let fits = |used: u64| used.checked_add(more).filter(|used| *used <= max);
        self.budget.0.fetch_update(Relaxed, Relaxed, fits).map_err(|_| NoRoom::Budget)?;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.bytes, Relaxed);
    }
}

/// Why a piece of a body was not stored.
#[derive(Debug)]
pub(super) enum NoRoom {
    /// The bodies of the process are at their bound.
    Budget,
    /// The system has no pages.
    Pages(io::Error),
}

/// A body as it comes, and then as a plugin reads it.
#[derive(Debug)]
pub(super) struct Buffer {
    charge: Charge,
    stored: Stored,
}

#[derive(Debug)]
enum Stored {
    One(Bytes),
    Heap(BytesMut),
    Pages { map: MmapMut, len: usize },
}

impl Buffer {
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        let charge = Charge { budget: Arc::clone(budget), bytes: 0 };
        Self { charge, stored: Stored::One(Bytes::new()) }
    }

    pub(super) fn len(&self) -> usize {
        self.stored.as_ref().len()
    }

    /// Stores the next piece. The client announced at least `rest` bytes more; `used_max` is the
    /// bound on all bodies together.
    pub(super) fn push(&mut self, piece: Bytes, rest: u64, used_max: u64) -> Result<(), NoRoom> {
        self.charge.add(piece.len() as u64, used_max)?;
        let len = self.len() + piece.len();
        if self.len() == 0 {
            self.stored = Stored::One(piece);
            return Ok(());
        }
        self.make_room(len, rest).map_err(NoRoom::Pages)?;
        match &mut self.stored {
            Stored::One(first) => *first = piece,
            Stored::Heap(heap) => heap.extend_from_slice(&piece),
            Stored::Pages { map, len: stored } => {
                if let Some(free) = map.get_mut(*stored..len) {
                    free.copy_from_slice(&piece);
                    *stored = len;
                }
            }
        }
        Ok(())
    }

    /// Reserves contiguous memory for `len` bytes, and for the `rest` that was announced.
    fn make_room(&mut self, len: usize, rest: u64) -> io::Result<()> {
        let whole = usize::try_from(rest).unwrap_or(usize::MAX).saturating_add(len);
        match &self.stored {
            Stored::Heap(_) if len <= HEAP_BYTES_MAX => {}
            Stored::Pages { map, .. } if len <= map.len() => {}
            stored if whole <= HEAP_BYTES_MAX => {
                let mut heap = BytesMut::with_capacity(whole);
                heap.extend_from_slice(stored.as_ref());
                self.stored = Stored::Heap(heap);
            }
            stored => {
                // Twice what came, if the end is not known. Untouched pages cost nothing.
                let mut map = MmapMut::map_anon(whole.max(len.saturating_mul(2)))?;
                let before = stored.as_ref();
                if let Some(start) = map.get_mut(..before.len()) {
                    start.copy_from_slice(before);
                }
                self.stored = Stored::Pages { len: before.len(), map };
            }
        }
        Ok(())
    }

    /// The whole of it. It stays charged until the last of these bytes is dropped.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.stored.as_ref()
    }
}

impl AsRef<[u8]> for Stored {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::One(bytes) => bytes,
            Self::Heap(bytes) => bytes,
            Self::Pages { map, len } => map.get(..*len).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(total: usize, piece: usize) -> impl Iterator<Item = (Bytes, usize)> {
        (0..total).step_by(piece).map(move |at| {
            let end = total.min(at + piece);
            ((at..end).map(|at| (at % 251) as u8).collect(), total - end)
        })
    }

    #[test]
    fn a_body_comes_out_as_it_went_in_however_it_is_stored() {
        let budget = Arc::new(Budget::default());
        for total in [1, 1000, HEAP_BYTES_MAX, HEAP_BYTES_MAX + 1, 1 << 20] {
            for (piece, is_announced) in [(total, true), (997, true), (997, false), (60_000, false)]
            {
                let mut body = Buffer::new(&budget);
                for (bytes, rest) in pieces(total, piece) {
                    let rest = if is_announced { rest as u64 } else { 0 };
                    body.push(bytes, rest, u64::MAX).unwrap();
                }
                assert_eq!(budget.used(), total as u64);
                let bytes = body.freeze();
                let wanted = pieces(total, total).next().unwrap().0;
                assert!(bytes == wanted, "{total} bytes in pieces of {piece}");
                let part = bytes.slice(..1);
                drop(bytes);
                assert_eq!(budget.used(), total as u64, "a part of it is held");
                drop(part);
                assert_eq!(budget.used(), 0);
            }
        }
    }

    #[test]
    fn what_came_is_charged_and_not_what_was_announced() {
        let budget = Arc::new(Budget::default());
        let piece = || Bytes::from_static(&[7; 100]);
        let mut first = Buffer::new(&budget);
        first.push(piece(), 1 << 40, 250).unwrap();
        let mut second = Buffer::new(&budget);
        second.push(piece(), 0, 250).unwrap();
        assert!(matches!(second.push(piece(), 0, 250), Err(NoRoom::Budget)));
        assert_eq!((budget.used(), second.len()), (200, 100), "a refused piece is not charged");
        drop(first);
        second.push(piece(), 0, 250).unwrap();
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
