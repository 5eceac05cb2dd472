// SPDX-License-Identifier: BSD-3-Clause
//! The commands of protocol 1.0.

/// The command of a request or of its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::FromRepr, strum::VariantArray)]
#[repr(u16)]
#[non_exhaustive]
pub enum Command {
    /// Version and capabilities; the first frame of both sides.
    Hello = 1,
    /// Properties of a channel, or of the server.
    GetInfo = 2,
    /// Counters of a channel.
    GetStats = 3,
    /// Settings of this connection.
    SetConfig = 4,
    /// Resets the counters of a channel, as this connection sees them.
    ResetStats = 5,
    /// Lists channels.
    List = 6,
    /// Creates a channel.
    ChanMake = 10,
    /// Sends, and waits up to its timeout.
    ChanSend = 11,
    /// Sends without waiting; answered as `CHAN_SEND`.
    ChanTrySend = 12,
    /// Receives, and waits up to its timeout.
    ChanRecv = 13,
    /// Receives without waiting; answered as `CHAN_RECV`.
    ChanTryRecv = 14,
    /// Closes a channel: its elements can still be received.
    ChanClose = 15,
    /// Closes and removes a channel. It has no answer.
    ChanDestroy = 16,
    /// Reserved.
    ActorStart = 20,
    /// Reserved.
    ActorStop = 21,
    /// Adds a send to a select.
    SelectSend = 30,
    /// Adds a receive to a select.
    SelectRecv = 31,
    /// Starts a select.
    SelectRegister = 32,
    /// Cancels a select, unless it was decided.
    SelectCancel = 33,
    /// From the server: a select was decided.
    SelectNotify = 34,
    /// Fetches the outcome of a decided select.
    SelectClaim = 35,
}

impl Command {
    /// All commands, by number.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The command of this number.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        Self::from_repr(number)
    }

    /// As it goes over the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The number that the answer carries; `None`: there is no answer.
    #[must_use]
    pub const fn answered_as(self) -> Option<Self> {
        match self {
            Self::ChanDestroy => None,
            Self::ChanTrySend => Some(Self::ChanSend),
            Self::ChanTryRecv => Some(Self::ChanRecv),
            other => Some(other),
        }
    }
}
