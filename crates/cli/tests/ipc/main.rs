// SPDX-License-Identifier: BSD-3-Clause
//! `becket ipc` as processes: a server and clients.
//!
//! | module | what is tested |
//! |---|---|
//! | `flow` | every element arrives once, in order, with every framing |
//! | `kill` | a process that is killed: no element twice, the others continue |
//! | `leaving` | a closed reader, a signal, a timeout: elements that were not taken stay |
//! | `older` | a client of protocol 1.0 on the same channels |
//! | `pipe` | from one channel into another |
//! | `stat` | figures, and gates by exit code |
//! | `wrong` | arguments, paths and names that are wrong |
//! | `world` | the processes |

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod flow;
mod kill;
mod leaving;
mod older;
mod pipe;
mod stat;
mod world;
mod wrong;
