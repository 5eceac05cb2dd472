// SPDX-License-Identifier: BSD-3-Clause
//! The models of becket-ipc, over the production files themselves:
//!
//! | file of `crates/ipc/src` | model |
//! |---|---|
//! | `connection/pending_lock` | `models::pending_lock`: pending work is done, whichever thread holds the lock |
//! | `connection/waking` | `models::waking`: a wake leads to a dispatch that sees its reason |
//! | `connection/claim` | `models::claim`: a retained claim is guarded, once |
//! | `reactor/calls` | `models::calls`: the I/O thread does not sleep over a request |
//! | `shm/doorbell` | `models::doorbell`: a sleeping thread is rung, at most once per sleep |
//! | `pending_lock`, `claim`, `doorbell` | `models::connection`: each frame is taken, whichever thread drives, leaves, or watches |
//!
//! The types that those files use from `crate::sync` are loom's here, see [`sync`]; the doorbell's
//! futex and shared memory are replaced, in [`futex`] and [`segment`].
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
