// SPDX-License-Identifier: BSD-3-Clause
//! Plugins whose handlers cannot run on coroutines do not load, and say what to do.

use becket_host::{CoroutineDefect, Host, LoadError, PluginSpec};

use crate::{support::native::Workshop, waits::SOURCE};

fn refused(name: &str, definitions: &str) -> LoadError {
    let workshop = Workshop::new();
    let path = workshop.build(name, &format!("{definitions}\n{SOURCE}"));
    Host::new().load(PluginSpec::path(name, path)).map(drop).unwrap_err()
}

fn defect(error: &LoadError) -> CoroutineDefect {
    match error {
        LoadError::Coroutine { defect, .. } => *defect,
        other => panic!("{other}"),
    }
}

#[test]
fn go_is_refused_with_the_reason() {
    let error = refused("like_go", "#define LIKE_GO");
    assert_eq!(defect(&error), CoroutineDefect::Go);
    let said = error.to_string();
    assert!(said.ends_with("wants its handlers on coroutines, and is written in Go"), "{said}");
    assert!(error.cause().unwrap().contains("stack that it did not make"));
    assert!(error.hint().unwrap().contains("goroutine"));
}

#[test]
fn go_that_wants_none_is_not() {
    let workshop = Workshop::new();
    let source = format!("#define LIKE_GO\n#define FLAGS BK_PLUGIN_THREAD_SAFE\n{SOURCE}");
    let path = workshop.build("plain_go", &source);
    Host::new().load(PluginSpec::path("plain_go", path)).unwrap();
}

#[test]
fn one_that_is_not_thread_safe_is_refused() {
    let error = refused("one_at_a_time", "#define FLAGS BK_PLUGIN_WANTS_COROUTINE");
    assert_eq!(defect(&error), CoroutineDefect::NotThreadSafe);
    assert!(error.hint().unwrap().contains("BK_PLUGIN_THREAD_SAFE"));
}

#[test]
fn a_stack_beyond_the_bound_is_refused() {
    let error = refused("huge_stack", "#define STACK_BYTES (1ull << 40)");
    let found = CoroutineDefect::Stack { found: 1 << 40, bytes_max: 8 << 20 };
    assert_eq!(defect(&error), found);
    assert!(error.hint().unwrap().contains("coroutine_stack_bytes_max"));
}
