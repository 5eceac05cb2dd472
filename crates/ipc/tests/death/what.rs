// SPDX-License-Identifier: BSD-3-Clause
//! What a process that may be killed reports. The tests of the C library report the same, with the
//! numbers of `enum what` in `session_death.c`.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum What {
    /// A server listens; a client has started.
    Ready,
    /// The element is about to be sent.
    Intended,
    /// The send completed: the channel has accepted the element.
    Accepted,
    /// The send completed: the element was not accepted.
    Refused,
    /// The send completed: its outcome is unknown.
    Unknown,
    /// The element was received.
    Received,
    /// The element was in the channel after all clients had ended.
    Left,
    /// The operation on this channel failed because the connection has ended.
    Ended,
    /// An element that was never sent, or an unexpected error.
    Wrong,
    /// Nothing is open any more.
    Idle,
    /// It ends.
    Done,
}

/// By their numbers.
const ALL: [What; 11] = [
    What::Ready,
    What::Intended,
    What::Accepted,
    What::Refused,
    What::Unknown,
    What::Received,
    What::Left,
    What::Ended,
    What::Wrong,
    What::Idle,
    What::Done,
];

impl What {
    pub(crate) fn of(number: u64) -> Self {
        ALL[usize::try_from(number).unwrap()]
    }
}
