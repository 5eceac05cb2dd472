// SPDX-License-Identifier: BSD-3-Clause
//! A runtime: workers, and what they share.
//!
//! | file | holds |
//! |---|---|
//! | `builder` | how one is made |
//! | `handle` | what everybody may do with one; the default one |
//! | `shared` | what its workers share: fresh coroutines, who sleeps, who searches |
//! | `counters` | what its workers count |
//! | `spawn` | how a coroutine is made |

mod builder;
mod counters;
mod handle;
mod shared;
mod spawn;

pub use self::{
    builder::Builder,
    counters::{Stats, WorkerStats},
    handle::{Handle, Runtime},
    spawn::{Spawn, spawn},
};
pub(crate) use self::{counters::Counters, shared::Shared, spawn::run};
