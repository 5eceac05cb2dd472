// SPDX-License-Identifier: BSD-3-Clause
//! A bound on everything: at it there is a typed refusal and a count.

use becket_abi::{BK_METRIC_COUNTER, BK_METRIC_UNKNOWN, NrStatus};
use becket_host::{CallError, Dispatch, Host, Limits, Request, Response, SendError, StreamError};

use crate::IS_INLINE;
use crate::support::{
    counted,
    script::Script,
    unload_clean,
    wait::{Mailbox, Tally, poll_once, wait},
};

fn is_quota<T: std::fmt::Debug>(result: Result<T, CallError>, name: &str, wanted: u64) {
    let Err(error) = result else { panic!("{result:?}") };
    assert!(error.hint().is_some(), "{error}");
    let CallError::Quota { quota, limit } = error else { panic!("{error}") };
    assert_eq!((quota, limit), (name, wanted));
}

#[test]
fn calls_that_wait_are_bounded() {
    let host = Host::new();
    let ids = Mailbox::new();
    let to_test = ids.clone();
    let script = Script::new(move |_, call| {
        to_test.put(call.sid);
        NrStatus::Ok
    });
    let limits = Limits { pending_max: 3, ..Limits::default() };
    let (plugin, api) =
        script.load_with(&host, "full", |s| s.limits(limits).dispatch(Dispatch::Caller));
    let mut calls: Vec<_> = (0..3).map(|_| plugin.call_raw("x", b"")).collect();
    assert!(calls.iter_mut().all(|call| poll_once(call).is_pending()));
    assert_eq!(plugin.snapshot().pending, 3);
    let mut given: Vec<_> = (0..3).map(|_| ids.take()).collect();
    is_quota(wait(plugin.call_raw("x", b"")), "pending_max", 3);
    is_quota(wait(plugin.call("x", Request::default())), "pending_max", 3);
    let snapshot = plugin.snapshot();
    assert_eq!((snapshot.calls, snapshot.failed.quota), (5, 2));
    // What never waits is not bounded by it.
    let now = plugin.call_now("x", b"");
    assert_eq!(matches!(now, Err(CallError::NotAnswered)), IS_INLINE, "{now:?}");
    assert_eq!(matches!(now, Err(CallError::NotInline)), !IS_INLINE, "{now:?}");
    plugin.notify("x", b"").unwrap();
    given.extend((0..if IS_INLINE { 2 } else { 1 }).map(|_| ids.take()));
    // One that leaves makes room, and so does one that is answered.
    drop(calls.pop());
    let mut again = plugin.call_raw("x", b"");
    assert!(poll_once(&mut again).is_pending());
    given.push(ids.take());
    drop(again);
    for sid in given {
        api.send(sid, NrStatus::Ok, b"");
    }
    for call in calls {
        wait(call).unwrap();
    }
    assert_eq!(plugin.snapshot().pending, 0);
    unload_clean(&host, &plugin);
}

#[test]
fn calls_that_queue_for_a_worker_leave_the_queue_to_others_when_their_callers_left() {
    let host = Host::new();
    let (entered, gate) = (Tally::new(), Tally::new());
    let (inside, opened) = (entered.clone(), gate.clone());
    let script = Script::new(move |api, call| {
        inside.add();
        opened.reach(1);
        api.send(call.sid, NrStatus::Ok, b"")
    });
    let limits = Limits { pending_max: 8, streams_max: 2, workers_max: 1, ..Limits::default() };
    let (plugin, _) =
        script.load_with(&host, "queue", |s| s.limits(limits).dispatch(Dispatch::Worker));
    let mut first = plugin.call_raw("x", b"");
    assert!(poll_once(&mut first).is_pending());
    entered.reach(1);
    for _ in 0..10 {
        let mut call = plugin.call_raw("x", b"");
        assert!(poll_once(&mut call).is_pending());
    }
    // What they left in the queue makes room for waiting callers.
    assert_eq!(plugin.snapshot().queued, if IS_INLINE { 10 } else { 0 });
    let mut waits = plugin.call_raw("x", b"");
    assert!(poll_once(&mut waits).is_pending());
    assert_eq!(plugin.snapshot().queued, u64::from(IS_INLINE));
    gate.add();
    wait(first).unwrap();
    wait(waits).unwrap();
    unload_clean(&host, &plugin);
    // In another process, which may take what is queued before it has read that the callers left.
    assert!(entered.get() == 2 || !IS_INLINE, "the others had no caller");
    let snapshot = plugin.snapshot();
    assert_eq!((snapshot.calls, snapshot.ok, snapshot.failed.cancelled), (12, 2, 10));
}

