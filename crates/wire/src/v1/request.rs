// SPDX-License-Identifier: BSD-3-Clause
//! Requests, and the errno for each malformed one.
//!
//! | request | attributes (in brackets: optional) |
//! |---|---|
//! | `HELLO` | `ABI_MAJOR`, `ABI_MINOR`, \[`CAPS`\] |
//! | `GET_INFO` | \[`CHAN_ID` or `ID`\]; without one: the server |
//! | `GET_STATS`, `RESET_STATS` | `CHAN_ID` or `ID` |
//! | `SET_CONFIG` | `TIMEOUT_MS`: for requests of this connection without one |
//! | `LIST` | \[`ID`\]: only channels with greater numbers |
//! | `CHAN_MAKE` | `KIND`, `ELEM_SIZE`, \[`CAPACITY`\] |
//! | `CHAN_SEND` | `CHAN_ID`, \[`TIMEOUT_MS`\], `ELEMENT` |
//! | `CHAN_TRY_SEND` | `CHAN_ID`, `ELEMENT` |
//! | `CHAN_RECV` | `CHAN_ID`, \[`TIMEOUT_MS`\] |
//! | `CHAN_TRY_RECV`, `CHAN_CLOSE`, `CHAN_DESTROY` | `CHAN_ID` |
//! | `SELECT_SEND` | `ID`, `CHAN_ID`, `ELEMENT` |
//! | `SELECT_RECV` | `ID`, `CHAN_ID` |
//! | `SELECT_REGISTER` | `ID`, \[`TIMEOUT_MS`\] |
//! | `SELECT_CANCEL`, `SELECT_CLAIM` | `ID` |
//!
//! Each may have a `REQ_ID`. A client builds a select from clauses under an `ID` of its own choice,
//! registers it, gets a `SELECT_NOTIFY` when it is decided, and claims the outcome.
//!
//! Faults, the first that applies: an unknown or reserved command is `ENOSYS`; a truncated TLV, a
//! number of another width, a missing attribute are `EPROTO`; an `ELEM_SIZE` over 65535 is
//! `EMSGSIZE`; an `ELEM_SIZE` of 0, an unknown kind, a `SET_CONFIG` without a known setting are
//! `EINVAL`.

use std::time::Duration;

use super::attribute::Attribute;
use super::command::Command;
use super::errno::Errno;
use super::fields::{Fields, ReqId, need};
use super::frame::Frame;
use super::hello::Hello;
use super::tlv::{TooLong, Writer};
use super::{ELEMENT_BYTES_MAX, kind};

/// How long an operation may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// No timeout: any negative number of milliseconds.
    Forever,
    /// This many milliseconds; 0: the operation does not wait.
    Ms(u32),
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are the attributes of the table above")]
pub enum Request<'a> {
    Hello(Hello),
    GetInfo { chan: Option<u32> },
    GetStats { chan: u32 },
    SetConfig { timeout: Timeout },
    ResetStats { chan: u32 },
    List { after: Option<u32> },
    ChanMake { kind: i32, elem_size: u32, capacity: u32 },
    ChanSend { chan: u32, timeout: Option<Timeout>, element: &'a [u8] },
    ChanTrySend { chan: u32, element: &'a [u8] },
    ChanRecv { chan: u32, timeout: Option<Timeout> },
    ChanTryRecv { chan: u32 },
    ChanClose { chan: u32 },
    ChanDestroy { chan: u32 },
    SelectSend { select: u32, chan: u32, element: &'a [u8] },
    SelectRecv { select: u32, chan: u32 },
    SelectRegister { select: u32, timeout: Option<Timeout> },
    SelectCancel { select: u32 },
    SelectClaim { select: u32 },
}

/// A malformed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{errno}")]
pub struct Fault {
    /// The errno of the answer.
    pub errno: Errno,
    /// The `REQ_ID` of the answer.
    pub req_id: Option<ReqId>,
}

impl Timeout {
    /// The timeout in an attribute.
    #[must_use]
    pub const fn from_attribute(ms: i32) -> Self {
        if ms < 0 { Self::Forever } else { Self::Ms(ms.cast_unsigned()) }
    }

    /// The attribute. More than 2^31 - 1 ms, some 25 days, are cut to that.
    #[must_use]
    pub const fn attribute(self) -> i32 {
        match self {
            Self::Forever => -1,
            Self::Ms(ms) if ms > i32::MAX.cast_unsigned() => i32::MAX,
            Self::Ms(ms) => ms.cast_signed(),
        }
    }

    /// The duration; `None`: no timeout.
    #[must_use]
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::Ms(ms) => Some(Duration::from_millis(ms as u64)),
        }
    }
}

