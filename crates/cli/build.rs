// SPDX-License-Identifier: BSD-3-Clause
//! Writes the table of the files that `becket plugin new` copies: the templates, the headers and
//! the SDKs. The command then needs no source tree at hand.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The folders, relative to the root of the repository.
const FOLDERS: [&str; 9] = [
    "crates/abi",
    "crates/cli/templates",
    "crates/plugin",
    "sdk/c",
    "sdk/cpp",
    "sdk/go",
    "sdk/node",
    "sdk/python/becket",
    "sdk/zig",
];

/// Files in them that a build leaves behind, or that a plugin does not need.
const LEFT_OUT: [&str; 11] = [
    "target",
    "build",
    "zig-out",
    ".zig-cache",
    "zig-cache",
    "__pycache__",
    "node_modules",
    "test",
    "tests",
    "benches",
    "examples",
];

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let root = here.join("../..").canonicalize()?;
    let mut table = String::from("&[\n");
    for folder in FOLDERS {
        let path = root.join(folder);
        println!("cargo::rerun-if-changed={}", path.display());
        if path.is_dir() {
            add_folder(&root, &path, &mut table)?;
        }
    }
    for file in ["Cargo.toml", "LICENSE", "examples/becket.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(file).display());
        add_file(&root, &root.join(file), &mut table);
    }
    table.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("embedded.rs"), table)
}

fn add_folder(root: &Path, folder: &Path, table: &mut String) -> io::Result<()> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<io::Result<_>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_template = folder.starts_with(root.join("crates/cli/templates"));
        if path.is_dir() {
            if is_template || !LEFT_OUT.contains(&name.as_ref()) {
                add_folder(root, &path, table)?;
            }
        } else if is_template || !is_own_business(&name) {
            add_file(root, &path, table);
        }
    }
    Ok(())
}

/// True for files that only build or test the SDK in this repository.
fn is_own_business(name: &str) -> bool {
    ["Makefile", "build.zig", ".gitignore", "tsconfig.json"].contains(&name)
        || ["_test.go", "_test.zig", ".so", ".o"].iter().any(|end| name.ends_with(end))
}

fn add_file(root: &Path, path: &Path, table: &mut String) {
    let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
    // Writing to a string cannot fail.
    let _ = writeln!(table, "    ({name:?}, include_bytes!({:?}).as_slice()),", path.display());
}
