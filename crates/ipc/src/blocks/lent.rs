// SPDX-License-Identifier: BSD-3-Clause
//! The blocks of one region that the peer holds.
//!
//! ```text
//!   offset ──► a reference to the block, the number of its loans
//! ```
//!
//! A release names only an offset. Two loans with one offset are of one block, because a lent block
//! is not leased again; so it suffices to count them, and to keep the longest part.

use std::collections::HashMap;

use becket_zcopy::Block;

#[derive(Default)]
pub(super) struct Lent(HashMap<u64, LentBlock>);

struct LentBlock {
    block: Block,
    count: u32,
}

impl Lent {
    /// Adds a loan.
    pub(super) fn add(&mut self, block: &Block) {
        let new = || LentBlock { block: block.clone(), count: 0 };
        let loans = self.0.entry(block.offset()).or_insert_with(new);
        loans.count += 1;
        if loans.block.len() < block.len() {
            loans.block = block.clone();
        }
    }

    /// Ends a loan: returns the block, or its first `len` bytes. `None`, without effect: it was not
    /// lent, or not as much of it.
    pub(super) fn take(&mut self, offset: u64, len: Option<usize>) -> Option<Block> {
        let loans = self.0.get_mut(&offset)?;
        let block = match len {
            Some(len) if len != loans.block.len() => loans.block.part(0, len).ok()?,
            _ => loans.block.clone(),
        };
        loans.count -= 1;
        if loans.count == 0 {
            self.0.remove(&offset);
        }
        Some(block)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use becket_zcopy::{Class, Meta, Pool, Region};
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        /// Leases a block, and lends its first bytes a number of times.
        Lend(usize, u32),
        /// Ends the loan at this index; of `len` bytes if given.
        Take(usize, Option<usize>),
        /// A release that may match no loan.
        Forge(u64, Option<usize>),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (1..=256_usize, 1..4_u32).prop_map(|(len, times)| Step::Lend(len, times)),
            4 => (any::<usize>(), proptest::option::of(1..300_usize))
                .prop_map(|(place, len)| Step::Take(place, len)),
            1 => (0..4096_u64, proptest::option::of(0..300_usize))
                .prop_map(|(offset, len)| Step::Forge(offset, len)),
        ];
        proptest::collection::vec(step, 0..80)
    }

    proptest! {
        /// The table against a simple model; and the pool's number of free blocks.
        #[test]
        fn a_lent_block_is_not_free_and_returns_once(steps in steps()) {
            let region = Region::heap(4096, Meta::default()).unwrap();
            let pool = Pool::new(&region, &[Class { block_bytes: 256, blocks: 8 }]).unwrap();
            let mut lent = Lent::default();
            let mut model: BTreeMap<u64, (usize, u32)> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Lend(len, times) => {
                        let Ok(lease) = pool.try_lease(len) else {
                            prop_assert_eq!(model.len(), 8);
                            continue;
                        };
                        let block = lease.freeze();
                        prop_assert!(!model.contains_key(&block.offset()));
                        for _ in 0..times {
                            lent.add(&block);
                        }
                        model.insert(block.offset(), (len, times));
                    }
                    Step::Take(place, len) => {
                        let offset = model.keys().nth(place % model.len().max(1)).copied();
                        let Some(offset) = offset else { continue };
                        check(&mut lent, &mut model, offset, len)?;
                    }
                    Step::Forge(offset, len) => check(&mut lent, &mut model, offset, len)?,
                }
                prop_assert_eq!(pool.snapshot()[0].free, 8 - model.len());
                prop_assert_eq!(lent.is_empty(), model.is_empty());
            }
            drop(lent);
            prop_assert_eq!(pool.snapshot()[0].free, 8);
        }
    }

    fn check(
        lent: &mut Lent,
        model: &mut BTreeMap<u64, (usize, u32)>,
        offset: u64,
        len: Option<usize>,
    ) -> Result<(), TestCaseError> {
        let taken = lent.take(offset, len).map(|block| (block.offset(), block.len()));
        let wanted = model.get_mut(&offset).and_then(|(bytes, times)| {
            let len = len.unwrap_or(*bytes);
            (1..=*bytes).contains(&len).then(|| {
                *times -= 1;
                (offset, len)
            })
        });
        if model.get(&offset).is_some_and(|(_, times)| *times == 0) {
            model.remove(&offset);
        }
        prop_assert_eq!(taken, wanted);
        Ok(())
    }

    #[test]
    fn parts_of_one_block_are_loans_of_it() {
        let region = Region::heap(256, Meta::default()).unwrap();
        let pool = Pool::new(&region, &[Class { block_bytes: 256, blocks: 1 }]).unwrap();
        let block = pool.try_lease(256).unwrap().freeze();
        let mut lent = Lent::default();
        lent.add(&block.part(0, 10).unwrap());
        lent.add(&block);
        drop(block);
        assert_eq!(lent.take(0, Some(200)).unwrap().len(), 200);
        assert!(pool.try_lease(1).is_err());
        assert!(lent.take(0, None).is_some() && lent.take(0, None).is_none());
        assert!(pool.try_lease(1).is_ok());
    }
}
