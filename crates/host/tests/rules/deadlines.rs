// SPDX-License-Identifier: BSD-3-Clause
//! Every wait is bounded: a caller is freed at its deadline also while the plugin still blocks,
//! and the plugin is notified.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use becket_abi::{BK_NO_DEADLINE, NrStatus};
use becket_host::{CallError, Dispatch, Host, Limits, PluginState, Request, StreamError};

use crate::support::{
    assert_adds_up, counted, logs,
    script::Script,
    unload_clean,
    wait::{Mailbox, Tally, poll_once, wait},
};
use crate::{IS_INLINE, WAY};

/// Answers nothing; reports its ids to the test, and its notifications.
fn silent(ids: &Arc<Mailbox<u64>>, notified: &Arc<Mailbox<u64>>) -> Script {
    let (ids, notified) = (ids.clone(), notified.clone());
    Script::new(move |_, call| {
        ids.put(call.sid);
        NrStatus::Ok
    })
    .on_cancel(move |_, sid| {
        notified.put(sid);
        NrStatus::Ok
    })
}

#[test]
fn a_call_that_nobody_answers_ends_at_its_deadline_and_the_plugin_is_told() {
    let host = Host::new();
    let (ids, notified) = (Mailbox::new(), Mailbox::new());
    let soon = Duration::from_millis(20) + WAY;
    let limits = Limits { deadline_ms: soon.as_millis() as u64, ..Limits::default() };
    // On this thread, so that each call reaches the plugin before its deadline.
    let (plugin, api) = silent(&ids, &notified)
        .load_with(&host, "silent", |spec| spec.limits(limits).dispatch(Dispatch::Caller));
    let began = Instant::now();
    for at in 0..4 {
        let call = match at {
            0 => plugin.call_raw("x", b""),
            1 => plugin.call_raw("x", b"").timeout(soon),
            2 => plugin.call("x", Request::default()).deadline(Instant::now() + soon),
            _ => plugin.call("x", Request::default()).timeout(WAY),
        };
        assert!(matches!(wait(call), Err(CallError::DeadlineExceeded)));
        let sid = ids.take();
        assert_eq!(notified.take(), sid);
        assert!(api.is_cancelled(sid));
        assert_eq!(api.remaining_ms(sid), 0);
        assert_eq!(api.send(sid, NrStatus::Ok, b"late"), NrStatus::Invalid);
    }
    assert!(began.elapsed() >= soon, "freed before the deadline");
    assert_eq!(plugin.snapshot().failed.deadline, 4);
    counted(&plugin, |snapshot| snapshot.refused_answers.late == 4);
    assert_adds_up(&plugin);
    unload_clean(&host, &plugin);
    assert!(notified.take_all().is_empty(), "notified once");
}

#[test]
fn a_calls_deadline_is_its_own_whatever_that_of_the_call_before_was() {
    let host = Host::new();
    let (ids, notified) = (Mailbox::new(), Mailbox::new());
    let (plugin, api) =
        silent(&ids, &notified).load_with(&host, "silent", |spec| spec.dispatch(Dispatch::Caller));
    let (soon, later) = (Duration::from_millis(20) + WAY, Duration::from_millis(60) + WAY);
    let far = Duration::from_secs(3600);
    let begin = |timeout| {
        let mut call = plugin.call_raw("x", b"").timeout(timeout);
        assert!(poll_once(&mut call).is_pending());
        (call, ids.take())
    };
    let answered = |timeout| {
        let (call, sid) = begin(timeout);
        match api.send(sid, NrStatus::Ok, b"answer") {
            NrStatus::Ok => match wait(call) {
                Ok(answer) => assert_eq!(*answer.body, *b"answer"),
                // The answer was on its way to this process.
                Err(error) => assert!(!IS_INLINE && timeout < far, "{error}"),
            },
            // This thread was off its processor until the deadline.
            _ => {
                assert!(matches!(wait(call), Err(CallError::DeadlineExceeded)));
                assert_eq!(notified.take(), sid);
            }
        }
    };
    let ends_after = |timeout| {
        let began = Instant::now();
        let (call, sid) = begin(timeout);
        assert!(matches!(wait(call), Err(CallError::DeadlineExceeded)));
        assert!(began.elapsed() >= timeout, "{:?} of {timeout:?}", began.elapsed());
        assert_eq!(notified.take(), sid);
    };
    // Each call is in the place of the one before it, as all are of one thread.
    for _ in 0..3 {
        answered(far);
        ends_after(soon);
        // The time of the first of these passes while the second waits.
        answered(soon);
        ends_after(later);
        answered(soon);
        let (call, sid) = begin(far);
        ends_after(later);
        assert_eq!(api.send(sid, NrStatus::Ok, b"in time"), NrStatus::Ok);
        assert_eq!(*wait(call).unwrap().body, *b"in time");
    }
    assert!(notified.take_all().is_empty(), "those that were answered have not ended otherwise");
    assert_adds_up(&plugin);
    unload_clean(&host, &plugin);
}

