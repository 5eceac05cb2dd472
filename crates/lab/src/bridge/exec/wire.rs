// SPDX-License-Identifier: BSD-3-Clause
//! The binary form of requests and answers, little-endian. The book's chapter on adapters in other
//! languages describes it.
//!
//! ```text
//!   request   len:4 | op:1 side:1 0:2 flow:4 now:8 budget:4 random:4 | what belongs to the op
//!   answer    len:4 | op:1 result:1 flags:1 0:1 value:4 buffered:8 deadline:8
//!                     rooms:2 summary:2 error:2 0:2 body:4 0:4
//!                   | rooms × flow:4 | summary | error | body
//! ```

use super::ExecError;
use crate::contract::{Capabilities, Cause, Chunk, Class, FlowId, Limits, Manifest, Tick};

/// The first bytes of a hello.
pub(super) const MAGIC: &[u8; 4] = b"BKLA";
/// The version of the protocol.
pub(super) const VERSION: u16 = 1;
/// Maximum length of an answer, in bytes, without its length field.
pub(super) const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Maximum length of a summary, an error, a name or a list of capabilities, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 4096;
/// No deadline.
const NEVER: u64 = u64::MAX;

/// The kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Op {
    Hello = 0,
    Open = 1,
    Give = 2,
    HalfClose = 3,
    Reset = 4,
    Close = 5,
    Poll = 6,
}

/// A request under construction.
#[derive(Debug)]
pub(super) struct Request {
    bytes: Vec<u8>,
    op: Op,
}

/// The common fields of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Head {
    pub(super) is_egress: bool,
    pub(super) flow: Option<FlowId>,
    pub(super) now: Tick,
    pub(super) budget: usize,
    pub(super) random: u32,
}

impl Request {
    pub(super) fn new(op: Op, head: Head) -> Self {
        let mut request = Self { bytes: vec![0; 4], op };
        request.bytes.extend([op as u8, u8::from(head.is_egress), 0, 0]);
        request.u32(head.flow.map_or(0, FlowId::number));
        request.u64(head.now.0);
        request.u32(u32::try_from(head.budget).unwrap_or(u32::MAX));
        request.u32(head.random);
        request
    }

    fn u32(&mut self, number: u32) {
        self.bytes.extend(number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.bytes.extend(number.to_le_bytes());
    }

    pub(super) fn hello(limits: Limits) -> Self {
        let mut request = Self::new(Op::Hello, Head::default());
        request.bytes.extend(MAGIC);
        request.u32(u32::from(VERSION));
        request.u32(limits.flows_max);
        request.u32(0);
        request.u64(limits.buffered_bytes_max);
        request.u64(limits.flow_buffered_bytes_max);
        request
    }

    pub(super) fn class(mut self, class: Class) -> Self {
        let number = match class {
            Class::Interactive => 0,
            Class::Normal => 1,
            Class::Bulk => 2,
        };
        self.u32(number);
        self
    }

    pub(super) fn cause(mut self, cause: Cause) -> Self {
        self.u32(u32::from(cause == Cause::Error));
        self
    }

    pub(super) fn chunk(mut self, chunk: &Chunk, bytes: &[u8]) -> Self {
        self.u64(chunk.sequence);
        self.u64(chunk.offset);
        self.u64(chunk.bytes);
        self.u32(u32::from(chunk.is_final));
        self.bytes.extend(bytes);
        self
    }

    pub(super) fn rooms(mut self, rooms: &[(FlowId, usize)]) -> Self {
        self.u32(rooms.len() as u32);
        for (flow, room) in rooms {
            self.u32(flow.number());
            self.u32(u32::try_from(*room).unwrap_or(u32::MAX));
        }
        self
    }

    pub(super) const fn op(&self) -> Op {
        self.op
    }

    /// The bytes of the request, with its length in front.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        let len = (self.bytes.len() - 4) as u32;
        if let Some(place) = self.bytes.first_chunk_mut() {
            *place = len.to_le_bytes();
        }
        self.bytes
    }
}

/// One output of a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output<'a> {
    Data(Chunk, &'a [u8]),
    HalfClosed(FlowId),
    Reset(FlowId, Cause),
    Closed(FlowId),
}

