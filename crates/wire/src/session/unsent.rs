// SPDX-License-Identifier: BSD-3-Clause
//! Elements of a stream's send queue that will not be sent: the application can requeue them.
//!
//! The queue of the stream that was reset last, or of every stream once the session is over, is
//! kept here until the application takes it: so the limits of the queues bound it. An element that
//! was sent in part counts as unsent: the peer never receives it whole.
//!
//! So are the releases and the returned descriptors that were queued when the session ended: the
//! peer's blocks that they name are no longer used here, which the peer does not know.

use bytes::Bytes;

use super::{Control, Session};
use crate::stream::{Item, Stream};
use crate::{Kind, StreamId, flags};

pub(super) type Unsent = Vec<(StreamId, u64, Bytes)>;

/// Blocks of the peer that this side had given back when the session ended, in frames that were not
/// sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct UnsentBlocks {
    /// Region, generation and offset of each release.
    pub releases: Vec<(u32, u32, u64)>,
    /// The bodies of returned elements with [`DESCRIPTOR`](crate::flags::DESCRIPTOR).
    pub returns: Vec<Bytes>,
}

impl Session {
    /// Takes the unsent elements of a stream, with their numbers, in order: of the stream that was reset
    /// last, or of any once the session is over. An open stream has none.
    pub fn take_unsent(&mut self, id: StreamId) -> Vec<(u64, Bytes)> {
        self.unsent
            .extract_if(.., |(stream, ..)| *stream == id)
            .map(|(_, sequence, element)| (sequence, element))
            .collect()
    }

    /// Takes the blocks of the peer that were given back in frames which were not sent, once the
    /// session is over. An open session has none.
    pub fn take_unsent_blocks(&mut self) -> UnsentBlocks {
        std::mem::take(&mut self.unsent_blocks)
    }
}

impl UnsentBlocks {
    pub(super) fn keep_release(&mut self, control: &Control) {
        let head = &control.head;
        if head.kind == Kind::Release {
            self.releases.push((head.stream, head.aux, head.sequence));
        }
    }

    pub(super) fn keep_returns(&mut self, stream: &Stream) {
        self.returns.extend(stream.outgoing.queue.iter().filter_map(|item| match item {
            Item::Return { flags, element, .. } if flags & flags::DESCRIPTOR != 0 => {
                Some(element.clone())
            }
            _ => None,
        }));
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
