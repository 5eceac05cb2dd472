// SPDX-License-Identifier: BSD-3-Clause
//! `kcoro_session.h`: channels between processes by protocol 2, and one channel in C's and in
//! Rust's hands, on `becket_ipc`.
//!
//! | module | contents |
//! |---|---|
//! | `msg` | `kc_msg_t`: a message; pools of blocks |
//! | `client` | `kc_session_t`: connecting, opening channels |
//! | `once` | messages that are accepted exactly once |
//! | `remote` | a channel of another process as a `kc_chan_t` |
//! | `bridge` | where a select waits for it |
//! | `server` | `kc_server_t`: offering channels |
//! | `link` | a transport whose functions are C's (`kcoro_link.h`) |
//! | `code` | the one table of errors |
//! | `wait` | waiting for an operation of a session |
//! | `rust` | a channel with one end in Rust |
//!
//! ```text
//!   process A                                         process B
//!   kc_chan_t ─ Ends ─► Sender, Receiver ◄─ Server ═══ Client ◄─ Remote ─ kc_chan_t
//!                          ▲                        (also Rust's)
//!                          └ also Rust's
//! ```
//!
//! # Invariants
//!
//! 1. The element of each of these channels is a handle, `kc_msg_t *`. It is the sender's until the
//!    send has succeeded; then it is freed, and its bytes are the channel's.
//! 2. A session's handle and each of its channels hold the connection: it is closed by
//!    `kc_session_close`, whatever channels are left, and their operations fail from then on.
//! 3. A channel that is destroyed ends the waits on it, by its token `over`.

mod bridge;
pub mod client;
pub(crate) mod code;
pub mod link;
pub mod msg;
pub mod once;
pub(crate) mod remote;
pub mod rust;
pub mod server;
mod wait;
