// SPDX-License-Identifier: BSD-3-Clause
//! The attributes of a payload by type, found in one pass without allocating.

use super::attribute::Attribute;
use super::errno::Errno;
use super::tlv::{Tlvs, Truncated, Writer};

/// One more than the highest number of an attribute.
const SLOTS: usize = Attribute::ReqId as usize + 1;

/// A client's number of a request, in the width in which it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReqId {
    /// 4 bytes.
    Short(u32),
    /// 8 bytes.
    Long(u64),
}

/// The `REQ_ID` of a payload, if one can be read, even if the payload is malformed.
#[must_use]
pub fn req_id(payload: &[u8]) -> Option<ReqId> {
    Fields::scan(payload).0.req_id().ok().flatten()
}

impl ReqId {
    pub(super) fn write(self, writer: &mut Writer<'_>) {
        match self {
            Self::Short(number) => writer.u32(Attribute::ReqId, number),
            Self::Long(number) => writer.u64(Attribute::ReqId, number),
        };
    }
}

/// Where the value of each attribute lies.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    values: [Option<&'a [u8]>; SLOTS],
}

impl<'a> Fields<'a> {
    /// The attributes that could be read; an error if the payload is truncated after them.
    pub(super) fn scan(payload: &'a [u8]) -> (Self, Result<(), Truncated>) {
        let mut fields = Self { values: [None; SLOTS] };
        for tlv in Tlvs::new(payload) {
            match tlv {
                Ok(tlv) => {
                    if let Some(slot) = fields.values.get_mut(usize::from(tlv.kind)) {
                        *slot = Some(tlv.value);
                    }
                }
                Err(Truncated) => return (fields, Err(Truncated)),
            }
        }
        (fields, Ok(()))
    }

    pub(super) fn bytes(&self, attribute: Attribute) -> Option<&'a [u8]> {
        self.values.get(usize::from(attribute.number())).copied().flatten()
    }

    /// A number of 4 bytes; another width is malformed.
    pub(super) fn u32(&self, attribute: Attribute) -> Result<Option<u32>, Errno> {
        let Some(bytes) = self.bytes(attribute) else { return Ok(None) };
        <[u8; 4]>::try_from(bytes).map(|b| Some(u32::from_be_bytes(b))).map_err(|_| Errno::PROTO)
    }

    pub(super) fn i32(&self, attribute: Attribute) -> Result<Option<i32>, Errno> {
        Ok(self.u32(attribute)?.map(u32::cast_signed))
    }

    /// A number of 8 or of 4 bytes.
    pub(super) fn u64(&self, attribute: Attribute) -> Result<Option<u64>, Errno> {
        let Some(bytes) = self.bytes(attribute) else { return Ok(None) };
        match <[u8; 8]>::try_from(bytes) {
            Ok(bytes) => Ok(Some(u64::from_be_bytes(bytes))),
            Err(_) => Ok(self.u32(attribute)?.map(u64::from)),
        }
    }

    pub(super) fn req_id(&self) -> Result<Option<ReqId>, Errno> {
        match self.bytes(Attribute::ReqId).map(<[u8]>::len) {
            Some(4) => Ok(self.u32(Attribute::ReqId)?.map(ReqId::Short)),
            _ => Ok(self.u64(Attribute::ReqId)?.map(ReqId::Long)),
        }
    }
}

/// A required attribute: without it the payload is malformed.
pub(super) fn need<T>(value: Option<T>) -> Result<T, Errno> {
    value.ok_or(Errno::PROTO)
}
