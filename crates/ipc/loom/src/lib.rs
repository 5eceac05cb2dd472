// SPDX-License-Identifier: BSD-3-Clause
//! The models of becket-ipc, over the very files that run:
//!
//! | file of `crates/ipc/src` | model |
//! |---|---|
//! | `connection/mark` | `models::mark`: what somebody brings is seen to, whoever has the lock |
//! | `connection/waking` | `models::waking`: a wake leads to a turn that sees what it was for |
//! | `connection/claim` | `models::claim`: what is retained is guarded, once |
//! | `reactor/calls` | `models::calls`: what the I/O thread is asked for is not slept over |
//! | `shm/doorbell` | `models::doorbell`: who sleeps is rung, and no more often than it sleeps |
//! | `mark`, `claim`, `doorbell` | `models::connection`: each frame is taken, whoever drives, goes, or watches |
//!
//! What those files take from `crate::sync` is here loom's, see [`sync`]; the doorbell's futex and
//! shared memory have stand-ins, in [`futex`] and [`segment`].
#![cfg(feature = "loom")]
#![allow(dead_code, reason = "the models use most of what a connection uses")]

#[path = "../../src/reactor/calls.rs"]
mod calls;
mod connection;
#[path = "../../src/shm/doorbell.rs"]
mod doorbell;
mod futex;
mod segment;
mod side;
mod sync;
mod validate;

#[cfg(test)]
mod models;
