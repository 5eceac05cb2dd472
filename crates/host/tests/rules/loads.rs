// SPDX-License-Identifier: BSD-3-Clause
//! A load ends within its limit, whatever part of the plugin does not come back.

use std::{
    fs::{File, OpenOptions},
    path::Path,
    process::Command,
    time::Duration,
};

use becket_host::{Host, Limits, LoadError, LoadStage, Plugin, PluginSpec, ReloadError};

use crate::support::{
    logs,
    native::Workshop,
    unload_clean,
    wait::{poll_once, wait},
};

/// How long a load may take that ends, on a machine that does much else.
const LONG_MS: u64 = 60_000;
/// How long one may take that does not.
const SHORT_MS: u64 = 300;

/// Builds the plugin `name` in a version that does not come back from `part`.
fn build(workshop: &Workshop, name: &str, part: &str) -> std::path::PathBuf {
    let source = format!(
        "#define HANGS_IN {part}\n#define NAME {part:?}\n#define PIPE {:?}\n{}",
        pipe(workshop),
        include_str!("hangs.c")
    );
    workshop.build(name, &source)
}

fn pipe(workshop: &Workshop) -> std::path::PathBuf {
    workshop.place("pipe")
}

fn make_pipe(workshop: &Workshop) {
    let made = Command::new("mkfifo").arg(pipe(workshop)).status().unwrap();
    assert!(made.success());
}

/// Lets the plugin that hangs at the pipe go on; blocks until one hangs there.
fn let_go(workshop: &Workshop) -> File {
    OpenOptions::new().write(true).open(pipe(workshop)).unwrap()
}

fn spec(path: &Path, load_timeout_ms: u64) -> PluginSpec {
    PluginSpec::path("hangs", path).limits(Limits { load_timeout_ms, ..Limits::default() })
}

fn assert_timed_out(error: &LoadError, wanted: LoadStage) {
    let LoadError::TimedOut { stage, timeout_ms, .. } = error else { panic!("{error}") };
    assert_eq!((*stage, *timeout_ms), (wanted, SHORT_MS));
    assert!(error.cause().is_some() && error.hint().unwrap().contains("load_timeout_ms"));
}

#[test]
fn a_part_that_never_returns_is_given_up_and_the_next_file_is_loaded() {
    logs::capture();
    for (part, stage) in [
        ("constructor", LoadStage::Open),
        ("entry_function", LoadStage::EntryFunction),
        ("attach", LoadStage::Attach),
        ("init", LoadStage::Init),
        ("describe", LoadStage::Describe),
    ] {
        let workshop = Workshop::new();
        make_pipe(&workshop);
        let host = Host::new();
        let path = build(&workshop, "hangs", part);
        let error = host.load(spec(&path, SHORT_MS)).unwrap_err();
        assert_timed_out(&error, stage);
        assert!(host.plugin("hangs").is_none(), "it never becomes ready");
        // The linker is held by a constructor: that one has to return first.
        let held = (stage == LoadStage::Open).then(|| let_go(&workshop));

        let repaired = build(&workshop, "hangs", "nothing");
        let plugin = host.load(spec(&repaired, LONG_MS)).unwrap();
        assert_eq!(*wait(plugin.call_raw("echo", b"x")).unwrap().body, *b"x");
        drop(held.unwrap_or_else(|| let_go(&workshop)));
        if matches!(stage, LoadStage::Init | LoadStage::Describe) {
            // It was started after all, so it is shut down.
            logs::reach(1, &[&format!("shut down after {part}")]);
        }
        if stage == LoadStage::Init {
            logs::reach(1, &["late init: no timer"]);
            assert_eq!(logs::count(&["a timer of a load"]), 0);
        }
        assert_eq!(*wait(plugin.call_raw("echo", b"y")).unwrap().body, *b"y");
        unload_clean(&host, &plugin);
    }
}

#[test]
fn a_reload_to_a_file_that_hangs_keeps_what_runs_and_the_repaired_file_is_loaded() {
    let workshop = Workshop::new();
    make_pipe(&workshop);
    let host = Host::new();
    let path = build(&workshop, "again", "nothing");
    let limits = Limits { load_timeout_ms: SHORT_MS, ..Limits::default() };
    // Those that come back have their time: a reload has the limits of the first load.
    let plugin = loop {
        match host.load(PluginSpec::path("again", &path).limits(limits.clone())) {
            Err(LoadError::TimedOut { .. }) => {}
            loaded => break loaded.unwrap(),
        }
    };
    build(&workshop, "again", "init");
    match wait(plugin.reload()) {
        Err(ReloadError::Load(error)) => assert_timed_out(&error, LoadStage::Init),
        other => panic!("{other:?}"),
    }
    assert_eq!(plugin.info().generation, 1);
    assert_eq!(*wait(plugin.call_raw("echo", b"old")).unwrap().body, *b"old");

    build(&workshop, "again", "nothing");
    while let Err(ReloadError::Load(LoadError::TimedOut { .. })) = wait(plugin.reload()) {}
    assert!(plugin.info().generation > 1);
    assert_eq!(*wait(plugin.call_raw("echo", b"new")).unwrap().body, *b"new");
    drop(let_go(&workshop));
    unload_clean(&host, &plugin);
}

