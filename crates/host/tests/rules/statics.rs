// SPDX-License-Identifier: BSD-3-Clause
//! What a plugin defines is its own, in each of its copies.

use std::{fs, path::Path};

use becket_host::{Host, Plugin, PluginSpec};

use crate::support::{
    logs,
    native::{Workshop, compile, images},
    unload_clean,
    wait::wait,
};

/// Builds the plugin `name`; its statics have symbols that are unique in the process.
fn build(workshop: &Workshop, name: &str) -> std::path::PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules/statics.cpp");
    let path = compile(&source, &workshop.place(name));
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.windows(15).any(|text| text == b"inline_variable"), "it is exported");
    path
}

fn counts(plugin: &Plugin) -> String {
    let response = wait(plugin.call_raw("count", b"")).unwrap();
    String::from_utf8(response.body.to_vec()).unwrap()
}

#[test]
fn statics_of_vague_linkage_are_of_one_copy_and_begin_anew_with_a_reload() {
    let workshop = Workshop::new();
    let path = build(&workshop, "unique_statics");
    let host = Host::new();
    let load = |name: &str| host.load(PluginSpec::path(name, &path)).unwrap();
    let (one, other) = (load("one"), load("other"));
    assert_eq!(counts(&one), "1 1 1");
    assert_eq!(counts(&one), "2 2 2");
    assert_eq!(counts(&other), "1 1 1", "of a copy of its own");
    wait(one.reload()).unwrap();
    assert_eq!(counts(&one), "1 1 1", "a reload begins anew");
    assert_eq!(counts(&other), "2 2 2");
    unload_clean(&host, &one);
    unload_clean(&host, &other);
    assert_eq!(images("unique_statics"), 0, "nothing keeps the images mapped");
}

#[test]
fn statics_that_stay_shared_are_named() {
    logs::capture();
    let workshop = Workshop::new();
    let path = build(&workshop, "shared_statics");
    let host = Host::new();
    let plugin = host.load(PluginSpec::path("shared", &path).private_copy(false)).unwrap();
    assert_eq!(counts(&plugin), "1 1 1");
    logs::reach(1, &["statics", "inline_variable", "mapped in place", "-fno-gnu-unique"]);
    unload_clean(&host, &plugin);
}
