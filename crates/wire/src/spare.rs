// SPDX-License-Identifier: BSD-3-Clause
//! Queues of streams that are over, kept for the next ones: a stream that comes and goes allocates
//! nothing for what it sends.
//!
//! Bounded: no more than [`QUEUES_MAX`] queues are kept, none with room for more than [`ITEMS_MAX`].

use std::collections::VecDeque;

use crate::stream::Item;

const QUEUES_MAX: usize = 64;
const ITEMS_MAX: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct SpareQueues(Vec<VecDeque<Item>>);

impl SpareQueues {
    /// A queue with nothing in it, with memory if there is some.
    #[inline]
    pub(crate) fn take(&mut self) -> VecDeque<Item> {
        self.0.pop().unwrap_or_default()
    }

    /// Takes the memory of a queue that is not needed any more, and drops what is in it.
    #[inline]
    pub(crate) fn put(&mut self, queue: &mut VecDeque<Item>) {
        let is_kept = (1..=ITEMS_MAX).contains(&queue.capacity());
        if is_kept && self.0.len() < QUEUES_MAX {
            // Most are empty: what would be written here is read at once.
            if !queue.is_empty() {
                queue.clear();
            }
            self.0.push(std::mem::take(queue));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn queue(items: u64) -> VecDeque<Item> {
        let item = |sequence| Item::Data { sequence, flags: 0, element: Bytes::new() };
        (0..items).map(item).collect()
    }

    #[test]
    fn short_queues_are_kept_and_given_empty() {
        let mut spare = SpareQueues::default();
        spare.put(&mut queue(0));
        spare.put(&mut queue(1 + ITEMS_MAX as u64));
        assert_eq!(spare.0.len(), 0);
        for _ in 0..2 * QUEUES_MAX {
            spare.put(&mut queue(4));
        }
        assert_eq!(spare.0.len(), QUEUES_MAX);
        let taken = spare.take();
        assert!(taken.is_empty() && taken.capacity() >= 4);
        assert_eq!(spare.0.len(), QUEUES_MAX - 1);
        assert_eq!(SpareQueues::default().take().capacity(), 0);
    }
}
