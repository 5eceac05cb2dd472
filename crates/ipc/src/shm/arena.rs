// SPDX-License-Identifier: BSD-3-Clause
//! Blocks for bodies that are longer than a slot, allocated by the producer.
//!
//! A free list per class, as a stack, so that the most recently freed block is used first: it is in
//! the cache. A block is in flight with the frame that it is sent with, and free again when the
//! peer has read past that frame. The peer's one published position covers all blocks; there is no
//! list in shared memory, and no value that the peer writes names a block.
//!
//! 1. A block is in its free list, or in `lent` under exactly one position, never in both.
//! 2. `lent` has one entry per slot, reused only when the slot is.

use super::validate::{Geometry, SlotMeta};

#[derive(Debug)]
pub(super) struct Arena {
    free: Vec<FreeList>,
    lent: Vec<Option<SlotMeta>>,
    lent_count: usize,
}

#[derive(Debug)]
struct FreeList {
    block_bytes: usize,
    indices: Vec<u32>,
}

impl Arena {
    pub(super) fn new(geometry: &Geometry) -> Self {
        let list = |class: &super::validate::Class| FreeList {
            block_bytes: class.block_bytes as usize,
            indices: (0..class.blocks).rev().collect(),
        };
        Self {
            free: geometry.classes().iter().map(list).collect(),
            lent: vec![None; geometry.slots() as usize],
            lent_count: 0,
        }
    }

    /// A block of the smallest class that has one free, for the frame at `position`.
    pub(super) fn lend(&mut self, position: u64, bytes: usize) -> Option<SlotMeta> {
        let at = self.index(position);
        let mut fitting =
            self.free.iter_mut().zip(1..).filter(|(list, _)| list.block_bytes >= bytes);
        let (index, class) =
            fitting.find_map(|(list, class)| list.indices.pop().map(|index| (index, class)))?;
        let meta = SlotMeta::new(class, index, 0);
        *self.lent.get_mut(at)? = Some(meta);
        self.lent_count += 1;
        Some(meta)
    }

    /// Whether a block for `bytes` bytes is free.
    pub(super) fn has(&self, bytes: usize) -> bool {
        self.free.iter().any(|list| list.block_bytes >= bytes && !list.indices.is_empty())
    }

    /// Frees the blocks of these positions, at most one lap: the peer has read their frames.
    #[inline]
    pub(super) fn reclaim(&mut self, positions: std::ops::Range<u64>) {
        for position in positions {
            if self.lent_count == 0 {
                return;
            }
            let at = self.index(position);
            let Some(meta) = self.lent.get_mut(at).and_then(Option::take) else { continue };
            self.lent_count -= 1;
            let list = (meta.class() as usize).checked_sub(1).and_then(|at| self.free.get_mut(at));
            if let Some(list) = list {
                list.indices.push(meta.index());
            }
        }
    }

    /// Whether any block is in flight.
    #[inline]
    pub(super) fn is_lent(&self) -> bool {
        self.lent_count > 0
    }

    fn index(&self, position: u64) -> usize {
        position as usize & (self.lent.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, VecDeque};

    use proptest::prelude::*;

    use super::super::validate::Class;
    use super::*;

    const CLASSES: [Class; 2] =
        [Class { block_bytes: 256, blocks: 3 }, Class { block_bytes: 1024, blocks: 2 }];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 256 }))]

        #[test]
        fn a_block_is_lent_to_one_frame_at_a_time(
            steps in prop::collection::vec((any::<bool>(), 97_usize..1100), 0..200),
        ) {
            let geometry = Geometry::new(8, &CLASSES).unwrap();
            let mut arena = Arena::new(&geometry);
            let mut out = VecDeque::new();
            let (mut sent, mut taken) = (0, 0);
            for (send, bytes) in steps {
                if send && sent - taken < 8 {
                    let busy: BTreeSet<_> = out.iter().flatten().map(|p: &SlotMeta| p.0).collect();
                    let free = |class: u32| {
                        CLASSES[class as usize - 1].blocks as usize
                            - busy.iter().filter(|meta| **meta & 15 == class).count()
                    };
                    let expected = match bytes {
                        ..=256 if free(1) > 0 => Some(1),
                        ..=1024 if free(2) > 0 => Some(2),
                        _ => None,
                    };
                    let meta = arena.lend(sent, bytes);
                    prop_assert_eq!(meta.map(SlotMeta::class), expected);
                    prop_assert!(meta.is_none_or(|meta| !busy.contains(&meta.0)));
                    prop_assert!(meta.is_none_or(|p| geometry.block(p.class(), p.index()).is_some()));
                    out.push_back(meta);
                    sent += 1;
                } else if taken < sent {
                    let upto = taken + 1 + bytes as u64 % (sent - taken);
                    arena.reclaim(taken..upto);
                    out.drain(..(upto - taken) as usize);
                    taken = upto;
                }
                prop_assert_eq!(arena.is_lent(), out.iter().any(Option::is_some));
            }
        }
    }
}
