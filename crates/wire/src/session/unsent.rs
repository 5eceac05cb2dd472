// SPDX-License-Identifier: BSD-3-Clause
//! Elements of a stream's send queue that will not be sent: the application can requeue them.
//!
//! The queue of the stream that was reset last, or of every stream once the session is over, is
//! kept here until the application takes it: so the limits of the queues bound it. An element that
//! was sent in part counts as unsent: the peer never receives it whole.

use bytes::Bytes;

use super::Session;
use crate::StreamId;
use crate::stream::{Item, Stream};

pub(super) type Unsent = Vec<(StreamId, u64, Bytes)>;

impl Session {
    /// Takes the unsent elements of a stream, with their numbers, in order: of the stream that was reset
    /// last, or of any once the session is over. An open stream has none.
    pub fn take_unsent(&mut self, id: StreamId) -> Vec<(u64, Bytes)> {
        self.unsent
            .extract_if(.., |(stream, ..)| *stream == id)
            .map(|(_, sequence, element)| (sequence, element))
            .collect()
    }
}

/// Moves the queued elements out of a stream.
pub(super) fn keep(unsent: &mut Unsent, id: StreamId, stream: &mut Stream) {
    let queue = std::mem::take(&mut stream.outgoing.queue);
    unsent.extend(queue.into_iter().filter_map(|item| match item {
        Item::Data { sequence, element, .. } => Some((id, sequence, element)),
        Item::Return { .. } => None,
    }));
}
