// SPDX-License-Identifier: BSD-3-Clause
//! The rules of plugins hold in processes of their own: the tests of `crates/host/tests`, from the same files.
//!
//! Tests of plugins that are files run them in a worker of their own. Those of plugins that are closures of
//! the test run them as `inside` says: over a session, with the worker's code, where the test sees what they
//! did.
//!
//! | rule | at `inline`, `crates/host/tests` | at `process`: the same file, or |
//! |---|---|---|
//! | 1 ids are unforgeable; refused and counted | `rules/ids` | the same |
//! | 2 first answer wins, the terminal gets through | `rules/answers`, `rules/frames` | the same |
//! | 3 frames in order, each once | `rules/frames`, `rules/offloaded` | the same |
//! | 4 queues are bounded both ways | `rules/frames`, `rules/offloaded`, `rules/buffers` | the same, with `FRAMES_BETWEEN` |
//! | 5 every wait is bounded | `rules/deadlines`, `rules/blocking` | the same, and `watchdog`, `never_blocks` |
//! | 5 a load is bounded | `rules/loads` | `crates/process/tests/processes` |
//! | 6 what `handle` returns | `rules/answers` | the same |
//! | 7 state | `rules/state`, `rules/first` | the same |
//! | 8 panics do not cross | `languages/unary` | `crates/process/tests/languages` |
//! | 9 late callbacks are harmless | `rules/ends`, `rules/timers`, `rules/buffers`, `rules/misuse` | the same |
//! | 10 reload | `rules/reloads`, `rules/rollouts`, `rules/hand_overs` | the same, `states` |
//! | 11 quotas, counted | `rules/limits`, `rules/timers`, `rules/buffers` | the same |
//! | 12 load checks | `src/load/tests` | the same code in the worker; `first` has what comes back |
//! | coroutines and channels of `BkHostApi` | `coroutines/{answers, calls, ends, streams}` | the same |
//! | owned answers, leases, entry ids | `rules/buffers`, `rules/reloads` | the same |
//! | version 2 of the ABI | `rules/v2` | the same |
//!
//! At `inline` alone: `rules/dispatch`, `rules/quick` and `rules/nesting`, which are about callers' threads
//! inside plugins, and `rules/statics`, about copies in one process. `call_now` is refused at `process`, typed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

#[path = "../../../host/tests/support/mod.rs"]
mod support;

#[path = "../../../host/tests/rules/answers.rs"]
mod answers;
#[path = "../../../host/tests/rules/blocking.rs"]
mod blocking;
#[path = "../../../host/tests/rules/buffers.rs"]
mod buffers;
#[path = "../../../host/tests/coroutines/answers.rs"]
mod coroutine_answers;
#[path = "../../../host/tests/coroutines/calls.rs"]
mod coroutine_calls;
#[path = "../../../host/tests/coroutines/ends.rs"]
mod coroutine_ends;
#[path = "../../../host/tests/coroutines/streams.rs"]
mod coroutine_streams;
#[path = "../../../host/tests/rules/deadlines.rs"]
mod deadlines;
#[path = "../../../host/tests/rules/ends.rs"]
mod ends;
#[path = "../../../host/tests/rules/first.rs"]
mod first;
#[path = "../../../host/tests/rules/frames.rs"]
mod frames;
#[path = "../../../host/tests/rules/hand_overs.rs"]
mod hand_overs;
#[path = "../../../host/tests/rules/ids.rs"]
mod ids;
#[path = "../../../host/tests/rules/limits.rs"]
mod limits;
#[path = "../../../host/tests/rules/misuse.rs"]
mod misuse;
#[path = "../../../host/tests/rules/offloaded.rs"]
mod offloaded;
#[path = "../../../host/tests/rules/reloads.rs"]
mod reloads;
#[path = "../../../host/tests/rules/rollouts.rs"]
mod rollouts;
#[path = "../../../host/tests/rules/state.rs"]
mod state;
#[path = "../../../host/tests/rules/timers.rs"]
mod timers;
#[path = "../../../host/tests/rules/v2.rs"]
mod v2;
#[path = "../../../host/tests/coroutines/waits.rs"]
mod waits;

mod inside;
mod never_blocks;
mod states;
mod watchdog;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use becket_host::PluginSpec;
use becket_process::Process;

use crate::inside::scripted;
use crate::waits::Waits;

/// Where the plugins of `spec` are.
const PLACEMENT: &str = "process";

/// Whether they have processes that the host supervises.
const HAS_WORKERS: bool = true;

/// What a call may take on its way to the plugin: one whose caller has left before may never reach it.
const WAY: Duration = Duration::ZERO;

/// Plugins of files run in this process.
const IS_INLINE: bool = false;

/// Frames of one stream, of those that a session and both hosts may hold beside the plugin's bounds: 64 of the
/// session, one that waits for it, and as many as the bounds of these tests in the second host.
const FRAMES_BETWEEN: u64 = 64 + 1 + 4;

fn spec(name: &str, path: &Path) -> PluginSpec {
    let worker = vec![env!("CARGO_BIN_EXE_becket-worker").into()];
    PluginSpec::remote(name, Arc::new(Process::native(worker, path)))
}
