// SPDX-License-Identifier: BSD-3-Clause
//! The suite of `crates/host/tests/languages` over plugins in processes of their own: the same files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

#[path = "../../../host/tests/support/mod.rs"]
mod support;

#[path = "../../../host/tests/languages/lifecycle.rs"]
mod lifecycle;
#[path = "../../../host/tests/languages/long.rs"]
mod long;
#[path = "../../../host/tests/languages/streams.rs"]
mod streams;
#[macro_use]
#[path = "../../../host/tests/languages/suite.rs"]
mod suite;
#[path = "../../../host/tests/languages/unary.rs"]
mod unary;

use std::path::PathBuf;
use std::sync::Arc;

use becket_host::PluginSpec;
use becket_process::Process;

use crate::suite::{Sample, sample};
use crate::support::script::linked as scripted;

/// The plugins run in this process.
const IS_INLINE: bool = false;

fn spec(name: &str, path: PathBuf) -> PluginSpec {
    let worker = vec![env!("CARGO_BIN_EXE_becket-worker").into()];
    let interpreter = match path.extension().and_then(|extension| extension.to_str()) {
        Some("js") => "node",
        Some("py") => "python3",
        _ => return PluginSpec::remote(name, Arc::new(Process::native(worker, path))),
    };
    let process = Process::program(worker, vec![interpreter.into(), path.into()]);
    PluginSpec::remote(name, Arc::new(process))
}

suite!(programs: node python);
