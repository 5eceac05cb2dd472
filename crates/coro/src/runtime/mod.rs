// SPDX-License-Identifier: BSD-3-Clause
//! A runtime: workers, and their shared state.
//!
//! | file | contents |
//! |---|---|
//! | `builder` | construction |
//! | `handle` | the owner and the handles; the default runtime |
//! | `shared` | the workers' shared state: fresh coroutines, sleeping and searching workers |
//! | `counters` | the workers' counters |
//! | `spawn` | creation of a coroutine |

mod builder;
mod counters;
mod handle;
mod shared;
mod spawn;

pub use self::{
    builder::{Builder, cpus},
    counters::{Stats, WorkerStats},
    handle::{Handle, Runtime},
    spawn::spawn,
};
pub(crate) use self::{
    counters::Counters,
    shared::Shared,
    spawn::{run, spawn_with},
};
