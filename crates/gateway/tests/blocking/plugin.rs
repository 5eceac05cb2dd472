// SPDX-License-Identifier: BSD-3-Clause
//! The plugin that blocks, built for each language.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// In which language it blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    C,
    Rust,
    Go,
}

/// A folder of freshly built plugins.
pub(crate) struct Workshop(TempDir);

impl Workshop {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// Builds the plugin; `declared`: it says that it never blocks.
    pub(crate) fn build(&self, language: Language, declared: bool) -> PathBuf {
        let library = self.0.path().join("blocks.so");
        let mut compiler = compiler();
        if declared {
            compiler.arg("-DDECLARED");
        }
        match language {
            Language::C => {}
            Language::Rust => {
                let archive = self.0.path().join("libblock.a");
                let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
                run(Command::new(rustc)
                    .args(["--edition=2024", "--crate-type=staticlib", "-O", "-Cpanic=abort"])
                    .arg(sources().join("block.rs"))
                    .arg("-o")
                    .arg(&archive));
                compiler.arg("-DBLOCK_ELSEWHERE").arg(sources().join("blocks.c")).arg(archive);
                run(compiler.args(["-pthread", "-ldl", "-o"]).arg(&library));
                return library;
            }
            Language::Go => {
                let built = env::var_os("BECKET_BLOCKING_GO");
                return built.expect("BECKET_BLOCKING_GO is its library").into();
            }
        }
        run(compiler.arg(sources().join("blocks.c")).arg("-o").arg(&library));
        library
    }
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/blocking/plugin")
}

fn compiler() -> Command {
    let mut compiler = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler
        .args(["-std=c11", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-I"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../abi/include"));
    compiler
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