impl<'a> Request<'a> {
    /// The request in a frame, and the client's number of it.
    pub fn of(frame: &Frame<'a>) -> Result<(Self, Option<ReqId>), Fault> {
        let (fields, whole) = Fields::scan(frame.payload);
        let req_id = fields.req_id().ok().flatten();
        let fault = |errno| Fault { errno, req_id };
        let command = Command::from_number(frame.header.command).ok_or(fault(Errno::NOSYS))?;
        if !has_meaning(command) {
            return Err(fault(Errno::NOSYS));
        }
        if whole.is_err() || !frame.is_whole() {
            return Err(fault(Errno::PROTO));
        }
        fields
            .req_id()
            .and_then(|_| Self::read(command, &fields))
            .map_or_else(|errno| Err(fault(errno)), |request| Ok((request, req_id)))
    }

    /// The request with this command's number and payload.
    pub fn parse(command: u16, payload: &'a [u8]) -> Result<(Self, Option<ReqId>), Fault> {
        // A payload too long for a header becomes a frame that is not whole.
        let length = u32::try_from(payload.len()).unwrap_or(0);
        Self::of(&Frame { header: super::Header::new(command, length), payload })
    }

    /// The request's command.
    #[must_use]
    pub const fn command(&self) -> Command {
        match self {
            Self::Hello(_) => Command::Hello,
            Self::GetInfo { .. } => Command::GetInfo,
            Self::GetStats { .. } => Command::GetStats,
            Self::SetConfig { .. } => Command::SetConfig,
            Self::ResetStats { .. } => Command::ResetStats,
            Self::List { .. } => Command::List,
            Self::ChanMake { .. } => Command::ChanMake,
            Self::ChanSend { .. } => Command::ChanSend,
            Self::ChanTrySend { .. } => Command::ChanTrySend,
            Self::ChanRecv { .. } => Command::ChanRecv,
            Self::ChanTryRecv { .. } => Command::ChanTryRecv,
            Self::ChanClose { .. } => Command::ChanClose,
            Self::ChanDestroy { .. } => Command::ChanDestroy,
            Self::SelectSend { .. } => Command::SelectSend,
            Self::SelectRecv { .. } => Command::SelectRecv,
            Self::SelectRegister { .. } => Command::SelectRegister,
            Self::SelectCancel { .. } => Command::SelectCancel,
            Self::SelectClaim { .. } => Command::SelectClaim,
        }
    }

    /// Appends the request's frame to a buffer.
    pub fn encode(&self, req_id: Option<ReqId>, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let mut writer = Writer::new(out, self.command().number());
        if let Some(req_id) = req_id {
            req_id.write(&mut writer);
        }
        self.write(&mut writer);
        writer.finish()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        match *self {
            Self::Hello(hello) => hello.write(writer),
            Self::GetInfo { chan } => {
                chan.map(|chan| writer.u32(Attribute::ChanId, chan));
            }
            Self::SetConfig { timeout } => {
                writer.i32(Attribute::TimeoutMs, timeout.attribute());
            }
            Self::List { after } => {
                after.map(|after| writer.u32(Attribute::Id, after));
            }
            Self::ChanMake { kind, elem_size, capacity } => {
                writer
                    .i32(Attribute::Kind, kind)
                    .u32(Attribute::ElemSize, elem_size)
                    .u32(Attribute::Capacity, capacity);
            }
            Self::ChanSend { chan, timeout, element } => {
                writer.u32(Attribute::ChanId, chan);
                write_timeout(writer, timeout);
                writer.bytes(Attribute::Element, element);
            }
            Self::ChanTrySend { chan, element } => {
                writer.u32(Attribute::ChanId, chan).bytes(Attribute::Element, element);
            }
            Self::ChanRecv { chan, timeout } => {
                writer.u32(Attribute::ChanId, chan);
                write_timeout(writer, timeout);
            }
            Self::GetStats { chan }
            | Self::ResetStats { chan }
            | Self::ChanTryRecv { chan }
            | Self::ChanClose { chan }
            | Self::ChanDestroy { chan } => {
                writer.u32(Attribute::ChanId, chan);
            }
            Self::SelectSend { select, chan, element } => {
                writer
                    .u32(Attribute::Id, select)
                    .u32(Attribute::ChanId, chan)
                    .bytes(Attribute::Element, element);
            }
            Self::SelectRecv { select, chan } => {
                writer.u32(Attribute::Id, select).u32(Attribute::ChanId, chan);
            }
            Self::SelectRegister { select, timeout } => {
                writer.u32(Attribute::Id, select);
                write_timeout(writer, timeout);
            }
            Self::SelectCancel { select } | Self::SelectClaim { select } => {
                writer.u32(Attribute::Id, select);
            }
        }
    }

