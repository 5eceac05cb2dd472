// SPDX-License-Identifier: BSD-3-Clause
//! Rules of `crates/host/tests/rules` over plugins in processes of their own: the same files, for plugins that
//! are files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

#[path = "../../../host/tests/support/mod.rs"]
mod support;

#[path = "../../../host/tests/rules/reloads.rs"]
mod reloads;
#[path = "../../../host/tests/rules/rollouts.rs"]
mod rollouts;
mod states;

use std::path::Path;
use std::sync::Arc;

use becket_host::PluginSpec;
use becket_process::Process;

/// Plugins of files run in this process.
const IS_INLINE: bool = false;

fn spec(name: &str, path: &Path) -> PluginSpec {
    let worker = vec![env!("CARGO_BIN_EXE_becket-worker").into()];
    PluginSpec::remote(name, Arc::new(Process::native(worker, path)))
}
