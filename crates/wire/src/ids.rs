// SPDX-License-Identifier: BSD-3-Clause
//! Identifiers in a session: role, stream, priority, credit.
//!
//! ```text
//!   bit 31            17 16               1   0
//!       ┌───────────────┬──────────────────┬─────┐
//!       │  generation   │      index       │ by  │   by: 0 the client opened it, 1 the server
//!       └───────────────┴──────────────────┴─────┘
//! ```
//!
//! The index is a slot of the opener's table. The generation is never 0 and changes each time the slot
//! is reused: a stale number never names a new stream.

use std::fmt;

/// Which end of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The side that connected: it sends the hello.
    Client,
    /// The side that accepted the connection.
    Server,
}

/// A stream's number. Meaningful within its session only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(u32);

/// The priority class of a stream's elements. A higher class is always sent first; streams of one
/// class share the session by bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, strum::FromRepr)]
#[repr(u8)]
pub enum Priority {
    /// Before all others.
    High = 0,
    /// The default.
    #[default]
    Normal = 1,
    /// After all others.
    Low = 2,
}

/// What a side may send on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Credit {
    /// Elements.
    pub messages: u32,
    /// Bytes of elements.
    pub bytes: u64,
}

/// The rest of a stream's credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// Elements.
    pub messages: u64,
    /// Bytes of elements.
    pub bytes: u64,
}

const INDEX_BITS: u32 = 16;
const INDEX_SHIFT: u32 = 1;
const GENERATION_SHIFT: u32 = INDEX_SHIFT + INDEX_BITS;

/// The most streams of one side that the number's bits can name.
pub(crate) const STREAMS_MAX: u32 = 1 << INDEX_BITS;
/// The largest generation.
pub(crate) const GENERATION_MAX: u32 = u32::MAX >> GENERATION_SHIFT;

impl Role {
    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl StreamId {
    /// From the number in a frame's head.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The number in a frame's head.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The side that opened it.
    #[must_use]
    pub const fn opener(self) -> Role {
        if self.0 & 1 == 0 { Role::Client } else { Role::Server }
    }

    pub(crate) const fn new(opener: Role, index: u32, generation: u32) -> Self {
        let by = match opener {
            Role::Client => 0,
            Role::Server => 1,
        };
        Self(generation << GENERATION_SHIFT | (index & (STREAMS_MAX - 1)) << INDEX_SHIFT | by)
    }

    /// The slot in the opener's table: below its limit of streams, reused after the stream.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0 >> INDEX_SHIFT & (STREAMS_MAX - 1)
    }

    pub(crate) const fn generation(self) -> u32 {
        self.0 >> GENERATION_SHIFT
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.opener() {
            Role::Client => "c",
            Role::Server => "s",
        };
        write!(f, "{by}{}.{}", self.index(), self.generation())
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Priority {
    /// How many classes there are.
    pub(crate) const CLASSES: usize = 3;

    /// The class of this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Self::from_repr(number)
    }
}

impl Credit {
    /// Nothing may be sent until a grant.
    pub const NONE: Self = Self { messages: 0, bytes: 0 };

    /// Elements and bytes.
    #[must_use]
    pub const fn new(messages: u32, bytes: u64) -> Self {
        Self { messages, bytes }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stream_id_is_its_parts(
            server in any::<bool>(),
            index in 0..STREAMS_MAX,
            generation in 1..=GENERATION_MAX,
        ) {
            let opener = if server { Role::Server } else { Role::Client };
            let id = StreamId::from_number(StreamId::new(opener, index, generation).number());
            let parts = (id.opener(), id.index(), id.generation());
            prop_assert_eq!(parts, (opener, index, generation));
        }
    }
}
