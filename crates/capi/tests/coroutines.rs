// SPDX-License-Identifier: BSD-3-Clause
//! The C programs on coroutines, schedulers, actors, scopes, jobs, contexts and blocking calls: each
//! is built as C11 and as C++17, with every warning an error, linked to the library, and run; once
//! more with the static library, its own code and every allocation under the address and undefined
//! behaviour sanitizers, where the compiler has them.
//!
//! `CC` and `CXX` name the compilers; `cc` and `c++` without them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

const C: Language = Language { name: "c", variable: "CC", compiler: "cc", standard: "-std=c11" };
const CPP: Language =
    Language { name: "c++", variable: "CXX", compiler: "c++", standard: "-std=c++17" };

const SANITIZERS: &str = "-fsanitize=address,undefined";

struct Language {
    name: &'static str,
    variable: &'static str,
    compiler: &'static str,
    standard: &'static str,
}

impl Language {
    fn compiler(&self) -> Command {
        Command::new(std::env::var(self.variable).unwrap_or_else(|_| self.compiler.into()))
    }
}

/// How a program is linked, and what is added to its own code.
#[derive(Clone, Copy, PartialEq)]
enum Flavour {
    Shared,
    Static,
    Sanitized,
}

fn check(name: &str) {
    check_with(name, "detect_leaks=1");
}

/// Of a program in which a scheduler ends while coroutines wait in C code: their stacks are given back
/// as they are, and what the runtime itself had there (a hundred bytes each) with them.
fn check_where_stacks_are_left(name: &str) {
    check_with(name, "detect_leaks=0");
}

fn check_with(name: &str, address_sanitizer: &str) {
    for language in [C, CPP] {
        run(&mut Command::new(build(name, &language, Flavour::Shared)));
    }
    if has_sanitizers() {
        let program = build(name, &C, Flavour::Sanitized);
        run(Command::new(program).env("ASAN_OPTIONS", address_sanitizer));
    } else {
        run(&mut Command::new(build(name, &C, Flavour::Static)));
    }
}

fn build(name: &str, language: &Language, flavour: Flavour) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kind = match flavour {
        Flavour::Shared => "shared",
        Flavour::Static => "static",
        Flavour::Sanitized => "sanitized",
    };
    let program = folder().join(format!("{name}-{kind}-{}", language.name.replace('+', "p")));
    let built = built();
    let mut command = language.compiler();
    command
        .args(["-x", language.name, language.standard])
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-g", "-O1", "-pthread"])
        .arg("-D_POSIX_C_SOURCE=200809L")
        .arg("-I")
        .arg(root.join("include"))
        .arg(root.join("tests/c").join(name).with_extension("c"))
        .args(["-x", "none", "-o"])
        .arg(&program);
    match flavour {
        Flavour::Shared => {
            command.arg("-L").arg(&built).arg("-lkcoro");
            command.arg(format!("-Wl,-rpath,{}", built.display()));
        }
        Flavour::Static => {
            command.arg(built.join("libkcoro.a")).args(["-ldl", "-lm"]);
        }
        Flavour::Sanitized => {
            command.args([SANITIZERS, "-fno-sanitize-recover=all"]);
            command.arg(built.join("libkcoro.a")).args(["-ldl", "-lm"]);
        }
    }
    run(&mut command);
    program
}

fn has_sanitizers() -> bool {
    let (source, program) = (folder().join("probe.c"), folder().join("probe"));
    std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let built = C.compiler().arg(SANITIZERS).arg(source).arg("-o").arg(&program).output();
    built.is_ok_and(|output| output.status.success())
        && Command::new(program).output().is_ok_and(|output| output.status.success())
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kcoro-coroutines");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Where cargo has put the library that this test was built with: beside the test.
fn built() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn layout() {
    check("coro_layout");
}

#[test]
fn by_hand() {
    check("core_by_hand");
}

#[test]
fn by_hand_on_channels() {
    check_where_stacks_are_left("core_on_channels");
}

#[test]
fn from_many_sides() {
    check("core_stress");
}

#[test]
fn schedulers() {
    check_where_stacks_are_left("sched_basics");
}

#[test]
fn actors() {
    check("actor_basics");
}

#[test]
fn scopes() {
    check("scope_basics");
}

#[test]
fn jobs() {
    check_where_stacks_are_left("job_basics");
}

#[test]
fn contexts_and_dispatchers() {
    check("context_basics");
}

#[test]
fn blocking_calls_and_tools() {
    check("blocking_basics");
}

/// Including it is an error that says what to use.
#[test]
fn the_task_layer_is_gone() {
    let source = folder().join("task.c");
    std::fs::write(&source, "#include \"kcoro_task.h\"\n").unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let output =
        C.compiler().arg("-fsyntax-only").arg("-I").arg(include).arg(source).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("use kc_spawn"), "{said}");
}
