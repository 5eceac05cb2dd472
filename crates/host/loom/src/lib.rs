// SPDX-License-Identifier: BSD-3-Clause
//! The models of becket-host, over the production files themselves:
//!
//! | file of `crates/host/src` | model |
//! |---|---|
//! | `stream/credit`, `stream/queue` | `models::queue`: each accepted message comes out once, in order; a receiver that waits is woken; nothing is left to the slot's next stream |
//! | `table/phase` | `models::phase`: when a caller leaves at its deadline, either it or the timer notifies the plugin; the slot is freed once |
//!
//! The types that those files use from `crate::sync` are loom's here: see [`sync`]; [`table`] has the
//! rest of a slot. The queue's buckets
//! are small, so that a model reaches a second one.
#![cfg(feature = "loom")]
#![allow(dead_code, reason = "the models use most of what a stream uses")]

mod sid;
mod stream;
mod sync;
mod table;
mod thread;

#[cfg(test)]
mod models;
