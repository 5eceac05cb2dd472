// SPDX-License-Identifier: BSD-3-Clause
//! Memory for bodies, used again when its bodies were dropped.
//!
//! An allocation for each long body is slow where the allocator gives such memory back to the system at
//! once: every page of it then faults anew. A chunk is cut into bodies; when all of them were dropped,
//! the next body begins at its front.
//!
//! Bounded: a chunk has at most [`KEPT_BYTES_MAX`] bytes, and is freed when the session has been idle.
//! A longer body has memory of its own.

use bytes::{Bytes, BytesMut};

/// The most bytes that are kept: four of the longest bodies that a plugin usually takes.
const KEPT_BYTES_MAX: usize = 4 << 20;
/// The least that is allocated.
const CHUNK_BYTES: usize = 16 << 10;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Chunk(BytesMut);

impl Chunk {
    /// Memory for `bytes` bytes, of which none is written yet.
    pub(crate) fn take(&mut self, bytes: usize) -> BytesMut {
        if bytes > KEPT_BYTES_MAX {
            return BytesMut::with_capacity(bytes);
        }
        if !self.0.try_reclaim(bytes) {
            self.0 = BytesMut::with_capacity(bytes.max(CHUNK_BYTES));
        }
        std::mem::take(&mut self.0)
    }

    /// Ends a body that was written into memory from [`take`](Self::take), and keeps the rest of it.
    pub(crate) fn end(&mut self, mut buffer: BytesMut) -> Bytes {
        let body = buffer.split().freeze();
        if body.len() <= KEPT_BYTES_MAX {
            self.0 = buffer;
        }
        body
    }

    /// A body of these parts.
    pub(crate) fn join(&mut self, parts: [&[u8]; 2]) -> Bytes {
        let mut buffer = self.take(parts.iter().map(|part| part.len()).sum());
        parts.into_iter().for_each(|part| buffer.extend_from_slice(part));
        self.end(buffer)
    }

    /// Frees it, when its last body is dropped.
    pub(crate) fn free(&mut self) {
        self.0 = BytesMut::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_when_its_bodies_were_dropped() {
        for bytes in [CHUNK_BYTES - 50, CHUNK_BYTES, 1 << 20, KEPT_BYTES_MAX] {
            let content = vec![7; bytes];
            let mut chunk = Chunk::default();
            let first = chunk.join([&content, &[]]);
            let at = first.as_ptr();
            assert_eq!(first, content);
            drop(first);
            for _ in 0..10 {
                let next = chunk.join([&[1], &content[1..]]);
                assert_eq!((next.as_ptr(), next.len()), (at, bytes));
                assert_eq!((next[0], &next[1..]), (1, &content[1..]));
            }
        }
        let mut chunk = Chunk::default();
        let bodies: Vec<_> = (0..100_u8).map(|byte| chunk.join([&[byte; 90], &[byte]])).collect();
        for (byte, body) in (0..).zip(&bodies) {
            assert_eq!(*body, [byte; 91][..]);
        }
        let end = bodies[0].as_ptr().wrapping_add(CHUNK_BYTES);
        assert!(bodies.iter().all(|body| (bodies[0].as_ptr()..end).contains(&body.as_ptr())));
    }

    #[test]
    fn a_body_that_lives_keeps_its_bytes() {
        let mut chunk = Chunk::default();
        let kept = chunk.join([&[1; 1 << 20], &[]]);
        let other = chunk.join([&[2; 1 << 20], &[]]);
        chunk.free();
        assert!(kept.iter().all(|byte| *byte == 1));
        assert!(other.iter().all(|byte| *byte == 2));
    }

    #[test]
    fn no_more_is_kept_than_the_bound() {
        let mut chunk = Chunk::default();
        drop(chunk.join([&vec![0; KEPT_BYTES_MAX + 1], &[]]));
        assert_eq!(chunk.0.capacity(), 0);
        drop(chunk.join([&vec![0; KEPT_BYTES_MAX], &[]]));
        assert!(chunk.0.try_reclaim(KEPT_BYTES_MAX));
        assert!(chunk.0.capacity() <= KEPT_BYTES_MAX);
        chunk.free();
        assert!(!chunk.0.try_reclaim(1));
    }
}
