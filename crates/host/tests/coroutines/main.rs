// SPDX-License-Identifier: BSD-3-Clause
//! Handlers on coroutines of the host: a plugin in C that waits in straight-line code.
//!
//! | module | what it shows |
//! |---|---|
//! | `answers` | the first answer wins over what a handler returns after it |
//! | `calls` | calls wait, are cancelled at their ends, and run where they should |
//! | `streams` | frames both ways, with backpressure, until one side ends |
//! | `ends` | unload and reload of plugins whose handlers wait |
//! | `rust` | a plugin in Rust |
//! | `loads` | what must not load |
//! | `waits` | the plugin in C, loaded |
//! | `overflow` | a stack that overflows, in a process of its own |

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
mod calls;
mod ends;
mod loads;
mod overflow;
mod rust;
mod streams;
mod waits;

use std::path::Path;

use becket_host::PluginSpec;

use crate::support::script::linked as scripted;
use crate::waits::Waits;

/// The plugins run in this process.
const IS_INLINE: bool = true;

/// Frames of one stream that a placement may hold beside the plugin's bounds.
const FRAMES_BETWEEN: u64 = 0;

fn spec(name: &str, path: &Path) -> PluginSpec {
    PluginSpec::path(name, path)
}
