// SPDX-License-Identifier: BSD-3-Clause
//! Streams of elements between a session and local channels.
//!
//! | file | holds |
//! |---|---|
//! | `outgoing` | a channel's elements into a stream |
//! | `incoming` | a stream's elements into a channel |
//! | `code` | why something was not accepted, or is over |
//! | `service` | what a stream is opened for, what a request asks |
//! | `table` | what a side keeps for each stream |

pub(crate) mod code;
pub(crate) mod incoming;
pub(crate) mod outgoing;
pub(crate) mod service;
pub(crate) mod table;

use becket_wire::Refused;

/// What a stream was told. It is refused only when the stream or the session is over: an event has
/// said so, or is about to.
#[inline]
pub(crate) fn told<T>(_: Result<T, Refused>) {}
