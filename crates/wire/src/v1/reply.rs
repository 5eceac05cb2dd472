// SPDX-License-Identifier: BSD-3-Clause
//! Replies.
//!
//! An answer begins with the request's `REQ_ID`, if it had one. Then follow:
//!
//! | to | on success | else |
//! |---|---|---|
//! | `HELLO` | `ABI_MAJOR`, `ABI_MINOR`, \[`CAPS`\] | the same: the versions that the server accepts |
//! | `CHAN_MAKE` | `CHAN_ID` | `RESULT` |
//! | `CHAN_RECV` | `RESULT` 0, `ELEMENT` | `RESULT` |
//! | `GET_INFO` | `RESULT` 0, `CHAN_ID`, `KIND`, `ELEM_SIZE`, `CAPACITY`; for the server: as `HELLO` | `RESULT` |
//! | `GET_STATS` | `RESULT` 0, `CHAN_ID`, `SEND_OPS` … `FIFO_MAX` | `RESULT` |
//! | `LIST` | `RESULT` the number of channels, `CHAN_ID`, `KIND`, `ELEM_SIZE`, `CAPACITY` of each | `RESULT` |
//! | `SELECT_SEND`, `SELECT_RECV` | `RESULT` the clause's index | `RESULT` |
//! | `SELECT_CLAIM` | `RESULT` the index, `CHAN_ID`, \[`ELEMENT`\] | `RESULT`, \[`CHAN_ID`\] |
//! | the others | `RESULT` 0 | `RESULT` |
//!
//! `SELECT_NOTIFY` is sent once, without a request: `ID`, `SELECT_MASK` with the bit of the clause
//! that was decided (0 if the timeout passed), and the `RESULT` that `SELECT_CLAIM` will return.

use super::attribute::Attribute;
use super::command::Command;
use super::errno::Errno;
use super::fields::{Fields, ReqId, need};
use super::hello::Hello;
use super::tlv::{Tlvs, TooLong, Writer};

/// The values of `KIND`. Every positive number is a buffered channel; if `CAPACITY` is 0, it is
/// also the capacity.
pub mod kind {
    /// A sender waits for a receiver.
    pub const RENDEZVOUS: i32 = 0;
    /// Holds up to its capacity.
    pub const BUFFERED: i32 = 1;
    /// Holds only the last element.
    pub const CONFLATED: i32 = -1;
    /// Holds any number of elements.
    pub const UNLIMITED: i32 = -2;
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The command of the request; `SELECT_NOTIFY`: no request.
    pub command: Command,
    /// The client's number of the request.
    pub req_id: Option<ReqId>,
    /// The answer itself.
    pub body: Body<'a>,
}

/// The content of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body<'a> {
    /// The versions: the answer to `HELLO`, and to `GET_INFO` about the server.
    Hello(Hello),
    /// 0, a count or an index, or a negated errno.
    Result(i32),
    /// The number of the channel that was made.
    Made(u32),
    /// The element that was received.
    Element(&'a [u8]),
    /// The properties of a channel.
    Info(Info),
    /// The counters of a channel.
    Stats(Stats),
    /// Channels.
    Listing(Listing<'a>),
    /// A select was decided.
    Decided {
        /// The client's number of the select.
        select: u32,
        /// The bit of the clause that was decided; 0 if the timeout passed.
        mask: u32,
        /// The clause's index, or an error's negative number.
        result: i32,
    },
    /// The outcome of a decided select.
    Claimed {
        /// The clause's index, or an error's negative number.
        result: i32,
        /// The clause's channel.
        chan: u32,
        /// The received element.
        element: Option<&'a [u8]>,
    },
}

/// The properties of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// The channel's number.
    pub chan: u32,
    /// See [`kind`].
    pub kind: i32,
    /// Bytes of an element.
    pub elem_size: u32,
    /// The capacity in elements.
    pub capacity: u32,
}

/// The counters of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// The channel's number.
    pub chan: u32,
    /// Elements sent.
    pub send_ops: u64,
    /// Elements received.
    pub recv_ops: u64,
    /// Waiting senders.
    pub waiters_send: u32,
    /// Waiting receivers.
    pub waiters_recv: u32,
    /// Elements dropped.
    pub drops: u64,
    /// Shortest wait.
    pub lat_min_ns: u64,
    /// Longest wait.
    pub lat_max_ns: u64,
    /// Mean wait.
    pub lat_avg_ns: u64,
    /// The highest number of elements in the channel.
    pub fifo_max: u64,
}

