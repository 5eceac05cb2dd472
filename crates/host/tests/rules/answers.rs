// SPDX-License-Identifier: BSD-3-Clause
//! First answer wins, and each call has exactly one outcome, whatever races.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use becket_abi::NrStatus;
use becket_host::{CallError, Dispatch, Host, Limits, Request, Response, StreamError};

use crate::IS_INLINE;
use crate::support::{
    assert_adds_up, counted,
    script::{Api, Incoming, Script},
    unload_clean,
    wait::{Tally, poll_once, wait},
};

#[test]
fn the_first_answer_inside_handle_wins() {
    let host = Host::new();
    let script = Script::new(|api, call| {
        assert_eq!(api.send(call.sid, NrStatus(7), b"first"), NrStatus::Ok);
        if call.entry == "notified" {
            return NrStatus::Ok;
        }
        assert!(api.is_cancelled(call.sid), "answered: no caller waits");
        assert_eq!(api.send(call.sid, NrStatus::Ok, b"second"), NrStatus::Invalid);
        NrStatus::Ok
    });
    let (plugin, _) = script.load_with(&host, "twice", |spec| spec.dispatch(Dispatch::Caller));
    for _ in 0..3 {
        let response = wait(plugin.call_raw("x", b"")).unwrap();
        assert_eq!((response.status, &*response.body), (NrStatus(7), &b"first"[..]));
    }
    let mut calls = 3;
    if IS_INLINE {
        assert_eq!(*plugin.call_now("x", b"").unwrap().body, *b"first");
        calls += 1;
    }
    // An answer to a notification has no reader; giving one is no mistake.
    plugin.notify("notified", b"").unwrap();
    counted(&plugin, |snapshot| snapshot.refused_answers.late == calls);
    assert_eq!(plugin.snapshot().failed.answered_with_error, calls);
    assert_adds_up(&plugin);
}

/// What `handle` does before it returns an error.
fn answers_and_refuses(api: &Api, call: Incoming<'_>) -> NrStatus {
    match call.entry {
        "answers" => assert_eq!(api.send(call.sid, NrStatus::Ok, b"yes"), NrStatus::Ok),
        "ends" => assert_eq!(api.send(call.sid, NrStatus::StreamEnd, b"yes"), NrStatus::Ok),
        "on another thread" => {
            let (api, sid) = (*api, call.sid);
            let answer = thread::spawn(move || api.send(sid, NrStatus::Ok, b"yes"));
            assert_eq!(answer.join().unwrap(), NrStatus::Ok);
        }
        _ => {}
    }
    NrStatus(99)
}

const EVERY_DISPATCH: [Dispatch; 3] = [Dispatch::Caller, Dispatch::Auto, Dispatch::Worker];

#[test]
fn the_first_answer_wins_over_what_handle_returns_after_it_on_every_thread() {
    for dispatch in EVERY_DISPATCH {
        let host = Host::new();
        let script = Script::new(answers_and_refuses);
        let (plugin, _) = script.load_with(&host, "refuses", |spec| spec.dispatch(dispatch));
        let refused = |result| {
            let Err(CallError::Refused { status }) = result else {
                panic!("{dispatch:?}: {result:?}")
            };
            assert_eq!(status, NrStatus(99));
        };
        let answered = |result: Result<Response, CallError>| {
            let response = result.unwrap_or_else(|error| panic!("{dispatch:?}: {error}"));
            assert_eq!((response.status, &*response.body), (NrStatus::Ok, &b"yes"[..]));
        };
        refused(wait(plugin.call_raw("silent", b"")));
        refused(wait(plugin.call("silent", Request::default())));
        if IS_INLINE {
            refused(plugin.call_now("silent", b""));
        }
        for _ in 0..20 {
            answered(wait(plugin.call_raw("answers", b"")));
            answered(wait(plugin.call("answers", Request::default())));
            if IS_INLINE {
                answered(plugin.call_now("answers", b""));
            }
            answered(wait(plugin.call_raw("on another thread", b"")));
        }
        // What a worker runs is not waited for: the counters say what became of it.
        let notified = plugin.notify("silent", b"");
        assert_eq!(notified.is_err(), IS_INLINE && dispatch == Dispatch::Caller);
        unload_clean(&host, &plugin);
        let snapshot = plugin.snapshot();
        let wanted = if IS_INLINE { (80, 3) } else { (60, 2) };
        assert_eq!((snapshot.ok, snapshot.failed.refused), wanted, "{dispatch:?}");
        assert_eq!((snapshot.notifies, snapshot.notifies_refused), (1, 1), "{dispatch:?}");
        assert_adds_up(&plugin);
    }
}

