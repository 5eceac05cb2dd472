// SPDX-License-Identifier: BSD-3-Clause
//! A reload runs the new bytes, loses no call, keeps the old plugin if the new one does not load,
//! and leaves nothing behind.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use becket_abi::NrStatus;
use becket_host::{
    CallError, Dispatch, Host, Limits, LoadError, Plugin, PluginState, ReloadError, Request,
    StreamError,
};

use crate::IS_INLINE;
use crate::spec;
use crate::support::{
    assert_adds_up, logs,
    native::{Workshop, images},
    script::Script,
    unload_clean,
    wait::{Tally, poll_once, wait},
};

/// The plugin: answers its version, at once or from a timer, and counts.
const SOURCE: &str = include_str!("reloaded.c");

/// The plugin's source as this version, with more definitions.
pub(crate) fn source(version: &str, definitions: &str) -> String {
    format!("#define VERSION \"{version}\"\n{definitions}\n{SOURCE}")
}

/// An answer that comes inside `handle`, where the plugin runs in this process.
pub(crate) fn now(plugin: &Plugin) -> becket_host::Response {
    if IS_INLINE {
        return plugin.call_now("version", b"").unwrap();
    }
    wait(plugin.call_raw("version", b"")).unwrap()
}

pub(crate) fn ask(plugin: &Plugin, entry: &str) -> String {
    let response = wait(plugin.call_raw(entry, b"")).unwrap();
    assert!(response.status.is_ok());
    String::from_utf8(response.body.to_vec()).unwrap()
}

#[test]
fn hundreds_of_reloads_under_load_lose_no_call_and_leave_no_image() {
    logs::capture();
    // At another placement each is a process.
    const RELOADS: usize = if IS_INLINE { 200 } else { 20 };
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
    let spec = spec("under_load", &path).dispatch(Dispatch::Caller);
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
                            let body = now(plugin).body;
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
    // Each says so in its destructor, a moment before the linker has unmapped it.
    let unmapped = if IS_INLINE { "unmapped" } else { "shut down" };
    logs::reach(RELOADS, &["plugin=under_load ", unmapped]);
    while images("under_load.so") > 2 {
        thread::yield_now();
    }
    unload_clean(&host, &plugin);
    logs::reach(RELOADS + 1, &["plugin=under_load ", unmapped]);
}

