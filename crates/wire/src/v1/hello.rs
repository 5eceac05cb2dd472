// SPDX-License-Identifier: BSD-3-Clause
//! The greeting: who speaks which version. A connection of either protocol begins with it.

use super::attribute::Attribute;
use super::command::Command;
use super::errno::Errno;
use super::fields::{Fields, need};
use super::tlv::{TooLong, Writer};

/// Bits of [`Hello::caps`].
pub mod caps {
    /// Shared memory is offered, or the offer accepted.
    pub const SHARED_MEMORY: u32 = 1;
}

/// Who speaks which version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The protocol.
    pub major: u32,
    /// What was added to it.
    pub minor: u32,
    /// What the peer can do: see [`caps`]. 0 is not sent.
    pub caps: u32,
}

impl Hello {
    /// The greeting of protocol 1.0.
    pub const V1: Self = Self { major: super::ABI_MAJOR, minor: super::ABI_MINOR, caps: 0 };

    /// Writes the greeting's frame to the end of a buffer.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let mut writer = Writer::new(out, Command::Hello.number());
        self.write(&mut writer);
        writer.finish()
    }

    /// The greeting that a payload of a frame `HELLO` is.
    pub fn decode(payload: &[u8]) -> Result<Self, Errno> {
        let (fields, whole) = Fields::scan(payload);
        whole.map_err(|_| Errno::PROTO)?;
        Self::read(&fields)
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.u32(Attribute::AbiMajor, self.major).u32(Attribute::AbiMinor, self.minor);
        if self.caps != 0 {
            writer.u32(Attribute::Caps, self.caps);
        }
    }

    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, Errno> {
        Ok(Self {
            major: need(fields.u32(Attribute::AbiMajor)?)?,
            minor: need(fields.u32(Attribute::AbiMinor)?)?,
            caps: fields.u32(Attribute::Caps)?.unwrap_or(0),
        })
    }
}
