// SPDX-License-Identifier: BSD-3-Clause
//! Running the command, and the plugin that the tests share.

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output, Stdio};

use snapbox::cmd::Command;
use tempfile::TempDir;

/// Whether the tests run in their long form, as with `cargo xtask test --full`.
pub(crate) fn is_long() -> bool {
    std::env::var_os("BECKET_TEST_LONG").is_some()
}

/// The command under test, independent of the environment.
pub(crate) fn becket() -> Command {
    Command::new(env!("CARGO_BIN_EXE_becket")).env_remove("RUST_LOG").env_remove("NO_COLOR")
}

/// The same, for tests that keep it running.
pub(crate) fn process() -> Process {
    let mut process = Process::new(env!("CARGO_BIN_EXE_becket"));
    process.env_remove("RUST_LOG").env_remove("NO_COLOR");
    process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    process
}

/// The plugin of a C project that `plugin new` made.
pub(crate) fn plugin() -> PathBuf {
    let make = |dir: &Path| {
        let project = dir.join("greeter");
        becket()
            .args(["plugin", "new", "--lang", "c", "greeter", "--dir"])
            .arg(&project)
            .assert()
            .success();
        run(Process::new("make").current_dir(&project).env_remove("MAKEFLAGS"));
    };
    kept("greeter", make).join("greeter/libgreeter.so")
}

/// The sample plugin in C.
pub(crate) fn sample() -> PathBuf {
    let make = |dir: &Path| compile(&root().join(SAMPLE), &dir.join("libsample.so"));
    kept("sample", make).join("libsample.so")
}

const SAMPLE: &str = "examples/plugins/c/plugin.c";

/// A folder that is made once, for every test of this build: nextest runs each in a process of its own.
/// Its name has the time of the newest thing that goes into it.
fn kept(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let sources = [SAMPLE, "crates/abi/include", "sdk/c"].map(|source| root().join(source));
    let newest = sources.iter().flat_map(files).chain([env!("CARGO_BIN_EXE_becket").into()]);
    let newest = newest.map(|file| file.metadata().unwrap().modified().unwrap()).max().unwrap();
    let age = newest.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let place = all.join(format!("{name}-{age}"));
    if !place.is_dir() {
        let beside = TempDir::new_in(all).unwrap();
        make(beside.path());
        // Another process may have been first, with the same.
        let _there = std::fs::rename(beside.path(), &place);
    }
    assert!(place.is_dir(), "{} was not made", place.display());
    place
}

/// The file, or the files of a folder.
fn files(path: &PathBuf) -> Vec<PathBuf> {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => vec![path.clone()],
    }
}

/// Makes a plugin of one C source.
pub(crate) fn compile(source: &Path, library: &Path) {
    run(Process::new("cc")
        .args(["-std=c11", "-O2", "-fPIC", "-shared", "-pthread", "-I"])
        .arg(root().join("crates/abi/include"))
        .arg("-I")
        .arg(root().join("sdk/c"))
        .arg("-o")
        .arg(library)
        .arg(source));
}

/// Makes a named pipe in the directory. Opening it for reading returns when it has a writer, and
/// reads end when no process has the writing side open any more.
pub(crate) fn pipe(dir: &Path) -> PathBuf {
    let pipe = dir.join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    pipe
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a tool; its whole output is in the failure if it fails.
pub(crate) fn run(process: &mut Process) -> Output {
    let output = process.output().unwrap_or_else(|error| panic!("{process:?}: {error}"));
    assert!(
        output.status.success(),
        "{process:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Where a tool is: where `cargo xtask tools` puts it, else on the path.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let tools = root().join(".tools");
    let path = std::env::var_os("PATH").unwrap_or_default();
    [tools.join("go/go/bin"), tools.join("zig/ziglang")]
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}
