// SPDX-License-Identifier: BSD-3-Clause
//! Calls wait on coroutines, are notified when their caller has left, and run where they should.

use std::time::Duration;

use becket_abi::NrStatus;
use becket_host::{CallError, Limits};

use crate::{
    IS_INLINE, Waits,
    support::{
        assert_adds_up, logs,
        wait::{poll_once, wait},
    },
};

#[test]
fn a_handler_sleeps_and_answers() {
    let waits = Waits::load("sleeps");
    assert_eq!(waits.ask("sleep", b"1000000"), "0");
    assert_adds_up(&waits.plugin);
    waits.end();
}

#[test]
fn a_thousand_calls_wait_on_one_thread() {
    let waits = Waits::load("thousand");
    let mut calls: Vec<_> =
        (0..1000).map(|_| waits.plugin.call_raw("sleep", b"50000000")).collect();
    for call in &mut calls {
        assert!(poll_once(call).is_pending());
    }
    for call in calls {
        assert_eq!(*wait(call).unwrap().body, *b"0");
    }
    assert_adds_up(&waits.plugin);
    waits.end();
}

#[test]
fn handlers_talk_through_a_channel() {
    let waits = Waits::load("talk");
    assert_eq!(waits.ask("relay", b"from another coroutine"), "from another coroutine");
    waits.end();
}

#[test]
fn it_runs_where_it_should() {
    let waits = Waits::load("where");
    assert_eq!(waits.ask("where", b""), format!("coroutine {}", NrStatus::Ok.0));
    let inline = format!("thread {}", NrStatus::Unsupported.0);
    assert_eq!(waits.ask("inline", b""), inline);
    let resolved = waits.plugin.entry("inline").unwrap();
    assert_eq!(*wait(resolved.call_raw(b"")).unwrap().body, *inline.as_bytes());
    if IS_INLINE {
        assert_eq!(*waits.plugin.call_now("where", b"").unwrap().body, *inline.as_bytes());
    }
    let resolved = waits.plugin.entry("where").unwrap();
    assert_eq!(*wait(resolved.call_raw(b"")).unwrap().body, *b"coroutine 0");
    assert_eq!(waits.ask("thread", b""), NrStatus::Ok.0.to_string(), "a thread of its own waits");
    waits.end();
}

#[test]
fn a_deadline_wakes_the_handler() {
    let waits = Waits::load("deadline");
    // A deadline that passes before the handler has begun shows nothing.
    for patience_ms in (5..).map(|doublings| 1 << doublings) {
        let call = waits.plugin.call_raw("wait", b"").timeout(Duration::from_millis(patience_ms));
        assert!(matches!(wait(call), Err(CallError::DeadlineExceeded)));
        if logs::count(&["message=waits ", "plugin=deadline "]) > 0 {
            break;
        }
    }
    logs::reach(1, &["waited: 8", "plugin=deadline "]);
    assert_adds_up(&waits.plugin);
    waits.end();
}

#[test]
fn a_caller_that_leaves_wakes_the_handler() {
    // Without a deadline, which would wake it too.
    let limits = Limits { deadline_ms: 0, ..Limits::default() };
    let waits = Waits::load_with("leaves", limits);
    let mut call = waits.plugin.call_raw("wait", b"");
    assert!(poll_once(&mut call).is_pending());
    logs::reach(1, &["from=waits", "waits", "plugin=leaves "]);
    drop(call);
    logs::reach(1, &["waited: 8", "plugin=leaves "]);
    waits.end();
}

#[test]
fn a_handler_that_keeps_its_thread_is_reported_by_name() {
    let waits = Waits::load("spins");
    let folder = tempfile::tempdir().unwrap();
    let stop = folder.path().join("stop");
    let mut call = waits.plugin.call_raw("spin", stop.as_os_str().as_encoded_bytes());
    assert!(poll_once(&mut call).is_pending());
    logs::reach(1, &["becket::watchdog", "coroutine=spins/spin", "does not give"]);
    std::fs::write(&stop, "").unwrap();
    assert_eq!(*wait(call).unwrap().body, *b"spun");
    waits.end();
}

#[test]
fn an_unknown_entry_is_named() {
    let waits = Waits::load("unknown");
    let unknown = wait(waits.plugin.call_raw("nothing", b""));
    assert!(matches!(unknown, Err(CallError::UnknownEntry(_))), "{unknown:?}");
    waits.end();
}