#[test]
fn a_plugin_can_ask_how_long_it_has() {
    let host = Host::new();
    let asked = Mailbox::new();
    let to_test = asked.clone();
    let script = Script::new(move |api, call| {
        to_test.put(api.remaining_ms(call.sid));
        api.send(call.sid, NrStatus::Ok, b"")
    });
    let limits = Limits { deadline_ms: 0, ..Limits::default() };
    let (plugin, _) = script.load_with(&host, "asks", |spec| spec.limits(limits));
    wait(plugin.call_raw("x", b"")).unwrap();
    assert_eq!(asked.take(), BK_NO_DEADLINE);
    wait(plugin.call_raw("x", b"").timeout(Duration::from_secs(3600))).unwrap();
    let remaining = asked.take();
    assert!((3_000_000..=3_600_000).contains(&remaining), "{remaining} ms");
    if IS_INLINE {
        plugin.call_now("x", b"").unwrap();
        assert_eq!(asked.take(), BK_NO_DEADLINE);
    }
}

#[test]
fn a_caller_is_freed_while_the_plugin_still_blocks() {
    for dispatch in [Dispatch::Auto, Dispatch::Worker] {
        let host = Host::new();
        let (entered, gate) = (Tally::new(), Tally::new());
        let (inside, opened) = (entered.clone(), gate.clone());
        let script = Script::new(move |api, call| {
            if call.entry == "blocks" {
                inside.add();
                opened.reach(1);
            }
            api.send(call.sid, NrStatus::Ok, b"at last")
        });
        let (plugin, _) = script.load_with(&host, "blocks", |spec| spec.dispatch(dispatch));
        // One that is over before a worker takes it never enters the plugin.
        while entered.get() == 0 {
            let call = plugin.call_raw("blocks", b"").timeout(Duration::from_millis(20));
            assert!(matches!(wait(call), Err(CallError::DeadlineExceeded)));
        }
        // Others go on, on threads of their own.
        assert_eq!(*wait(plugin.call_raw("ok", b"")).unwrap().body, *b"at last");
        let opening = wait(plugin.stream("blocks", Request::default()).timeout(Duration::ZERO));
        assert!(matches!(opening, Err(CallError::DeadlineExceeded)), "{opening:?}");
        gate.add();
        unload_clean(&host, &plugin);
        assert_adds_up(&plugin);
    }
}

#[test]
fn a_thread_that_is_stuck_is_reported_and_too_many_quarantine_the_plugin() {
    logs::capture();
    const BLOCKED_MAX: u32 = 3;
    let host = Host::new();
    let gate = Tally::new();
    let opened = gate.clone();
    let script = Script::new(move |api, call| {
        if call.entry == "blocks" {
            opened.reach(1);
        }
        api.send(call.sid, NrStatus::Ok, b"")
    });
    let limits = Limits { block_report_ms: 1, blocked_max: BLOCKED_MAX, ..Limits::default() };
    let (plugin, _) = script.load_with(&host, "stuck", |spec| spec.limits(limits));
    let mut calls = Vec::new();
    let line = ["becket::watchdog", "a thread is stuck", "plugin=stuck"];
    for at in 1..=BLOCKED_MAX as usize + 1 {
        let mut call = plugin.call_raw("blocks", b"");
        assert!(poll_once(&mut call).is_pending());
        calls.push(call);
        logs::reach(at, &line);
        counted(&plugin, |snapshot| snapshot.blocked >= at as u64 && snapshot.blocked_now >= 1);
    }
    assert_eq!(plugin.state(), PluginState::Blocked, "workers are there for that");
    if !IS_INLINE {
        // No caller's thread is inside: `watchdog` has what quarantines it.
        gate.add();
        assert!(calls.into_iter().all(|call| wait(call).unwrap().status.is_ok()));
        counted(&plugin, |snapshot| snapshot.blocked_now == 0);
        assert_eq!(plugin.state(), PluginState::Ready);
        return unload_clean(&host, &plugin);
    }
    let callers: Vec<_> = (1..=BLOCKED_MAX as usize)
        .map(|at| {
            let plugin = plugin.clone();
            let caller = thread::spawn(move || plugin.call_now("blocks", b"").unwrap());
            logs::reach(BLOCKED_MAX as usize + 1 + at, &line);
            caller
        })
        .collect();
    logs::reach(1, &["ERROR becket::watchdog", "quarantined", "plugin=stuck"]);
    assert_eq!(plugin.state(), PluginState::Quarantined);
    assert!(matches!(wait(plugin.call_raw("ok", b"")), Err(CallError::Quarantined)));
    assert!(matches!(plugin.call_now("ok", b""), Err(CallError::Quarantined)));
    assert!(matches!(plugin.notify("ok", b""), Err(CallError::Quarantined)));
    let stream = wait(plugin.stream("ok", Request::default()));
    assert!(matches!(stream, Err(CallError::Quarantined)));
    gate.add();
    for call in calls {
        assert!(wait(call).unwrap().status.is_ok(), "calls that were in stay good");
    }
    for caller in callers {
        assert!(caller.join().unwrap().status.is_ok());
    }
    let snapshot = plugin.snapshot();
    assert_eq!((snapshot.pending, snapshot.ok), (0, u64::from(BLOCKED_MAX) * 2 + 1));
    assert_eq!(
        (snapshot.failed.quota, snapshot.notifies_refused, snapshot.streams_refused),
        (2, 1, 1)
    );
    assert_adds_up(&plugin);
    unload_clean(&host, &plugin);
}