#[test]
fn what_is_in_flight_ends_where_it_began() {
    logs::capture();
    let workshop = Workshop::new();
    let path = workshop.build("in_flight", &source("one", ""));
    let host = Host::new();
    let plugin = host.load(spec("in_flight", &path)).unwrap();
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
    let plugin = host.load(spec("keeps", &path)).unwrap();
    let fails = |wanted: fn(&LoadError) -> bool| {
        let error = wait(plugin.reload()).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        let ReloadError::Load(load) = &error else { panic!("{error}") };
        let is_remote = matches!(load, LoadError::Remote { .. });
        assert!(if IS_INLINE { wanted(load) } else { is_remote }, "{load:?}");
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
fn what_cannot_be_reloaded_says_so() {
    let host = Host::new();
    let (linked, _) = Script::echo().load(&host, "linked");
    if IS_INLINE {
        let error = wait(linked.reload()).unwrap_err();
        assert!(matches!(error, ReloadError::Fixed { .. }), "{error}");
        assert!(error.hint().is_some());
    }

    let workshop = Workshop::new();
    let path = workshop.build("in_place", &source("one", ""));
    let in_place = host.load(spec("in_place", &path).private_copy(false)).unwrap();
    if IS_INLINE {
        let error = wait(in_place.reload()).unwrap_err();
        assert!(matches!(error, ReloadError::Fixed { .. }), "{error}");
    }
    assert_eq!(ask(&in_place, "version"), "one");

    let gone = host.load(spec("gone", &path)).unwrap();
    unload_clean(&host, &gone);
    let error = wait(gone.reload()).unwrap_err();
    assert!(matches!(error, ReloadError::Unloaded { .. }), "{error}");
    assert!(matches!(wait(gone.call_raw("version", b"")), Err(CallError::Unloaded)));
    unload_clean(&host, &in_place);
    unload_clean(&host, &linked);
}

#[test]
fn an_unload_reaches_what_a_reload_left_behind() {
    logs::capture();
    let workshop = Workshop::new();
    let path = workshop.build("left", &source("one", ""));
    let host = Host::new();
    let limits = Limits { drain_ms: 20, ..Limits::default() };
    let spec = spec("left", &path).dispatch(Dispatch::Caller).limits(limits);
    let plugin = host.load(spec).unwrap();
    let mut stream = wait(plugin.stream("chat", Request::default())).unwrap();
    let mut held = plugin.call_raw("hold", b"");
    assert!(poll_once(&mut held).is_pending());
    workshop.build("left", &source("two", ""));
    wait(plugin.reload()).unwrap();
    assert_eq!(ask(&plugin, "version"), "two");

    let report = wait(host.shutdown(Duration::from_millis(20)));
    assert_eq!(report.abandoned_calls, 2);
    assert!(matches!(wait(stream.next()), Err(StreamError::Unloaded)));
    assert!(matches!(wait(held), Err(CallError::Unloaded)));
    drop(stream);
    logs::reach(1, &["plugin=left ", "shut down one"]);
    logs::reach(1, &["plugin=left ", "shut down two"]);
}

#[test]
fn an_unload_goes_on_when_nobody_awaits_it() {
    let host = Host::new();
    let ended = Tally::new();
    let at_end = ended.clone();
    let script = Script::new(|_, _| NrStatus::Ok).on_shutdown(move |_| at_end.add());
    let limits = Limits { drain_ms: 20, ..Limits::default() };
    let (plugin, _) =
        script.load_with(&host, "unawaited", |spec| spec.limits(limits).dispatch(Dispatch::Caller));
    let mut held = plugin.call_raw("x", b"");
    assert!(poll_once(&mut held).is_pending());
    let mut unload = Box::pin(host.unload("unawaited"));
    assert!(poll_once(&mut unload).is_pending());
    drop(unload);
    assert!(matches!(wait(held), Err(CallError::Unloaded)), "failed at the end of the drain");
    ended.reach(1);
}

/// A plugin whose entries have the numbers of their places in NAMES.
const NUMBERED: &str = r#"
#include <string.h>
static const char *const names[] = {NAMES};
#define COUNT (sizeof names / sizeof names[0])
static void *host_ctx;
static const NrHostVTable *host;
static NrStatus init(void *ctx, void *context, const NrHostVTable *table) {
    (void)ctx;
    host_ctx = context;
    host = table;
    return NR_OK;
}
static uint32_t resolve_entry(void *ctx, NrStr name) {
    (void)ctx;
    for (uint32_t at = 0; at < COUNT; at++) {
        if (strlen(names[at]) == name.len && memcmp(names[at], name.ptr, name.len) == 0) {
            return at;
        }
    }
    return BK_ENTRY_UNKNOWN;
}
static NrStatus by_id(void *ctx, uint32_t id, uint64_t sid, const NrRequest *request, NrBytes payload) {
    (void)ctx, (void)request, (void)payload;
    if (id >= COUNT) {
        return NR_INVALID;
    }
    NrBytes answer = {(const uint8_t *)names[id], strlen(names[id])};
    host->send_result(host_ctx, sid, NR_OK, answer);
    return NR_OK;
}
static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request, NrBytes payload) {
    return by_id(ctx, resolve_entry(ctx, entry), sid, request, payload);
}
static const NrPluginVTable vtable = {
    .init = init, .handle = handle, .resolve_entry = resolve_entry, .handle_by_id = by_id};
"#;

#[test]
fn an_id_of_an_entry_is_of_one_load() {
    let workshop = Workshop::new();
    let build = |names: &str| {
        workshop.build_around("numbered", &format!("#define NAMES {names}\n{NUMBERED}"))
    };
    let path = build("\"one\", \"two\"");
    let host = Host::new();
    let plugin = host.load(spec("numbered", &path)).unwrap();
    let entries = ["one", "two"].map(|name| plugin.entry(name).unwrap());
    let answers = || {
        entries.each_ref().map(|entry| {
            let answer = wait(entry.call_raw(b""));
            answer.map(|answer| String::from_utf8(answer.body.to_vec()).unwrap())
        })
    };
    let both = |answers: [Result<String, CallError>; 2]| answers.map(Result::unwrap);
    assert_eq!(both(answers()), ["one", "two"]);
    build("\"two\", \"one\"");
    wait(plugin.reload()).unwrap();
    assert_eq!(both(answers()), ["one", "two"], "the ids have changed places");
    build("\"two\"");
    wait(plugin.reload()).unwrap();
    let [one, two] = answers();
    assert!(matches!(one, Err(CallError::Refused { .. })), "there is none: {one:?}");
    assert_eq!(two.unwrap(), "two");
    unload_clean(&host, &plugin);
}
