// SPDX-License-Identifier: BSD-3-Clause
//! Attributes one by one: an iterator that checks every length, and a writer of frames.

use super::attribute::Attribute;
use super::frame::{HEADER_BYTES, Header};

/// Bytes of a TLV before its value.
pub const TLV_HEAD_BYTES: usize = 4;

/// The maximum length of a value, in bytes.
pub const VALUE_BYTES_MAX: usize = u16::MAX as usize;

/// An attribute: its type, known or not, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// The type's number.
    pub kind: u16,
    /// The value.
    pub value: &'a [u8],
}

/// The length of a TLV exceeds the rest of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an attribute is cut off")]
pub struct Truncated;

/// A value does not fit into a TLV, a payload into a frame, or a TLV into the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no room for an attribute of this length")]
pub struct TooLong;

/// The attributes of a payload, known and unknown. The iterator ends after an error.
#[derive(Debug, Clone)]
pub struct Tlvs<'a> {
    rest: &'a [u8],
}

impl<'a> Tlvs<'a> {
    /// The attributes of this payload.
    #[must_use]
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Result<Tlv<'a>, Truncated>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = self.rest.split_first_chunk::<TLV_HEAD_BYTES>().and_then(|(head, rest)| {
            let [k0, k1, n0, n1] = *head;
            let length = u16::from_be_bytes([n0, n1]);
            let (value, rest) = rest.split_at_checked(usize::from(length))?;
            Some((Tlv { kind: u16::from_be_bytes([k0, k1]), value }, rest))
        });
        let Some((tlv, rest)) = split else {
            self.rest = &[];
            return Some(Err(Truncated));
        };
        self.rest = rest;
        Some(Ok(tlv))
    }
}

/// Writes an attribute to the start of a buffer; returns its length in bytes.
pub fn put(buffer: &mut [u8], kind: u16, value: &[u8]) -> Result<usize, TooLong> {
    let head = head(kind, value)?;
    let bytes = TLV_HEAD_BYTES + value.len();
    let place = buffer.get_mut(..bytes).ok_or(TooLong)?;
    for (to, from) in place.iter_mut().zip(head.iter().chain(value)) {
        *to = *from;
    }
    Ok(bytes)
}

/// Appends a frame to a buffer. A frame that is too long leaves the buffer as it was.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    command: u16,
    too_long: bool,
}

impl<'a> Writer<'a> {
    /// Begins a frame.
    pub fn new(out: &'a mut Vec<u8>, command: u16) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        Self { out, start, command, too_long: false }
    }

    /// Adds a number of 4 bytes.
    pub fn u32(&mut self, attribute: Attribute, value: u32) -> &mut Self {
        self.bytes(attribute, &value.to_be_bytes())
    }

    /// Adds a signed number, as its two's complement in 4 bytes.
    pub fn i32(&mut self, attribute: Attribute, value: i32) -> &mut Self {
        self.bytes(attribute, &value.to_be_bytes())
    }

    /// Adds a number of 8 bytes.
    pub fn u64(&mut self, attribute: Attribute, value: u64) -> &mut Self {
        self.bytes(attribute, &value.to_be_bytes())
    }

    /// Adds bytes, at most [`VALUE_BYTES_MAX`].
    pub fn bytes(&mut self, attribute: Attribute, value: &[u8]) -> &mut Self {
        match head(attribute.number(), value) {
            Ok(head) => {
                self.out.extend_from_slice(&head);
                self.out.extend_from_slice(value);
            }
            Err(TooLong) => self.too_long = true,
        }
        self
    }

    /// The length of the payload so far, in bytes.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.out.len().saturating_sub(self.start + HEADER_BYTES)
    }

    /// Ends the frame.
    pub fn finish(self) -> Result<(), TooLong> {
        let length = u32::try_from(self.payload_bytes()).map_err(|_| TooLong);
        let place = self.out.get_mut(self.start..).and_then(<[u8]>::first_chunk_mut);
        if let (Ok(length), Some(place), false) = (length, place, self.too_long) {
            *place = Header::new(self.command, length).encode();
            return Ok(());
        }
        self.out.truncate(self.start);
        Err(TooLong)
    }
}

fn head(kind: u16, value: &[u8]) -> Result<[u8; TLV_HEAD_BYTES], TooLong> {
    let length = u16::try_from(value.len()).map_err(|_| TooLong)?;
    let [k0, k1] = kind.to_be_bytes();
    let [n0, n1] = length.to_be_bytes();
    Ok([k0, k1, n0, n1])
}
