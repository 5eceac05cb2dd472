// SPDX-License-Identifier: BSD-3-Clause
//! Bytes that were put and not yet written.
//!
//! ```text
//!   ┌───────────┬──────────────────────────────┐
//!   │ written   │ waits                        │
//!   └───────────┴──────────────────────────────┘
//!             start                           len
//! ```

/// A contiguous queue of bytes. Written and waiting bytes together take at most twice the maximum
/// number of bytes that waited at a time.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    buffer: Vec<u8>,
    start: usize,
}

impl Backlog {
    /// The number of bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that wait.
    pub(super) fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    pub(super) fn append(&mut self, pieces: &[&[u8]]) {
        // The bytes written since the last move pay for moving those that wait.
        if self.start >= self.len() {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        for piece in pieces {
            self.buffer.extend_from_slice(piece);
        }
    }

    /// Removes bytes that were written.
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
    fn waiting_bytes_stay_in_order_and_bound_the_memory() {
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