/// A parsed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    /// 0: success; otherwise the number of an `ErrorClass`.
    pub(super) result: u8,
    pub(super) wants_poll: bool,
    pub(super) has_more: bool,
    pub(super) value: u32,
    pub(super) buffered: u64,
    pub(super) deadline: Option<Tick>,
    pub(super) rooms: Vec<FlowId>,
    pub(super) summary: &'a str,
    pub(super) error: &'a str,
    body: &'a [u8],
}

/// The answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Welcome {
    /// The process accepts another hello, and then forgets everything.
    pub(super) is_reusable: bool,
    /// Ingress first.
    pub(super) manifests: [Manifest; 2],
}

/// Reads bytes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ExecError> {
        let short = ExecError::Garbled("it is shorter than what it says is in it");
        let (taken, rest) = self.0.split_at_checked(count).ok_or(short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ExecError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u16(&mut self) -> Result<u16, ExecError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, ExecError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ExecError> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self, count: u16) -> Result<&'a str, ExecError> {
        if usize::from(count) > TEXT_BYTES_MAX {
            return Err(ExecError::Garbled("a text in it is too long"));
        }
        str::from_utf8(self.take(count.into())?)
            .map_err(|_| ExecError::Garbled("a text in it is not UTF-8"))
    }
}

impl<'a> Answer<'a> {
    /// Parses the answer to a request, without its length.
    pub(super) fn read(bytes: &'a [u8], op: Op) -> Result<Self, ExecError> {
        let mut reader = Reader(bytes);
        let [answered, result, flags, _] = reader.array()?;
        if answered != op as u8 {
            return Err(ExecError::Garbled("it answers another request"));
        }
        if result > 7 || flags > 3 {
            return Err(ExecError::Garbled("it has a result or a flag that does not exist"));
        }
        let (value, buffered, deadline) = (reader.u32()?, reader.u64()?, reader.u64()?);
        let [rooms, summary, error, _] =
            [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
        let [body, _] = [reader.u32()?, reader.u32()?];
        let rooms = (0..rooms).map(|_| reader.u32().map(FlowId::new)).collect::<Result<_, _>>()?;
        let (summary, error) = (reader.text(summary)?, reader.text(error)?);
        let body = reader.take(body as usize)?;
        if !reader.0.is_empty() {
            return Err(ExecError::Garbled("it is longer than what it says is in it"));
        }
        Ok(Self {
            result,
            wants_poll: flags & 1 != 0,
            has_more: flags & 2 != 0,
            value,
            buffered,
            deadline: Some(deadline).filter(|at| *at != NEVER).map(Tick),
            rooms,
            summary,
            error,
            body,
        })
    }

    /// The outputs, in order.
    pub(super) fn outputs(&self) -> Result<Vec<Output<'a>>, ExecError> {
        let mut reader = Reader(self.body);
        let mut outputs = Vec::new();
        while !reader.0.is_empty() {
            let [kind, argument, _, _] = reader.array()?;
            let flow = FlowId::new(reader.u32()?);
            outputs.push(match (kind, argument) {
                (0, is_final @ 0..=1) => {
                    let (sequence, offset) = (reader.u64()?, reader.u64()?);
                    let bytes = u64::from(reader.u32()?);
                    let is_final = is_final == 1;
                    let chunk = Chunk { flow, sequence, offset, bytes, is_final };
                    Output::Data(chunk, reader.take(bytes as usize)?)
                }
                (1, 0) => Output::HalfClosed(flow),
                (2, 0) => Output::Reset(flow, Cause::Reset),
                (2, 1) => Output::Reset(flow, Cause::Error),
                (3, 0) => Output::Closed(flow),
                _ => return Err(ExecError::Garbled("something comes out that does not exist")),
            });
        }
        Ok(outputs)
    }

    /// The answer to a hello.
    pub(super) fn welcome(&self) -> Result<Welcome, ExecError> {
        if self.result != 0 {
            return Err(ExecError::Garbled("it refuses the hello"));
        }
        let mut reader = Reader(self.body);
        let version = reader.u16()?;
        if version != VERSION {
            return Err(ExecError::Version { found: version, known: VERSION });
        }
        let flags = reader.u16()?;
        let manifests = [reader.manifest()?, reader.manifest()?];
        if flags > 1 || !reader.0.is_empty() {
            return Err(ExecError::Garbled("the answer to the hello has more in it than it may"));
        }
        Ok(Welcome { is_reusable: flags == 1, manifests })
    }
}

