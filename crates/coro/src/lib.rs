// SPDX-License-Identifier: BSD-3-Clause
//! Stackful coroutines: straight-line code that waits without holding a thread.

mod clock;
mod context;
mod current;
mod deferred;
mod dispatcher;
mod dump;
mod error;
pub mod fiber;
pub mod foreign;
mod gate;
pub mod job;
mod join;
mod local;
mod names;
mod runtime;
pub mod scope;
mod sleep;
mod slot;
mod stack;
mod switch;
mod sync;
mod wait;
mod watchdog;
mod worker;

pub use self::{
    clock::{Clock, VirtualClock, now},
    current::{Current, current},
    deferred::{Deferred, defer},
    dispatcher::{Dispatcher, spawn_blocking},
    dump::{Row, State},
    error::{BuildError, JoinError, SpawnError},
    job::Job,
    join::{Id, JoinHandle},
    local::LocalKey,
    runtime::{Builder, Handle, Runtime, Spawn, Stats, WorkerStats, spawn},
    scope::{Scope, ScopeError, current_token, scope, supervisor},
    stack::StackError,
    wait::{block_on, park, park_deadline, sleep, sleep_until, yield_now},
    watchdog::Stalled,
};
