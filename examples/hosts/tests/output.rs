// SPDX-License-Identifier: BSD-3-Clause
//! Each example prints what its page in the book says it prints, with the linked plugin and with
//! each plugin file that `BECKET_SAMPLES_DIR` holds.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::env;
use std::path::PathBuf;
use std::process::Command;

const LANGUAGES: [&str; 5] = ["rust", "c", "cpp", "go", "zig"];

#[test]
fn unary() {
    each(env!("CARGO_BIN_EXE_unary"), |language| {
        format!(
            "Ok: Hello from {language}: POST /greet, 1 headers, 5 bytes\n\
             Ok: one\nOk: two\nOk: three\n"
        )
    });
}

/// The program that the book shows whole. It has no linked plugin.
#[test]
fn standalone() {
    let program = env!("CARGO_BIN_EXE_standalone");
    let alone = Command::new(program).output().unwrap();
    assert!(!alone.status.success());
    let said = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert!(said.contains("name a plugin's file"), "{said}");
    let Some(samples) = env::var_os("BECKET_SAMPLES_DIR").map(PathBuf::from) else { return };
    for language in LANGUAGES {
        let file = samples.join(format!("libsample_{language}.so"));
        assert_eq!(printed(program, Some(file)), "Ok: hello\n", "{language}");
    }
}

#[test]
fn streaming() {
    each(env!("CARGO_BIN_EXE_streaming"), |_| {
        "frame 1 of 5\nframe 2 of 5\nframe 3 of 5\nframe 4 of 5\nframe 5 of 5\nthe end\n".into()
    });
}

#[test]
fn bidirectional() {
    each(env!("CARGO_BIN_EXE_bidirectional"), |_| {
        "welcome\nbye after 1000 messages\n1000 messages came back, in order\n".into()
    });
}

#[test]
fn extensions() {
    each(env!("CARGO_BIN_EXE_extensions"), |language| {
        format!(
            "ada asked for /invoices: Ok\n\
             the plugin saw: Hello from {language}: GET /invoices, 0 headers, 0 bytes\n\
             without a token: no valid token\n"
        )
    });
}

/// Runs the program with each plugin and compares what it prints.
fn each(program: &str, expected: impl Fn(&str) -> String) {
    assert_eq!(printed(program, None), expected("rust"), "linked");
    let Some(samples) = env::var_os("BECKET_SAMPLES_DIR").map(PathBuf::from) else { return };
    for language in LANGUAGES {
        let file = samples.join(format!("libsample_{language}.so"));
        assert_eq!(printed(program, Some(file)), expected(language), "{language}");
    }
}

fn printed(program: &str, plugin: Option<PathBuf>) -> String {
    let output = Command::new(program).args(plugin).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} ended with {}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