impl Reader<'_> {
    fn manifest(&mut self) -> Result<Manifest, ExecError> {
        let limits = Limits {
            flows_max: self.u32()?,
            buffered_bytes_max: self.u64()?,
            flow_buffered_bytes_max: self.u64()?,
        };
        let [name, capabilities] = [self.u16()?, self.u16()?];
        let (name, capabilities) = (self.text(name)?, self.text(capabilities)?);
        let capabilities = Capabilities::parse(capabilities.split_whitespace())?;
        Ok(Manifest { name: name.into(), capabilities, limits })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use proptest::prelude::*;

    use super::*;

    /// A poll's answer with all fields set.
    fn full() -> Vec<u8> {
        let mut bytes = vec![6, 0, 3, 0];
        bytes.extend(9_u32.to_le_bytes());
        bytes.extend(77_u64.to_le_bytes());
        bytes.extend(5_u64.to_le_bytes());
        let mut body = Vec::new();
        body.extend([0, 1, 0, 0, 3, 0, 0, 0]);
        body.extend(1_u64.to_le_bytes());
        body.extend(40_u64.to_le_bytes());
        body.extend(2_u32.to_le_bytes());
        body.extend(b"ab");
        body.extend([2, 1, 0, 0, 4, 0, 0, 0]);
        for count in [2_u16, 4, 3, 0] {
            bytes.extend(count.to_le_bytes());
        }
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend([7, 0, 0, 0, 8, 0, 0, 0]);
        bytes.extend(b"downbad");
        bytes.extend(body);
        bytes
    }

    #[test]
    fn an_answer_is_read_and_no_part_of_it_can_be_left_out() {
        let bytes = full();
        let answer = Answer::read(&bytes, Op::Poll).unwrap();
        assert_eq!((answer.value, answer.buffered, answer.deadline), (9, 77, Some(Tick(5))));
        assert_eq!((answer.summary, answer.error), ("down", "bad"));
        assert_eq!(answer.rooms, [FlowId::new(7), FlowId::new(8)]);
        let (flow, is_final) = (FlowId::new(3), true);
        let chunk = Chunk { flow, sequence: 1, offset: 40, bytes: 2, is_final };
        let out = answer.outputs().unwrap();
        let reset = Output::Reset(FlowId::new(4), Cause::Error);
        assert_eq!(out, [Output::Data(chunk, b"ab"), reset]);
        for len in 0..bytes.len() {
            assert!(Answer::read(&bytes[..len], Op::Poll).is_err(), "{len}");
        }
        assert!(Answer::read(&bytes, Op::Open).is_err());
        assert!(Answer::read(&[bytes.as_slice(), &[0]].concat(), Op::Poll).is_err());
        assert!(answer.welcome().is_err());
    }

    #[test]
    fn a_request_has_its_length_before_it() {
        let head = Head { flow: Some(FlowId::new(2)), now: Tick(3), ..Head::default() };
        let bytes = Request::new(Op::Open, head).class(Class::Bulk).into_bytes();
        assert_eq!(bytes.len(), 4 + 24 + 4);
        assert_eq!(bytes[..4], 28_u32.to_le_bytes());
        assert_eq!((bytes[4], bytes[8], bytes[12], bytes[28]), (1, 2, 3, 2));
        let limits = Limits { flows_max: 1, buffered_bytes_max: 2, flow_buffered_bytes_max: 3 };
        assert_eq!(Request::hello(limits).into_bytes().len(), 4 + 24 + 4 + 4 + 8 + 16);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
            at in 0..120_usize,
            by in any::<u8>(),
        ) {
            let _ = Answer::read(&bytes, Op::Poll).map(|answer| answer.outputs().is_ok());
            // Answers that are almost valid.
            let mut near = full();
            if let Some(byte) = near.get_mut(at) {
                *byte ^= by;
            }
            let _ = Answer::read(&near, Op::Poll).map(|answer| answer.outputs().is_ok());
            bytes.truncate(4);
            let _ = Answer::read(&bytes, Op::Hello).map(|answer| answer.welcome().is_ok());
        }
    }
}
