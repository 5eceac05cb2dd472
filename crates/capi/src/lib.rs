// SPDX-License-Identifier: BSD-3-Clause
//! `libkcoro`: the C surface over `becket-chan`, `becket-coro` and `becket-ipc`.
//!
//! The contract is the headers in `include/`; each module here is the other side of some of them.
//! Every function is `extern "C"` and goes through the panic boundary ([`boundary`]). A handle
//! given to C is a pointer to a counted box; null is checked everywhere.

pub mod actor;
pub mod bench;
pub mod blocking;
pub mod boundary;
pub mod cancel;
pub mod chan;
mod clock;
pub mod config;
pub mod context;
pub mod core;
mod current_token;
mod debug;
pub mod dispatch;
mod dump;
pub mod errno;
pub mod ext;
mod handle;
pub mod ipc;
pub mod job;
mod limit;
pub mod metrics;
pub mod monitor;
pub mod produce;
pub mod region;
pub mod sched;
pub mod scope;
pub mod select;
pub mod session;
pub mod stats;
mod tick;
mod trace;
pub mod zcopy;
