// SPDX-License-Identifier: BSD-3-Clause
//! What holds, whatever a plugin does: each rule of the host as a property.
//!
//! | module | rules |
//! |---|---|
//! | `ids` | an id leads to the one call it was given to |
//! | `answers` | first answer wins; each call has one outcome |
//! | `first` | plugins of the first builds, and what they find behind `host_ctx` |
//! | `frames` | order, bounds, backpressure, the terminal |
//! | `deadlines` | every wait is bounded, also while the plugin blocks |
//! | `dispatch` | on which thread `handle` runs |
//! | `quick` | quick plugins on the executor's threads |
//! | `state` | state of a call is gone when the call ends |
//! | `buffers` | leases and owned bytes |
//! | `statics` | copies of one plugin share nothing |
//! | `timers` | run once, or never |
//! | `limits` | a bound on everything |
//! | `loads` | a load ends in time |
//! | `nesting` | plugins that call plugins |
//! | `misuse` | pointers that lead nowhere, calls from a signal handler |
//! | `offloaded` | notifications and frames on workers, in order and bounded |
//! | `ends` | unload, shutdown, dropped hosts and futures |
//! | `reloads` | replacing a plugin under load |
//! | `v2` | plugins of version 2: owned answers, leases, entry ids |
//! | `rollouts` | the same by steps |
//! | `hand_overs` | the state that a reload hands over |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod blocking;
mod buffers;
mod deadlines;
mod dispatch;
mod ends;
mod first;
mod frames;
mod hand_overs;
mod ids;
mod limits;
mod loads;
mod misuse;
mod nesting;
mod offloaded;
mod quick;
mod reloads;
mod rollouts;
mod state;
mod statics;
mod timers;
mod v2;

use std::path::Path;
use std::time::Duration;

use becket_host::PluginSpec;

use crate::support::script::linked as scripted;

/// Where the plugins of `spec` are.
const PLACEMENT: &str = "inline";

/// Whether they have processes that the host supervises.
const HAS_WORKERS: bool = false;

/// What a call may take on its way to the plugin: one whose caller has left before may never reach it.
const WAY: Duration = Duration::ZERO;

/// Plugins of files run in this process.
const IS_INLINE: bool = true;

/// Frames of one stream that a placement may hold beside the plugin's bounds.
const FRAMES_BETWEEN: u64 = 0;

fn spec(name: &str, path: &Path) -> PluginSpec {
    PluginSpec::path(name, path)
}
