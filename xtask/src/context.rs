// SPDX-License-Identifier: BSD-3-Clause
//! Paths of the repository and of its builds, and the tools.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::error::Error;
use crate::process::{cargo, spawn_error};
use crate::tools::Tools;

/// Paths of the repository and of its builds, and the tools.
#[derive(Debug)]
pub(crate) struct Context {
    root: PathBuf,
    metadata: Value,
    target: PathBuf,
    pub(crate) tools: Tools,
    /// Each step runs in its long form: `cargo xtask test --full`.
    pub(crate) is_full: bool,
}

impl Context {
    /// Finds the repository through cargo. Missing tools are fetched only if `fetch`.
    pub(crate) fn discover(fetch: bool) -> Result<Self, Error> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
        let mut command = cargo();
        command.args(["metadata", "--format-version=1", "--no-deps"]);
        if manifest.is_dir() {
            command.current_dir(manifest);
        }
        // Quick, so the command is not announced; cargo's messages go to the terminal.
        let output = command
            .stderr(Stdio::inherit())
            .output()
            .map_err(|source| spawn_error(&command, source))?;
        let unreadable =
            |what: &str| Error::Output { command: "cargo metadata".into(), what: what.into() };
        let metadata: Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| unreadable(&error.to_string()))?;
        let folder = |key: &str| {
            metadata
                .get(key)
                .and_then(Value::as_str)
                .map(PathBuf::from)
                .ok_or_else(|| unreadable(&format!("no field {key}")))
        };
        let root = folder("workspace_root")?;
        let target = folder("target_directory")?;
        let tools = Tools::new(root.join(".tools"), fetch);
        Ok(Self { root, metadata, target, tools, is_full: false })
    }

    /// The repository.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path inside the repository.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Cargo's target folder; this program's own builds go there too.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The packages of this workspace, from `cargo metadata`.
    pub(crate) fn metadata(&self) -> &Value {
        &self.metadata
    }
}
