// SPDX-License-Identifier: BSD-3-Clause
//! Unload, shutdown, dropped hosts and dropped futures: nothing is lost, nothing leaks, and a
//! plugin's late calls are harmless.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use becket_abi::NrStatus;
use becket_host::{
    CallError, Dispatch, Host, Limits, LoadError, PluginSpec, PluginState, Request, StreamError,
    UnloadError,
};

use crate::IS_INLINE;
use crate::support::{
    assert_adds_up,
    script::Script,
    unload_clean,
    wait::{Mailbox, Tally, poll_once, until, wait},
};

fn silent(ids: &Arc<Mailbox<u64>>) -> Script {
    let ids = ids.clone();
    Script::new(move |_, call| {
        ids.put(call.sid);
        NrStatus::Ok
    })
}

#[test]
fn an_unload_waits_for_its_calls_and_refuses_new_ones() {
    let host = Host::new();
    let ids = Mailbox::new();
    let ended = Tally::new();
    let at_end = ended.clone();
    let script = silent(&ids).on_shutdown(move |_| at_end.add());
    let (plugin, api) = script.load(&host, "drains");
    let mut call = plugin.call_raw("x", b"");
    assert!(poll_once(&mut call).is_pending());
    let call_sid = ids.take();
    let mut stream = wait(plugin.stream("x", Request::default())).unwrap();
    let stream_sid = ids.take();

    let mut unload = Box::pin(host.unload("drains"));
    assert!(poll_once(&mut unload).is_pending());
    assert_eq!(plugin.state(), PluginState::Unloaded);
    assert!(host.plugin("drains").is_none());
    assert!(matches!(wait(plugin.call_raw("x", b"")), Err(CallError::Unloaded)));
    assert!(matches!(plugin.call_now("x", b""), Err(CallError::Unloaded)));
    assert!(matches!(plugin.notify("x", b""), Err(CallError::Unloaded)));
    assert!(matches!(plugin.entry("x"), Err(CallError::Unloaded)));
    assert!(matches!(wait(plugin.stream("x", Request::default())), Err(CallError::Unloaded)));

    assert_eq!(api.send(call_sid, NrStatus::Ok, b"in time"), NrStatus::Ok);
    assert_eq!(*wait(call).unwrap().body, *b"in time");
    assert!(poll_once(&mut unload).is_pending(), "a stream is open");
    assert_eq!(ended.get(), 0, "shut down while a stream was open");
    assert_eq!(api.send(stream_sid, NrStatus::StreamEnd, b""), NrStatus::Ok);
    assert!(wait(stream.next()).unwrap().is_none());
    drop(stream);
    assert_eq!(wait(unload).unwrap(), 0);
    assert_eq!(ended.get(), 1);
    assert!(matches!(wait(host.unload("drains")), Err(UnloadError::Unknown { .. })));
}

#[test]
fn what_outlasts_the_drain_fails_and_is_counted() {
    let host = Host::new();
    let ids = Mailbox::new();
    let limits = Limits { drain_ms: 10, ..Limits::default() };
    let (plugin, api) = silent(&ids).load_with(&host, "silent", |spec| spec.limits(limits));
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let mut call = plugin.call_raw("x", b"");
            assert!(poll_once(&mut call).is_pending());
            call
        })
        .collect();
    let mut stream = wait(plugin.stream("x", Request::default())).unwrap();
    let sids: Vec<_> = (0..4).map(|_| ids.take()).collect();
    assert_eq!(wait(host.unload("silent")).unwrap(), 4);
    for call in calls {
        assert!(matches!(wait(call), Err(CallError::Unloaded)));
    }
    assert!(matches!(wait(stream.next()), Err(StreamError::Unloaded)));
    for sid in sids {
        until(|| api.is_cancelled(sid));
        assert_eq!(api.send(sid, NrStatus::Ok, b"late"), NrStatus::Invalid);
    }
    assert_eq!(plugin.snapshot().failed.unloaded, 3);
    assert_adds_up(&plugin);
}

