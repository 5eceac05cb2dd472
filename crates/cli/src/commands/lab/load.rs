// SPDX-License-Identifier: BSD-3-Clause
//! A replay from its file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use becket_lab::replay::{FILE_BYTES_MAX, Replay, ReplayError};
use becket_lab::rules::Exit as LabExit;

use super::adapter::{Adapter, is_plugin};
use super::files::cannot;
use crate::exit::Exit;
use crate::failure::Failure;

/// Reads a file up to its maximum size and one byte more.
pub(in crate::commands) fn text(path: &Path, bytes_max: usize) -> Result<String, Failure> {
    let failed = |error| cannot("read", path, &error);
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        let stdin = std::io::stdin().lock();
        stdin.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let file = File::open(path).map_err(failed)?;
        file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(Exit::Lab(LabExit::Usage), format!("{} is no text", path.display()))
            .cause(format!("byte {} is not UTF-8", at + 1))
            .hint("name a file that becket has written")
    })
}

/// Reads a replay.
pub(super) fn replay(path: &Path) -> Result<Replay, Failure> {
    let text = text(path, FILE_BYTES_MAX)?;
    Replay::parse(&text).map_err(|error| refused(path, &error))
}

/// The adapters of a replay, or those named on the command line instead.
pub(super) fn adapter(replay: &Replay, named: Option<&str>) -> Result<Adapter, Failure> {
    match named {
        Some(name) => Adapter::of_name(name),
        None => Adapter::of_name(&replay.adapter).map_err(|error| {
            error.cause("the replay is of these adapters; `--adapter` names others")
        }),
    }
}

/// Whether the adapters of a replay, or those named instead, may be a plugin. Input that can be
/// read only once, such as stdin or a pipe, is not read here but by the process that repeats the
/// run.
pub(super) fn may_be_of_a_plugin(path: &Path, named: Option<&str>) -> bool {
    if let Some(name) = named {
        return is_plugin(name);
    }
    match path.metadata() {
        _ if path == Path::new("-") => true,
        Ok(there) if there.is_file() => replay(path).is_ok_and(|replay| is_plugin(&replay.adapter)),
        Ok(there) => !there.is_dir(),
        Err(_) => false,
    }
}

fn refused(path: &Path, error: &ReplayError) -> Failure {
    Failure::new(Exit::Lab(LabExit::Usage), format!("{}: {error}", path.display()))
        .cause(error.cause())
        .hint(error.hint())
}
