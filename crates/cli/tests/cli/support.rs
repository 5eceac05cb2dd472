// SPDX-License-Identifier: BSD-3-Clause
//! Running the command, and the plugin that the tests share.

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output, Stdio};
use std::sync::LazyLock;

use snapbox::cmd::Command;
use tempfile::TempDir;

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

/// A C project of `plugin new`, built once for every test.
static PROJECT: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = TempDir::new().unwrap();
    becket()
        .args(["plugin", "new", "--lang", "c", "greeter", "--dir"])
        .arg(dir.path().join("greeter"))
        .assert()
        .success();
    run(Process::new("make").current_dir(dir.path().join("greeter")));
    dir
});

/// The built plugin of that project.
pub(crate) fn plugin() -> PathBuf {
    PROJECT.path().join("greeter/libgreeter.so")
}

/// The sample plugin in C, built once for every test.
static SAMPLE: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = TempDir::new().unwrap();
    compile(&root().join("examples/plugins/c/plugin.c"), &dir.path().join("libsample.so"));
    dir
});

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

/// That plugin.
pub(crate) fn sample() -> PathBuf {
    SAMPLE.path().join("libsample.so")
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
