// SPDX-License-Identifier: BSD-3-Clause
//! Frames, sessions and streams as a state machine: bytes in, events out; commands in, bytes out.

#![forbid(unsafe_code)]

mod head;
pub mod v1;

pub use head::{Frame, Full, HEAD_BYTES, Head, HeadError, Kind, Outlet, flags};
