// SPDX-License-Identifier: BSD-3-Clause
//! The models of becket-coro, over the very files that run:
//!
//! | file of `crates/coro/src` | model |
//! |---|---|
//! | `gate` | `models::gate`: a wake is neither lost nor given to another |
//! | `sleep` | `models::sleep`: who sleeps is woken for what was brought |
//! | `done` | `models::done`: who waits for an end hears of it |
//!
//! What those files take from `crate::sync` is here loom's: see [`sync`].
#![cfg(feature = "loom")]
#![allow(dead_code, reason = "the models use most of what the runtime uses")]

#[path = "../../src/done.rs"]
mod done;
#[path = "../../src/gate.rs"]
mod gate;
#[path = "../../src/sleep.rs"]
mod sleep;
mod sync;

#[cfg(test)]
mod models;