    fn read(command: Command, fields: &Fields<'a>) -> Result<Self, Errno> {
        let chan = || fields.u32(Attribute::ChanId).and_then(need);
        let select = || fields.u32(Attribute::Id).and_then(need);
        let element = || need(fields.bytes(Attribute::Element));
        let timeout = || Ok(fields.i32(Attribute::TimeoutMs)?.map(Timeout::from_attribute));
        let of_chan = || match fields.u32(Attribute::ChanId)? {
            Some(chan) => Ok(Some(chan)),
            None => fields.u32(Attribute::Id),
        };
        Ok(match command {
            Command::Hello => Self::Hello(Hello::read(fields)?),
            Command::GetInfo => Self::GetInfo { chan: of_chan()? },
            Command::GetStats => Self::GetStats { chan: need(of_chan()?)? },
            Command::ResetStats => Self::ResetStats { chan: need(of_chan()?)? },
            Command::SetConfig => Self::SetConfig { timeout: timeout()?.ok_or(Errno::INVAL)? },
            Command::List => Self::List { after: fields.u32(Attribute::Id)? },
            Command::ChanMake => make(fields)?,
            Command::ChanSend => {
                Self::ChanSend { chan: chan()?, timeout: timeout()?, element: element()? }
            }
            Command::ChanTrySend => Self::ChanTrySend { chan: chan()?, element: element()? },
            Command::ChanRecv => Self::ChanRecv { chan: chan()?, timeout: timeout()? },
            Command::ChanTryRecv => Self::ChanTryRecv { chan: chan()? },
            Command::ChanClose => Self::ChanClose { chan: chan()? },
            Command::ChanDestroy => Self::ChanDestroy { chan: chan()? },
            Command::SelectSend => {
                Self::SelectSend { select: select()?, chan: chan()?, element: element()? }
            }
            Command::SelectRecv => Self::SelectRecv { select: select()?, chan: chan()? },
            Command::SelectRegister => {
                Self::SelectRegister { select: select()?, timeout: timeout()? }
            }
            Command::SelectCancel => Self::SelectCancel { select: select()? },
            Command::SelectClaim => Self::SelectClaim { select: select()? },
            Command::ActorStart | Command::ActorStop | Command::SelectNotify => {
                return Err(Errno::NOSYS);
            }
        })
    }
}

/// Whether a client may send the command.
const fn has_meaning(command: Command) -> bool {
    !matches!(command, Command::ActorStart | Command::ActorStop | Command::SelectNotify)
}

fn make<'a>(fields: &Fields<'_>) -> Result<Request<'a>, Errno> {
    let kind = need(fields.i32(Attribute::Kind)?)?;
    let elem_size = need(fields.u32(Attribute::ElemSize)?)?;
    let capacity = fields.u32(Attribute::Capacity)?.unwrap_or(0);
    if elem_size > ELEMENT_BYTES_MAX {
        return Err(Errno::MSGSIZE);
    }
    if elem_size == 0 || kind < kind::UNLIMITED {
        return Err(Errno::INVAL);
    }
    Ok(Request::ChanMake { kind, elem_size, capacity })
}

fn write_timeout(writer: &mut Writer<'_>, timeout: Option<Timeout>) {
    if let Some(timeout) = timeout {
        writer.i32(Attribute::TimeoutMs, timeout.attribute());
    }
}
