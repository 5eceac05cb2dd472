// SPDX-License-Identifier: BSD-3-Clause
//! Events of a session for its application: at most one for each frame.

use std::ops::Deref;

use bytes::Bytes;

use crate::{Credit, PeerLimits, Priority, StreamId};

/// The bytes of an element, sent or returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// One frame, in the caller's buffer.
    Borrowed(&'a [u8]),
    /// Assembled from pieces.
    Owned(Bytes),
}

/// What happened. Slices lie in the frame that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The handshake is complete; commands are accepted from now on.
    Ready {
        /// What the peer accepts.
        peer: PeerLimits,
    },
    /// A request of the peer. Answer it with `reply`, exactly once.
    Request {
        /// Its number.
        request: u64,
        /// The operation.
        operation: u16,
        /// The arguments.
        body: &'a [u8],
    },
    /// The reply to a request of this side.
    Reply {
        /// Its number.
        request: u64,
        /// 0 or an error's number.
        status: u16,
        /// The answer.
        body: &'a [u8],
    },
    /// The peer no longer needs the reply to this request. Reply all the same.
    Cancelled {
        /// Its number.
        request: u64,
    },
    /// A message without a request.
    Notice {
        /// Its kind.
        code: u16,
        /// Its subject.
        of: u64,
        /// The content.
        body: &'a [u8],
    },
    /// The peer opened a stream: `accept` or `refuse` it.
    Opened {
        /// The stream.
        stream: StreamId,
        /// The service.
        service: u16,
        /// Its priority class.
        priority: Priority,
        /// What may be sent on it once it is accepted.
        credit: Credit,
        /// The name of what is to be opened.
        name: &'a [u8],
    },
    /// The peer accepted a stream of this side.
    Accepted {
        /// The stream.
        stream: StreamId,
        /// A description of what was opened.
        info: &'a [u8],
    },
    /// A whole element.
    Element {
        /// The stream.
        stream: StreamId,
        /// Its number; each is greater than the one before.
        sequence: u64,
        /// As sent, without `MORE`.
        flags: u8,
        /// The element.
        body: Body<'a>,
    },
    /// More may be sent on the stream.
    Credit {
        /// The stream.
        stream: StreamId,
    },
    /// The peer accepted all elements up to this one, except those nacked or returned before.
    Acked {
        /// The stream.
        stream: StreamId,
        /// The last of them.
        upto: u64,
    },
    /// The peer did not accept an element.
    Nacked {
        /// The stream.
        stream: StreamId,
        /// Its number.
        sequence: u64,
        /// The reason.
        code: u16,
    },
    /// The peer withdraws an unacknowledged element. Answer with `ack` or `nack`.
    Withdraw {
        /// The stream.
        stream: StreamId,
        /// Its number.
        sequence: u64,
    },
    /// The peer returns an undelivered element. The session has checked that its number was sent, and
    /// that no more are returned than were sent.
    Returned {
        /// The stream.
        stream: StreamId,
        /// Its number.
        sequence: u64,
        /// As sent.
        flags: u8,
        /// The element.
        body: Body<'a>,
    },
    /// The peer revoked credit. The session has answered already.
    Revoke {
        /// The stream.
        stream: StreamId,
        /// Elements revoked.
        messages: u32,
        /// Bytes revoked.
        bytes: u64,
    },
    /// The answer to `revoke`. The difference between `asked` and `taken` was spent: those elements
    /// have arrived or are in flight.
    Revoked {
        /// The stream.
        stream: StreamId,
        /// The sum over all calls of `revoke` that this answers.
        asked: Credit,
        /// What was revoked.
        taken: Credit,
    },
    /// The peer half-closed the stream: no more elements arrive.
    Ended {
        /// The stream.
        stream: StreamId,
        /// The reason.
        code: u16,
        /// Its text.
        why: &'a [u8],
    },
    /// The stream is over in both directions. Its send queue was dropped.
    Reset {
        /// The stream.
        stream: StreamId,
        /// The reason.
        code: u16,
        /// Its text.
        why: &'a [u8],
    },
    /// The peer announced memory for descriptors. Its file descriptor arrived beside the frame.
    Region {
        /// Its number.
        region: u32,
        /// Its generation.
        generation: u32,
        /// Its length in bytes.
        bytes: u64,
    },
    /// The peer took a region back.
    Unregion {
        /// Its number.
        region: u32,
        /// Its generation.
        generation: u32,
    },
    /// The peer released a block of a region of this side.
    Release {
        /// The region's number.
        region: u32,
        /// Its generation.
        generation: u32,
        /// Where the block begins.
        offset: u64,
    },
    /// The peer is draining: neither side begins anything new.
    Draining,
    /// All streams and requests have ended since `drain`: call `close`.
    Drained,
    /// The peer closed the session.
    Closed {
        /// The reason.
        code: u16,
        /// Its text.
        why: &'a [u8],
    },
}

impl Body<'_> {
    /// The element in owned memory. Copies only what was borrowed.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Self::Owned(bytes) => bytes,
        }
    }
}

impl Deref for Body<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}
