// SPDX-License-Identifier: BSD-3-Clause
//! `becket ipc` from the outside: a server process and client processes.
//!
//! | module | what is held to account |
//! |---|---|
//! | `flow` | every element arrives once, in order, whatever it is framed as |
//! | `kill` | a process that is killed: nothing twice, the others go on |
//! | `leaving` | a reader that goes, a signal, a time that is over: what was not taken is there still |
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
