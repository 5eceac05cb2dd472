// SPDX-License-Identifier: BSD-3-Clause
//! A frame: 24 bytes of head, then a body.
//!
//! ```text
//!   byte  0        4      5       6      8         12       16             24
//!         ┌────────┬──────┬───────┬──────┬─────────┬────────┬──────────────┬──── ─ ─
//!         │ length │ kind │ flags │ code │ stream  │  aux   │   sequence   │ body
//!         └────────┴──────┴───────┴──────┴─────────┴────────┴──────────────┴──── ─ ─
//!            u32     u8     u8      u16     u32       u32         u64        `length` bytes
//! ```
//!
//! Little-endian. [`Kind`] defines `code`, `aux` and `sequence` of each kind. Frequent kinds have no
//! body; a body is an element, text or attributes, never a second head.

/// Bytes of a head.
pub const HEAD_BYTES: usize = 24;

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Bytes of body that follow.
    pub length: u32,
    /// What the frame is.
    pub kind: Kind,
    /// See [`flags`].
    pub flags: u8,
    /// A status, a reason or an operation, by kind.
    pub code: u16,
    /// The stream; 0: the session.
    pub stream: u32,
    /// Meaning by kind.
    pub aux: u32,
    /// The number of an element or of a request, by kind.
    pub sequence: u64,
}

/// Bits of [`Head::flags`].
pub mod flags {
    /// The element continues in the stream's next [`Kind::Data`](super::Kind::Data).
    pub const MORE: u8 = 1;
    /// The body is a descriptor of an announced region instead of an element.
    pub const DESCRIPTOR: u8 = 2;
    /// Accept at once or not at all.
    pub const TRY: u8 = 4;
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::FromRepr)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// The first frame of the client: `aux` is the version, the body has the limits as attributes.
    Hello = 1,
    /// The answer of the server, with the same fields.
    Welcome = 2,
    /// Its `sequence` is repeated in a pong.
    Ping = 3,
    /// The answer to a ping.
    Pong = 4,
    /// No new streams and requests; open ones may finish.
    Drain = 5,
    /// The session is over: `code` is the reason, the body its text.
    Close = 6,

    /// `sequence` is the request's number, `code` its operation, the body its arguments.
    Request = 16,
    /// The answer: the same `sequence`; `code` is 0 or an error's number.
    Reply = 17,
    /// The reply to `sequence` is no longer needed. It is still sent, once.
    Cancel = 18,
    /// A message without a request: `code` is its kind, `sequence` its subject.
    Notice = 19,

    /// A new stream: `code` is the service, `aux` messages and `sequence` bytes of first credit for
    /// the other side, `flags` its priority, the body its name.
    Open = 32,
    /// Its answer: `aux` and `sequence` are the first credit, the body describes what was opened.
    Accept = 33,
    /// An element, or a piece of one; `sequence` is its number in the stream, from 1, and `aux` how
    /// many bytes of it follow in further pieces.
    Data = 34,
    /// `aux` more messages and `sequence` more bytes may be sent. Stream 0: bytes over all streams.
    Credit = 35,
    /// All elements up to `sequence` were accepted.
    Ack = 36,
    /// Element `sequence` was not accepted: `code` is the reason.
    Nack = 37,
    /// Withdraws element `sequence` unless it was accepted. Answered by an ack or a nack.
    Withdraw = 38,
    /// Returns the undelivered element `sequence` to its sender, in pieces as `Data`.
    Return = 39,
    /// Revokes up to `aux` messages and `sequence` bytes of credit.
    Revoke = 40,
    /// The answer: `aux` messages and `sequence` bytes of credit were revoked.
    Revoked = 41,
    /// The sender half-closes the stream: `code` is the reason, the body its text.
    End = 42,
    /// The stream is over in both directions, at once: `code` is the reason, the body its text.
    /// Answered by a reset.
    Reset = 43,

    /// Memory for descriptors: `stream` is its number, `aux` its generation, `sequence` its bytes.
    /// Its file descriptor travels beside the frame.
    Region = 48,
    /// The region is no more.
    Unregion = 49,
    /// The block at offset `sequence` of region `stream`, generation `aux`, is free again.
    Release = 50,
}

/// Why 24 bytes are not a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// No such kind.
    #[error("frame of unknown kind {0}")]
    UnknownKind(u8),
}

impl Kind {
    /// The kind of this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Self::from_repr(number)
    }
}

impl Head {
    /// A head without a body, all else 0.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self { length: 0, kind, flags: 0, code: 0, stream: 0, aux: 0, sequence: 0 }
    }

    /// As it goes over the wire.
    #[inline]
    #[must_use]
    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let word0 = u64::from(self.length)
            | u64::from(self.kind as u8) << 32
            | u64::from(self.flags) << 40
            | u64::from(self.code) << 48;
        let word1 = u64::from(self.stream) | u64::from(self.aux) << 32;
        let mut bytes = [0; HEAD_BYTES];
        let (words, _) = bytes.as_chunks_mut::<8>();
        for (place, word) in words.iter_mut().zip([word0, word1, self.sequence]) {
            *place = word.to_le_bytes();
        }
        bytes
    }

    /// The head that these bytes are.
    #[inline]
    pub fn decode(bytes: &[u8; HEAD_BYTES]) -> Result<Self, HeadError> {
        let mut decoded = [0; 3];
        let (words, _) = bytes.as_chunks::<8>();
        for (word, bytes) in decoded.iter_mut().zip(words) {
            *word = u64::from_le_bytes(*bytes);
        }
        let [word0, word1, sequence] = decoded;
        let number = (word0 >> 32) as u8;
        let kind = Kind::from_number(number).ok_or(HeadError::UnknownKind(number))?;
        Ok(Self {
            length: word0 as u32,
            kind,
            flags: (word0 >> 40) as u8,
            code: (word0 >> 48) as u16,
            stream: word1 as u32,
            aux: (word1 >> 32) as u32,
            sequence,
        })
    }
}

/// A frame in the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its head; `length` is the body's.
    pub head: Head,
    /// Its body.
    pub body: &'a [u8],
}

/// A destination of frames.
pub trait Outlet {
    /// Takes a frame, whole or not at all. `head.length` is the body's length.
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full>;
}

/// There is no room for the frame now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no room for a frame")]
pub struct Full;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(
            words in any::<(u32, u8, u16, u32, u32, u64)>(),
            kind in any::<u8>().prop_filter_map("a kind", Kind::from_number),
        ) {
            let (length, flags, code, stream, aux, sequence) = words;
            let head = Head { length, kind, flags, code, stream, aux, sequence };
            prop_assert_eq!(Head::decode(&head.encode()), Ok(head));
        }

        #[test]
        fn any_bytes_are_a_head_or_an_unknown_kind(bytes in any::<[u8; HEAD_BYTES]>()) {
            match Head::decode(&bytes) {
                Ok(head) => prop_assert_eq!(head.encode(), bytes),
                Err(HeadError::UnknownKind(kind)) => {
                    prop_assert_eq!(kind, bytes[4]);
                    prop_assert_eq!(Kind::from_number(kind), None);
                }
            }
        }
    }
}
