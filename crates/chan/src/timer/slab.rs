// SPDX-License-Identifier: BSD-3-Clause
//! Numbered places for values, in chunks that are freed as they empty.
//!
//! A chunk is never moved and never copied: growth costs one chunk, however much is stored, and a
//! long-lived value keeps only the memory of its own chunk.
//!
//! Invariants:
//!
//! 1. `open` lists exactly the chunks that are not full, each once.
//! 2. A chunk is filled only at the top of `open`, so the one that becomes full is its last.
//! 3. At most one empty chunk, `spare`, has memory, the one that emptied last: a value that comes
//!    and goes costs no allocation.

/// No index: the end of a list.
pub(super) const NONE: u32 = u32::MAX;

const CHUNK_BITS: u32 = 8;
const CHUNK_LEN: usize = 1 << CHUNK_BITS;
/// A bound under which no index is [`NONE`].
const CHUNKS_MAX: usize = (1 << (u32::BITS - CHUNK_BITS)) - 1;

pub(super) struct Slab<V> {
    chunks: Vec<Chunk<V>>,
    /// Chunks with a free place, by number.
    open: Vec<u32>,
    spare: Option<u32>,
    len: usize,
}

struct Chunk<V> {
    places: Vec<Place<V>>,
    /// Heads the list of places that were used before and are free.
    free: u32,
    used: usize,
}

enum Place<V> {
    Free { next: u32 },
    Used(V),
}

impl<V> Slab<V> {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), open: Vec::new(), spare: None, len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Returns the value if every index is taken.
    pub(super) fn insert(&mut self, value: V) -> Result<u32, V> {
        let Some(number) = self.open.last().copied().or_else(|| self.add_chunk()) else {
            return Err(value);
        };
        let Some(chunk) = self.chunks.get_mut(number as usize) else { return Err(value) };
        let index = chunk.insert(value);
        if chunk.used == 1 && self.spare == Some(number) {
            self.spare = None;
        }
        if chunk.used == CHUNK_LEN {
            self.open.pop();
        }
        self.len += 1;
        Ok(number << CHUNK_BITS | index)
    }

    pub(super) fn get(&self, index: u32) -> Option<&V> {
        let chunk = self.chunks.get((index >> CHUNK_BITS) as usize)?;
        match chunk.places.get(index as usize % CHUNK_LEN)? {
            Place::Used(value) => Some(value),
            Place::Free { .. } => None,
        }
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut V> {
        let chunk = self.chunks.get_mut((index >> CHUNK_BITS) as usize)?;
        match chunk.places.get_mut(index as usize % CHUNK_LEN)? {
            Place::Used(value) => Some(value),
            Place::Free { .. } => None,
        }
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<V> {
        let number = index >> CHUNK_BITS;
        let chunk = self.chunks.get_mut(number as usize)?;
        let value = chunk.remove(index % CHUNK_LEN as u32)?;
        self.len -= 1;
        if chunk.used == CHUNK_LEN - 1 {
            self.open.push(number);
        }
        if chunk.used == 0 {
            self.emptied(number);
        }
        Some(value)
    }

    /// The number of places that have memory.
    #[cfg(test)]
    #[cfg(not(feature = "loom"))]
    pub(super) fn places(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.places.capacity()).sum()
    }

    fn add_chunk(&mut self) -> Option<u32> {
        if self.chunks.len() >= CHUNKS_MAX {
            return None;
        }
        let number = u32::try_from(self.chunks.len()).ok()?;
        self.chunks.push(Chunk { places: Vec::new(), free: NONE, used: 0 });
        self.open.push(number);
        Some(number)
    }

    fn emptied(&mut self, number: u32) {
        if self.len == 0 && self.chunks.len() > 1 {
            self.chunks.truncate(1);
            self.chunks.shrink_to_fit();
            self.open = vec![0];
            self.spare = Some(0);
            return;
        }
        if let Some(before) = self.spare.replace(number)
            && let Some(chunk) = self.chunks.get_mut(before as usize)
        {
            chunk.places = Vec::new();
            chunk.free = NONE;
        }
    }
}

impl<V> Chunk<V> {
    /// Stores the value in a free place; the chunk is not full.
    fn insert(&mut self, value: V) -> u32 {
        self.used += 1;
        let index = self.free;
        if let Some(place) = self.places.get_mut(index as usize)
            && let Place::Free { next } = *place
        {
            self.free = next;
            *place = Place::Used(value);
            return index;
        }
        if self.places.is_empty() {
            self.places.reserve_exact(CHUNK_LEN);
        }
        self.places.push(Place::Used(value));
        (self.places.len() - 1) as u32
    }

    fn remove(&mut self, index: u32) -> Option<V> {
        let place = self.places.get_mut(index as usize)?;
        if matches!(place, Place::Free { .. }) {
            return None;
        }
        let taken = std::mem::replace(place, Place::Free { next: self.free });
        self.free = index;
        self.used -= 1;
        match taken {
            Place::Used(value) => Some(value),
            Place::Free { .. } => None,
        }
    }
}

#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_found_until_it_is_taken() {
        let mut slab = Slab::new();
        let indices: Vec<u32> = (0..1000).map(|value| slab.insert(value).unwrap()).collect();
        assert_eq!(slab.len(), 1000);
        for (value, index) in indices.iter().enumerate() {
            assert_eq!(slab.get(*index), Some(&value));
        }
        for (value, index) in indices.iter().enumerate().skip(1).step_by(2) {
            assert_eq!(slab.remove(*index), Some(value));
            assert_eq!(slab.remove(*index), None);
            assert_eq!(slab.get(*index), None);
        }
        assert_eq!(slab.len(), 500);
        for value in 0..500 {
            let index = slab.insert(1000 + value).unwrap();
            assert!(indices.contains(&index), "a free place is used before a new one");
        }
        assert_eq!(slab.get(NONE), None);
    }

    #[test]
    fn memory_is_freed_although_some_stay() {
        let mut slab = Slab::new();
        let indices: Vec<u32> = (0..100 * CHUNK_LEN).map(|v| slab.insert(v).unwrap()).collect();
        assert_eq!(slab.places(), 100 * CHUNK_LEN);
        let stays = indices[50 * CHUNK_LEN];
        for index in indices.iter().filter(|index| **index != stays) {
            slab.remove(*index);
        }
        assert_eq!(slab.len(), 1);
        assert_eq!(slab.places(), 2 * CHUNK_LEN, "its own chunk and the spare one");
        assert_eq!(slab.get(stays), Some(&(50 * CHUNK_LEN)));
        slab.remove(stays);
        assert_eq!((slab.len(), slab.chunks.len()), (0, 1));
        assert!(slab.places() <= CHUNK_LEN);
        let again: Vec<u32> = (0..CHUNK_LEN).map(|value| slab.insert(value).unwrap()).collect();
        assert_eq!(slab.places(), CHUNK_LEN);
        assert!(again.iter().all(|index| slab.get(*index).is_some()));
    }

    #[test]
    fn one_that_comes_and_goes_allocates_once() {
        let mut slab = Slab::new();
        slab.insert(0).unwrap();
        let many: Vec<u32> = (0..10 * CHUNK_LEN).map(|v| slab.insert(v).unwrap()).collect();
        for index in many {
            slab.remove(index);
        }
        let first = slab.insert(0).unwrap();
        slab.remove(first);
        let kept = slab.places();
        for value in 0..10 {
            assert_eq!(slab.places(), kept);
            let index = slab.insert(value).unwrap();
            assert_eq!(index, first);
            assert_eq!(slab.places(), kept);
            assert_eq!(slab.remove(index), Some(value));
        }
    }
}
