// SPDX-License-Identifier: BSD-3-Clause
//! The tests that need no process of their own, in one program.
//!
//! | module | tests |
//! |---|---|
//! | `adapters` | the adapter of `examples/adapters/memory-ring-c` and its check |
//! | `channel_headers` | the C headers of channels agree with the Rust types |
//! | `channels` | the C programs on channels, select, tokens, zero copy and event channels |
//! | `coroutines` | the C programs on coroutines, schedulers, actors, scopes, jobs, contexts and blocking calls |
//! | `death` | servers and clients in C that are killed, at random moments |
//! | `ipc` | the headers of protocol 1.0 and their C programs |
//! | `link` | a transport whose functions are C's, below sessions |
//! | `monitor` | a C program as a monitor shows it |
//! | `peer` | a C program in a process of its own |
//! | `session` | channels between processes by protocol 2, and between C and Rust |
//! | `session_again` | sessions whose servers end and start |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod adapters;
mod channel_headers;
mod channels;
mod common;
mod coroutines;
mod death;
mod ipc;
mod link;
mod monitor;
mod peer;
mod session;
mod session_again;
