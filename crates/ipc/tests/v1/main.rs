// SPDX-License-Identifier: BSD-3-Clause
//! Clients of protocol 1.0 that speak its bytes by hand, against the server's side of it.
//!
//! | file | what holds |
//! |---|---|
//! | `beside` | old clients and new ones at one server |
//! | `raw` | the client by hand, and a server for it |
//! | `requests` | each request has its answer, and each fault its errno |
//! | `waits` | operations that wait: many at once, in any order, in time |
//! | `vanish` | a client that goes releases what it waited for, and what it has not read goes back |
//! | `selects` | one of several operations |
//! | `status` | what a monitor is shown of a client |
//! | `hostile` | clients that do what they should not |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod beside;
mod hostile;
mod raw;
mod requests;
mod selects;
mod status;
mod vanish;
mod waits;
