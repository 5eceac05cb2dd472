// SPDX-License-Identifier: BSD-3-Clause
//! A timer runs once, or never; none runs after its plugin's end.

use std::sync::Arc;

use becket_abi::NrStatus;
use becket_host::{Host, Limits};

use crate::support::{
    counted,
    script::Script,
    unload_clean,
    wait::{Mailbox, Tally},
};

const FOREVER_MS: u64 = 3_600_000;

#[test]
fn timers_run_once_in_the_order_of_their_time() {
    let host = Host::new();
    let (plugin, api) = Script::echo().load(&host, "timers");
    let ran = Mailbox::new();
    for delay_ms in [40, 1, 20, 0] {
        let ran = ran.clone();
        assert_ne!(api.timer(delay_ms, move || ran.put(delay_ms)), 0);
    }
    let order: Vec<u64> = (0..4).map(|_| ran.take()).collect();
    assert_eq!(order[2..], [20, 40], "{order:?}");
    unload_clean(&host, &plugin);
    assert!(ran.take_all().is_empty(), "run twice");
}

#[test]
fn a_cancelled_timer_never_runs_and_one_that_ran_cannot_be_cancelled() {
    let host = Host::new();
    let (plugin, api) = Script::echo().load(&host, "timers");
    let (ran, fence) = (Tally::new(), Tally::new());
    let start = |delay_ms, tally: &Arc<Tally>| {
        let tally = tally.clone();
        api.timer(delay_ms, move || tally.add())
    };
    let mut never_ran = 0;
    for _ in 0..200 {
        // Due at once: it may be queued already when it is cancelled.
        let timer = start(0, &ran);
        never_ran += u64::from(api.timer_cancel(timer) == NrStatus::Ok);
        assert_eq!(api.timer_cancel(timer), NrStatus::Invalid);
    }
    assert_eq!(api.timer_cancel(start(FOREVER_MS, &ran)), NrStatus::Ok);
    for made_up in [0, 12_345, u64::MAX] {
        assert_eq!(api.timer_cancel(made_up), NrStatus::Invalid);
    }
    // Timers run one after another: what ran before this one is all that ran.
    let last = start(0, &fence);
    fence.reach(1);
    assert_eq!(ran.get(), 200 - never_ran);
    assert_eq!(api.timer_cancel(last), NrStatus::Invalid);
    unload_clean(&host, &plugin);
    assert_eq!(ran.get(), 200 - never_ran);
}

#[test]
fn a_timer_may_start_the_next_and_none_runs_after_shutdown() {
    let host = Host::new();
    let ended = Tally::new();
    let ran = Tally::new();
    let (at_end, late) = (ended.clone(), ran.clone());
    let script = Script::echo().on_shutdown(move |api| {
        let late = late.clone();
        api.timer(0, move || late.add());
        at_end.add();
    });
    let (plugin, api) = script.load(&host, "timers");
    let fence = Tally::new();
    let first = fence.clone();
    api.timer(0, move || {
        let second = first.clone();
        api.timer(0, move || second.add());
        first.add();
    });
    fence.reach(2);
    let never = ran.clone();
    api.timer(FOREVER_MS, move || never.add());
    unload_clean(&host, &plugin);
    ended.reach(1);
    // A timer of another plugin is behind everything that was due before it.
    let (other, api) = Script::echo().load(&host, "other");
    let after = fence.clone();
    api.timer(0, move || after.add());
    fence.reach(3);
    assert_eq!(ran.get(), 0);
    unload_clean(&host, &other);
}

#[test]
fn timers_are_bounded() {
    let host = Host::new();
    let limits = Limits { timers_max: 3, ..Limits::default() };
    let (plugin, api) = Script::echo().load_with(&host, "timers", |spec| spec.limits(limits));
    let timers: Vec<u64> = (0..3).map(|_| api.timer(FOREVER_MS, || ())).collect();
    assert!(timers.iter().all(|timer| *timer != 0));
    assert_eq!(api.timer(0, || ()), 0);
    assert_eq!(api.timer_cancel(timers[1]), NrStatus::Ok);
    assert_ne!(api.timer(FOREVER_MS, || ()), 0);
    counted(&plugin, |snapshot| snapshot.resources_refused == 1);
    unload_clean(&host, &plugin);
}
