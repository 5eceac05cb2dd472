// SPDX-License-Identifier: BSD-3-Clause
//! The attributes of protocol 1.0.

/// The type of a TLV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::FromRepr, strum::VariantArray)]
#[repr(u16)]
#[non_exhaustive]
pub enum Attribute {
    /// `u32`: the protocol's major version.
    AbiMajor = 1,
    /// `u32`: the protocol's minor version.
    AbiMinor = 2,
    /// `u32`: the peer's capabilities, see [`caps`](super::caps).
    Caps = 3,
    /// `u32`: a select; in `GET_INFO`, `GET_STATS` and `RESET_STATS` a channel, if `CHAN_ID` is
    /// missing; in `LIST` the channel to continue after.
    Id = 4,
    /// Signed: the kind of a channel.
    Kind = 5,
    /// `u32`: bytes of an element, 1 to 65535.
    ElemSize = 6,
    /// `u32`: elements that a channel holds.
    Capacity = 7,
    /// Signed: the timeout in milliseconds; negative: none.
    TimeoutMs = 8,
    /// `u64`: elements sent.
    SendOps = 9,
    /// `u64`: elements received.
    RecvOps = 10,
    /// `u32`: waiting senders.
    WaitersS = 11,
    /// `u32`: waiting receivers.
    WaitersR = 12,
    /// `u64`: elements dropped.
    Drops = 13,
    /// `u64`: shortest wait, in nanoseconds.
    LatMin = 14,
    /// `u64`: longest wait, in nanoseconds.
    LatMax = 15,
    /// `u64`: mean wait, in nanoseconds.
    LatAvg = 16,
    /// `u64`: the highest number of elements in the channel.
    FifoMax = 17,
    /// `u32`: a channel's number, from 1001.
    ChanId = 20,
    /// An element's bytes.
    Element = 21,
    /// Signed: 0, a count or an index, or a negated errno.
    Result = 22,
    /// `u32`: reserved.
    ActorId = 23,
    /// `u32`: reserved.
    MsgSize = 24,
    /// `u32`: bit n is the select's clause n.
    SelectMask = 25,
    /// `u32` or `u64`: the client's number of a request, repeated in its answer.
    ReqId = 26,
}

impl Attribute {
    /// All attributes, by number.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The attribute of this number.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        Self::from_repr(number)
    }

    /// As it goes over the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }
}
