// SPDX-License-Identifier: BSD-3-Clause
//! The attributes of protocol 1.0.

/// The type of a TLV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
#[non_exhaustive]
pub enum Attribute {
    /// `u32`: the protocol.
    AbiMajor = 1,
    /// `u32`: what was added to it.
    AbiMinor = 2,
    /// `u32`: bits of what the peer can do, see [`caps`](super::caps).
    Caps = 3,
    /// `u32`: a select; of a channel, where `CHAN_ID` lacks.
    Id = 4,
    /// Signed: the kind of a channel.
    Kind = 5,
    /// `u32`: bytes of an element, 1 to 65535.
    ElemSize = 6,
    /// `u32`: elements that a channel holds.
    Capacity = 7,
    /// Signed: milliseconds to wait; negative: for ever.
    TimeoutMs = 8,
    /// `u64`: elements sent.
    SendOps = 9,
    /// `u64`: elements received.
    RecvOps = 10,
    /// `u32`: senders that wait.
    WaitersS = 11,
    /// `u32`: receivers that wait.
    WaitersR = 12,
    /// `u64`: elements dropped.
    Drops = 13,
    /// `u64`: shortest wait, in nanoseconds.
    LatMin = 14,
    /// `u64`: longest wait, in nanoseconds.
    LatMax = 15,
    /// `u64`: mean wait, in nanoseconds.
    LatAvg = 16,
    /// `u64`: most elements at once in the channel.
    FifoMax = 17,
    /// `u32`: a channel, from 1001.
    ChanId = 20,
    /// Bytes: an element.
    Element = 21,
    /// Signed: 0, a number, or an error's negative number.
    Result = 22,
    /// `u32`: reserved.
    ActorId = 23,
    /// `u32`: reserved.
    MsgSize = 24,
    /// `u32`: bit n stands for the select's clause n.
    SelectMask = 25,
    /// `u32` or `u64`: the client's own number of a request; comes back in its answer.
    ReqId = 26,
}

impl Attribute {
    /// Every one, in the order of their numbers.
    pub const ALL: [Self; 24] = [
        Self::AbiMajor,
        Self::AbiMinor,
        Self::Caps,
        Self::Id,
        Self::Kind,
        Self::ElemSize,
        Self::Capacity,
        Self::TimeoutMs,
        Self::SendOps,
        Self::RecvOps,
        Self::WaitersS,
        Self::WaitersR,
        Self::Drops,
        Self::LatMin,
        Self::LatMax,
        Self::LatAvg,
        Self::FifoMax,
        Self::ChanId,
        Self::Element,
        Self::Result,
        Self::ActorId,
        Self::MsgSize,
        Self::SelectMask,
        Self::ReqId,
    ];

    /// The one of this number.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::AbiMajor,
            2 => Self::AbiMinor,
            3 => Self::Caps,
            4 => Self::Id,
            5 => Self::Kind,
            6 => Self::ElemSize,
            7 => Self::Capacity,
            8 => Self::TimeoutMs,
            9 => Self::SendOps,
            10 => Self::RecvOps,
            11 => Self::WaitersS,
            12 => Self::WaitersR,
            13 => Self::Drops,
            14 => Self::LatMin,
            15 => Self::LatMax,
            16 => Self::LatAvg,
            17 => Self::FifoMax,
            20 => Self::ChanId,
            21 => Self::Element,
            22 => Self::Result,
            23 => Self::ActorId,
            24 => Self::MsgSize,
            25 => Self::SelectMask,
            26 => Self::ReqId,
            _ => return None,
        })
    }

    /// As it goes over the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }
}
