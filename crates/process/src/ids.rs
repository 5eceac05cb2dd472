// SPDX-License-Identifier: BSD-3-Clause
//! Maps by the numbers of requests, and by ids of calls, without hashing.
//!
//! The lower half of a request's number is a place in the session's table of requests, of which as many are in
//! use as there were requests at once; the upper half tells its users apart. So do the lower 20 bits and the
//! others of a call's id, whose place is in the host's table of calls. That place may have its next call before
//! this side has heard of the end of the one before: then the next one is hashed.

use foldhash::HashMap;

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

/// What each call stands for, by its id.
#[derive(Debug)]
pub(crate) struct BySid<T> {
    places: Vec<Option<(u64, T)>>,
    /// Those whose place is taken, or too high.
    others: HashMap<u64, T>,
    len: usize,
}

/// Places without hashing: more calls at once than are likely.
const PLACES_MAX: usize = 1 << 14;
/// The bits of an id that are its place in the host's table.
const SID_PLACE: u64 = (1 << 20) - 1;

impl<T> BySid<T> {
    pub(crate) fn new() -> Self {
        Self { places: Vec::new(), others: HashMap::default(), len: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// In place of what the id stood for, if it did.
    #[inline]
    pub(crate) fn insert(&mut self, sid: u64, value: T) {
        let at = (sid & SID_PLACE) as usize;
        if at >= self.places.len() && at < PLACES_MAX {
            self.places.resize_with(at + 1, || None);
        }
        match self.places.get_mut(at) {
            Some(place)
                if place.is_none()
                    && (self.others.is_empty() || !self.others.contains_key(&sid)) =>
            {
                *place = Some((sid, value));
                self.len += 1;
            }
            Some(Some((known, place))) if *known == sid => *place = value,
            _ => self.len += usize::from(self.others.insert(sid, value).is_none()),
        }
    }

    #[inline]
    pub(crate) fn get(&self, sid: u64) -> Option<&T> {
        match self.places.get((sid & SID_PLACE) as usize) {
            Some(Some((known, value))) if *known == sid => Some(value),
            _ if self.others.is_empty() => None,
            _ => self.others.get(&sid),
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, sid: u64) -> Option<T> {
        let place = self.places.get_mut((sid & SID_PLACE) as usize);
        let taken = place.and_then(|place| place.take_if(|(known, _)| *known == sid));
        let removed = match taken {
            Some((_, value)) => Some(value),
            None if self.others.is_empty() => None,
            None => self.others.remove(&sid),
        };
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// Takes all out.
    pub(crate) fn take(&mut self) -> Vec<u64> {
        let Self { places, others, .. } = std::mem::replace(self, Self::new());
        let placed = places.into_iter().flatten().map(|(sid, _)| sid);
        placed.chain(others.into_keys()).collect()
    }
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

    #[test]
    fn an_id_is_found_whoever_has_its_place() {
        let mut map = BySid::new();
        // The same place, another one, one without a place of its own.
        let sids = [7, 7 | 1 << 20, 7 | 2 << 20, 8, u64::MAX << 16, SID_PLACE];
        for (value, sid) in sids.iter().enumerate() {
            map.insert(*sid, 99);
            map.insert(*sid, value);
            assert_eq!(map.len(), value + 1);
        }
        for (value, sid) in sids.iter().enumerate() {
            assert_eq!(map.get(*sid), Some(&value));
            assert_eq!(map.get(sid ^ 1 << 40), None);
        }
        // The first one leaves its place free; the second one is still found, and once.
        assert_eq!(map.remove(7), Some(0));
        assert_eq!((map.remove(7), map.get(7)), (None, None));
        map.insert(sids[1], 11);
        assert_eq!((map.len(), map.remove(sids[1]), map.get(sids[1])), (5, Some(11), None));
        let mut left = map.take();
        left.sort_unstable();
        let mut expected = sids[2..].to_vec();
        expected.sort_unstable();
        assert_eq!((left, map.len(), map.is_empty()), (expected, 0, true));
        assert!(map.places.len() <= PLACES_MAX);
    }
}
