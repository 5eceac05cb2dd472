// SPDX-License-Identifier: BSD-3-Clause
//! The file in which the plugin writes what it runs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

pub(crate) struct Record(PathBuf);

impl Record {
    pub(crate) fn new(path: &Path) -> Result<Self, Error> {
        let record = Self(path.to_owned());
        record.clear()?;
        Ok(record)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Empties it: the plugin has it open, and appends.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        fs::write(&self.0, "").map_err(|source| Error::File {
            action: "write",
            path: self.0.clone(),
            source,
        })
    }

    pub(crate) fn lines(&self) -> Result<Vec<String>, Error> {
        let text = fs::read_to_string(&self.0).map_err(|source| Error::File {
            action: "read",
            path: self.0.clone(),
            source,
        })?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}
