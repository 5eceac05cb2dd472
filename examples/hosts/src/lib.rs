// SPDX-License-Identifier: BSD-3-Clause
//! What the example hosts share: which plugin they load, and how they end.
#![forbid(unsafe_code)]

use std::env;
use std::error::Error;
use std::process::ExitCode;

use becket_host::PluginSpec;

/// The plugin to load: the file named first on the command line, or the sample that is linked into
/// this program. To the host the two are alike.
#[must_use]
pub fn plugin() -> PluginSpec {
    match env::args_os().nth(1) {
        Some(path) => PluginSpec::path("sample", path),
        None => PluginSpec::linked("sample", becket_sample::PLUGIN),
    }
}

/// Ends the program: quietly, or with what went wrong.
pub fn finish(result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
