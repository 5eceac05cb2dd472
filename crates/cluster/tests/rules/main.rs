// SPDX-License-Identifier: BSD-3-Clause
//! The rules of plugins hold on other machines: tests of `crates/host/tests`, from the same files.
//!
//! | rule | the same file |
//! |---|---|
//! | 1 ids are unforgeable; refused and counted | `rules/ids` |
//! | 2 first answer wins, the terminal gets through | `rules/answers`, `rules/frames` |
//! | 3 frames in order, each once | `rules/frames`, `rules/offloaded` |
//! | 4 queues are bounded both ways | `rules/frames`, `rules/offloaded`, `rules/buffers`, with `FRAMES_BETWEEN` |
//! | 5 every wait is bounded | `rules/deadlines`, `rules/blocking`, `rules/loads`, with `WAY` |
//! | 6 what `handle` returns | `rules/answers` |
//! | 7 state | `rules/state`, `rules/first`, with `WAY` |
//! | 9 late callbacks are harmless | `rules/ends`, `rules/timers`, `rules/buffers`, `rules/misuse` |
//! | 10 reload | `rules/reloads`, `rules/rollouts` |
//! | 11 quotas, counted | `rules/limits`, `rules/timers`, `rules/buffers` |
//! | 12 load checks | `src/load/tests` of the host, on the node; `first` and `v2` have what comes back |
//! | coroutines and channels of `BkHostApi` | `coroutines/{answers, calls, ends, streams}` |
//! | owned answers, leases, entry ids | `rules/buffers`, `rules/reloads` |
//! | version 2 of the ABI | `rules/v2` |
//!
//! Rule 8, panics do not cross, is the node's host's own; what a node's end costs is in `plugins`.
//!
//! At other placements alone: `rules/hand_overs`, as each node has a state of its own (`plugins` has the reload on a node);
//! `rules/dispatch`, `rules/quick` and `rules/nesting`, which are about callers' threads inside plugins; `rules/statics`,
//! about copies in one process; `coroutines/loads`, which reads errors of a load in this process. A crash of a new version
//! (`rules/rollouts`) would end this process, in which the nodes are; `plugins` has it of a node of its own.
//!
//! What a node counts and logs is read from its own host, past the server: see `nodes/through.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

#[path = "../nodes/mod.rs"]
mod nodes;
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
#[path = "../../../host/tests/rules/ids.rs"]
mod ids;
#[path = "../../../host/tests/rules/limits.rs"]
mod limits;
#[path = "../../../host/tests/rules/loads.rs"]
mod loads;
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

use std::path::Path;
use std::time::Duration;

use becket_abi::LinkedPlugin;
use becket_host::PluginSpec;

use crate::support::native::Workshop;
use crate::waits::Waits;

/// Where the plugins of `spec` are.
const PLACEMENT: &str = "cluster";

/// Whether they have processes that the host supervises.
const HAS_WORKERS: bool = false;

/// What a call may take on its way to the plugin: one whose caller has left before may never reach it.
const WAY: Duration = Duration::from_millis(500);

/// Plugins run in a host of their own.
const IS_INLINE: bool = false;

/// Frames of one stream that nodes and the way between may hold beside the plugin's bounds: a window of 64, one that
/// waits for it, and as many as the bounds of these tests in the node's host.
const FRAMES_BETWEEN: u64 = 64 + 1 + 4;

fn spec(name: &str, path: &Path) -> PluginSpec {
    let path = path.to_owned();
    nodes::through::through(name, move |name| PluginSpec::path(name, &path))
}

/// A library whose entry function answers with the address of the closures' record.
const SOURCE: &str = "
#include \"nylon_ring.h\"
NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    return (const NrPluginInfo *)ADDRESSull;
}
";

/// Plugins that are closures of the test: on a node in this program, where the test sees what they did.
fn scripted(name: &str, plugin: LinkedPlugin) -> PluginSpec {
    let address = format!("{:#x}", plugin.info().expose_provenance());
    // Loaded again by a reload: the folder stays.
    spec(name, &Workshop::lasting().build(name, &SOURCE.replace("ADDRESS", &address)))
}
