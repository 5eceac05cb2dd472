// SPDX-License-Identifier: BSD-3-Clause
//! The options that load a plugin, shared by the commands that run one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use becket_host::{Host, Layout, Limits, Plugin, PluginSpec};
use clap::ValueEnum;
use serde_json::Value;

use crate::commands::program;
use crate::failure::Failure;
use crate::ui::out;

/// Which plugin, and how it is loaded.
#[derive(Debug, clap::Args)]
pub(super) struct Load {
    /// The plugin's file, such as target/release/libhello.so, or its program, such as plugin.py
    pub(super) path: PathBuf,
    #[command(flatten)]
    loading: Loading,
}

/// How a plugin is loaded.
#[derive(Debug, clap::Args)]
pub(super) struct Loading {
    /// Read the function table in this layout instead of detecting it
    #[arg(long, value_enum)]
    layout: Option<LayoutArg>,
    /// The plugin's configuration, a JSON object
    #[arg(long, value_name = "JSON", value_parser = json_object)]
    config: Option<Value>,
}

/// The layouts of a function table.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum LayoutArg {
    /// init, handle, shutdown, stream_data, stream_close
    Documented,
    /// init, handle, handle_raw, shutdown, stream_data, stream_close
    Raw,
    /// init, handle, shutdown
    Short,
    /// Version 2 of the ABI, in a file that has version 1 too
    V2,
}

impl From<LayoutArg> for Layout {
    fn from(layout: LayoutArg) -> Self {
        match layout {
            LayoutArg::Documented => Self::Documented,
            LayoutArg::Raw => Self::Raw,
            LayoutArg::Short => Self::Short,
            LayoutArg::V2 => Self::V2,
        }
    }
}

impl Loading {
    /// The plugin in this file, loaded in this way.
    pub(super) fn spec(&self, name: &str, path: &Path) -> Result<PluginSpec, Failure> {
        let mut spec = program::spec(name, path)?;
        if let Some(layout) = self.layout {
            if program::command(path).is_some() {
                let cause = "it has no function table, and so no layout of one";
                return Err(program::refused(path, cause, "leave `--layout` out".to_owned()));
            }
            spec = spec.layout(layout.into());
        }
        if let Some(config) = &self.config {
            spec = spec.config(config.clone());
        }
        Ok(spec)
    }
}

impl Load {
    /// Loads it into a new host, under the name of its file, within `timeout` or the default limit.
    /// The plugin's output goes to stderr.
    pub(super) fn load(&self, timeout: Option<Duration>) -> Result<(Host, Plugin), Failure> {
        let mut spec = self.loading.spec(&name_of(&self.path), &self.path)?;
        if let Some(timeout) = timeout {
            let load_timeout_ms = timeout.as_millis() as u64;
            spec = spec.limits(Limits { load_timeout_ms, ..Limits::default() });
        }
        out::take_for_data()?;
        let host = Host::new();
        let plugin = host.load(spec)?;
        Ok((host, plugin))
    }
}

/// `target/libhello.so` is `hello`.
pub(super) fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = stem.strip_prefix("lib").unwrap_or(&stem);
    if name.is_empty() { "plugin".to_owned() } else { name.to_owned() }
}

fn json_object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(r#"it must be an object, such as {"greeting":"Hi"}"#.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_named_after_its_file() {
        assert_eq!(name_of(Path::new("target/release/libhello.so")), "hello");
        assert_eq!(name_of(Path::new("hello.so")), "hello");
        assert_eq!(name_of(Path::new("/")), "plugin");
    }
}
