// SPDX-License-Identifier: BSD-3-Clause
//! Values of a plugin under ids that are never valid again: an id is a place and its generation.
//!
//! ```text
//!   63          32 31        0
//!   │ generation   │ place     │   a free place gets another generation with its next value
//! ```

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    /// `None` while the place is free, or its value is taken.
    value: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Places that are not free.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Puts a value in, and returns its id, which is not 0.
    pub(crate) fn insert(&mut self, value: T) -> u64 {
        let at = self.free.pop().unwrap_or(self.places.len() as u32);
        if at as usize == self.places.len() {
            self.places.push(Place { generation: 0, value: None });
        }
        let Some(place) = self.places.get_mut(at as usize) else { return 0 };
        place.generation = place.generation.wrapping_add(1).max(1);
        place.value = Some(value);
        u64::from(place.generation) << 32 | u64::from(at)
    }

    /// What stands under an id; `None` if the id is stale or made up.
    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Option<T>> {
        let place = self.places.get_mut(id as u32 as usize)?;
        (u64::from(place.generation) == id >> 32).then_some(&mut place.value)
    }

    /// Frees the place of an id whose value was taken.
    pub(crate) fn free(&mut self, id: u64) {
        if self.get_mut(id).is_some() {
            self.free.push(id as u32);
        }
    }

    /// The values that were not taken.
    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.places.into_iter().filter_map(|place| place.value)
    }
}
