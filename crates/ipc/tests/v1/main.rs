// SPDX-License-Identifier: BSD-3-Clause
//! Clients of protocol 1.0 that write its bytes by hand, against the server's implementation.
//!
//! | file | property |
//! |---|---|
//! | `both_protocols` | clients of both protocols at one server |
//! | `raw` | the client by hand, and a server for it |
//! | `requests` | each request has its answer, and each error its errno |
//! | `waits` | operations that wait: many at once, in any order, with timeouts |
//! | `vanish` | the operations of a disconnected client are cancelled, and values it has not read requeued |
//! | `selects` | one of several operations |
//! | `status` | the status of a client for a monitor |
//! | `hostile` | clients that violate the protocol |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod both_protocols;
mod hostile;
mod raw;
mod requests;
mod selects;
mod status;
mod vanish;
mod waits;
