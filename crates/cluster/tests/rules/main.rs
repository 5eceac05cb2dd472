// SPDX-License-Identifier: BSD-3-Clause
//! The rules of plugins hold on other machines: tests of `crates/host/tests`, from the same files.
//!
//! | rule | the same file |
//! |---|---|
//! | 1 ids are unforgeable; refused and counted | `rules/ids` |
//! | 2 the terminal gets through; 3 frames in order, each once; 4 queues are bounded both ways | `rules/frames` |
//! | 9 late callbacks are harmless | `rules/ends`, `rules/timers`, `rules/misuse` |
//! | coroutines and channels of `BkHostApi` | `coroutines/{ends, streams}` |
//!
//! Deadlines, bounds and what a node's end costs are in `plugins`. The other files of the rules and of the coroutines
//! have not been made to pass here yet: some need what a node does not have (state over a reload, counters that are
//! sent to the host), and of others it is not known why they fail. What a node counts is read from its own host, past
//! the server.

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

#[path = "../../../host/tests/coroutines/ends.rs"]
mod coroutine_ends;
#[path = "../../../host/tests/coroutines/streams.rs"]
mod coroutine_streams;
#[path = "../../../host/tests/rules/ends.rs"]
mod ends;
#[path = "../../../host/tests/rules/frames.rs"]
mod frames;
#[path = "../../../host/tests/rules/ids.rs"]
mod ids;
#[path = "../../../host/tests/rules/misuse.rs"]
mod misuse;
#[path = "../../../host/tests/rules/timers.rs"]
mod timers;
#[path = "../../../host/tests/coroutines/waits.rs"]
mod waits;

use std::path::Path;

use becket_abi::LinkedPlugin;
use becket_host::PluginSpec;

use crate::support::native::Workshop;
use crate::waits::Waits;

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
    let workshop = Box::leak(Box::new(Workshop::new()));
    spec(name, &workshop.build(name, &SOURCE.replace("ADDRESS", &address)))
}
