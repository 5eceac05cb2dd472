// SPDX-License-Identifier: BSD-3-Clause
//! The C programs on channels, select, tokens and zero copy: each is built as C11 and as C++17,
//! with every warning an error, linked to the library, and run.
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

/// How a program is linked.
#[derive(Clone, Copy)]
enum Library {
    Shared,
    Static,
}

fn check(name: &str) {
    for (language, compiler, standard) in [("c", "cc", "-std=c11"), ("c++", "c++", "-std=c++17")] {
        let program = build(name, language, compiler, standard, Library::Shared);
        run(&mut Command::new(program));
    }
}

fn build(name: &str, language: &str, compiler: &str, standard: &str, library: Library) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kcoro");
    std::fs::create_dir_all(&folder).unwrap();
    let kind = match library {
        Library::Shared => "shared",
        Library::Static => "static",
    };
    let program = folder.join(format!("{name}-{kind}-{}", language.replace('+', "p")));
    let compiler = std::env::var(compiler.to_uppercase().replace("C++", "CXX"))
        .unwrap_or_else(|_| compiler.into());
    let built = built();
    let mut command = Command::new(compiler);
    command
        .args(["-x", language, standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-g", "-O1"])
        .arg("-D_POSIX_C_SOURCE=200809L")
        .arg("-I")
        .arg(root.join("include"))
        .arg(root.join("tests/c").join(name).with_extension("c"))
        .args(["-x", "none", "-o"])
        .arg(&program);
    match library {
        Library::Shared => command
            .arg("-L")
            .arg(&built)
            .arg("-lkcoro")
            .arg(format!("-Wl,-rpath,{}", built.display())),
        Library::Static => command.arg(built.join("libkcoro.a")).args(["-ldl", "-lm"]),
    };
    run(command.arg("-lpthread"));
    program
}

/// Where cargo has put the library that this test was built with: beside the test.
fn built() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn copies() {
    check("chan_copy");
}

#[test]
fn copies_with_the_static_library() {
    let program = build("chan_copy", "c", "cc", "-std=c11", Library::Static);
    run(&mut Command::new(program));
}

#[test]
fn undelivered() {
    check("chan_hook");
}

#[test]
fn tokens() {
    check("cancel");
}

#[test]
fn selects() {
    check("select");
}

#[test]
fn zero_copy() {
    check("zero_copy");
}

#[test]
fn everything_at_once() {
    check("chan_stress");
}

#[test]
fn coroutines() {
    check("chan_coroutine");
}

/// Every operation of a traced program is a line of its trace.
#[test]
fn traces() {
    let program = build("zero_copy", "c", "cc", "-std=c11", Library::Static);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kcoro").join("trace");
    let _there_is_none = std::fs::remove_file(&file);
    run(Command::new(program).env("KCORO_TRACE", &file));
    let trace = std::fs::read_to_string(&file).unwrap();
    let fields: Vec<Vec<&str>> = trace.lines().map(|line| line.split('\t').collect()).collect();
    assert!(fields.iter().all(|line| line.len() == 5));
    let count = |operation: &str, answer: Option<&str>| {
        let is = |line: &&Vec<&str>| line[3] == operation && answer.is_none_or(|a| line[4] == a);
        fields.iter().filter(is).count()
    };
    assert_eq!(count("make", None), count("destroy", None));
    assert!(count("send_ptr", Some("0")) > 10 && count("recv_ptr", Some("-11")) > 2);
    assert!(count("close", None) > 2 && count("send", Some("0")) > 2);
    let times: Vec<u64> = fields.iter().map(|line| line[0].parse().unwrap()).collect();
    assert!(times.iter().all(|&time| time > 0));
}

#[test]
fn statistics() {
    check("stats");
}
