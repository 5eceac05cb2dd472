// SPDX-License-Identifier: BSD-3-Clause
//! A reload runs the new bytes, loses no call, keeps the old plugin if the new one does not load,
//! and leaves nothing behind.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use becket_abi::NrStatus;
use becket_host::{
    CallError, Dispatch, Host, LoadError, Plugin, PluginSpec, PluginState, ReloadError, Request,
};

use crate::support::{
    assert_adds_up, logs,
    native::{Workshop, images},
    script::Script,
    unload_clean,
    wait::{poll_once, wait},
};

/// The plugin: answers its version, at once or from a timer, and counts.
const SOURCE: &str = include_str!("reloaded.c");

/// The plugin's source as this version, with more definitions.
fn source(version: &str, definitions: &str) -> String {
    format!("#define VERSION \"{version}\"\n{definitions}\n{SOURCE}")
}

fn ask(plugin: &Plugin, entry: &str) -> String {
    let response = wait(plugin.call_raw(entry, b"")).unwrap();
    assert!(response.status.is_ok());
    String::from_utf8(response.body.to_vec()).unwrap()
}

#[test]
fn hundreds_of_reloads_under_load_lose_no_call_and_leave_no_image() {
    logs::capture();
    const RELOADS: usize = 200;
    const THREADS: usize = 4;
    let workshop = Workshop::new();
    let bytes = ["one", "two"]
        .map(|version| fs::read(workshop.build(version, &source(version, ""))).unwrap());
    let path = workshop.place("under_load");
    let publish = |at: usize| {
        let beside = path.with_extension("new");
        fs::write(&beside, &bytes[at % 2]).unwrap();
        fs::rename(&beside, &path).unwrap();
    };
    publish(0);
    let host = Host::new();
    let spec = PluginSpec::path("under_load", &path).dispatch(Dispatch::Caller);
    let plugin = host.load(spec).unwrap();
    let stop = AtomicBool::new(false);
    let answered = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (plugin, stop, answered) = (&plugin, &stop, &answered);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let version = match thread % 4 {
                        0 => ask(plugin, "later"),
                        1 => {
                            let body = plugin.call_now("version", b"").unwrap().body;
                            String::from_utf8(body.to_vec()).unwrap()
                        }
                        2 => {
                            let mut stream =
                                wait(plugin.stream("later", Request::default())).unwrap();
                            let frame = wait(stream.next()).unwrap().unwrap();
                            String::from_utf8(frame.body.to_vec()).unwrap()
                        }
                        _ => ask(plugin, "version"),
                    };
                    assert!(version == "one" || version == "two", "{version}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for at in 1..=RELOADS {
            publish(at);
            wait(plugin.reload()).unwrap();
            assert_eq!(ask(&plugin, "version"), ["one", "two"][at % 2], "the new bytes");
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(answered.into_inner() >= THREADS as u64);
    assert_adds_up(&plugin);
    let snapshot = plugin.snapshot();
    assert_eq!(snapshot.calls, snapshot.ok, "{snapshot:?}");
    assert_eq!((snapshot.reloads, snapshot.reload_failures), (RELOADS as u64, 0));
    assert_eq!(snapshot.generation, RELOADS as u64 + 1);
    // Each says so in its destructor, which the linker runs under its lock: at most the last one
    // of them is not unmapped yet.
    logs::reach(RELOADS, &["plugin=under_load ", "unmapped"]);
    assert!(images("under_load.so") <= 2, "{} images are left", images("under_load.so"));
    unload_clean(&host, &plugin);
    logs::reach(RELOADS + 1, &["plugin=under_load ", "unmapped"]);
}

#[test]
fn what_is_in_flight_ends_where_it_began() {
    logs::capture();
    let workshop = Workshop::new();
    let path = workshop.build("in_flight", &source("one", ""));
    let host = Host::new();
    let plugin = host.load(PluginSpec::path("in_flight", &path)).unwrap();
    let mut stream = wait(plugin.stream("chat", Request::default())).unwrap();
    wait(stream.send(b"before")).unwrap();
    assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"one");

    workshop.build("in_flight", &source("two", ""));
    wait(plugin.reload()).unwrap();
    assert_eq!(ask(&plugin, "version"), "two");
    wait(stream.send(b"after")).unwrap();
    assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"one", "the old one goes on");
    assert_eq!(logs::count(&["plugin=in_flight ", "shut down one"]), 0);
    stream.close().unwrap();
    assert!(wait(stream.next()).unwrap().is_none());
    drop(stream);
    logs::reach(1, &["plugin=in_flight ", "shut down one"]);
    unload_clean(&host, &plugin);
    logs::reach(1, &["plugin=in_flight ", "shut down two"]);
}

