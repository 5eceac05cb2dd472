// SPDX-License-Identifier: BSD-3-Clause
//! A map by the numbers of requests, without hashing.
//!
//! The lower half of a request's number is a place in the session's table of requests, of which as many are in
//! use as there were requests at once; the upper half tells its users apart.

/// What each request stands for, by its number.
#[derive(Debug)]
pub(crate) struct ByRequest<T> {
    places: Vec<Option<(u64, T)>>,
}

impl<T> ByRequest<T> {
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new() }
    }

    #[inline]
    pub(crate) fn insert(&mut self, request: u64, value: T) {
        let at = place(request);
        if at >= self.places.len() {
            self.places.resize_with(at + 1, || None);
        }
        if let Some(place) = self.places.get_mut(at) {
            *place = Some((request, value));
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, request: u64) -> Option<T> {
        let place = self.places.get_mut(place(request))?;
        let (_, value) = place.take_if(|(number, _)| *number == request)?;
        Some(value)
    }

    pub(crate) fn clear(&mut self) {
        self.places = Vec::new();
    }
}

fn place(request: u64) -> usize {
    request as u32 as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_found_once_and_by_its_own_number() {
        let mut map = ByRequest::new();
        let numbers: Vec<u64> = (0..200).map(|index| index | (index + 1) << 32).collect();
        numbers.iter().rev().for_each(|number| map.insert(*number, number * 2));
        for number in &numbers {
            assert_eq!(map.remove(number + (1 << 32)), None, "a later request in the same place");
            assert_eq!(map.remove(*number), Some(number * 2));
            assert_eq!(map.remove(*number), None);
        }
        assert_eq!(map.remove(u64::MAX), None);
        map.insert(3, 1);
        map.clear();
        assert_eq!(map.remove(3), None);
    }
}
