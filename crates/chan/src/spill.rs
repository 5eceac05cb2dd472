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
            let drained = self.blocks.pop_front();
            self.spare(drained);
        }
        self.len -= 1;
        value
    }

    /// Appends all values but the `keep` oldest to `newest`, in order.
    pub(crate) fn split_off(&mut self, keep: usize, newest: &mut Vec<T>) {
        let begin = newest.len();
        while self.len > keep
            && let Some(block) = self.blocks.back_mut()
        {
            let kept = block.len().saturating_sub(self.len - keep);
            self.len -= block.len() - kept;
            newest.extend(block.drain(kept..).rev());
            if kept == 0 {
                let drained = self.blocks.pop_back();
                self.spare(drained);
            }
        }
        if let Some(newest) = newest.get_mut(begin..) {
            newest.reverse();
        }
    }

    /// Keeps a block for the next need.
    fn spare(&mut self, drained: Option<VecDeque<T>>) {
        self.spare = drained.unwrap_or_default();
        if self.blocks.is_empty() {
            self.blocks.shrink_to(BLOCK_LEN);
        }
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
    fn what_is_split_off_and_what_is_kept_are_in_order_whatever_the_numbers() {
        for n in [0, 1, BLOCK_LEN, BLOCK_LEN + 1, 3 * BLOCK_LEN + 7] {
            for begin in [0, 1, BLOCK_LEN - 1] {
                for keep in [0, 1, BLOCK_LEN - 1, BLOCK_LEN, 2 * BLOCK_LEN + 3, usize::MAX] {
                    let mut spill = Spill::new();
                    (0..begin + n).for_each(|value| spill.push(value));
                    assert!((0..begin).all(|value| spill.pop() == Some(value)));
                    let mut newest = vec![usize::MAX];
                    spill.split_off(keep, &mut newest);
                    let end = begin + n.min(keep);
                    assert_eq!(newest[0], usize::MAX);
                    assert!(newest[1..].iter().copied().eq(end..begin + n));
                    // The end of what is kept is where the next ones come.
                    (end..end + 2 * BLOCK_LEN).for_each(|value| spill.push(value));
                    assert_eq!(spill.len(), n.min(keep) + 2 * BLOCK_LEN);
                    let rest = std::iter::from_fn(|| spill.pop());
                    assert!(rest.eq(begin..end + 2 * BLOCK_LEN));
                    assert!(spill.is_empty());
                }
            }
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
