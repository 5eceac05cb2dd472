// SPDX-License-Identifier: BSD-3-Clause
//! The plugin that blocks, built for each language.

use std::env;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use tempfile::TempDir;

use crate::probe::PATIENCE;

/// In which language it blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    C,
    Rust,
    Go,
}

/// Where the plugin says that a call is inside, before it blocks: a named pipe, a byte a call.
pub(crate) struct Inside {
    dir: TempDir,
    said: Receiver<u8>,
}

impl Inside {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("inside");
        run(Command::new("mkfifo").arg(&path));
        // With a writer of its own, so that it does not end between two calls.
        let pipe = File::options().read(true).write(true).open(path).unwrap();
        let (says, said) = mpsc::channel();
        thread::spawn(move || {
            let bytes = BufReader::new(pipe).bytes().map_while(Result::ok);
            let _gone = bytes.map(|byte| says.send(byte)).take_while(Result::is_ok).count();
        });
        Self { dir, said }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("inside")
    }

    /// Waits until a call is inside the plugin of this generation.
    pub(crate) fn wait_for(&self, generation: u8) {
        while self.said.recv_timeout(PATIENCE).expect("no call came to be inside")
            != b'0' + generation
        {}
    }
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

impl Workshop {
    /// Builds the plugin that takes its time when it is asked for an entry.
    pub(crate) fn build_asked(&self) -> PathBuf {
        let library = self.0.path().join("asked.so");
        run(compiler().arg(sources().join("../asked.c")).arg("-o").arg(&library));
        library
    }
}

/// All files in it are one Go package.
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

pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
