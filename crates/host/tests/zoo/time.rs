// SPDX-License-Identifier: BSD-3-Clause
//! Plugins that do not answer, answer late, block, or leave threads behind.

use std::{
    thread,
    time::{Duration, Instant},
};

use becket_abi::NrStatus;
use becket_host::{CallError, Dispatch, Limits, PluginState};

use crate::{
    BOTH, Specimen,
    support::{
        logs,
        wait::{Tally, poll_once, wait},
    },
};

const SOON: Duration = Duration::from_millis(20);

pub(crate) fn never_answers(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        let call = specimen.plugin.call_raw("hit", b"").timeout(SOON);
        assert!(matches!(wait(call), Err(CallError::DeadlineExceeded)));
        let now = specimen.plugin.call_now("hit", b"");
        assert!(matches!(now, Err(CallError::NotAnswered)), "{now:?}");
        specimen.plugin.notify("hit", b"").unwrap();
        specimen.end();
    }
}

pub(crate) fn blocks_in_handle(name: &str) {
    logs::capture();
    for dispatch in [Dispatch::Auto, Dispatch::Worker] {
        let limits = Limits { blocked_max: 2, block_report_ms: 1, ..Limits::default() };
        let specimen = Specimen::load_with(name, |spec| spec.limits(limits).dispatch(dispatch));
        let began = Instant::now();
        let call = specimen.plugin.call_raw("hit", b"5000").timeout(SOON);
        assert!(matches!(wait(call), Err(CallError::DeadlineExceeded)));
        specimen.is_well();
        assert!(began.elapsed() < Duration::from_secs(4), "freed only when the plugin was done");
        if dispatch == Dispatch::Auto {
            let mut calls: Vec<_> =
                (0..3).map(|_| specimen.plugin.call_raw("hit", b"5000")).collect();
            assert!(calls.iter_mut().all(|call| poll_once(call).is_pending()));
            logs::reach(2, &["becket::watchdog", "a thread is stuck", "plugin=blocks_in_handle "]);
            assert_eq!(specimen.plugin.state(), PluginState::Blocked);
            specimen.is_well();
            let callers: Vec<_> = (0..2)
                .map(|_| {
                    let plugin = specimen.plugin.clone();
                    thread::spawn(move || plugin.call_now("hit", b"2000"))
                })
                .collect();
            logs::reach(1, &["becket::watchdog", "quarantined", "plugin=blocks_in_handle "]);
            assert_eq!(specimen.plugin.state(), PluginState::Quarantined);
            let refused = wait(specimen.plugin.call_raw("ok", b""));
            assert!(matches!(refused, Err(CallError::Quarantined)), "{refused:?}");
            assert!(specimen.plugin.snapshot().blocked >= 2);
            assert_eq!(*wait(specimen.healthy.call_raw("x", b"fine")).unwrap().body, *b"fine");
            callers.into_iter().for_each(|caller| drop(caller.join().unwrap()));
        }
        // A reload does not wait for the threads that are stuck, and cures.
        wait(specimen.plugin.reload()).unwrap();
        assert_eq!(specimen.plugin.state(), PluginState::Ready);
        specimen.end();
    }
}

pub(crate) fn ignores_cancelled(name: &str) {
    logs::capture();
    let limits = Limits { drain_ms: 50, ..Limits::default() };
    let specimen = Specimen::load_with(name, |spec| spec.limits(limits));
    for _ in 0..3 {
        let call = specimen.plugin.call_raw("hit", b"").timeout(SOON);
        assert!(matches!(wait(call), Err(CallError::DeadlineExceeded)));
    }
    // One that begins to wait: the deadlines above may have come before.
    let mut call = specimen.plugin.call_raw("hit", b"");
    assert!(poll_once(&mut call).is_pending());
    specimen.is_well();
    drop(call);
    specimen.end();
    logs::reach(1, &["retired", "plugin=ignores_cancelled "]);
}

pub(crate) fn answers_after_deadline(name: &str) {
    let specimen = Specimen::load(name, Dispatch::Caller);
    for _ in 0..10 {
        let call = specimen.plugin.call_raw("hit", b"").timeout(Duration::ZERO);
        assert!(matches!(wait(call), Err(CallError::DeadlineExceeded)));
    }
    // The plugin is notified of a caller that leaves in the same way.
    let mut call = specimen.plugin.call_raw("hit", b"");
    assert!(poll_once(&mut call).is_pending());
    drop(call);
    let plugin = specimen.plugin.clone();
    specimen.end();
    assert_eq!(plugin.snapshot().refused_answers.late, 11);
}

pub(crate) fn answers_who_has_left(name: &str) {
    let specimen = Specimen::load(name, Dispatch::Caller);
    specimen.answers(b"hit");
    let mut call = specimen.plugin.call_raw("hit", b"");
    assert!(poll_once(&mut call).is_pending());
    drop(call);
    let plugin = specimen.plugin.clone();
    specimen.end();
    // Its timer may answer besides, if it runs before the unload cancels it.
    assert!((1..=2).contains(&plugin.snapshot().refused_answers.late));
}

pub(crate) fn shutdown_never_returns(name: &str) {
    logs::capture();
    let limits = Limits { drain_ms: 20, block_report_ms: 1, ..Limits::default() };
    let specimen = Specimen::load_limited(name, limits);
    specimen.answers(b"hit");
    specimen.end();
    logs::reach(1, &["a thread is stuck", "plugin=shutdown_never_returns "]);
}

pub(crate) fn answers_after_unload(name: &str) {
    logs::capture();
    let specimen = Specimen::load(name, Dispatch::Caller);
    let call = specimen.plugin.call_raw("hit", b"").timeout(Duration::ZERO);
    assert!(matches!(wait(call), Err(CallError::DeadlineExceeded)));
    let plugin = specimen.plugin.clone();
    specimen.end();
    assert_eq!(plugin.state(), PluginState::Unloaded);
    logs::reach(100, &["plugin=answers_after_unload ", "after unload"]);
    let refused = plugin.snapshot().refused_answers;
    assert_eq!(refused.late + refused.unknown, 100, "{refused:?}");
}

pub(crate) fn thread_at_host_drop(name: &str) {
    logs::capture();
    let lines = ["plugin=thread_at_host_drop ", "still here"];
    let specimen = Specimen::load(name, Dispatch::Caller);
    specimen.answers(b"hit");
    logs::reach(5, &lines);
    specimen.end();
    // The host and every handle of the plugin are gone; its thread is not.
    logs::reach(logs::count(&lines) + 20, &lines);
}

pub(crate) fn thread_key_destructor(name: &str) {
    outlived_by_a_thread(name);
}

pub(crate) fn thread_local_destructor(name: &str) {
    outlived_by_a_thread(name);
}

/// A thread that was inside the plugin ends after the plugin was unloaded, and runs its destructor.
fn outlived_by_a_thread(name: &str) {
    let specimen = Specimen::load(name, Dispatch::Caller);
    let (called, unloaded) = (Tally::new(), Tally::new());
    let (plugin, tell, hear) = (specimen.plugin.clone(), called.clone(), unloaded.clone());
    let thread = thread::spawn(move || {
        assert_eq!(wait(plugin.call_raw("hit", b"")).unwrap().status, NrStatus::Ok);
        tell.add();
        hear.reach(1);
    });
    called.reach(1);
    specimen.end();
    unloaded.add();
    thread.join().unwrap();
}
