// SPDX-License-Identifier: BSD-3-Clause
//! What an unlimited channel holds beyond its ring: a queue of fixed blocks.
//!
//! ```text
//!   pop ◄── front ◄── full │ full │ … ◄── back ◄── push
//! ```
//!
//! A send never moves what is queued already, and a block goes back to the allocator when it has
//! been drained, except for one that is kept for the next need.

use std::collections::VecDeque;
use std::mem;

/// Values in a block.
const BLOCK_LEN: usize = 256;

#[derive(Debug)]
pub(crate) struct Spill<T> {
    /// The oldest values. Once it is drained, the next block takes its place.
    front: VecDeque<T>,
    /// Blocks between the two, full when they came here; none is empty.
    blocks: VecDeque<VecDeque<T>>,
    /// The newest values.
    back: Vec<T>,
    /// A block for the next need.
    spare: Vec<T>,
    len: usize,
}

impl<T> Spill<T> {
    pub(crate) const fn new() -> Self {
        Self {
            front: VecDeque::new(),
            blocks: VecDeque::new(),
            back: Vec::new(),
            spare: Vec::new(),
            len: 0,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(crate) fn push(&mut self, value: T) {
        if self.back.len() == self.back.capacity() {
            self.begin_block();
        }
        self.back.push(value);
        self.len += 1;
    }

    #[cold]
    fn begin_block(&mut self) {
        let mut block = mem::take(&mut self.spare);
        block.reserve_exact(BLOCK_LEN);
        let full = mem::replace(&mut self.back, block);
        if !full.is_empty() {
            self.blocks.push_back(full.into());
        }
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.front.is_empty() {
            self.next_block();
        }
        let value = self.front.pop_front()?;
        self.len -= 1;
        if self.len == 0 {
            self.rest();
        }
        Some(value)
    }

    /// Of the blocks of an empty queue one is kept.
    #[cold]
    fn rest(&mut self) {
        let front = mem::take(&mut self.front);
        self.spare = Vec::new();
        if self.back.capacity() == 0 {
            self.back = front.into();
        }
    }

    /// The block that is drained makes room for the next.
    #[cold]
    fn next_block(&mut self) {
        let next = match self.blocks.pop_front() {
            Some(block) => block,
            None => mem::take(&mut self.back).into(),
        };
        let drained = mem::replace(&mut self.front, next);
        self.keep(drained);
    }

    /// Appends all values but the `keep` oldest to `newest`, in order.
    pub(crate) fn split_off(&mut self, keep: usize, newest: &mut Vec<T>) {
        let mut surplus = self.len.saturating_sub(keep);
        self.len -= surplus;
        let begin = newest.len();
        let taken = surplus.min(self.back.len());
        newest.extend(self.back.drain(self.back.len() - taken..).rev());
        surplus -= taken;
        while surplus > 0
            && let Some(mut block) = self.blocks.pop_back()
        {
            let taken = surplus.min(block.len());
            newest.extend(block.drain(block.len() - taken..).rev());
            surplus -= taken;
            if block.is_empty() {
                self.keep(block);
            } else {
                self.blocks.push_back(block);
            }
        }
        newest.extend(self.front.drain(self.front.len() - surplus..).rev());
        if let Some(newest) = newest.get_mut(begin..) {
            newest.reverse();
        }
        if self.len == 0 {
            self.rest();
        }
    }

    /// Keeps an empty block for the next need.
    fn keep(&mut self, drained: VecDeque<T>) {
        if drained.capacity() > 0 {
            self.spare = drained.into();
        }
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
        for _ in 0..BLOCK_LEN {
            spill.pop();
        }
        // Of an empty queue one block is left.
        let kept = spill.front.capacity() + spill.back.capacity() + spill.spare.capacity();
        assert_eq!((kept, spill.blocks.capacity() <= BLOCK_LEN), (BLOCK_LEN, true));
    }
}
