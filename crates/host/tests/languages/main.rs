// SPDX-License-Identifier: BSD-3-Clause
//! One suite over the sample plugin in five languages: what `examples/plugins/README.md` says,
//! byte for byte.
//!
//! The plugins are `libsample_LANG.so` in `BECKET_SAMPLES_DIR`, or in the workspace's
//! `target/plugins`; `cargo xtask plugins` builds them. A language whose plugin is not there
//! fails; `BECKET_LANGUAGES` (`rust,c`) asks for some of them alone.
//!
//! `crates/process/tests/languages` runs the same tests at `process`.
//!
//! | module | what lives there |
//! |---|---|
//! | `unary` | the entries with one answer |
//! | `streams` | the entries with many |
//! | `long` | answers and frames that are longer than the host takes |
//! | `suite` | a loaded sample, the list of the tests |
//! | `lifecycle` | identity, configuration, logs, reload, unload |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

#[path = "../support/mod.rs"]
mod support;

mod lifecycle;
mod long;
mod streams;
mod suite;
mod unary;

use std::path::PathBuf;

use becket_host::PluginSpec;

use crate::suite::{Sample, sample};
use crate::support::script::linked as scripted;

/// The plugins run in this process.
const IS_INLINE: bool = true;

fn spec(name: &str, path: PathBuf) -> PluginSpec {
    PluginSpec::path(name, path)
}
