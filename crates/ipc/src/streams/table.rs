// SPDX-License-Identifier: BSD-3-Clause
//! A side's entries by stream, found by the stream's index in its opener's table.
//!
//! A stream may have ended for the session, and its index reused, while an operation still waits
//! for its outcome: the older entry then moves into a map.

use std::collections::HashMap;

use becket_wire::StreamId;

/// Entries of streams that one side opened.
pub(crate) struct Table<T> {
    entries: Vec<Option<(StreamId, T)>>,
    /// Entries whose indices were reused.
    displaced: HashMap<StreamId, T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), displaced: HashMap::new() }
    }
}

impl<T> Table<T> {
    /// Bounded by the session's limit of streams: an index is below it.
    pub(crate) fn insert(&mut self, stream: StreamId, entry: T) {
        let index = stream.index() as usize;
        if index >= self.entries.len() {
            self.entries.resize_with(index + 1, || None);
        }
        if let Some(place) = self.entries.get_mut(index)
            && let Some((other, older)) = place.replace((stream, entry))
        {
            self.displaced.insert(other, older);
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, stream: StreamId) -> Option<&mut T> {
        match self.entries.get_mut(stream.index() as usize) {
            Some(Some((found, entry))) if *found == stream => Some(entry),
            _ if self.displaced.is_empty() => None,
            _ => self.displaced.get_mut(&stream),
        }
    }

    pub(crate) fn remove(&mut self, stream: StreamId) -> Option<T> {
        let place = self.entries.get_mut(stream.index() as usize)?;
        match place.take_if(|(found, _)| *found == stream) {
            Some((_, entry)) => Some(entry),
            None => self.displaced.remove(&stream),
        }
    }

    pub(crate) fn streams(&self) -> Vec<StreamId> {
        let placed = self.entries.iter().flatten().map(|(stream, _)| *stream);
        placed.chain(self.displaced.keys().copied()).collect()
    }
}