#[test]
fn a_stream_ends_at_its_deadline_or_when_nothing_moves() {
    let host = Host::new();
    let (ids, notified) = (Mailbox::new(), Mailbox::new());
    let soon = Duration::from_millis(20) + WAY;
    let limits = Limits { stream_idle_ms: soon.as_millis() as u64, ..Limits::default() };
    let (plugin, api) = silent(&ids, &notified)
        .load_with(&host, "silent", |spec| spec.limits(limits).dispatch(Dispatch::Caller));
    let mut stream = wait(plugin.stream("x", Request::default())).unwrap();
    assert!(matches!(wait(stream.next()), Err(StreamError::Idle)));
    let sid = ids.take();
    assert_eq!(notified.take(), sid);
    assert_eq!(api.send(sid, NrStatus::Ok, b"late"), NrStatus::Invalid);
    assert!(wait(stream.next()).unwrap().is_none(), "over");
    drop(stream);

    let open = plugin.stream("x", Request::default()).idle(Duration::ZERO);
    let mut stream = wait(open.timeout(soon)).unwrap();
    assert!(matches!(wait(stream.next()), Err(StreamError::DeadlineExceeded)));
    let sid = ids.take();
    assert_eq!(notified.take(), sid);
    drop(stream);
    unload_clean(&host, &plugin);
    assert!(notified.take_all().is_empty(), "notified once");
}

#[test]
fn a_future_may_move_between_threads_and_executors() {
    let host = Host::new();
    let (ids, notified) = (Mailbox::new(), Mailbox::new());
    let (plugin, api) = silent(&ids, &notified).load(&host, "silent");
    let mut call = plugin.call_raw("x", b"");
    assert!(poll_once(&mut call).is_pending());
    let sid = ids.take();
    let response = thread::scope(|scope| {
        let other = scope.spawn(|| futures_lite::future::block_on(call));
        assert_eq!(api.send(sid, NrStatus::Ok, b"moved"), NrStatus::Ok);
        other.join().unwrap().unwrap()
    });
    assert_eq!(*response.body, *b"moved");
    let mut stream = wait(plugin.stream("x", Request::default())).unwrap();
    let sid = ids.take();
    thread::scope(|scope| {
        let other = scope.spawn(move || futures_lite::future::block_on(stream.next()));
        assert_eq!(api.send(sid, NrStatus::StreamEnd, b"moved"), NrStatus::Ok);
        assert_eq!(*other.join().unwrap().unwrap().unwrap().body, *b"moved");
    });
    unload_clean(&host, &plugin);
}

#[test]
fn the_deadline_of_a_stream_counts_from_its_opening() {
    const TIMEOUT: Duration = Duration::from_secs(3600);
    const LATER: Duration = Duration::from_millis(50);
    let host = Host::new();
    let (ids, notified) = (Mailbox::new(), Mailbox::new());
    let (plugin, api) =
        silent(&ids, &notified).load_with(&host, "silent", |spec| spec.dispatch(Dispatch::Caller));
    let mut stream = wait(plugin.stream("x", Request::default()).timeout(TIMEOUT)).unwrap();
    let (opened, sid) = (Instant::now(), ids.take());
    while opened.elapsed() < LATER {
        thread::park_timeout(LATER);
    }
    // The first wait sets the timer.
    assert!(poll_once(&mut Box::pin(stream.next())).is_pending());
    let remaining = Duration::from_millis(api.remaining_ms(sid));
    assert!(remaining <= TIMEOUT - LATER, "{remaining:?}");
    drop(stream);

    let mut stream = wait(plugin.stream("x", Request::default()).timeout(LATER)).unwrap();
    let (opened, sid) = (Instant::now(), ids.take());
    while opened.elapsed() < LATER {
        thread::park_timeout(LATER);
    }
    assert_eq!(api.remaining_ms(sid), 0, "before the first wait too");
    assert!(matches!(wait(stream.next()), Err(StreamError::DeadlineExceeded)));
    drop(stream);
    unload_clean(&host, &plugin);
}
