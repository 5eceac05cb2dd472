// SPDX-License-Identifier: BSD-3-Clause
//! Elements that wait, one after another in one buffer.
//!
//! ```text
//!   bytes   ┌────────┬─────────┬──────────────┬────┐
//!           │ taken  │ first   │ second       │ …  │
//!           └────────┴─────────┴──────────────┴────┘
//!                    ▲ start     lengths: [9, 14, …]
//! ```
//!
//! # Invariants
//!
//! 1. After `start` there are as many bytes as the sum of `lengths`.
//! 2. When an element arrives, at most as many bytes are taken as wait, or fewer than
//!    [`TAKEN_BYTES`]: the buffer is bounded by the window of a flow, not by the flow.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

const TAKEN_BYTES: usize = 4 << 10;

#[derive(Debug, Default)]
pub(super) struct Elements {
    bytes: Vec<u8>,
    start: usize,
    lengths: VecDeque<usize>,
}

/// Bytes that are lent out, and the bytes around them.
#[derive(Debug)]
pub(super) struct Lent {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
}

impl Lent {
    pub(super) const fn new(bytes: Vec<u8>, Range { start: from, end: to }: Range<usize>) -> Self {
        Self { bytes, from, to }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.from..self.to).unwrap_or_default()
    }
}

impl Elements {
    pub(super) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Removes all elements. The memory stays.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.lengths.clear();
        self.start = 0;
    }

    pub(super) fn push(&mut self, element: &[u8]) {
        if self.start >= TAKEN_BYTES && self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(element);
        self.lengths.push_back(element.len());
    }

    /// The oldest element.
    pub(super) fn front(&self) -> Option<&[u8]> {
        let length = *self.lengths.front()?;
        self.bytes.get(self.start..)?.get(..length)
    }

    /// The oldest element without its first `part` bytes, for reading while the rest of the world
    /// is changed. Until it is [taken back](Self::take_back) no element is added or removed.
    pub(super) fn lend(&mut self, part: usize) -> Lent {
        let length = self.lengths.front().copied().unwrap_or(0);
        let (from, to) = (self.start + part.min(length), self.start + length);
        Lent::new(std::mem::take(&mut self.bytes), from..to)
    }

    /// Takes back what was lent; if all elements were dropped meanwhile, only the memory.
    pub(super) fn take_back(&mut self, lent: Lent) {
        self.bytes = lent.bytes;
        if self.lengths.is_empty() {
            self.clear();
        }
    }

    /// Removes the oldest element. True: there was one.
    pub(super) fn pop(&mut self) -> bool {
        let Some(length) = self.lengths.pop_front() else { return false };
        self.start += length;
        if self.lengths.is_empty() {
            self.clear();
        }
        true
    }
}

/// Bytes that a session keeps until it has sent them, cut from one buffer after another. A buffer
/// is reused when nothing of it is kept any more.
#[derive(Debug)]
pub(super) struct Pool(BytesMut);

/// Size of a buffer in bytes, unless one element needs more.
const POOL_BYTES: usize = 16 << 10;

impl Default for Pool {
    fn default() -> Self {
        Self(BytesMut::with_capacity(POOL_BYTES))
    }
}

impl Pool {
    /// Everything that was cut has been dropped.
    pub(super) fn renew(&mut self) {
        self.0.reserve(POOL_BYTES);
    }

    /// Whether nothing is kept of the current buffer.
    pub(super) fn is_back(&mut self) -> bool {
        self.0.try_reclaim(POOL_BYTES)
    }

    pub(super) fn copy_of(&mut self, element: &[u8]) -> Bytes {
        self.0.extend_from_slice(element);
        self.0.split().freeze()
    }

    /// An element of `bytes` bytes, written by `fill`.
    pub(super) fn filled(&mut self, bytes: usize, fill: impl FnOnce(&mut [u8])) -> Bytes {
        self.0.resize(bytes, 0);
        fill(&mut self.0);
        self.0.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::Random;

    #[test]
    fn elements_come_as_they_went_and_the_buffer_follows_what_waits() {
        let (mut random, mut elements) = (Random::new(1), Elements::default());
        let mut expected = VecDeque::new();
        for number in 0..20_000_u32 {
            if random.below(2) == 0 && expected.len() < 20 {
                let element = vec![number as u8; random.below(3000) as usize];
                elements.push(&element);
                expected.push_back(element);
                let Elements { bytes, start, .. } = &elements;
                assert!(*start < TAKEN_BYTES || *start <= bytes.len() / 2);
            } else {
                assert_eq!(elements.front(), expected.front().map(Vec::as_slice));
                assert_eq!(elements.pop(), expected.pop_front().is_some());
            }
            assert_eq!(
                (elements.len(), elements.is_empty()),
                (expected.len(), expected.is_empty())
            );
        }
        elements.clear();
        assert_eq!(elements.front(), None);
        assert!(!elements.pop());
    }

    #[test]
    fn what_was_cut_stays_as_it_is_and_its_memory_is_used_again() {
        let mut pool = Pool::default();
        let one = pool.copy_of(&[1; 100]);
        let two = pool.filled(POOL_BYTES, |bytes| bytes.fill(2));
        assert!(one.iter().all(|byte| *byte == 1) && two.iter().all(|byte| *byte == 2));
        drop(one);
        assert!(!pool.is_back());
        drop(two);
        assert!(pool.is_back());
        pool.renew();
        let first = pool.copy_of(&[3]).as_ptr();
        let again = (0..100).any(|_| {
            drop(pool.copy_of(&[4; POOL_BYTES / 4]));
            pool.renew();
            pool.copy_of(&[5]).as_ptr() == first
        });
        assert!(again);
    }
}
