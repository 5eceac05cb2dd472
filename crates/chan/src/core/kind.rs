// SPDX-License-Identifier: BSD-3-Clause
//! The kinds of channels, and the overflow policies of a bounded channel.

/// What a bounded channel does with a value for which it has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// The send waits. A `try_send` fails.
    #[default]
    Suspend,
    /// The oldest value is dropped to make room: a send does not wait for a receiver. (It may wait
    /// for another send that has claimed the last slot and not published its value yet; a
    /// `try_send` fails in that case.)
    DropOldest,
    /// The new value is dropped: a send never waits, and succeeds.
    DropLatest,
}

/// The kind of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A send completes when a receiver takes its value.
    Rendezvous,
    /// Holds up to a number of values.
    Bounded,
    /// Holds the latest value.
    Conflated,
    /// Holds any number of values.
    Unlimited,
}