#[test]
fn a_stream_that_has_a_frame_is_open_whatever_handle_returns_after_it() {
    for dispatch in EVERY_DISPATCH {
        let host = Host::new();
        let script = Script::new(answers_and_refuses);
        let (plugin, _) = script.load_with(&host, "refuses", |spec| spec.dispatch(dispatch));
        for _ in 0..20 {
            let refused = wait(plugin.stream("silent", Request::default()));
            assert!(matches!(refused, Err(CallError::Refused { status: NrStatus(99) })));
            for entry in ["answers", "on another thread"] {
                let mut stream = wait(plugin.stream(entry, Request::default())).unwrap();
                assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"yes", "{dispatch:?}");
                let Err(StreamError::Failed { status, .. }) = wait(stream.next()) else {
                    panic!("{dispatch:?}: the refusal is how it ends")
                };
                assert_eq!(status, NrStatus(99));
                assert!(wait(stream.next()).unwrap().is_none());
            }
            let mut stream = wait(plugin.stream("ends", Request::default())).unwrap();
            assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"yes");
            assert!(wait(stream.next()).unwrap().is_none(), "its end came first");
        }
        let snapshot = plugin.snapshot();
        assert_eq!((snapshot.streams_opened, snapshot.streams_refused), (80, 20), "{dispatch:?}");
        unload_clean(&host, &plugin);
    }
}

#[test]
fn a_payload_that_is_none_is_refused_and_the_call_goes_on() {
    let host = Host::new();
    let script = Script::new(|api, call| {
        let null = becket_abi::NrBytes { ptr: std::ptr::null(), len: 8 };
        assert_eq!(api.send_view(call.sid, NrStatus::Ok, null), NrStatus::Invalid);
        for len in [1 << 44, 1 << 62, isize::MAX as u64] {
            let view = becket_abi::NrBytes { ptr: std::ptr::dangling(), len };
            assert_eq!(api.send_view(call.sid, NrStatus::Ok, view), NrStatus::Invalid);
        }
        api.send(call.sid, NrStatus::Ok, b"at last")
    });
    // No length is too long: there is nothing at the addresses.
    let limits = Limits { payload_bytes_max: u64::MAX, ..Limits::default() };
    let (plugin, _) = script.load_with(&host, "clumsy", |spec| spec.limits(limits));
    assert_eq!(*wait(plugin.call_raw("x", b"")).unwrap().body, *b"at last");
    counted(&plugin, |snapshot| snapshot.refused_answers.invalid == 4);
}

