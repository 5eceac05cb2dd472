// SPDX-License-Identifier: BSD-3-Clause
//! Plugins on nodes: what a server, several nodes and their ends make of calls.
//!
//! | module | what lives there |
//! |---|---|
//! | `blocks` | a plugin that declares that it never blocks, and blocks |
//! | `calls` | hosts, nodes and other clients |
//! | `ends` | nodes that are killed, servers that restart, hosts that fall silent |
//! | `streams` | windows in both directions, and frames that are lost |

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

mod blocks;
mod calls;
mod ends;
mod streams;

use std::path::PathBuf;

use becket_host::PluginSpec;

use crate::support::script::linked as scripted;

/// The sample of a language, from `BECKET_SAMPLES_DIR` or `target/plugins`: `cargo xtask plugins` builds it.
fn sample(language: &str) -> PathBuf {
    let folder = std::env::var_os("BECKET_SAMPLES_DIR").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| support::native::workspace().join("target/plugins"));
    let path = folder.join(format!("libsample_{language}.so"));
    assert!(path.is_file(), "no {}; `cargo xtask plugins` builds it", path.display());
    path
}

fn sample_spec(name: &str, language: &str) -> PluginSpec {
    PluginSpec::path(name, sample(language))
}