#[test]
fn a_shutdown_unloads_everything_and_loads_nothing_more() {
    let host = Host::new();
    let ended = Tally::new();
    let names = ["a", "b", "c", "d", "e"];
    let plugins = names.map(|name| {
        let at_end = ended.clone();
        Script::echo().on_shutdown(move |_| at_end.add()).load(&host, name).0
    });
    assert_eq!(host.plugins().iter().map(|plugin| plugin.name()).collect::<Vec<_>>(), names);
    let report = wait(host.shutdown(Duration::from_secs(60)));
    assert_eq!((report.plugins, report.abandoned_calls), (5, 0));
    assert_eq!(ended.get(), 5);
    assert!(plugins.iter().all(|plugin| plugin.state() == PluginState::Unloaded));
    assert!(host.plugins().is_empty());
    let refused = host.load(PluginSpec::path("late", "./libnone.so"));
    assert!(matches!(refused, Err(LoadError::ShuttingDown)));
}

#[test]
fn a_name_is_taken_until_its_plugin_is_unloaded() {
    let host = Host::new();
    let (first, _) = Script::echo().load(&host, "name");
    let refused = host.load(PluginSpec::path("name", "./libnone.so"));
    let Err(error @ LoadError::NameTaken { .. }) = refused else { panic!("{refused:?}") };
    assert!(error.hint().is_some());
    unload_clean(&host, &first);
    let (second, _) = Script::echo().load(&host, "name");
    assert!(wait(second.call_raw("x", b"")).unwrap().status.is_ok());
    assert!(matches!(wait(first.call_raw("x", b"")), Err(CallError::Unloaded)), "its old handle");
    assert!(matches!(first.call_now("x", b""), Err(CallError::Unloaded)), "its old handle");
    unload_clean(&host, &second);
}

#[test]
fn a_dropped_future_leaves_nothing_behind_wherever_it_was() {
    const ROUNDS: usize = 2000;
    let host = Host::new();
    let ids = Mailbox::new();
    let notified = Tally::new();
    let to_test = notified.clone();
    let script = silent(&ids).on_cancel(move |_, _| {
        to_test.add();
        NrStatus::Ok
    });
    // On a busy machine a thread may be off its processor for longer than the default: it is not
    // taken for one that blocks.
    let limits = Limits { block_report_ms: 60_000, ..Limits::default() };
    let (plugin, api) =
        script.load_with(&host, "x", |spec| spec.limits(limits.clone()).dispatch(Dispatch::Caller));
    let mut most = 0;
    for _ in 0..ROUNDS {
        // Never polled: it never reaches the plugin.
        drop(plugin.call_raw("x", b""));
        drop(plugin.stream("x", Request::default()));
        // While it waits: the plugin is notified.
        let mut call = plugin.call_raw("x", b"");
        assert!(poll_once(&mut call).is_pending());
        let first = ids.take();
        drop(call);
        let stream = wait(plugin.stream("x", Request::default())).unwrap();
        let second = ids.take();
        drop(stream);
        // After it was answered, before it saw that.
        let mut call = plugin.call_raw("x", b"");
        assert!(poll_once(&mut call).is_pending());
        let sids = [first, second, ids.take()];
        assert_eq!(api.send(sids[2], NrStatus::Ok, b"unread"), NrStatus::Ok);
        drop(call);
        most = sids.iter().map(|sid| sid & 0xf_ffff).fold(most, u64::max);
        let snapshot = plugin.snapshot();
        assert_eq!((snapshot.pending, snapshot.streams), (0, 0));
    }
    notified.reach(2 * ROUNDS as u64);
    assert_adds_up(&plugin);
    // An answer from another process may be behind its caller.
    let cancelled = plugin.snapshot().failed.cancelled;
    let at_most = if IS_INLINE { 2 } else { 3 } * ROUNDS as u64;
    assert!((2 * ROUNDS as u64..=at_most).contains(&cancelled), "{cancelled}");
    unload_clean(&host, &plugin);
    assert_eq!(notified.get(), 2 * ROUNDS as u64, "notified once each");
    // A leak would need one a round. Elsewhere calls begin and end on two threads, each of which keeps
    // up to 512 free ones.
    let (rounds, places_max) = if IS_INLINE { (ROUNDS, ROUNDS / 4) } else { (2 * ROUNDS, ROUNDS) };
    let mut places = std::collections::HashSet::new();
    let (plugin, _) =
        silent(&ids).load_with(&host, "y", |spec| spec.limits(limits).dispatch(Dispatch::Caller));
    for _ in 0..rounds {
        let mut call = plugin.call_raw("x", b"");
        assert!(poll_once(&mut call).is_pending());
        places.insert(ids.take() & 0xf_ffff);
    }
    assert!(places.len() < places_max, "{} places", places.len());
}