/// Channels, as encoded in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing<'a> {
    count: u32,
    tlvs: &'a [u8],
}

/// The bytes are not an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer is malformed")]
pub struct Malformed;

impl<'a> Reply<'a> {
    /// Appends a `RESULT` as the answer to this command's number, known or not. A command without
    /// an answer appends nothing.
    pub fn encode_result(
        command: u16,
        req_id: Option<ReqId>,
        result: i32,
        out: &mut Vec<u8>,
    ) -> Result<(), TooLong> {
        let number = match Command::from_number(command).map(Command::answered_as) {
            Some(None) => return Ok(()),
            Some(Some(answer)) => answer.number(),
            None => command,
        };
        Self::write(number, req_id, &Body::Result(result), out)
    }

    /// Appends the answer's frame to a buffer.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        Self::write(self.command.number(), self.req_id, &self.body, out)
    }

    /// Decodes the answer in a frame.
    pub fn parse(command: u16, payload: &'a [u8]) -> Result<Self, Malformed> {
        let command = Command::from_number(command).ok_or(Malformed)?;
        let (fields, whole) = Fields::scan(payload);
        whole.map_err(|_| Malformed)?;
        let read = || -> Result<Self, Errno> {
            let body = Body::read(command, &fields, payload)?;
            Ok(Self { command, req_id: fields.req_id()?, body })
        };
        read().map_err(|_| Malformed)
    }

    fn write(
        number: u16,
        req_id: Option<ReqId>,
        body: &Body<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), TooLong> {
        let mut writer = Writer::new(out, number);
        if let Some(req_id) = req_id {
            req_id.write(&mut writer);
        }
        body.write(&mut writer);
        writer.finish()
    }
}

impl<'a> Body<'a> {
    fn write(&self, writer: &mut Writer<'_>) {
        match *self {
            Self::Hello(hello) => hello.write(writer),
            Self::Result(result) => {
                writer.i32(Attribute::Result, result);
            }
            Self::Made(chan) => {
                writer.u32(Attribute::ChanId, chan);
            }
            Self::Element(element) => {
                writer.i32(Attribute::Result, 0).bytes(Attribute::Element, element);
            }
            Self::Info(info) => {
                writer.i32(Attribute::Result, 0);
                info.write(writer);
            }
            Self::Stats(stats) => {
                writer.i32(Attribute::Result, 0);
                stats.write(writer);
            }
            Self::Listing(listing) => {
                writer.i32(Attribute::Result, i32::try_from(listing.count).unwrap_or(i32::MAX));
                listing.channels().flatten().for_each(|info| info.write(writer));
            }
            Self::Decided { select, mask, result } => {
                writer
                    .u32(Attribute::Id, select)
                    .u32(Attribute::SelectMask, mask)
                    .i32(Attribute::Result, result);
            }
            Self::Claimed { result, chan, element } => {
                writer.i32(Attribute::Result, result).u32(Attribute::ChanId, chan);
                if let Some(element) = element {
                    writer.bytes(Attribute::Element, element);
                }
            }
        }
    }

    fn read(command: Command, fields: &Fields<'a>, payload: &'a [u8]) -> Result<Self, Errno> {
        let result = fields.i32(Attribute::Result)?;
        let chan = fields.u32(Attribute::ChanId)?;
        let element = fields.bytes(Attribute::Element);
        let failed = result.is_some_and(|result| result < 0);
        let has_version = fields.bytes(Attribute::AbiMajor).is_some();
        Ok(match (command, result, chan, element) {
            (Command::Hello, ..) if has_version => Self::Hello(Hello::read(fields)?),
            (Command::SelectNotify, Some(result), ..) => Self::Decided {
                select: need(fields.u32(Attribute::Id)?)?,
                mask: need(fields.u32(Attribute::SelectMask)?)?,
                result,
            },
            (Command::SelectClaim, Some(result), Some(chan), element) => {
                Self::Claimed { result, chan, element }
            }
            (_, Some(result), ..) if failed => Self::Result(result),
            (Command::GetInfo, ..) if has_version => Self::Hello(Hello::read(fields)?),
            (Command::GetInfo, ..) => Self::Info(Info::read(fields)?),
            (Command::GetStats, ..) => Self::Stats(Stats::read(fields)?),
            (Command::List, Some(count), ..) => {
                Self::Listing(Listing { count: count.cast_unsigned(), tlvs: payload })
            }
            (Command::ChanMake, _, Some(chan), _) => Self::Made(chan),
            (Command::ChanRecv, Some(0), _, Some(element)) => Self::Element(element),
            (_, result, ..) => Self::Result(need(result)?),
        })
    }
}

