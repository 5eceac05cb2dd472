// SPDX-License-Identifier: BSD-3-Clause
//! Channels of byte messages within one plugin.
//!
//! An id carries a place in the table and a generation, so a stale or made-up one is refused. A
//! waiter on a channel keeps it: destroying one closes it, and it goes with its last user.

use std::sync::Arc;

use becket_chan::{Receiver, Sender, bounded, rendezvous};

use crate::reentry::Mutex;

/// The ends of one channel.
pub(crate) struct Channel {
    pub(crate) sender: Sender<Vec<u8>>,
    pub(crate) receiver: Receiver<Vec<u8>>,
}

/// The channels of one instance.
pub(crate) struct Channels {
    channels_max: u32,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    places: Vec<Place>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Place {
    generation: u32,
    channel: Option<Arc<Channel>>,
}

impl Channels {
    pub(super) fn new(channels_max: u32) -> Self {
        Self { channels_max, table: Mutex::default() }
    }

    /// A channel for `capacity` messages, or a rendezvous; `None` if there are too many.
    pub(crate) fn make(&self, capacity: usize) -> Option<u64> {
        let mut table = self.table.lock();
        let at = match table.free.pop() {
            Some(at) => at,
            None if table.places.len() < self.channels_max as usize => {
                table.places.push(Place::default());
                table.places.len() as u32 - 1
            }
            None => return None,
        };
        let place = table.places.get_mut(at as usize)?;
        place.generation = place.generation.wrapping_add(1).max(1);
        let (sender, receiver) = if capacity == 0 { rendezvous() } else { bounded(capacity) };
        place.channel = Some(Arc::new(Channel { sender, receiver }));
        Some(u64::from(place.generation) << 32 | u64::from(at))
    }

    /// The channel of this id.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Channel>> {
        let table = self.table.lock();
        let place = table.places.get(id as u32 as usize)?;
        if u64::from(place.generation) == id >> 32 { place.channel.clone() } else { None }
    }

    /// Closes and forgets a channel. False: there is none of this id.
    pub(crate) fn destroy(&self, id: u64) -> bool {
        let channel = {
            let mut table = self.table.lock();
            let place = table.places.get_mut(id as u32 as usize);
            let channel = place
                .filter(|place| u64::from(place.generation) == id >> 32)
                .and_then(|place| place.channel.take());
            if channel.is_some() {
                table.free.push(id as u32);
            }
            channel
        };
        if let Some(channel) = &channel {
            channel.sender.close();
        }
        channel.is_some()
    }

    /// Destroys all.
    pub(super) fn clear(&self) {
        let table = std::mem::take(&mut *self.table.lock());
        for channel in table.places.into_iter().filter_map(|place| place.channel) {
            channel.sender.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_bounded_and_never_valid_again() {
        let channels = Channels::new(2);
        let (one, two) = (channels.make(1).unwrap(), channels.make(0).unwrap());
        assert_eq!(channels.make(1), None, "two at most");
        assert!(channels.find(one).is_some() && channels.find(two).is_some());
        assert!(channels.destroy(one));
        assert!(!channels.destroy(one));
        let three = channels.make(1).unwrap();
        assert_ne!(three, one);
        assert!(channels.find(one).is_none(), "its place has another now");
        assert!(channels.find(0).is_none() && channels.find(u64::MAX).is_none());
    }
}
