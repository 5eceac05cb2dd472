// SPDX-License-Identifier: BSD-3-Clause
//! Protocol 1.0: the frames of programs that already speak it, and the handshake of both protocols.
//!
//! ```text
//!   byte  0         2       4            8
//!         ┌─────────┬───────┬────────────┬───────────────────────────── ─ ─
//!         │ command │   0   │   length   │ payload: attributes (TLVs)
//!         └─────────┴───────┴────────────┴───────────────────────────── ─ ─
//!            u16       u16       u32        `length` bytes
//!
//!         ┌─────────┬─────────┬────────── ─ ─
//!   TLV   │  type   │ length  │ value                no padding between TLVs
//!         └─────────┴─────────┴────────── ─ ─
//!            u16       u16      `length` bytes
//! ```
//!
//! Everything is big-endian. Integers have 4 or 8 bytes; signed ones are the two's complement in 4.
//! An unknown type is skipped; of a repeated type the last one counts.
//!
//! Invariants:
//! 1. A payload's length is checked against the limit before anything is allocated or awaited for it.
//! 2. Nothing here allocates but the encoders, and those at most what they write.
//! 3. Any bytes decode to a request or to the errno of the answer, with the `REQ_ID` if one can be
//!    read.
//! 4. Decoding an encoded value yields the same value.
//!
//! | module | content |
//! |---|---|
//! | `frame` | the header, and frames in a stream of bytes |
//! | `assemble` | frames in packets: header and payload in one or in two |
//! | `tlv` | reading attributes one by one, and writing them |
//! | `fields` | all attributes of a payload by their type |
//! | `command`, `attribute`, `errno` | the numbers |
//! | `hello` | the handshake: versions and capabilities |
//! | `request` | requests |
//! | `reply` | replies |

mod assemble;
mod attribute;
mod command;
mod errno;
mod fields;
mod frame;
mod hello;
mod reply;
mod request;
mod tlv;

pub use assemble::{Assembler, Packets};
pub use attribute::Attribute;
pub use command::Command;
pub use errno::Errno;
pub use fields::{ReqId, req_id};
pub use frame::{Frame, FrameError, HEADER_BYTES, Header, decode};
pub use hello::{Hello, caps};
pub use reply::{Body, Info, Listing, Malformed, Reply, Stats, kind};
pub use request::{Fault, Request, Timeout};
pub use tlv::{TLV_HEAD_BYTES, Tlv, Tlvs, TooLong, Truncated, VALUE_BYTES_MAX, Writer, put};

/// The default maximum of a payload, in bytes: the longest element and 1021 bytes of other
/// attributes.
pub const PAYLOAD_BYTES_MAX: u32 = 65 * 1024;

/// The maximum payload of a `HELLO`, in bytes.
pub const HELLO_BYTES_MAX: u32 = 1024;

/// The maximum length of an element, in bytes.
pub const ELEMENT_BYTES_MAX: u32 = 65_535;

/// The version of this protocol.
pub const ABI_MAJOR: u32 = 1;
/// The minor version of this protocol.
pub const ABI_MINOR: u32 = 0;
