// SPDX-License-Identifier: BSD-3-Clause
//! C programs: built as C11 and as C++17 with every warning an error, linked to the library, run.
//!
//! `CC` and `CXX` name the compilers; `cc` and `c++` without them.
#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const C: Language =
    Language { name: "c", extension: "c", variable: "CC", compiler: "cc", standard: "-std=c11" };
pub(crate) const CPP: Language = Language {
    name: "c++",
    extension: "cpp",
    variable: "CXX",
    compiler: "c++",
    standard: "-std=c++17",
};

pub(crate) struct Language {
    name: &'static str,
    pub(crate) extension: &'static str,
    variable: &'static str,
    compiler: &'static str,
    standard: &'static str,
}

impl Language {
    /// Its compiler, for the standard, with every warning an error.
    pub(crate) fn compiler(&self) -> Command {
        let name = std::env::var(self.variable).unwrap_or_else(|_| self.compiler.into());
        let mut command = Command::new(name);
        command.args([self.standard, "-Wall", "-Wextra", "-Werror", "-pedantic"]);
        command
    }
}

/// How a program is linked; when sanitized, so are its own code and every allocation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Library {
    Shared,
    Static,
    Sanitized,
}

/// Freed memory is overwritten at once, so that its use by the library, which is not sanitized,
/// ends the program: as a pointer it is invalid, as a lock it is not held.
const FREED_IS_GARBAGE: &str = "glibc.malloc.tcache_count=0:glibc.malloc.perturb=84";

const SANITIZERS: &str = "-fsanitize=address,undefined";

/// Set: programs run under valgrind's memcheck, as C with the shared library alone. An error that it
/// reports, and memory that is lost for certain, end a test. `cargo xtask test --full` sets it.
const VALGRIND: &str = "BECKET_TEST_VALGRIND";

/// Threads take turns fairly, so that none that spins keeps the others waiting.
const MEMCHECK: [&str; 6] = [
    "--quiet",
    "--error-exitcode=99",
    "--leak-check=full",
    "--show-leak-kinds=definite",
    "--errors-for-leak-kinds=definite",
    "--fair-sched=yes",
];

/// Whether programs run under valgrind.
pub(crate) fn is_under_valgrind() -> bool {
    std::env::var_os(VALGRIND).is_some()
}

/// Builds and runs `tests/c/NAME.c` in each way; as C++ in the long form alone (the variable
/// `BECKET_TEST_LONG`): `cargo xtask install --check` compiles all of them as C++ too.
pub(crate) fn check(name: &str) {
    let is_long = std::env::var_os("BECKET_TEST_LONG").is_some();
    let is_tried = |(language, _): &(&Language, Library)| is_long || language.name == C.name;
    for (language, library) in ways().into_iter().filter(is_tried) {
        run(&mut program(name, language, library));
    }
}

/// The languages and libraries that programs are built with. The last is under the sanitizers of
/// addresses and of undefined behaviour where the compiler has them.
pub(crate) fn ways() -> Vec<(&'static Language, Library)> {
    if is_under_valgrind() {
        return vec![(&C, Library::Shared)];
    }
    let last = if has_sanitizers() { Library::Sanitized } else { Library::Static };
    vec![(&C, Library::Shared), (&CPP, Library::Shared), (&C, last)]
}

/// Builds `tests/c/NAME.c`; gives what runs it.
pub(crate) fn program(name: &str, language: &Language, library: Library) -> Command {
    build(name, &[root().join("tests/c").join(name).with_extension("c")], language, library)
}

/// Builds a program of these files; gives what runs it.
pub(crate) fn build(
    name: &str,
    sources: &[PathBuf],
    language: &Language,
    library: Library,
) -> Command {
    let program = folder().join(format!("{name}-{library:?}-{}", language.extension));
    let mut command = language.compiler();
    command
        .args(["-g", "-O1", "-pthread", "-D_POSIX_C_SOURCE=200809L", "-I"])
        .arg(include())
        .args(["-x", language.name])
        .args(sources)
        .args(["-x", "none", "-o"])
        .arg(&program);
    match library {
        Library::Shared => link(&mut command),
        Library::Static => command.arg(built().join("libkcoro.a")).args(["-ldl", "-lm"]),
        Library::Sanitized => command
            .args([SANITIZERS, "-fno-sanitize-recover=all"])
            .arg(built().join("libkcoro.a"))
            .args(["-ldl", "-lm"]),
    };
    run(&mut command);
    let mut program = match is_under_valgrind() {
        true => {
            let mut valgrind = Command::new("valgrind");
            valgrind.args(MEMCHECK).arg(program);
            valgrind
        }
        false => Command::new(program),
    };
    // Cargo's search path may lead to an older library. The program itself names the one it is for.
    program.env_remove("LD_LIBRARY_PATH");
    program.env("GLIBC_TUNABLES", FREED_IS_GARBAGE);
    program
}

/// Links to the shared library, which the program then finds by itself.
pub(crate) fn link(command: &mut Command) -> &mut Command {
    let built = built();
    command.arg("-L").arg(&built).arg("-lkcoro").arg(format!("-Wl,-rpath,{}", built.display()))
}

fn has_sanitizers() -> bool {
    let (source, program) = (folder().join("probe.c"), folder().join("probe"));
    std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let built = C.compiler().arg(SANITIZERS).arg(source).arg("-o").arg(&program).output();
    built.is_ok_and(|output| output.status.success())
        && Command::new(program).output().is_ok_and(|output| output.status.success())
}

/// Where the headers are.
pub(crate) fn include() -> PathBuf {
    root().join("include")
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder of this test's own: tests run at once.
pub(crate) fn folder() -> PathBuf {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("tests").replace(':', "_");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Where cargo has put the library that this test was built with: beside the test.
fn built() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// Runs it to its good end; gives its output.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (status, errors) = (output.status, String::from_utf8_lossy(&output.stderr));
    assert!(status.success(), "{command:?}: {status}\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}
