// SPDX-License-Identifier: BSD-3-Clause
//! The models of becket-coro, over the very files that run:
//!
//! | file of `crates/coro/src` | model |
//! |---|---|
//! | `wake_state` | `models::wake_state`: a wake is neither lost nor given to another coroutine |
//! | `sleep` | `models::sleep`: a sleeping worker is woken for new work |
//! | `done` | `models::done`: a waiter is woken by the completion |
//!
//! The items that those files take from `crate::sync` are loom's here: see [`sync`].
#![cfg(feature = "loom")]
#![allow(dead_code, reason = "the models use most of what the runtime uses")]

#[path = "../../src/done.rs"]
mod done;
#[path = "../../src/wake_state.rs"]
mod wake_state;
#[path = "../../src/sleep.rs"]
mod sleep;
mod sync;

#[cfg(test)]
mod models;