#[test]
fn callers_of_a_plugin_whose_workers_are_all_blocked_are_freed_at_their_deadlines() {
    let host = Host::new();
    let (entered, gate) = (Tally::new(), Tally::new());
    let (inside, opened) = (entered.clone(), gate.clone());
    let script = Script::new(move |api, call| {
        inside.add();
        opened.reach(1);
        api.send(call.sid, NrStatus::Ok, b"")
    });
    // Two have to be inside before it.
    let limits = Limits { workers_max: 2, deadline_ms: 500, drain_ms: 50, ..Limits::default() };
    let (plugin, _) = script.load_with(&host, "stuck", |s| s.limits(limits));
    let mut calls: Vec<_> = (0..6).map(|_| plugin.call_raw("x", b"")).collect();
    assert!(calls.iter_mut().all(|call| poll_once(call).is_pending()));
    entered.reach(2);
    for call in calls {
        assert!(matches!(wait(call), Err(CallError::DeadlineExceeded)));
    }
    // Another plugin's are its own, and this one can be unloaded.
    let (healthy, _) = Script::echo().load(&host, "healthy");
    assert_eq!(*wait(healthy.call_raw("x", b"fine")).unwrap().body, *b"fine");
    assert_eq!(wait(host.unload("stuck")).unwrap(), 0);
    assert_eq!(entered.get(), 2);
    gate.add();
    unload_clean(&host, &healthy);
}

#[test]
fn streams_are_bounded() {
    let host = Host::new();
    let limits = Limits { streams_max: 2, ..Limits::default() };
    let script = Script::new(|_, _| NrStatus::Ok);
    let (plugin, _) = script.load_with(&host, "full", |s| s.limits(limits));
    let first = wait(plugin.stream("x", Request::default())).unwrap();
    let second = wait(plugin.stream("x", Request::default())).unwrap();
    is_quota(wait(plugin.stream("x", Request::default())), "streams_max", 2);
    assert_eq!(plugin.snapshot().streams, 2);
    drop(first);
    unload_clean_after(&host, &plugin, second);
}

/// Unloads while a stream is open, which the unload outlasts.
fn unload_clean_after(host: &Host, plugin: &becket_host::Plugin, stream: becket_host::Stream) {
    drop(stream);
    unload_clean(host, plugin);
}

#[test]
fn payloads_are_bounded_both_ways() {
    let host = Host::new();
    let script = Script::new(|api, call| match call.entry {
        "long" => {
            assert_eq!(api.send(call.sid, NrStatus::Ok, &[0; 101]), NrStatus::TooLong);
            // The call has ended with it.
            assert_eq!(api.send(call.sid, NrStatus::Ok, &[0; 100]), NrStatus::Invalid);
            NrStatus::Ok
        }
        "frames" => {
            assert_eq!(api.send(call.sid, NrStatus::Ok, &[0; 101]), NrStatus::TooLong);
            assert_eq!(api.send(call.sid, NrStatus::Ok, &[0; 100]), NrStatus::Ok);
            assert_eq!(api.send(call.sid, NrStatus::StreamEnd, &[0; 101]), NrStatus::TooLong);
            NrStatus::Ok
        }
        _ => api.send(call.sid, NrStatus::Ok, call.payload),
    })
    .on_data(|_, _, _| NrStatus::Ok);
    let limits = Limits { payload_bytes_max: 100, ..Limits::default() };
    let (plugin, _) = script.load_with(&host, "small", |s| s.limits(limits));
    assert_eq!(wait(plugin.call_raw("x", &[1; 100])).unwrap().body.len(), 100);
    let mut answers = vec![wait(plugin.call_raw("long", b""))];
    answers.extend(IS_INLINE.then(|| plugin.call_now("long", b"")));
    for answer in answers {
        let Response { status, body } = answer.unwrap();
        assert_eq!((status, body.len()), (NrStatus::TooLong, 0));
    }
    let mut frames = wait(plugin.stream("frames", Request::default())).unwrap();
    assert_eq!(wait(frames.next()).unwrap().unwrap().body.len(), 100);
    let ended = wait(frames.next()).unwrap_err();
    assert!(matches!(ended, StreamError::Failed { status: NrStatus::TooLong, .. }), "{ended}");
    drop(frames);
    let too_large = |error| {
        assert!(matches!(error, CallError::PayloadTooLarge { len: 101, len_max: 100 }), "{error}");
    };
    too_large(wait(plugin.call_raw("x", &[1; 101])).unwrap_err());
    too_large(wait(plugin.call("x", Request::new(vec![1; 101]))).unwrap_err());
    too_large(plugin.call_now("x", &[1; 101]).unwrap_err());
    too_large(plugin.notify("x", &[1; 101]).unwrap_err());
    too_large(wait(plugin.stream("x", Request::new(vec![1; 101]))).unwrap_err());
    let stream = wait(plugin.stream("silent", Request::default())).unwrap();
    let sent = wait(stream.send(&[1; 101]));
    assert_eq!(sent, Err(SendError::PayloadTooLarge { len: 101, len_max: 100 }));
    wait(stream.send(&[1; 100])).unwrap();
    drop(stream);
    unload_clean(&host, &plugin);
}

#[test]
fn metrics_are_bounded() {
    let host = Host::new();
    let limits = Limits { metrics_max: 2, ..Limits::default() };
    let (plugin, api) = Script::echo().load_with(&host, "metrics", |s| s.limits(limits));
    let first = api.metric(BK_METRIC_COUNTER, "first");
    assert_ne!(first, BK_METRIC_UNKNOWN);
    assert_ne!(api.metric(BK_METRIC_COUNTER, "second"), BK_METRIC_UNKNOWN);
    assert_eq!(api.metric(BK_METRIC_COUNTER, "third"), BK_METRIC_UNKNOWN);
    assert_eq!(api.metric(BK_METRIC_COUNTER, "first"), first, "known already");
    counted(&plugin, |snapshot| snapshot.metrics.len() == 2);
    unload_clean(&host, &plugin);
}
