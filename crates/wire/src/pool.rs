// SPDX-License-Identifier: BSD-3-Clause
//! A pool of send queues: a stream takes the memory of one that has ended, so a session of short
//! streams does not allocate for their elements.
//!
//! Bounded: at most [`QUEUES_MAX`] queues, each with a capacity of at most [`ITEMS_MAX`] items.

use std::collections::VecDeque;

use crate::stream::Item;

const QUEUES_MAX: usize = 64;
const ITEMS_MAX: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct QueuePool(Vec<VecDeque<Item>>);

impl QueuePool {
    /// An empty queue, with capacity if the pool has one.
    #[inline]
    pub(crate) fn take(&mut self) -> VecDeque<Item> {
        self.0.pop().unwrap_or_default()
    }

    /// Returns a queue to the pool and drops its items.
    #[inline]
    pub(crate) fn put(&mut self, queue: &mut VecDeque<Item>) {
        let is_kept = (1..=ITEMS_MAX).contains(&queue.capacity());
        if is_kept && self.0.len() < QUEUES_MAX {
            // Most are empty: a store here would be followed at once by a load of the same line.
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
    fn short_queues_are_kept_and_come_out_empty() {
        let mut pool = QueuePool::default();
        pool.put(&mut queue(0));
        pool.put(&mut queue(1 + ITEMS_MAX as u64));
        assert_eq!(pool.0.len(), 0);
        for _ in 0..2 * QUEUES_MAX {
            pool.put(&mut queue(4));
        }
        assert_eq!(pool.0.len(), QUEUES_MAX);
        let taken = pool.take();
        assert!(taken.is_empty() && taken.capacity() >= 4);
        assert_eq!(pool.0.len(), QUEUES_MAX - 1);
        assert_eq!(QueuePool::default().take().capacity(), 0);
    }
}
