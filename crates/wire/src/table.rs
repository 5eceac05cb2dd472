// SPDX-License-Identifier: BSD-3-Clause
//! A slab: values named by index and generation. O(1), without hashing.
//!
//! ```text
//!   slots  ┌─────────────┬─────────────┬─────────────┬─ ─
//!          │ gen 3 value │ gen 7  free │ gen 1 value │
//!          └─────────────┴─────────────┴─────────────┴─ ─
//!   free   1 → …      first freed, first reused
//! ```
//!
//! The side that assigns numbers uses [`Table::insert`], its peer mirrors them with [`Table::admit`].
//!
//! 1. A slot is reused only with another generation, and, if the limit allows it, only when
//!    [`SPARE`] slots are free: a stale number finds nothing.
//! 2. A mirror grows by one slot at a time: its memory follows the peak of open values.

use std::collections::VecDeque;

/// Free slots that are kept before one is reused.
const SPARE: usize = 64;

pub(crate) struct Table<T> {
    slots: Vec<Slot<T>>,
    free: VecDeque<u32>,
    used: usize,
    generation_max: u32,
}

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Why a number of the peer is not admitted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    TooMany,
    Taken,
}

/// Whether a number without a value was in use before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    Stale,
    Unknown,
}

impl<T> Table<T> {
    pub(crate) const fn new(generation_max: u32) -> Self {
        Self { slots: Vec::new(), free: VecDeque::new(), used: 0, generation_max }
    }

    /// Removes all values, forgets all numbers and keeps the allocation.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.free.clear();
        self.used = 0;
    }

    /// The number of values.
    pub(crate) const fn len(&self) -> usize {
        self.used
    }

    /// Inserts a value into a free slot, unless `max` are in use.
    pub(crate) fn insert(&mut self, max: u32, make: impl FnOnce(u32, u32) -> T) -> Option<u32> {
        let max = max as usize;
        if self.used >= max {
            return None;
        }
        let index = if self.free.len() >= SPARE || self.slots.len() >= max {
            let index = self.free.pop_front()?;
            let slot = self.slots.get_mut(index as usize)?;
            slot.generation =
                if slot.generation >= self.generation_max { 1 } else { slot.generation + 1 };
            slot.value = Some(make(index, slot.generation));
            index
        } else {
            let index = self.slots.len() as u32;
            self.grow(1, || make(index, 1));
            index
        };
        self.used += 1;
        Some(index)
    }

    /// Adds a slot. The value is constructed in place.
    #[inline]
    fn grow(&mut self, generation: u32, make: impl FnOnce() -> T) {
        self.slots.extend(std::iter::once_with(|| Slot { generation, value: Some(make()) }));
    }

    /// Puts a value where the other side has put it.
    pub(crate) fn admit(
        &mut self,
        max: u32,
        index: u32,
        generation: u32,
        make: impl FnOnce() -> T,
    ) -> Result<(), Misfit> {
        if index >= max {
            return Err(Misfit::TooMany);
        }
        if generation == 0 {
            return Err(Misfit::Taken);
        }
        if index as usize == self.slots.len() {
            self.grow(generation, make);
            self.used += 1;
            return Ok(());
        }
        let slot = self.slots.get_mut(index as usize).ok_or(Misfit::Taken)?;
        if slot.value.is_some() || slot.generation == generation {
            return Err(Misfit::Taken);
        }
        slot.generation = generation;
        slot.value = Some(make());
        self.used += 1;
        Ok(())
    }

    /// Each, with its index and generation.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, u32, &mut T)> {
        let places = (0..).zip(&mut self.slots);
        places.filter_map(|(index, slot)| Some((index, slot.generation, slot.value.as_mut()?)))
    }

    #[inline]
    pub(crate) fn get(&self, index: u32, generation: u32) -> Option<&T> {
        let slot = self.slots.get(index as usize)?;
        if slot.generation == generation { slot.value.as_ref() } else { None }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32, generation: u32) -> Option<&mut T> {
        let slot = self.slots.get_mut(index as usize)?;
        if slot.generation == generation { slot.value.as_mut() } else { None }
    }

    /// Why nothing was found.
    pub(crate) fn missing(&self, index: u32) -> Missing {
        if (index as usize) < self.slots.len() { Missing::Stale } else { Missing::Unknown }
    }

    /// Takes a value out. `reuse`: this side assigns the numbers, and may reuse the slot.
    pub(crate) fn remove(&mut self, index: u32, generation: u32, reuse: bool) -> Option<T> {
        let slot = self.slots.get_mut(index as usize)?;
        if slot.generation != generation {
            return None;
        }
        let value = slot.value.take()?;
        self.left(index, reuse);
        Some(value)
    }

    /// Drops a value where it is, if it is there. `reuse`: as for [`remove`](Self::remove).
    pub(crate) fn discard(&mut self, index: u32, generation: u32, reuse: bool) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        if slot.generation == generation && slot.value.is_some() {
            slot.value = None;
            self.left(index, reuse);
        }
    }

    fn left(&mut self, index: u32, reuse: bool) {
        self.used -= 1;
        if reuse {
            self.free.push_back(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_number_finds_nothing_after_reuse() {
        let mut table = Table::new(3);
        let mut seen = Vec::new();
        for round in 0..9 {
            let mut generation = 0;
            let index = table.insert(1, |_, g| {
                generation = g;
                round
            });
            assert_eq!(index, Some(0));
            assert!((1..=3).contains(&generation));
            assert_eq!(table.insert(1, |_, _| 99), None);
            for &old in seen.iter().rev().take(2) {
                assert_eq!(table.get(0, old), None);
            }
            assert_eq!(table.remove(0, generation, true), Some(round));
            assert_eq!(table.remove(0, generation, true), None);
            seen.push(generation);
        }
    }

    #[test]
    fn a_mirror_grows_by_one_place_at_a_time() {
        let mut table = Table::new(9);
        assert_eq!(table.admit(4, 1, 1, || ()), Err(Misfit::Taken));
        assert_eq!(table.admit(4, 0, 0, || ()), Err(Misfit::Taken), "no generation");
        assert_eq!(table.admit(4, 0, 1, || ()), Ok(()));
        assert_eq!(table.admit(4, 0, 2, || ()), Err(Misfit::Taken));
        assert_eq!(table.admit(4, 4, 1, || ()), Err(Misfit::TooMany));
        assert_eq!(table.remove(0, 1, false), Some(()));
        assert_eq!(table.admit(4, 0, 1, || ()), Err(Misfit::Taken), "the same number again");
        assert_eq!(table.admit(4, 0, 2, || ()), Ok(()));
        assert_eq!(table.missing(0), Missing::Stale);
        assert_eq!(table.missing(1), Missing::Unknown);
    }
}
