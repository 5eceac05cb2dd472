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
    for language in [C, CPP] {
        run(&mut Command::new(build(name, &language, Flavour::Shared)));
    }
    if has_sanitizers() {
        let program = build(name, &C, Flavour::Sanitized);
        run(Command::new(program).env("ASAN_OPTIONS", "detect_leaks=1"));
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
    check("core_on_channels");
}

#[test]
fn from_many_sides() {
    check("core_stress");
}

#[test]
fn overflows() {
    check("core_overflow");
}

#[test]
fn schedulers() {
    check("sched_basics");
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
    check("job_basics");
}

#[test]
fn contexts_and_dispatchers() {
    check("context_basics");
}

#[test]
fn results_and_joints() {
    check("ext_basics");
}

#[test]
fn blocking_calls_and_tools() {
    check("blocking_basics");
}

/// What the headers declare, the library has and a C program of the tests uses.
#[test]
fn every_function_is_there_and_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |folder: &str, extension: &str| -> Vec<(String, String)> {
        let mut files: Vec<_> = std::fs::read_dir(root.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == extension))
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, std::fs::read_to_string(path).unwrap())
            })
            .collect();
        files.sort();
        files
    };
    let mut headers = read("include", "h");
    headers.retain(|(name, _)| name != "kcoro_task.h");
    let programs: String = read("tests/c", "c").into_iter().map(|(_, text)| text).collect();
    let mut source = String::new();
    let mut functions = Vec::new();
    for (name, text) in &headers {
        source.push_str(&format!("#include \"{name}\"\n"));
        functions.extend(declared(text));
    }
    assert!(functions.len() > 100, "{functions:?}");
    let unused: Vec<_> =
        functions.iter().filter(|name| !programs.contains(&format!("{name}("))).collect();
    assert!(unused.is_empty(), "no C program uses {unused:?}");
    source.push_str("typedef void (*function)(void);\nstatic const function all[] = {\n");
    for name in &functions {
        source.push_str(&format!("    (function){name},\n"));
    }
    source.push_str("};\nint main(void) { return all[0] == 0; }\n");
    let file = folder().join("functions.c");
    std::fs::write(&file, source).unwrap();
    let program = folder().join("functions");
    let built = built();
    run(C
        .compiler()
        .arg("-I")
        .arg(root.join("include"))
        .arg(file)
        .arg("-L")
        .arg(&built)
        .arg("-lkcoro")
        .arg(format!("-Wl,-rpath,{}", built.display()))
        .arg("-o")
        .arg(&program));
    run(&mut Command::new(program));
}

/// Names of functions that a header declares and does not define.
fn declared(header: &str) -> Vec<String> {
    let mut text = String::new();
    let mut rest = header;
    while let Some((before, after)) = rest.split_once("/*") {
        text.push_str(before);
        rest = after.split_once("*/").unwrap().1;
    }
    text.push_str(rest);
    let text: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect::<Vec<_>>()
        .join(" ");
    text.split(';')
        .filter(|declaration| !declaration.contains("typedef") && !declaration.contains("inline"))
        .filter_map(|declaration| declaration.split_once('('))
        .filter_map(|(before, _)| {
            let name =
                before.rsplit(|letter: char| !letter.is_alphanumeric() && letter != '_').next();
            name.filter(|name| name.starts_with("kc_") || name.starts_with("kcoro_"))
        })
        .map(str::to_owned)
        .collect()
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
