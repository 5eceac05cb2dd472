// SPDX-License-Identifier: BSD-3-Clause
//! The values of an unlimited channel beyond its ring: a queue of fixed blocks.
//!
//! ```text
//!   pop ◄── front ◄── full │ full │ … ◄── back ◄── push
//! ```
//!
//! A send never moves queued values, and a block is freed when it has been drained, except for one
//! that is kept for reuse.
//!
//! ```text
//!   front    moved out │ values │ never written
//!            0        at       end      capacity
//! ```
//!
//! # Safety
//!
//! The values of the front block are in the spare capacity of its vector, whose length is 0: the
//! vector frees the memory and nothing else. `at..end` are the values, initialised and owned by the
//! block; `at` only grows and `end` only falls, and each moves past the value that is moved out.

use std::collections::VecDeque;
use std::mem;

/// Values in a block.
const BLOCK_LEN: usize = 256;

/// The block that is drained.
#[derive(Debug)]
struct Front<T> {
    /// The memory; its length is 0.
    block: Vec<T>,
    at: usize,
    end: usize,
}

impl<T> Front<T> {
    const fn new() -> Self {
        Self { block: Vec::new(), at: 0, end: 0 }
    }

    fn of(mut block: Vec<T>) -> Self {
        let end = block.len();
        // SAFETY: fewer values than before; those in `0..end` belong to the front from here on.
        unsafe { block.set_len(0) };
        Self { block, at: 0, end }
    }

    #[inline]
    fn len(&self) -> usize {
        self.end - self.at
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        if self.at == self.end {
            return None;
        }
        // SAFETY: `at` is the first of the values, and is excluded from them by the next line.
        let value = unsafe { self.block.as_ptr().add(self.at).read() };
        self.at += 1;
        Some(value)
    }

    fn pop_back(&mut self) -> Option<T> {
        if self.at == self.end {
            return None;
        }
        self.end -= 1;
        // SAFETY: it was the last of the values, and is excluded from them now.
        Some(unsafe { self.block.as_ptr().add(self.end).read() })
    }

    /// The memory, for reuse. The block has been drained.
    fn into_block(mut self) -> Vec<T> {
        debug_assert_eq!(self.at, self.end, "drained");
        mem::take(&mut self.block)
    }
}

impl<T> Drop for Front<T> {
    fn drop(&mut self) {
        while let Some(value) = self.pop() {
            drop(value);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Spill<T> {
    /// The oldest values. Once it is drained, the next block takes its place.
    front: Front<T>,
    /// Blocks between the two, full when they were added; none is empty.
    blocks: VecDeque<Vec<T>>,
    /// The newest values.
    back: Vec<T>,
    /// A free block, kept for reuse.
    spare: Vec<T>,
    len: usize,
}

impl<T> Spill<T> {
    pub(crate) const fn new() -> Self {
        Self {
            front: Front::new(),
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
        // SAFETY: there is room, by the lines above, and the value is counted once it is written.
        unsafe {
            self.back.as_mut_ptr().add(self.back.len()).write(value);
            self.back.set_len(self.back.len() + 1);
        }
        self.len += 1;
    }

    #[cold]
    #[inline(never)]
    fn begin_block(&mut self) {
        let mut block = mem::take(&mut self.spare);
        block.reserve_exact(BLOCK_LEN);
        let full = mem::replace(&mut self.back, block);
        if !full.is_empty() {
            self.blocks.push_back(full);
        }
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.front.len() == 0 {
            self.next_block();
        }
        let value = self.front.pop()?;
        self.took(1);
        Some(value)
    }

    /// Calls `take` with runs of the oldest values, of which it moves out as many as it returns. It
    /// is called again as long as it takes a whole run. Returns how many values were taken in
    /// total.
    ///
    /// # Safety
    ///
    /// `take` has moved out exactly as many values as it returns, from the first on.
    #[inline]
    pub(crate) unsafe fn pop_runs(&mut self, take: impl Fn(*const T, usize) -> usize) -> usize {
        let mut taken = 0;
        while self.len > 0 {
            if self.front.len() == 0 {
                self.next_block();
            }
            let shown = self.front.len();
            let run = take(self.front.block.as_ptr().wrapping_add(self.front.at), shown);
            // The caller's promise: these were moved out.
            self.front.at += run;
            self.took(run);
            taken += run;
            if run < shown {
                break;
            }
        }
        taken
    }

    #[inline]
    fn took(&mut self, count: usize) {
        self.len -= count;
        if self.len == 0 {
            self.rest();
        }
    }

    /// Of the blocks of an empty queue, keeps one.
    #[cold]
    #[inline(never)]
    fn rest(&mut self) {
        let front = mem::replace(&mut self.front, Front::new()).into_block();
        self.spare = Vec::new();
        if self.back.capacity() == 0 {
            self.back = front;
        }
    }

    /// Replaces the drained front block by the next one.
    #[cold]
    #[inline(never)]
    fn next_block(&mut self) {
        let next = match self.blocks.pop_front() {
            Some(block) => block,
            None => mem::take(&mut self.back),
        };
        let drained = mem::replace(&mut self.front, Front::of(next));
        self.keep(drained.into_block());
    }

    /// Appends all values except the `keep` oldest to `newest`, in order.
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
        newest.extend((0..surplus).map_while(|_| self.front.pop_back()));
        if let Some(newest) = newest.get_mut(begin..) {
            newest.reverse();
        }
        if self.len == 0 {
            self.rest();
        }
    }

    /// Keeps an empty block for reuse.
    fn keep(&mut self, drained: Vec<T>) {
        if drained.capacity() > 0 {
            self.spare = drained;
        }
        if self.blocks.is_empty() {
            self.blocks.shrink_to(BLOCK_LEN);
        }
    }
}

#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

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
                    // The values pushed next follow the last value that was kept.
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
    fn runs_are_shown_in_order_until_one_is_not_taken_whole() {
        for n in [0, 1, BLOCK_LEN, 3 * BLOCK_LEN + 7] {
            for max in [0, 1, BLOCK_LEN - 1, BLOCK_LEN, usize::MAX] {
                let mut spill = Spill::new();
                (0..n).for_each(|value| spill.push(value));
                let out = RefCell::new(Vec::new());
                while !spill.is_empty() {
                    // SAFETY: numbers are copied, and have no drop.
                    let taken = unsafe {
                        spill.pop_runs(|values, len| {
                            let run = std::slice::from_raw_parts(values, len.min(max));
                            out.borrow_mut().extend_from_slice(run);
                            run.len()
                        })
                    };
                    if taken == 0 {
                        assert_eq!(max, 0);
                        out.borrow_mut().extend(spill.pop());
                    }
                }
                assert!(out.into_inner().into_iter().eq(0..n));
            }
        }
    }

    #[test]
    fn what_is_left_is_dropped_once_wherever_it_stands() {
        for left in [0, 1, BLOCK_LEN, 2 * BLOCK_LEN + 3] {
            let value = Rc::new(());
            let mut spill = Spill::new();
            (0..3 * BLOCK_LEN).for_each(|_| spill.push(Rc::clone(&value)));
            (left..3 * BLOCK_LEN).for_each(|_| drop(spill.pop()));
            assert_eq!(Rc::strong_count(&value), left + 1);
            drop(spill);
            assert_eq!(Rc::strong_count(&value), 1);
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
        // Of an empty queue one block is kept.
        let kept = spill.front.block.capacity() + spill.back.capacity() + spill.spare.capacity();
        assert_eq!((kept, spill.blocks.capacity() <= BLOCK_LEN), (BLOCK_LEN, true));
    }
}
