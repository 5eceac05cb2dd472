// SPDX-License-Identifier: BSD-3-Clause
//! Plugins that must not load, and what must be recognised by the vtable alone.

use becket_abi::NrStatus;
use becket_host::{CallError, Host, LoadError, PluginSpec, ReloadError};
use serde_json::json;

use crate::{BOTH, Specimen, library, refused, support::wait::wait};

/// The refusal's three lines contain all of `parts`.
fn says(name: &str, parts: &[&str]) {
    let error = refused(name);
    let cause = error.cause().unwrap_or_default();
    let hint = error.hint().unwrap_or_default();
    let said = format!("error: {error}\ncause: {cause}\nhint: {hint}");
    for part in parts {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }
}

pub(crate) fn wrong_version(name: &str) {
    says(name, &["version 7", "version 1", "build the plugin against"]);
}

pub(crate) fn info_too_small(name: &str) {
    says(name, &["48", "56"]);
}

pub(crate) fn null_info(name: &str) {
    says(name, &["NULL"]);
}

pub(crate) fn null_vtable(name: &str) {
    says(name, &["vtable", "NULL"]);
}

pub(crate) fn null_name(name: &str) {
    says(name, &["name", "4294967295"]);
}

pub(crate) fn no_symbol(name: &str) {
    says(name, &["nylon_ring_get_plugin_v1", "it exports", "hint: "]);
}

pub(crate) fn unresolved_symbol(name: &str) {
    says(name, &["undefined symbol", "link the library that has it"]);
}

pub(crate) fn missing_init(name: &str) {
    says(name, &["`init`", "hint: every plugin needs"]);
}

pub(crate) fn missing_handle(name: &str) {
    says(name, &["`handle", "hint: every plugin needs"]);
}

pub(crate) fn coroutine_not_thread_safe(name: &str) {
    says(name, &["not say that it is thread-safe", "interleave", "BK_PLUGIN_THREAD_SAFE"]);
}

pub(crate) fn coroutine_stack_too_large(name: &str) {
    says(name, &["1099511627776", "8388608", "coroutine_stack_bytes_max"]);
}

pub(crate) fn init_fails(name: &str) {
    says(name, &["`init`", "Err", "hint: "]);
}

pub(crate) fn attach_fails(name: &str) {
    says(name, &["`attach`", "Unsupported", "hint: "]);
}

pub(crate) fn layout_unclear(name: &str) {
    says(name, &["vtable layout", "set `layout`", "documented", "raw", "short"]);
}

pub(crate) fn layout_documented(name: &str) {
    layout(name, "documented");
}

pub(crate) fn layout_raw(name: &str) {
    layout(name, "raw");
}

pub(crate) fn layout_short(name: &str) {
    layout(name, "short");
}

pub(crate) fn layout_v2(name: &str) {
    layout(name, "v2");
}

fn layout(name: &str, layout: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        assert_eq!(specimen.plugin.info().layout, layout);
        assert!(specimen.hit().unwrap().status.is_ok());
        let request = becket_host::Request::new("x").path("/");
        assert!(wait(specimen.plugin.call("ok", request)).unwrap().status.is_ok());
        specimen.end();
    }
}

pub(crate) fn describe_never_ends(name: &str) {
    let specimen = Specimen::load(name, BOTH[0]);
    let entries = specimen.plugin.entries().len();
    assert!((2..=65_536).contains(&entries), "{entries} entries");
    specimen.answers(b"hit");
    specimen.end();
}

pub(crate) fn describe_not_utf8(name: &str) {
    let specimen = Specimen::load(name, BOTH[0]);
    let entries = specimen.plugin.entries();
    assert_eq!((entries[0].name.as_str(), entries[1].name.as_str()), ("ok", "hit"));
    specimen.answers(b"hit");
    specimen.end();
}

pub(crate) fn resolves_nothing(name: &str) {
    let specimen = Specimen::load(name, BOTH[0]);
    let resolved = specimen.plugin.entry("hit");
    let Err(CallError::UnknownEntry(unknown)) = resolved else { panic!("{resolved:?}") };
    assert_eq!(unknown.entry, "hit");
    specimen.answers(b"hit");
    specimen.end();
}

pub(crate) fn version_of_each_load(name: &str) {
    let [first, second] = [(); 2].map(|()| Specimen::load(name, BOTH[0]));
    assert_ne!(first.plugin.info().version, second.plugin.info().version);
    for specimen in [first, second] {
        specimen.answers(b"hit");
        specimen.end();
    }
}

pub(crate) fn waits_for_config(name: &str) {
    for config in [json!({}), json!({ "greeting": "hello" })] {
        let specimen = Specimen::load_with(name, |spec| spec.config(config));
        specimen.answers(b"hit");
        specimen.end();
    }
}

pub(crate) fn hands_nothing_over(name: &str) {
    let specimen = Specimen::load(name, BOTH[0]);
    let refused = wait(specimen.plugin.reload());
    let Err(ReloadError::HandOver { status, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(status, NrStatus::Err);
    assert_eq!(specimen.plugin.info().generation, 1);
    specimen.answers(b"hit");
    specimen.end();
}

pub(crate) fn same_file_twice(name: &str) {
    let specimen = Specimen::load(name, BOTH[0]);
    specimen.answers(b"1");
    let again = specimen.host.load(PluginSpec::path("again", library(name))).unwrap();
    for at in ["1", "2", "3"] {
        let response = wait(again.call_raw("hit", b"")).unwrap();
        assert_eq!(*response.body, *at.as_bytes(), "an image of its own");
    }
    specimen.answers(b"2");
    specimen.end();

    // In place there is one image, and this one does not say that it may live twice.
    let host = Host::new();
    let in_place = |name| PluginSpec::path(name, library("same_file_twice")).private_copy(false);
    let first = host.load(in_place("first")).unwrap();
    let second = host.load(in_place("second"));
    let Err(error @ LoadError::SecondInstance { .. }) = second else { panic!("{second:?}") };
    assert!(error.hint().is_some(), "{error}");
    assert_eq!(*wait(first.call_raw("hit", b"")).unwrap().body, *b"1");
}
