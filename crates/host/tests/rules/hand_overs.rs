// SPDX-License-Identifier: BSD-3-Clause
//! A reload hands state over: when the calls have ended, while others wait, and all of it or nothing.

use std::{
    fs,
    pin::Pin,
    process::Command,
    sync::Arc,
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

use becket_abi::NrStatus;
use becket_host::{
    CallError, Dispatch, Host, Limits, Plugin, PluginState, ReloadError, Request, Rollout,
};

use crate::reloads::{ask, now, source};
use crate::rollouts::{UNDECIDED, Versions};
use crate::support::{
    assert_adds_up, logs,
    native::Workshop,
    unload_clean,
    wait::{Mailbox, poll_once, wait},
};
use crate::{IS_INLINE, spec};

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
fn a_plugin_that_hands_over_state_is_not_rolled_out() {
    let versions = Versions::with("stateful", "#define STATE", Limits::default());
    assert_eq!(versions.ask("count"), "1");
    let error = versions.roll_out("two", "#define STATE", UNDECIDED).unwrap_err();
    assert!(matches!(error, ReloadError::Stateful { .. }), "{error}");
    assert!(error.cause().is_some() && error.hint().is_some());
    // All of it at once is a reload.
    versions.roll_out("two", "#define STATE", Rollout { percent: 100, ..UNDECIDED }).unwrap();
    assert_eq!([versions.ask("version"), versions.ask("count")], ["two", "2"]);
    versions.roll_out("three", "#define STATE", Rollout { percent: 0, ..UNDECIDED }).unwrap();
    assert_eq!(versions.ask("version"), "two", "none of it: it is not started");
    assert_eq!(versions.plugin.rollouts(), Default::default());
    versions.unload_clean();
}
