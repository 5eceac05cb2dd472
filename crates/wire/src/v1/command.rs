// SPDX-License-Identifier: BSD-3-Clause
//! The commands of protocol 1.0.

/// The command of a request or of its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// Counts anew from here, as this connection sees it.
    ResetStats = 5,
    /// Lists channels.
    List = 6,
    /// Makes a channel.
    ChanMake = 10,
    /// Sends, waiting as long as it says.
    ChanSend = 11,
    /// Sends without waiting; answered as `CHAN_SEND`.
    ChanTrySend = 12,
    /// Receives, waiting as long as it says.
    ChanRecv = 13,
    /// Receives without waiting; answered as `CHAN_RECV`.
    ChanTryRecv = 14,
    /// Closes a channel: what is in it may still be received.
    ChanClose = 15,
    /// Forgets a channel. It has no answer.
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
    /// Cancels a select, unless it is decided.
    SelectCancel = 33,
    /// From the server: a select is decided.
    SelectNotify = 34,
    /// Fetches the outcome of a decided select.
    SelectClaim = 35,
}

impl Command {
    /// Every one, in the order of their numbers.
    pub const ALL: [Self; 21] = [
        Self::Hello,
        Self::GetInfo,
        Self::GetStats,
        Self::SetConfig,
        Self::ResetStats,
        Self::List,
        Self::ChanMake,
        Self::ChanSend,
        Self::ChanTrySend,
        Self::ChanRecv,
        Self::ChanTryRecv,
        Self::ChanClose,
        Self::ChanDestroy,
        Self::ActorStart,
        Self::ActorStop,
        Self::SelectSend,
        Self::SelectRecv,
        Self::SelectRegister,
        Self::SelectCancel,
        Self::SelectNotify,
        Self::SelectClaim,
    ];

    /// The one of this number.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Hello,
            2 => Self::GetInfo,
            3 => Self::GetStats,
            4 => Self::SetConfig,
            5 => Self::ResetStats,
            6 => Self::List,
            10 => Self::ChanMake,
            11 => Self::ChanSend,
            12 => Self::ChanTrySend,
            13 => Self::ChanRecv,
            14 => Self::ChanTryRecv,
            15 => Self::ChanClose,
            16 => Self::ChanDestroy,
            20 => Self::ActorStart,
            21 => Self::ActorStop,
            30 => Self::SelectSend,
            31 => Self::SelectRecv,
            32 => Self::SelectRegister,
            33 => Self::SelectCancel,
            34 => Self::SelectNotify,
            35 => Self::SelectClaim,
            _ => return None,
        })
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
