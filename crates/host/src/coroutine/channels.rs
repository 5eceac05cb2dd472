// SPDX-License-Identifier: BSD-3-Clause
//! Channels of byte messages within one plugin.
//!
//! An id carries a place in the table and a generation, so a stale or made-up one is refused. A
//! waiter holds a reference to its channel: destroying the channel closes it, and it is freed with
//! its last reference.

use std::sync::Arc;

use becket_chan::{Receiver, Sender, bounded, rendezvous};

use crate::{reentry::Mutex, slab::Slab};

/// The ends of one channel.
pub(crate) struct Channel {
    pub(crate) sender: Sender<Vec<u8>>,
    pub(crate) receiver: Receiver<Vec<u8>>,
}

/// The channels of one instance.
pub(crate) struct Channels {
    channels_max: u32,
    table: Mutex<Slab<Arc<Channel>>>,
}

impl Channels {
    pub(super) fn new(channels_max: u32) -> Self {
        Self { channels_max, table: Mutex::default() }
    }

    /// A channel for `capacity` messages, or a rendezvous; `None` if there are too many.
    pub(crate) fn make(&self, capacity: usize) -> Option<u64> {
        let mut table = self.table.lock();
        if table.len() >= self.channels_max as usize {
            return None;
        }
        let (sender, receiver) = if capacity == 0 { rendezvous() } else { bounded(capacity) };
        Some(table.insert(Arc::new(Channel { sender, receiver })))
    }

    /// The channel of this id.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Channel>> {
        self.table.lock().get_mut(id)?.clone()
    }

    /// Closes and forgets a channel. False: there is none of this id.
    pub(crate) fn destroy(&self, id: u64) -> bool {
        let channel = {
            let mut table = self.table.lock();
            let channel = table.get_mut(id).and_then(Option::take);
            if channel.is_some() {
                table.free(id);
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
        for channel in table.into_values() {
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
