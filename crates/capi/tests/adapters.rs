// SPDX-License-Identifier: BSD-3-Clause
//! The adapter of `examples/adapters/memory-ring-c` and its check, built as C11 and as C++17 with every
//! warning an error, linked to the library, and run.
//!
//! `CC` and `CXX` name the compilers; `cc` and `c++` without them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::process::Command;

fn check(language: &str, compiler: &str, variable: &str, standard: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = root.join("../../examples/adapters/memory-ring-c");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("memory-ring-{variable}"));
    // Where cargo has put the library that this test was built with: beside the test.
    let library = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let compiler = std::env::var(variable).unwrap_or_else(|_| compiler.into());
    let mut command = Command::new(compiler);
    command
        .args(["-x", language, standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-g", "-O1"])
        .args(["-D_POSIX_C_SOURCE=200809L", "-I"])
        .arg(root.join("include"))
        .args([sources.join("check.c"), sources.join("memory_ring.c")])
        .args(["-x", "none", "-o"])
        .arg(&program)
        .arg("-L")
        .arg(&library)
        .args(["-lkcoro", "-lpthread"])
        .arg(format!("-Wl,-rpath,{}", library.display()));
    run(&mut command);
    let expected = "order, window, time: ok\ncancel: ok\nclose: ok\nregions: ok\n\
                    threads, counters: ok\n";
    assert_eq!(run(&mut Command::new(program)), expected);
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (status, errors) = (output.status, String::from_utf8_lossy(&output.stderr));
    assert!(status.success(), "{command:?}: {status}\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_memory_ring_in_c() {
    check("c", "cc", "CC", "-std=c11");
}

#[test]
fn the_memory_ring_in_cpp() {
    check("c++", "c++", "CXX", "-std=c++17");
}