/// A plugin of one version after the other, with what each is defined with; it has state.
struct Versions(Workshop);

impl Versions {
    fn build(&self, version: &str, definitions: &str) -> std::path::PathBuf {
        let source = include_str!("reloaded.c");
        let head = format!("#define _GNU_SOURCE\n#define VERSION {version:?}\n#define STATE\n");
        self.0.build("hands_over", &format!("{head}{definitions}\n{source}"))
    }

    fn load(host: &Host, path: std::path::PathBuf) -> Plugin {
        let limits = Limits { load_timeout_ms: 1000, drain_ms: 100, ..Limits::default() };
        host.load(PluginSpec::path("hands_over", path).limits(limits)).unwrap()
    }

    fn ask(plugin: &Plugin) -> (String, String) {
        let [version, count] = ["version", "count"].map(|entry| {
            let response = wait(plugin.call_raw(entry, b"")).unwrap();
            String::from_utf8(response.body.to_vec()).unwrap()
        });
        (version, count)
    }
}

fn assert_hand_over_times_out(plugin: &Plugin) {
    match wait(plugin.reload()) {
        Err(ReloadError::Load(LoadError::TimedOut { stage: LoadStage::HandOver, .. })) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hand_over_that_hangs_keeps_what_runs_and_the_repaired_file_is_loaded() {
    let (host, versions) = (Host::new(), Versions(Workshop::new()));
    let plugin = Versions::load(&host, versions.build("one", ""));
    assert_eq!(Versions::ask(&plugin), ("one".into(), "1".into()));
    versions.build("two", "#define IMPORT_HANGS");
    assert_hand_over_times_out(&plugin);
    assert_eq!(Versions::ask(&plugin), ("one".into(), "2".into()));
    versions.build("three", "");
    while let Err(ReloadError::Load(LoadError::TimedOut { .. })) = wait(plugin.reload()) {}
    assert_eq!(Versions::ask(&plugin), ("three".into(), "3".into()));
}

#[test]
fn a_plugin_that_hangs_in_its_export_is_replaced_without_its_state_by_the_next_reload() {
    logs::capture();
    let (host, versions) = (Host::new(), Versions(Workshop::new()));
    // Of the second kind no call gets in any more: the thread in `reload_export` holds its lock.
    for definitions in ["#define EXPORT_HANGS", "#define EXPORT_HANGS\n#define ONE_AT_A_TIME"] {
        let plugin = Versions::load(&host, versions.build("one", definitions));
        assert_eq!(Versions::ask(&plugin), ("one".into(), "1".into()));
        versions.build("two", "");
        assert_hand_over_times_out(&plugin);
        wait(plugin.reload()).unwrap();
        assert_eq!(Versions::ask(&plugin), ("two".into(), "1".into()));
        versions.build("three", "");
        wait(plugin.reload()).unwrap();
        assert_eq!(Versions::ask(&plugin), ("three".into(), "2".into()), "it hands over again");
        wait(host.unload("hands_over")).unwrap();
    }
    logs::reach(2, &["becket::host", "plugin=hands_over", "without its state"]);
}

#[test]
fn a_reload_that_never_ends_keeps_no_plugin_from_its_end() {
    // In a process of its own, whose pool for what blocks has one thread, if anything uses that.
    const NAME: &str = "loads::a_reload_that_never_ends_keeps_no_plugin_from_its_end";
    if std::env::var_os("BLOCKING_MAX_THREADS").is_none() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let child = child.args(["--exact", NAME]).env("BLOCKING_MAX_THREADS", "1");
        assert!(child.status().unwrap().success());
        return;
    }
    logs::capture();
    let (host, versions) = (Host::new(), Versions(Workshop::new()));
    let path = versions.build("one", "#define EXPORT_HANGS");
    let limits = Limits { load_timeout_ms: 0, drain_ms: 20, ..Limits::default() };
    let plugin = host.load(PluginSpec::path("hands_over", path).limits(limits)).unwrap();
    let mut reload = Box::pin(plugin.reload());
    assert!(poll_once(&mut reload).is_pending());
    logs::reach(1, &["plugin=hands_over", "asked for its state"]);
    let report = wait(host.shutdown(Duration::from_millis(20)));
    assert_eq!(report.plugins, 1);
}
