// SPDX-License-Identifier: BSD-3-Clause
//! Go's goroutines: a program in Go (`bench/go`), built here, with `GOMAXPROCS` workers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::error::BenchError;

pub(crate) const NAME: &str = "Go";

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/go");

/// The program, ready to be started with so many workers.
pub(crate) fn command(workers: usize) -> Result<Command, BenchError> {
    let mut command = Command::new(built()?);
    command.env("GOMAXPROCS", workers.to_string());
    Ok(command)
}

/// Which Go built it.
pub(crate) fn version() -> Result<String, BenchError> {
    let output = output(Command::new(go()).args(["env", "GOVERSION"]))?;
    Ok(output.trim().trim_start_matches("go").to_owned())
}

/// `cargo xtask bench` says where Go is; by itself, this program looks for it as a shell would.
fn go() -> PathBuf {
    std::env::var_os("BECKET_GO").map_or_else(|| PathBuf::from("go"), PathBuf::from)
}

/// Builds the program, once in a run: where nothing has changed, Go finds that out quickly.
fn built() -> Result<&'static Path, BenchError> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(path) = BUILT.get() {
        return Ok(path);
    }
    let itself = std::env::current_exe()
        .map_err(|source| BenchError::System { what: "find this program", source })?;
    let program = itself.with_file_name("bench-go");
    let mut build = Command::new(go());
    build.current_dir(FOLDER).args(["build", "-o"]).arg(&program).arg(".");
    output(&mut build)?;
    Ok(BUILT.get_or_init(|| program))
}

fn output(command: &mut Command) -> Result<String, BenchError> {
    let output = command.output().map_err(|source| BenchError::System {
        what: "run Go (`cargo xtask tools` fetches it, BECKET_GO names it)",
        source,
    })?;
    if !output.status.success() {
        let output = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(BenchError::Program { program: "go", output });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
