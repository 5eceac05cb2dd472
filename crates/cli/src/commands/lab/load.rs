// SPDX-License-Identifier: BSD-3-Clause
//! A replay from its file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use becket_lab::replay::{FILE_BYTES_MAX, Replay, ReplayError};
use becket_lab::rules::Exit as LabExit;

use super::adapter::Adapter;
use super::files::cannot;
use crate::exit::Exit;
use crate::failure::Failure;

/// Reads no more of a file than it may have, and one byte.
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

/// Reads a replay, and finds its adapters, or those that are named in their place.
pub(super) fn replay(path: &Path, adapter: Option<&str>) -> Result<(Replay, Adapter), Failure> {
    let text = text(path, FILE_BYTES_MAX)?;
    let replay = Replay::parse(&text).map_err(|error| refused(path, &error))?;
    let adapter = match adapter {
        Some(name) => Adapter::of_name(name)?,
        None => Adapter::of_name(&replay.adapter).map_err(|error| {
            error.cause("the replay is of these adapters; `--adapter` names others")
        })?,
    };
    Ok((replay, adapter))
}

fn refused(path: &Path, error: &ReplayError) -> Failure {
    Failure::new(Exit::Lab(LabExit::Usage), format!("{}: {error}", path.display()))
        .cause(error.cause())
        .hint(error.hint())
}