#[test]
fn a_plugins_thread_may_call_for_ever_though_everything_is_gone() {
    let stop = Arc::new(AtomicBool::new(false));
    let refused = Tally::new();
    let ids = Mailbox::new();
    let (plugin, api) = {
        let host = Host::new();
        let limits = Limits { drain_ms: 1, ..Limits::default() };
        let (plugin, api) = silent(&ids).load_with(&host, "ghost", |spec| spec.limits(limits));
        let mut call = plugin.call_raw("x", b"");
        assert!(poll_once(&mut call).is_pending());
        let sid = ids.take();
        let (stopped, tally) = (stop.clone(), refused.clone());
        let ghost = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if api.send(sid ^ 1 << 30, NrStatus::Ok, b"ghost") == NrStatus::Invalid {
                    tally.add();
                }
                api.state_get(sid, "key").unwrap_err();
                let lease = api.lease(sid, 16);
                // `Ok`, or `Invalid` when the unload was faster, as below.
                api.release(lease.token);
                api.remaining_ms(sid);
                let timer = api.timer(3_600_000, || ());
                // `Ok`, or `Invalid` when the unload was faster.
                api.timer_cancel(timer);
            }
        });
        refused.reach(50);
        assert_eq!(wait(host.unload("ghost")).unwrap(), 1);
        assert!(matches!(wait(call), Err(CallError::Unloaded)));
        drop(host);
        refused.reach(refused.get() + 200);
        stop.store(true, Ordering::Relaxed);
        ghost.join().unwrap();
        (plugin, api)
    };
    drop(plugin);
    assert_eq!(api.send(1, NrStatus::Ok, b"after everything"), NrStatus::Invalid);
}

#[test]
fn a_host_that_is_dropped_leaves_its_plugins_to_who_holds_them() {
    let (plugin, _) = Script::echo().load(&Host::new(), "orphan");
    assert_eq!(*wait(plugin.call_raw("x", b"still")).unwrap().body, *b"still");
}

#[test]
fn a_stream_that_nobody_polls_does_not_keep_its_plugin_from_being_shut_down() {
    let host = Host::new();
    let (ids, ended) = (Mailbox::new(), Tally::new());
    let end = ended.clone();
    let script = silent(&ids).on_shutdown(move |_| end.add());
    let limits = Limits { drain_ms: 1, ..Limits::default() };
    let spec = |spec: PluginSpec| spec.limits(limits).dispatch(Dispatch::Caller);
    let (plugin, _) = script.load_with(&host, "unpolled", spec);
    let mut stream = wait(plugin.stream("any", Request::default())).unwrap();
    assert_eq!(wait(host.unload("unpolled")).unwrap(), 1, "it was ended, not awaited");
    ended.reach(1);
    assert!(matches!(wait(stream.next()), Err(StreamError::Unloaded)));
}