impl Info {
    fn write(&self, writer: &mut Writer<'_>) {
        writer
            .u32(Attribute::ChanId, self.chan)
            .i32(Attribute::Kind, self.kind)
            .u32(Attribute::ElemSize, self.elem_size)
            .u32(Attribute::Capacity, self.capacity);
    }

    fn read(fields: &Fields<'_>) -> Result<Self, Errno> {
        Ok(Self {
            chan: need(fields.u32(Attribute::ChanId)?)?,
            kind: need(fields.i32(Attribute::Kind)?)?,
            elem_size: need(fields.u32(Attribute::ElemSize)?)?,
            capacity: need(fields.u32(Attribute::Capacity)?)?,
        })
    }
}

impl Stats {
    fn write(&self, writer: &mut Writer<'_>) {
        writer
            .u32(Attribute::ChanId, self.chan)
            .u64(Attribute::SendOps, self.send_ops)
            .u64(Attribute::RecvOps, self.recv_ops)
            .u32(Attribute::WaitersS, self.waiters_send)
            .u32(Attribute::WaitersR, self.waiters_recv)
            .u64(Attribute::Drops, self.drops)
            .u64(Attribute::LatMin, self.lat_min_ns)
            .u64(Attribute::LatMax, self.lat_max_ns)
            .u64(Attribute::LatAvg, self.lat_avg_ns)
            .u64(Attribute::FifoMax, self.fifo_max);
    }

    /// A missing counter is 0.
    fn read(fields: &Fields<'_>) -> Result<Self, Errno> {
        let long = |attribute| Ok::<_, Errno>(fields.u64(attribute)?.unwrap_or(0));
        let short = |attribute| Ok::<_, Errno>(fields.u32(attribute)?.unwrap_or(0));
        Ok(Self {
            chan: need(fields.u32(Attribute::ChanId)?)?,
            send_ops: long(Attribute::SendOps)?,
            recv_ops: long(Attribute::RecvOps)?,
            waiters_send: short(Attribute::WaitersS)?,
            waiters_recv: short(Attribute::WaitersR)?,
            drops: long(Attribute::Drops)?,
            lat_min_ns: long(Attribute::LatMin)?,
            lat_max_ns: long(Attribute::LatMax)?,
            lat_avg_ns: long(Attribute::LatAvg)?,
            fifo_max: long(Attribute::FifoMax)?,
        })
    }
}

impl<'a> Listing<'a> {
    /// The length of a channel in an answer, in bytes.
    pub const CHANNEL_BYTES: usize = 4 * (super::TLV_HEAD_BYTES + 4);

    /// Encodes channels into a buffer of the caller, which is emptied first.
    pub fn new(
        channels: impl IntoIterator<Item = Info>,
        buffer: &'a mut Vec<u8>,
    ) -> Result<Self, TooLong> {
        buffer.clear();
        let mut writer = Writer::new(buffer, Command::List.number());
        let mut count = 0_u32;
        for info in channels {
            info.write(&mut writer);
            count = count.saturating_add(1);
        }
        writer.finish()?;
        let tlvs = buffer.get(super::HEADER_BYTES..).unwrap_or_default();
        Ok(Self { count, tlvs })
    }

    /// The number of channels according to the answer.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The channels. The iterator ends after the first malformed one.
    pub fn channels(&self) -> impl Iterator<Item = Result<Info, Malformed>> + use<'a> {
        let mut rest = self.tlvs;
        std::iter::from_fn(move || {
            let (group, after) = next_group(rest)?;
            let info = Info::read(&Fields::scan(group).0).map_err(|_| Malformed);
            rest = if info.is_ok() { after } else { &[] };
            Some(info)
        })
    }
}

/// The attributes from one `CHAN_ID` to the next.
fn next_group(tlvs: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    let mut start = None;
    for tlv in Tlvs::new(tlvs).map_while(Result::ok) {
        if tlv.kind == Attribute::ChanId.number() {
            if let Some(start) = start {
                return Some((tlvs.get(start..at)?, tlvs.get(at..)?));
            }
            start = Some(at);
        }
        at += super::TLV_HEAD_BYTES + tlv.value.len();
    }
    Some((tlvs.get(start?..)?, &[]))
}
