// SPDX-License-Identifier: BSD-3-Clause
//! Frames, sessions and streams as a state machine: bytes in, events out; commands in, bytes out.
//!
//! [`Session`] speaks protocol 2, which [`protocol`] describes; [`v1`] is the codec of protocol
//! 1.0. Neither does I/O, reads a clock or spawns anything.

#![forbid(unsafe_code)]

mod assembly;
mod chunk;
mod counters;
mod decode;
mod error;
mod event;
mod handshake;
mod head;
mod ids;
mod limits;
mod pool;
pub mod protocol;
mod ready;
mod session;
mod stream;
mod table;
pub mod v1;

pub use counters::{Counters, RefusedCounts, Traffic};
pub use decode::Decoder;
pub use error::{DecodeError, Refused, SessionError, codes};
pub use event::{Body, Event};
pub use head::{Frame, Full, HEAD_BYTES, Head, HeadError, Kind, Outlet, flags};
pub use ids::{Credit, Left, Priority, Role, StreamId};
pub use limits::{FRAME_BODY_BYTES_LEAST, Limits, PeerLimits};
pub use session::{Session, UnsentBlocks, Withdrawn};
