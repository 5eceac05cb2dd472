// SPDX-License-Identifier: BSD-3-Clause
//! A reload runs the new bytes, loses no call, keeps the old plugin if the new one does not load,
//! and leaves nothing behind.

use std::{
    fs,
    pin::Pin,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Wake, Waker},
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
    wait::{Mailbox, Tally, poll_once, wait},
};

/// The plugin: answers its version, at once or from a timer, and counts.
const SOURCE: &str = include_str!("reloaded.c");

/// The plugin's source as this version, with more definitions.
fn source(version: &str, definitions: &str) -> String {
    format!("#define VERSION \"{version}\"\n{definitions}\n{SOURCE}")
}

/// An answer that comes inside `handle`, where the plugin runs in this process.
fn now(plugin: &Plugin) -> becket_host::Response {
    if IS_INLINE {
        return plugin.call_now("version", b"").unwrap();
    }
    wait(plugin.call_raw("version", b"")).unwrap()
}

fn ask(plugin: &Plugin, entry: &str) -> String {
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
fn state_is_handed_over_when_the_calls_have_ended_and_others_wait() {
    let workshop = Workshop::new();
    let path = workshop.build("state", &source("one", "#define STATE"));
    let host = Host::new();
    let spec = spec("state", &path).dispatch(Dispatch::Caller);
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
        let blocked = scope.spawn(|| now(&plugin));
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
        let plugin = host.load(spec("hand_over", &path)).unwrap();
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

/// No call's thread was lent for it: it proves nothing about the calls.
#[test]
fn a_hand_over_that_takes_long_revokes_nothing() {
    let workshop = Workshop::new();
    logs::capture();
    let quick = "#define STATE\n#define NEVER_BLOCKS";
    let path = workshop.build("slow_import", &source("one", quick));
    let host = Host::new();
    let limits = Limits { block_report_ms: 20, ..Limits::default() };
    let plugin = host.load(spec("slow_import", &path).limits(limits)).unwrap();
    assert_eq!(ask(&plugin, "count"), "1");
    let pipe = workshop.place("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let stays = format!("{quick}\n#define IMPORT_STAYS {:?}", pipe.display().to_string());
    workshop.build("slow_import", &source("two", &stays));
    thread::scope(|scope| {
        let reload = scope.spawn(|| wait(plugin.reload()));
        // As long as it takes to find a thread stuck.
        logs::reach(1, &["becket::watchdog", "a thread is stuck", "plugin=slow_import "]);
        fs::write(&pipe, "go on").unwrap();
        reload.join().unwrap().unwrap();
    });
    assert_eq!([ask(&plugin, "version"), ask(&plugin, "count")], ["two", "2"]);
    assert_eq!(plugin.snapshot().dispatch_revoked, 0);
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

/// Polls a reload that hands state over until the plugin is paused for it.
fn pause<T>(plugin: &Plugin, mut reload: Pin<&mut impl Future<Output = T>>) {
    while plugin.state() != PluginState::Reloading {
        assert!(poll_once(&mut reload).is_pending());
        thread::yield_now();
    }
}

#[test]
fn who_waits_for_a_hand_over_waits_no_longer_than_a_call_may_take() {
    let workshop = Workshop::new();
    let path = workshop.build("patience", &source("one", "#define STATE"));
    let host = Host::new();
    let limits = Limits { deadline_ms: 20, drain_ms: 60_000, ..Limits::default() };
    let spec = spec("patience", &path).dispatch(Dispatch::Caller).limits(limits);
    let plugin = host.load(spec).unwrap();
    let mut held = plugin.call_raw("hold", b"").timeout(Duration::from_secs(60));
    assert!(poll_once(&mut held).is_pending());
    let mut reload = Box::pin(plugin.reload());
    pause(&plugin, reload.as_mut());

    let soon = Duration::from_millis(20);
    let late = |error| assert!(matches!(error, CallError::DeadlineExceeded), "{error}");
    late(wait(plugin.call_raw("version", b"")).unwrap_err());
    late(wait(plugin.call_raw("version", b"").timeout(soon)).unwrap_err());
    late(wait(plugin.call_raw("version", b"").timeout(Duration::ZERO)).unwrap_err());
    late(wait(plugin.stream("chat", Request::default())).unwrap_err());
    late(wait(plugin.stream("chat", Request::default()).timeout(soon)).unwrap_err());
    late(plugin.call_now("version", b"").unwrap_err());
    late(plugin.entry("version").unwrap_err());
    // It is not awaited: it is kept for the version that comes, and holds no thread.
    plugin.notify("count", b"").unwrap();
    assert_eq!(plugin.state(), PluginState::Reloading, "it was not that which freed them");

    // One that has the time gets through.
    let mut waits = plugin.call_raw("version", b"").timeout(Duration::from_secs(60));
    assert!(poll_once(&mut waits).is_pending());
    drop(held);
    wait(reload).unwrap();
    assert_eq!(*wait(waits).unwrap().body, *b"one");
    // The notification may still be under way until then.
    unload_clean(&host, &plugin);
    assert_adds_up(&plugin);
    assert_eq!((plugin.snapshot().notifies, plugin.snapshot().notifies_refused), (1, 0));
}

#[test]
fn an_entry_is_looked_up_when_the_plugin_is_back() {
    let workshop = Workshop::new();
    let path = workshop.build("looked_up", &source("one", "#define STATE"));
    let host = Host::new();
    let spec = spec("looked_up", &path).dispatch(Dispatch::Caller);
    let plugin = host.load(spec).unwrap();
    let mut held = plugin.call_raw("hold", b"");
    assert!(poll_once(&mut held).is_pending());
    let mut reload = Box::pin(plugin.reload());
    pause(&plugin, reload.as_mut());
    thread::scope(|scope| {
        let found = scope.spawn(|| plugin.entry("version"));
        drop(held);
        wait(reload).unwrap();
        assert_eq!(*wait(found.join().unwrap().unwrap().call_raw(b"")).unwrap().body, *b"one");
    });
    unload_clean(&host, &plugin);
}

#[test]
fn a_plugin_whose_calls_do_not_end_keeps_its_state_and_goes_on() {
    let workshop = Workshop::new();
    let path = workshop.build("busy", &source("one", "#define STATE"));
    let host = Host::new();
    let limits = Limits { drain_ms: 20, ..Limits::default() };
    let spec = spec("busy", &path).dispatch(Dispatch::Caller).limits(limits);
    let plugin = host.load(spec).unwrap();
    assert_eq!(ask(&plugin, "count"), "1");
    let mut held = plugin.call_raw("hold", b"");
    assert!(poll_once(&mut held).is_pending());
    workshop.build("busy", &source("two", "#define STATE"));
    let error = wait(plugin.reload()).unwrap_err();
    assert!(matches!(error, ReloadError::StillBusy { drain_ms: 20, .. }), "{error}");
    assert!(error.hint().is_some());
    assert_eq!([ask(&plugin, "version"), ask(&plugin, "count")], ["one", "2"]);
    assert!(poll_once(&mut held).is_pending(), "it is still in flight");
    drop(held);
    wait(plugin.reload()).unwrap();
    assert_eq!([ask(&plugin, "version"), ask(&plugin, "count")], ["two", "3"]);
    unload_clean(&host, &plugin);
}

#[test]
fn a_thread_that_is_stuck_inside_a_plugin_of_one_thread_does_not_hold_up_a_reload() {
    if !IS_INLINE {
        // The stuck thread is the worker's own, and its watchdog's message is in the worker's output.
        return;
    }
    logs::capture();
    let workshop = Workshop::new();
    let definitions = "#define STATE\n#define ONE_AT_A_TIME";
    let path = workshop.build("stuck_state", &source("one", definitions));
    let pipe = workshop.place("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let host = Host::new();
    let limits = Limits { drain_ms: 20, block_report_ms: 20, ..Limits::default() };
    let spec = spec("stuck_state", &path).dispatch(Dispatch::Caller).limits(limits);
    let plugin = host.load(spec).unwrap();
    thread::scope(|scope| {
        let payload = pipe.to_str().unwrap().as_bytes();
        let stuck = scope.spawn(|| plugin.call_now("stuck", payload).unwrap());
        logs::reach(1, &["becket::watchdog", "a thread is stuck", "plugin=stuck_state "]);
        let error = wait(plugin.reload()).unwrap_err();
        assert!(matches!(error, ReloadError::StillBusy { .. }), "{error}");
        assert_eq!(plugin.snapshot().generation, 1);
        fs::write(&pipe, b"go").unwrap();
        assert_eq!(*stuck.join().unwrap().body, *b"one");
    });
    wait(plugin.reload()).unwrap();
    assert_eq!(plugin.snapshot().generation, 3, "the second one was never put in");
    unload_clean(&host, &plugin);
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

/// Looks at its plugin when it is woken, as a task that runs at once would.
struct Looks(Plugin, Arc<Mailbox<PluginState>>);

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        self.1.put(self.0.state());
    }
}

#[test]
fn an_unload_in_the_middle_of_a_hand_over_ends_both() {
    logs::capture();
    let workshop = Workshop::new();
    let path = workshop.build("middle", &source("one", "#define STATE"));
    let host = Host::new();
    let limits = Limits { drain_ms: 500, ..Limits::default() };
    let spec = spec("middle", &path).dispatch(Dispatch::Caller).limits(limits);
    let plugin = host.load(spec).unwrap();
    let mut held = plugin.call_raw("hold", b"");
    assert!(poll_once(&mut held).is_pending());
    workshop.build("middle", &source("two", "#define STATE"));
    let mut reload = Box::pin(plugin.reload());
    pause(&plugin, reload.as_mut());
    let seen = Mailbox::new();
    let waker = Waker::from(Arc::new(Looks(plugin.clone(), seen.clone())));
    let mut waits = plugin.call_raw("version", b"");
    for _ in 0..3 {
        assert!(Pin::new(&mut waits).poll(&mut Context::from_waker(&waker)).is_pending());
    }

    let report = wait(host.shutdown(Duration::from_millis(20)));
    assert_eq!(report.abandoned_calls, 1);
    assert_eq!(seen.take_all(), [PluginState::Unloaded], "woken once");
    assert!(matches!(wait(waits), Err(CallError::Unloaded)));
    assert!(matches!(wait(held), Err(CallError::Unloaded)));
    let error = wait(reload).unwrap_err();
    assert!(matches!(error, ReloadError::Unloaded { .. }), "{error}");
    logs::reach(1, &["plugin=middle ", "shut down one"]);
    logs::reach(1, &["plugin=middle ", "shut down two"]);
    assert_eq!(logs::count(&["plugin=middle ", "shut down"]), 2, "once each");
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
#include "becket.h"
#include "nylon_ring.h"
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
NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    static NrPluginInfo info;
    info.abi_version = NR_ABI_VERSION;
    info.struct_size = sizeof info;
    info.name = NR_STR("numbered");
    info.version = NR_STR("1");
    info.vtable = &vtable;
    info.vtable_size = sizeof vtable;
    info.flags = BK_PLUGIN_THREAD_SAFE;
    return &info;
}
"#;

#[test]
fn an_id_of_an_entry_is_of_one_load() {
    let workshop = Workshop::new();
    let build =
        |names: &str| workshop.build("numbered", &format!("#define NAMES {names}\n{NUMBERED}"));
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
