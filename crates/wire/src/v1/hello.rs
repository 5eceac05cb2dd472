// SPDX-License-Identifier: BSD-3-Clause
//! The handshake: versions and capabilities. A connection of either protocol begins with it.

use super::attribute::Attribute;
use super::command::Command;
use super::errno::Errno;
use super::fields::{Fields, need};
use super::tlv::{TooLong, Writer};

/// Bits of [`Hello::caps`].
pub mod caps {
    /// Shared memory: the client offers it, or the server accepts the offer.
    pub const SHARED_MEMORY: u32 = 1;
}

/// The version and capabilities of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The major version.
    pub major: u32,
    /// The minor version.
    pub minor: u32,
    /// Capabilities: see [`caps`]. 0 is not sent.
    pub caps: u32,
}

impl Hello {
    /// The hello of protocol 1.0.
    pub const V1: Self = Self { major: super::ABI_MAJOR, minor: super::ABI_MINOR, caps: 0 };

    /// Appends the frame to a buffer.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let mut writer = Writer::new(out, Command::Hello.number());
        self.write(&mut writer);
        writer.finish()
    }

    /// Decodes the payload of a `HELLO`.
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
