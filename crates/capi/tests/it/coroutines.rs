// SPDX-License-Identifier: BSD-3-Clause
//! The C programs on coroutines, schedulers, actors, scopes, jobs, contexts and blocking calls.

use crate::common::{C, Library, build, check, folder, include, root, run};

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
fn nested_functions() {
    check("nested");
}

#[test]
fn tasks() {
    check("task_basics");
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
fn launches_producers_and_workers() {
    check("ext_launch");
}

#[test]
fn blocking_calls_and_tools() {
    check("blocking_basics");
}

/// What the headers declare, the library has and a C program of the tests uses.
#[test]
fn every_function_is_there_and_is_used() {
    let read = |folder: &str, extension: &str| -> Vec<(String, String)> {
        let mut files: Vec<_> = std::fs::read_dir(root().join(folder))
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
    let headers = read("include", "h");
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
    run(&mut build("functions", &[file], &C, Library::Shared));
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
fn what_is_not_there_is_refused_by_the_compiler() {
    let refused = [(
        "steal",
        "#define KC_SCHED_STEAL_SCAN_MAX 4\n#include \"kcoro_sched.h\"\n",
        "KC_SCHED_STEAL_SCAN_MAX cannot be set",
    )];
    for (name, text, why) in refused {
        let source = folder().join(name).with_extension("c");
        std::fs::write(&source, text).unwrap();
        let output =
            C.compiler().args(["-fsyntax-only", "-I"]).arg(include()).arg(source).output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(why), "{said}");
    }
}
