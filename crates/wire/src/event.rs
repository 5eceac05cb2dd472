// SPDX-License-Identifier: BSD-3-Clause
//! What a session tells its application: at most one event for a frame.

use std::ops::Deref;

use bytes::Bytes;

use crate::{Credit, PeerLimits, Priority, StreamId};

/// An element, or a returned one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// It came in one frame and lies in the caller's buffer.
    Borrowed(&'a [u8]),
    /// It came in pieces and was put together.
    Owned(Bytes),
}

/// What happened. Slices lie in the frame that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The greeting is over; commands are taken from now on.
    Ready {
        /// What the other side takes.
        peer: PeerLimits,
    },
    /// A question. Answer it with `reply`, exactly once.
    Request {
        /// Its number.
        request: u64,
        /// What is asked.
        operation: u16,
        /// The arguments.
        body: &'a [u8],
    },
    /// The answer to a request of ours.
    Reply {
        /// Its number.
        request: u64,
        /// 0 or an error's number.
        status: u16,
        /// The answer.
        body: &'a [u8],
    },
    /// The answer to this request is not wanted any more. It is still owed.
    Cancelled {
        /// Its number.
        request: u64,
    },
    /// News without a question.
    Notice {
        /// What kind of news.
        code: u16,
        /// Of which thing.
        of: u64,
        /// The news.
        body: &'a [u8],
    },
    /// The other side opened a stream: `accept` or `refuse` it.
    Opened {
        /// The stream.
        stream: StreamId,
        /// What it is for.
        service: u16,
        /// How urgent it is.
        priority: Priority,
        /// What may be sent on it at once, when accepted.
        credit: Credit,
        /// The name of what is wanted.
        name: &'a [u8],
    },
    /// A stream of ours was accepted.
    Accepted {
        /// The stream.
        stream: StreamId,
        /// What was opened.
        info: &'a [u8],
    },
    /// An element came, whole.
    Element {
        /// The stream.
        stream: StreamId,
        /// Its number there; each greater than the one before.
        sequence: u64,
        /// As they were sent, without `MORE`.
        flags: u8,
        /// The element.
        body: Body<'a>,
    },
    /// More may be sent on the stream.
    Credit {
        /// The stream.
        stream: StreamId,
    },
    /// All elements up to this one have been accepted, except those nacked or returned before.
    Acked {
        /// The stream.
        stream: StreamId,
        /// The last of them.
        upto: u64,
    },
    /// An element was not accepted.
    Nacked {
        /// The stream.
        stream: StreamId,
        /// Its number.
        sequence: u64,
        /// Why.
        code: u16,
    },
    /// The other side wants an element back that was not acked. Answer with `ack` or `nack`.
    Withdraw {
        /// The stream.
        stream: StreamId,
        /// Its number.
        sequence: u64,
    },
    /// An element that nobody took comes back. The session has checked that it was sent, and that
    /// no more come back than were sent; which one it is, the number says.
    Returned {
        /// The stream.
        stream: StreamId,
        /// Its number.
        sequence: u64,
        /// As it was sent.
        flags: u8,
        /// The element.
        body: Body<'a>,
    },
    /// The other side took credit back. The session has answered already.
    Revoke {
        /// The stream.
        stream: StreamId,
        /// So many elements fewer may be sent.
        messages: u32,
        /// And so many bytes.
        bytes: u64,
    },
    /// The answer to `revoke`. What was asked and is not in it has been sent already: it comes, or
    /// has come.
    Revoked {
        /// The stream.
        stream: StreamId,
        /// What was asked for, over all calls of `revoke` that this answers.
        asked: Credit,
        /// What was taken back.
        taken: Credit,
    },
    /// The other side sends no more elements on the stream.
    Ended {
        /// The stream.
        stream: StreamId,
        /// Why.
        code: u16,
        /// In words.
        why: &'a [u8],
    },
    /// The stream is over in both directions. What was queued on it is gone.
    Reset {
        /// The stream.
        stream: StreamId,
        /// Why.
        code: u16,
        /// In words.
        why: &'a [u8],
    },
    /// Memory for descriptors was announced. Its file descriptor came beside the frame.
    Region {
        /// Its number.
        region: u32,
        /// Its generation.
        generation: u32,
        /// Its length in bytes.
        bytes: u64,
    },
    /// A region of the other side is no more.
    Unregion {
        /// Its number.
        region: u32,
        /// Its generation.
        generation: u32,
    },
    /// A block of a region of ours is free again.
    Release {
        /// The region's number.
        region: u32,
        /// Its generation.
        generation: u32,
        /// Where the block begins.
        offset: u64,
    },
    /// The other side begins nothing new and wants nothing new begun.
    Draining,
    /// All that was open when `drain` was called has ended: `close`.
    Drained,
    /// The other side closed the session.
    Closed {
        /// Why.
        code: u16,
        /// In words.
        why: &'a [u8],
    },
}

impl Body<'_> {
    /// The element in memory of its own. Copies only what was borrowed.
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