#[test]
fn the_old_one_goes_on_when_the_new_one_does_not_load() {
    let workshop = Workshop::new();
    let path = workshop.build("keeps", &source("one", ""));
    let host = Host::new();
    let plugin = host.load(PluginSpec::path("keeps", &path)).unwrap();
    let fails = |wanted: fn(&LoadError) -> bool| {
        let error = wait(plugin.reload()).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        let ReloadError::Load(load) = &error else { panic!("{error}") };
        assert!(wanted(load), "{load:?}");
        assert_eq!(ask(&plugin, "version"), "one");
        assert_eq!((plugin.state(), plugin.snapshot().generation), (PluginState::Ready, 1));
    };
    fs::write(&path, b"no library").unwrap();
    fails(|error| matches!(error, LoadError::NotElf { .. }));
    fs::remove_file(&path).unwrap();
    fails(|error| matches!(error, LoadError::NotFound { .. }));
    workshop.build("keeps", &source("broken", "#define INIT_FAILS"));
    fails(|error| matches!(error, LoadError::InitFailed { status: NrStatus::Err, .. }));
    workshop.build("keeps", "int nothing;");
    fails(|error| matches!(error, LoadError::SymbolMissing { .. }));
    workshop.build("keeps", &source("two", ""));
    wait(plugin.reload()).unwrap();
    assert_eq!(ask(&plugin, "version"), "two");
    let snapshot = plugin.snapshot();
    assert_eq!((snapshot.reloads, snapshot.reload_failures), (1, 4));
    assert_adds_up(&plugin);
    unload_clean(&host, &plugin);
}

#[test]
fn state_is_handed_over_when_the_calls_have_ended_and_others_wait() {
    let workshop = Workshop::new();
    let path = workshop.build("state", &source("one", "#define STATE"));
    let host = Host::new();
    let spec = PluginSpec::path("state", &path).dispatch(Dispatch::Caller);
    let plugin = host.load(spec).unwrap();
    assert_eq!([ask(&plugin, "count"), ask(&plugin, "count")], ["1", "2"]);
    let mut held = plugin.call_raw("hold", b"");
    assert!(poll_once(&mut held).is_pending());

    workshop.build("state", &source("two", "#define STATE"));
    let mut reload = Box::pin(plugin.reload());
    assert!(poll_once(&mut reload).is_pending());
    // A notification gets through as long as the old one is there: the last one says so.
    while plugin.state() != PluginState::Reloading {
        assert!(poll_once(&mut reload).is_pending());
        thread::yield_now();
    }
    let mut waits = plugin.call_raw("count", b"");
    assert!(poll_once(&mut waits).is_pending());
    let error = wait(plugin.reload()).unwrap_err();
    assert!(matches!(error, ReloadError::Busy { .. }), "{error}");
    thread::scope(|scope| {
        let blocked = scope.spawn(|| plugin.call_now("version", b"").unwrap());
        assert!(poll_once(&mut reload).is_pending(), "a call is in flight");
        drop(held);
        wait(reload).unwrap();
        assert_eq!(*blocked.join().unwrap().body, *b"two");
    });
    assert_eq!(*wait(waits).unwrap().body, *b"3", "the count went on");
    assert_eq!(plugin.state(), PluginState::Ready);
    assert_adds_up(&plugin);
    unload_clean(&host, &plugin);
}

#[test]
fn a_hand_over_that_fails_keeps_the_old_one_and_its_state() {
    for (old, new, wanted) in [
        ("#define STATE", "#define STATE\n#define IMPORT_FAILS", NrStatus::Invalid),
        ("#define STATE\n#define EXPORT_FAILS", "#define STATE", NrStatus::Err),
    ] {
        let workshop = Workshop::new();
        let path = workshop.build("hand_over", &source("one", old));
        let host = Host::new();
        let plugin = host.load(PluginSpec::path("hand_over", &path)).unwrap();
        assert_eq!(ask(&plugin, "count"), "1");
        workshop.build("hand_over", &source("two", new));
        let error = wait(plugin.reload()).unwrap_err();
        let ReloadError::HandOver { status, .. } = error else { panic!("{error}") };
        assert_eq!(status, wanted);
        assert_eq!(ask(&plugin, "version"), "one");
        assert_eq!(ask(&plugin, "count"), "2", "nothing was lost");
        assert_eq!(plugin.snapshot().reload_failures, 1);
        unload_clean(&host, &plugin);
    }
}

#[test]
fn what_cannot_be_reloaded_says_so() {
    let host = Host::new();
    let (linked, _) = Script::echo().load(&host, "linked");
    let error = wait(linked.reload()).unwrap_err();
    assert!(matches!(error, ReloadError::Fixed { .. }), "{error}");
    assert!(error.hint().is_some());

    let workshop = Workshop::new();
    let path = workshop.build("in_place", &source("one", ""));
    let in_place = host.load(PluginSpec::path("in_place", &path).private_copy(false)).unwrap();
    let error = wait(in_place.reload()).unwrap_err();
    assert!(matches!(error, ReloadError::Fixed { .. }), "{error}");
    assert_eq!(ask(&in_place, "version"), "one");

    let gone = host.load(PluginSpec::path("gone", &path)).unwrap();
    unload_clean(&host, &gone);
    let error = wait(gone.reload()).unwrap_err();
    assert!(matches!(error, ReloadError::Unloaded { .. }), "{error}");
    assert!(matches!(wait(gone.call_raw("version", b"")), Err(CallError::Unloaded)));
    unload_clean(&host, &in_place);
    unload_clean(&host, &linked);
}