/// Callers that wait, give up at once, give up soon or leave; answers to each call from three
/// threads: every caller gets its own answer or its own error, and the counters add up exactly.
fn race(dispatch: Dispatch) {
    const CALLERS: u64 = 8;
    const CALLS: u64 = 1500;
    const ANSWERERS: usize = 4;
    let host = Host::new();
    let mut senders = Vec::new();
    let mut receivers = Vec::new();
    for _ in 0..ANSWERERS {
        let (sender, receiver) = mpsc::channel::<(u64, Vec<u8>)>();
        senders.push(sender);
        receivers.push(receiver);
    }
    let next = AtomicU64::new(0);
    let asked = Tally::new();
    let cancelled = Tally::new();
    let (asked_by, notified) = (asked.clone(), cancelled.clone());
    let script = Script::new(move |_, call| {
        let at = next.fetch_add(1, Ordering::Relaxed) as usize;
        for offset in 0..3 {
            senders[(at + offset) % ANSWERERS].send((call.sid, call.payload.to_vec())).unwrap();
        }
        asked_by.add();
        NrStatus::Ok
    })
    .on_cancel(move |_, _| {
        notified.add();
        NrStatus::Ok
    });
    let (plugin, api) = script.load_with(&host, "race", |spec| spec.dispatch(dispatch));
    let taken = Arc::new(AtomicU64::new(0));
    let refused = Arc::new(AtomicU64::new(0));
    let mut answerers = Vec::new();
    let done = Tally::new();
    for receiver in receivers {
        let (taken, refused, done) = (taken.clone(), refused.clone(), done.clone());
        answerers.push(thread::spawn(move || {
            while let Ok((sid, payload)) = receiver.recv() {
                if sid == 0 {
                    break;
                }
                match api.send(sid, NrStatus::Ok, &payload) {
                    NrStatus::Ok => taken.fetch_add(1, Ordering::Relaxed),
                    NrStatus::Invalid => refused.fetch_add(1, Ordering::Relaxed),
                    other => panic!("{other}"),
                };
                done.add();
            }
        }));
    }
    let [ok, deadline, left] = [const { AtomicU64::new(0) }; 3];
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (plugin, ok, deadline, left) = (&plugin, &ok, &deadline, &left);
            scope.spawn(move || {
                for at in 0..CALLS {
                    let payload = (caller * CALLS + at).to_le_bytes();
                    let call = plugin.call_raw("x", &payload);
                    let result = match at % 4 {
                        0 => wait(call),
                        1 => wait(call.timeout(Duration::ZERO)),
                        2 => wait(call.timeout(Duration::from_micros(200))),
                        _ => {
                            let mut call = call;
                            if poll_once(&mut call).is_pending() && at % 8 == 3 {
                                thread::yield_now();
                            }
                            // Left after one poll: whatever it saw, the rest has no reader.
                            drop(call);
                            left.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                    };
                    match result {
                        Ok(response) => {
                            assert_eq!(*response.body, payload, "another call's answer");
                            ok.fetch_add(1, Ordering::Relaxed)
                        }
                        Err(CallError::DeadlineExceeded) => {
                            deadline.fetch_add(1, Ordering::Relaxed)
                        }
                        Err(error) => panic!("{error}"),
                    };
                }
            });
        }
    });
    let [ok, deadline, left] = [ok, deadline, left].map(AtomicU64::into_inner);
    assert_eq!(ok + deadline + left, CALLERS * CALLS);
    unload_clean(&host, &plugin);
    done.reach(asked.get() * 3);

    let snapshot = plugin.snapshot();
    assert_eq!(snapshot.calls, CALLERS * CALLS);
    assert_eq!(snapshot.failed.deadline, deadline);
    // A caller that left after one poll may have seen an answer in it.
    assert_eq!(snapshot.ok + snapshot.failed.cancelled, ok + left);
    assert!(snapshot.ok >= ok);
    assert_eq!(snapshot.calls, snapshot.ok + snapshot.failed.total(), "{snapshot:?}");
    assert_adds_up(&plugin);
    let (taken, refused) = (taken.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    assert_eq!(taken + refused, asked.get() * 3);
    assert!(taken >= ok, "{taken} answers taken for {ok} read");
    let late = snapshot.refused_answers;
    if IS_INLINE {
        assert!(taken <= ok + left, "{taken} answers taken for {ok} read");
        assert_eq!(late.late + late.unknown, refused);
    } else {
        // The worker may take one answer of each call that has ended here, which is then late here.
        assert!(taken <= asked.get());
        assert!((refused..=refused + taken).contains(&(late.late + late.unknown)), "{late:?}");
    }
    assert_eq!(late.foreign + late.invalid + late.backpressure, 0);
    let notified = cancelled.get();
    assert!(notified <= deadline + left, "{notified} cancellations");
    // Those of calls that have not reached a worker, and of those that it has answered, never do.
    assert!(notified >= deadline || !IS_INLINE, "{notified} cancellations of {deadline}");
    drop(plugin);
    drop(answerers);
}

#[test]
fn each_call_has_one_outcome_when_everything_races_on_the_callers_threads() {
    race(Dispatch::Caller);
}

#[test]
fn each_call_has_one_outcome_when_everything_races_on_workers() {
    race(Dispatch::Worker);
}
