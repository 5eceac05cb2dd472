// SPDX-License-Identifier: BSD-3-Clause
//! What an unlimited channel holds beyond its ring: a queue of fixed blocks.
//!
//! A send never moves what is queued already, and a block goes back to the allocator when it has
//! been drained, except for one that is kept for the next need.

use std::collections::VecDeque;

/// Values in a block.
const BLOCK_LEN: usize = 256;

#[derive(Debug)]
pub(crate) struct Spill<T> {
    /// Every block but the last is full at its end; none is empty.
    blocks: VecDeque<VecDeque<T>>,
    spare: VecDeque<T>,
    len: usize,
}

impl<T> Spill<T> {
    pub(crate) const fn new() -> Self {
        Self { blocks: VecDeque::new(), spare: VecDeque::new(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn push(&mut self, value: T) {
        self.len += 1;
        match self.blocks.back_mut() {
            // A block may be pushed to until it is at its capacity, wherever its head stands.
            Some(block) if block.len() < block.capacity() => block.push_back(value),
            _ => {
                let mut block = std::mem::take(&mut self.spare);
                block.reserve_exact(BLOCK_LEN);
                block.push_back(value);
                self.blocks.push_back(block);
            }
        }
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let block = self.blocks.front_mut()?;
        let value = block.pop_front();
        if block.is_empty() {
            self.spare = self.blocks.pop_front().unwrap_or_default();
            if self.blocks.is_empty() {
                self.blocks.shrink_to(BLOCK_LEN);
            }
        }
        self.len -= 1;
        value
    }
}

#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order_whatever_the_number() {
        for n in [0, 1, 3, BLOCK_LEN - 1, BLOCK_LEN, BLOCK_LEN + 1, 5 * BLOCK_LEN + 7] {
            let mut spill = Spill::new();
            (0..n).for_each(|value| spill.push(value));
            assert_eq!(spill.len(), n);
            let out: Vec<_> = std::iter::from_fn(|| spill.pop()).collect();
            assert_eq!(out, (0..n).collect::<Vec<_>>());
            assert!(spill.is_empty() && spill.pop().is_none());
        }
    }

    #[test]
    fn blocks_go_back_as_they_drain() {
        let mut spill = Spill::new();
        (0..100 * BLOCK_LEN).for_each(|value| spill.push(value));
        for _ in 0..99 * BLOCK_LEN {
            spill.pop();
        }
        assert!(spill.blocks.len() <= 2);
        for round in 0..10 * BLOCK_LEN {
            spill.push(round);
            spill.pop();
        }
        assert!(spill.blocks.len() <= 2 && spill.len() == BLOCK_LEN);
    }
}
