// SPDX-License-Identifier: BSD-3-Clause
//! Bytes that were put and not yet written.
//!
//! ```text
//!   ┌───────────┬──────────────────────────────┐
//!   │ written   │ waits                        │
//!   └───────────┴──────────────────────────────┘
//!             start                           len
//! ```

/// A queue of bytes in one piece. What was written and what waits are together at most twice as
/// much as has waited at a time.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    buffer: Vec<u8>,
    start: usize,
}

impl Backlog {
    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What waits.
    pub(super) fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    pub(super) fn append(&mut self, pieces: &[&[u8]]) {
        // Moving what waits is paid for by what was written since.
        if self.start >= self.len() {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        for piece in pieces {
            self.buffer.extend_from_slice(piece);
        }
    }

    /// So many of them have been written.
    pub(super) fn written(&mut self, bytes: usize) {
        self.start += bytes;
        if self.is_empty() {
            self.buffer.clear();
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_in_order_and_bounds_the_memory() {
        const NUMBERS: usize = 100;
        let mut backlog = Backlog::default();
        let (mut put, mut written) = (0_u32, 0_u32);
        for round in 0..2_000 {
            while backlog.len() < 4 * NUMBERS {
                let [first, rest @ ..] = put.to_be_bytes();
                backlog.append(&[&[first], &rest]);
                put += 1;
            }
            assert!(backlog.buffer.len() <= 2 * 4 * NUMBERS);
            // Never all of them, until the end.
            for _ in 0..round % NUMBERS {
                assert!(backlog.rest().starts_with(&written.to_be_bytes()));
                backlog.written(4);
                written += 1;
            }
            assert_eq!(backlog.len(), 4 * (put - written) as usize);
        }
        backlog.written(backlog.len());
        assert!(backlog.is_empty() && backlog.buffer.is_empty());
    }
}
