// SPDX-License-Identifier: BSD-3-Clause
//! Blocks that are no commands: configuration is read by the command itself, code comes from files that
//! are compiled elsewhere.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use crate::page::Block;
use crate::root;

/// Folders whose sources the other tests and steps compile.
const COMPILED: [&str; 4] = ["crates", "examples", "sdk", "bench"];

/// Checks a block of the page in this file.
pub(crate) fn check(page: &Path, block: &Block) -> Result<(), String> {
    match block.language.as_str() {
        "text" if block.lines.iter().any(|line| line.starts_with("$ ")) => {
            Err("a command in a block of text is not run: make it a block `console`".into())
        }
        "text" => Ok(()),
        "toml" => configuration(&content(page, block)?),
        "json" => match serde_json::from_str::<serde_json::Value>(&content(page, block)?) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("it is not JSON: {error}")),
        },
        "promql" | "yaml" => queries(&content(page, block)?),
        "rust" | "c" | "cpp" | "go" | "zig" | "python" => included(page, block),
        other => Err(format!(
            "a block of {other} is not tested: write above it why not, `<!-- not run: REASON -->`"
        )),
    }
}

/// The block with its includes in place.
pub(crate) fn content(page: &Path, block: &Block) -> Result<String, String> {
    let mut text = String::new();
    for line in &block.lines {
        match include(line) {
            None => text.push_str(line),
            // Only whole files: parts are not checked by themselves.
            Some(target) => {
                let path = page.with_file_name(target.split(':').next().unwrap_or(target));
                let whole = fs::read_to_string(&path).map_err(|error| format!("{target}: {error}"));
                text.push_str(whole?.trim_end());
            }
        }
        text.push('\n');
    }
    Ok(text)
}

/// What a line includes, if that is all that it does.
fn include(line: &str) -> Option<&str> {
    let directive = line.trim().strip_prefix("{{#")?.strip_suffix("}}")?;
    let (name, target) = directive.split_once(' ')?;
    matches!(name, "include" | "rustdoc_include").then_some(target)
}

/// A configuration of the gateway, read by `becket config check`.
fn configuration(text: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("becket.toml");
    fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_becket"));
    let output = command.args(["config", "check"]).arg(&file).output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(format!("not a configuration:\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// Code is no copy: every line of it is included, from where it is compiled.
fn included(page: &Path, block: &Block) -> Result<(), String> {
    for line in &block.lines {
        let Some(target) = include(line) else {
            let hint = "include it from a file that is compiled, or write above it why not";
            return Err(format!("code that no test compiles: {line:?}: {hint}"));
        };
        let path = page.with_file_name(target.split(':').next().unwrap_or(target));
        let path = path.canonicalize().map_err(|error| format!("{target}: {error}"))?;
        let place = path.strip_prefix(root()).map_err(|_| format!("{target} is outside"))?;
        if !COMPILED.iter().any(|folder| place.starts_with(folder)) {
            return Err(format!("nothing compiles {}", place.display()));
        }
    }
    Ok(())
}

/// Queries name metrics that the page of metrics has.
fn queries(text: &str) -> Result<(), String> {
    let page = fs::read_to_string(root().join("docs/src/metrics.md")).unwrap();
    let is_part = |c: char| !(c.is_alphanumeric() || c == '_');
    for name in text.split(is_part).filter(|word| word.starts_with("becket_")) {
        let suffixes = ["_bucket", "_sum", "_count"];
        let base = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        if ![name, base].iter().any(|name| page.contains(&format!("| `{name}` |"))) {
            return Err(format!("no metric {name}"));
        }
    }
    Ok(())
}
