// SPDX-License-Identifier: BSD-3-Clause
//! Elements that were taken for a stream and will not be sent: they go back to where they came from.
//!
//! What is queued when a stream is reset, or the session over, stays here until the application asks
//! for it. An element of which a part was sent never arrives whole, so it counts as not sent.
//!
//! Bounded by what may be queued: those of the last stream that was reset, or of all streams once the
//! session is over.

use bytes::Bytes;

use super::Session;
use crate::StreamId;
use crate::stream::{Item, Stream};

pub(super) type Unsent = Vec<(StreamId, u64, Bytes)>;

impl Session {
    /// Takes the elements of a stream that were queued and not sent, by their numbers, in order. Only
    /// of a stream that was reset last, or when the session is over; of a stream that is open, none.
    pub fn take_unsent(&mut self, id: StreamId) -> Vec<(u64, Bytes)> {
        self.unsent
            .extract_if(.., |(stream, ..)| *stream == id)
            .map(|(_, sequence, element)| (sequence, element))
            .collect()
    }
}

/// Moves what a stream has queued out of it.
pub(super) fn keep(unsent: &mut Unsent, id: StreamId, stream: &mut Stream) {
    let queue = std::mem::take(&mut stream.outgoing.queue);
    unsent.extend(queue.into_iter().filter_map(|item| match item {
        Item::Data { sequence, element, .. } => Some((id, sequence, element)),
        Item::Return { .. } => None,
    }));
}
