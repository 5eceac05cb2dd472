// SPDX-License-Identifier: BSD-3-Clause
//! Plugins in processes of their own: the placement `process`.
//!
//! ```text
//!   host process                                     worker process
//!   ┌──────────────────────────────┐                 ┌──────────────────────────────┐
//!   │ becket-host                  │                 │ becket-host ── plugin        │
//!   │   └─ Remote = Bridge ── session ── frames ── session = Worker               │
//!   │                  └─ Supervisor ─── starts, waits for its end                 │
//!   └──────────────────────────────┘                 └──────────────────────────────┘
//! ```
//!
//! The worker is any program that speaks the session of [`protocol`] on the socket that it inherits: the
//! command `becket plugin-worker`, which loads a native plugin as the host itself would, or a program in
//! another language.
//!
//! # What holds
//!
//! 1. When a worker ends, however it does, the calls that it had in hand fail at once, with
//!    [`CallError::Crashed`](becket_host::CallError::Crashed); none is run again; no other plugin is touched.
//! 2. A worker ends with its host, whatever it is: the kernel kills it.
//! 3. A worker is not trusted: what it sends is checked by the session, and it answers only calls that it was
//!    given.
//!
//! | module | what lives there |
//! |---|---|
//! | [`protocol`] | the messages |
//! | `bridge` | the host's side |
//! | `reported` | a worker's log and metrics, in the host |
//! | `ids` | a map by the numbers of requests |
//! | `start` | from a command to a plugin that is ready |
//! | `supervisor` | a plugin's workers together: where its calls go |
//! | `slot` | one worker: started, waited for, started again |
//! | `restart` | when it is started again |
//! | `share` | its share of the processors |
//! | `balance` | which of several workers gets a call |
//! | `control` | requests of the host's own |
//! | `child` | its process: started, killed |
//! | `guard` | a process that ends what a worker has started |
//! | `image` | the file that the workers of one load have |
//! | `launch` | the worker's first steps: into its sandbox, perhaps into another program |
//! | `lines` | programs that speak JSON lines |
//! | `output` | its stdout and stderr: logged, the last lines kept |
//! | `stack` | the stack of a worker that has crashed |
//! | `cgroup` | a control group of a worker's own |
//! | `scratch` | a worker's own folder |
//! | `users` | names of users and groups |
//! | [`worker`] | the worker's side |

#![forbid(unsafe_code)]

mod balance;
mod bridge;
mod cgroup;
mod child;
mod control;
mod guard;
mod ids;
mod image;
mod launch;
mod lines;
mod output;
pub mod protocol;
mod reported;
mod restart;
mod scratch;
mod share;
mod slot;
mod stack;
mod start;
mod supervisor;
mod users;
pub mod worker;

pub use becket_host::Sticky;
pub use becket_sandbox as sandbox;

pub use crate::balance::WORKERS_MAX;
pub use crate::child::{Confinement, INHERITED_VARIABLES, SOCKET_VARIABLE};
pub use crate::launch::WorkerError;
pub use crate::restart::Restart;
pub use crate::start::Process;
