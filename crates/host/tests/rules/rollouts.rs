// SPDX-License-Identifier: BSD-3-Clause
//! A rollout gives the new version its share and no more, decides by its calls alone, loses none, and
//! shows why it is over as soon as it shows that it is.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use becket_abi::NrStatus;
use becket_host::{
    CallError, Dispatch, Host, Limits, Plugin, PluginSpec, ReloadError, Request, Rollout,
    RolloutCause, RolloutEnd, RolloutResult, Sticky, StreamError, WorkerInfo,
};

use crate::support::{
    assert_adds_up, logs,
    native::Workshop,
    unload_clean,
    wait::{poll_once, wait},
};
use crate::{HAS_WORKERS, IS_INLINE, PLACEMENT, spec};

/// The plugin: answers its version, at once or from a timer.
const SOURCE: &str = include_str!("reloaded.c");

const FAILS: &str = "#define ANSWER NR_ERR";

/// One that is decided by nothing but a request.
pub(crate) const UNDECIDED: Rollout =
    Rollout { percent: 50, calls_min: u64::MAX, errors_max: u64::MAX, timeout_ms: 0, sticky: None };

pub(crate) struct Versions {
    workshop: Workshop,
    host: Host,
    pub(crate) plugin: Plugin,
}

impl Versions {
    /// Version `one` is loaded.
    fn new(name: &str) -> Self {
        Self::with(name, "", Limits::default())
    }

    pub(crate) fn with(name: &str, definitions: &str, limits: Limits) -> Self {
        let workshop = Workshop::new();
        let (host, path) = (Host::new(), build(&workshop, "one", definitions));
        let spec = spec(name, &path).dispatch(Dispatch::Caller).limits(limits);
        let plugin = host.load(spec).unwrap();
        Self { workshop, host, plugin }
    }

    pub(crate) fn roll_out(
        &self,
        version: &str,
        definitions: &str,
        rollout: Rollout,
    ) -> Result<(), ReloadError> {
        let path = build(&self.workshop, version, definitions);
        let spec = spec(self.plugin.name(), &path).dispatch(Dispatch::Caller);
        wait(self.plugin.roll_out(Some(spec), rollout))
    }

    /// Version `two` gets a share.
    fn begin(&self, definitions: &str, rollout: Rollout) {
        self.roll_out("two", definitions, rollout).unwrap();
    }

    pub(crate) fn ask(&self, entry: &str) -> String {
        let response = wait(self.plugin.call_raw(entry, b"")).unwrap();
        String::from_utf8(response.body.to_vec()).unwrap()
    }

    /// How the rollout ended, which it has.
    fn end(&self) -> RolloutEnd {
        let snapshot = self.plugin.rollouts();
        assert_eq!(snapshot.now, None);
        snapshot.last.unwrap()
    }

    pub(crate) fn unload_clean(&self) {
        unload_clean(&self.host, &self.plugin);
        assert_adds_up(&self.plugin);
    }
}

fn build(workshop: &Workshop, version: &str, definitions: &str) -> PathBuf {
    let source = format!("#define VERSION \"{version}\"\n{definitions}\n{SOURCE}");
    workshop.build(version, &source)
}

#[test]
fn of_any_hundred_calls_in_a_row_it_gets_its_share_exactly() {
    const THREADS: u64 = 4;
    let versions = Versions::new("share");
    let plugin = &versions.plugin;
    for percent in [1, 10, 33, 99] {
        versions.begin("", Rollout { percent, ..UNDECIDED });
        let new = AtomicU64::new(0);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (new, versions) = (&new, &versions);
                scope.spawn(move || {
                    for at in 0..50 {
                        let body = match (thread + at) % 4 {
                            0 => versions.ask("later"),
                            1 if IS_INLINE => {
                                let body = plugin.call_now("version", b"").unwrap().body;
                                String::from_utf8(body.to_vec()).unwrap()
                            }
                            2 => {
                                let opened = plugin.stream("later", Request::default());
                                let frame = wait(wait(opened).unwrap().next()).unwrap().unwrap();
                                String::from_utf8(frame.body.to_vec()).unwrap()
                            }
                            _ => versions.ask("version"),
                        };
                        new.fetch_add(u64::from(body == "two"), Ordering::Relaxed);
                    }
                });
            }
        });
        let share = 2 * u64::from(percent);
        assert_eq!(new.into_inner(), share, "{percent} %");
        let now = plugin.rollouts().now.unwrap();
        assert_eq!((now.dealt, now.dealt_canary), (THREADS * 50, share));
        assert_eq!((now.calls, now.errors), (share, 0));
        assert!(plugin.adjust_rollout(&Rollout { percent: 0, ..UNDECIDED }));
    }
    versions.unload_clean();
}

#[test]
fn it_is_promoted_when_enough_of_its_calls_were_answered() {
    logs::capture();
    let versions = Versions::new("promoted");
    let plugin = &versions.plugin;
    versions.begin("", Rollout { percent: 50, calls_min: 5, ..Rollout::default() });
    let now = plugin.rollouts().now.unwrap();
    assert_eq!((now.version.as_str(), now.generation, now.percent), ("two", 2, 50));
    assert_eq!(plugin.info().version, "one", "it is the one that is reloaded");
    for at in 0..10 {
        assert_eq!(plugin.rollouts().last, None, "not before its fifth call, at call {at}");
        assert_eq!(versions.ask("version"), ["one", "two"][at % 2]);
    }
    let end = wait(plugin.rollout_over()).unwrap();
    assert_eq!(end, versions.end());
    assert_eq!((end.result, end.cause), (RolloutResult::Promoted, RolloutCause::Passed));
    assert_eq!((end.progress.calls, end.progress.errors, end.progress.dealt), (5, 0, 10));
    (0..10).for_each(|_| assert_eq!(versions.ask("version"), "two"));
    assert_eq!((plugin.info().version.as_str(), plugin.snapshot().reloads), ("two", 1));
    logs::reach(1, &["plugin=promoted ", "shut down one"]);
    // What is reloaded from now on is the new one.
    wait(plugin.reload()).unwrap();
    assert_eq!(versions.ask("version"), "two");
    versions.unload_clean();
}

#[test]
fn it_is_taken_back_by_the_error_that_is_one_too_many() {
    logs::capture();
    for entry in ["version", "later"] {
        let name = format!("taken_back_{entry}");
        let versions = Versions::new(&name);
        let plugin = &versions.plugin;
        let rollout = Rollout { percent: 50, errors_max: 2, ..Rollout::default() };
        versions.begin(FAILS, rollout);
        let answers = (0..20).map(|_| wait(plugin.call_raw(entry, b"")).unwrap().status);
        let failed: Vec<usize> = answers
            .enumerate()
            .filter_map(|(at, status)| (status == NrStatus::Err).then_some(at))
            .collect();
        assert_eq!(failed, [1, 3, 5], "every second, until there are three");
        let end = versions.end();
        assert_eq!((end.result, end.cause), (RolloutResult::TakenBack, RolloutCause::Errors));
        assert_eq!((end.progress.calls, end.progress.errors), (3, 3));
        assert_eq!(end.progress.last_error.as_deref(), Some("the plugin answered Err"));
        assert_eq!((plugin.info().version.as_str(), plugin.info().generation), ("one", 1));
        let plugin_field = format!("plugin={name} ");
        logs::reach(1, &[&plugin_field, "taken back", "cause=errors "]);
        logs::reach(1, &[&plugin_field, "shut down two"]);
        versions.unload_clean();
    }
}

#[test]
fn a_call_that_is_late_is_an_error_and_one_whose_caller_left_is_nothing() {
    let versions = Versions::new("late");
    let plugin = &versions.plugin;
    versions.begin("", Rollout { percent: 99, ..Rollout::default() });
    // The first of a hundred is the old version's.
    assert_eq!(versions.ask("version"), "one");
    let mut left = plugin.call_raw("hold", b"");
    assert!(poll_once(&mut left).is_pending());
    drop(left);
    let now = plugin.rollouts().now.unwrap();
    assert_eq!((now.dealt_canary, now.calls, now.errors), (1, 0, 0));
    let late = wait(plugin.call_raw("hold", b"").timeout(Duration::from_millis(1)));
    assert!(matches!(late, Err(CallError::DeadlineExceeded)));
    let end = versions.end();
    assert_eq!((end.cause, end.progress.calls, end.progress.errors), (RolloutCause::Errors, 1, 1));
    versions.unload_clean();
}

#[test]
fn a_stream_counts_when_it_is_open_and_fails_when_it_ends_so() {
    let versions = Versions::new("streams");
    let plugin = &versions.plugin;
    versions.begin(FAILS, Rollout { percent: 99, ..Rollout::default() });
    assert_eq!(versions.ask("version"), "one");
    let mut chat = wait(plugin.stream("chat", Request::default())).unwrap();
    assert_eq!(plugin.rollouts().now.unwrap().calls, 1);
    let mut fails = wait(plugin.stream("later", Request::default())).unwrap();
    let ended = wait(fails.next());
    assert!(matches!(ended, Err(StreamError::Failed { status: NrStatus::Err, .. })), "{ended:?}");
    let end = versions.end();
    assert_eq!((end.cause, end.progress.calls, end.progress.errors), (RolloutCause::Errors, 2, 1));
    // What it had before goes on there.
    wait(chat.send(b"")).unwrap();
    assert_eq!(*wait(chat.next()).unwrap().unwrap().body, *b"two");
    chat.close().unwrap();
    assert!(wait(chat.next()).unwrap().is_none());
    drop((chat, fails));
    versions.unload_clean();
}

#[test]
fn notifications_are_dealt_too() {
    let versions = Versions::new("notified");
    let plugin = &versions.plugin;
    versions.begin("", Rollout { percent: 50, ..UNDECIDED });
    (0..10).for_each(|_| plugin.notify("count", b"").unwrap());
    let now = plugin.rollouts().now.unwrap();
    assert_eq!((now.dealt, now.dealt_canary), (10, 5));
    if IS_INLINE {
        assert_eq!((now.calls, now.errors), (5, 0));
        assert_eq!([versions.ask("count"), versions.ask("count")], ["6", "6"]);
    }
    assert!(plugin.adjust_rollout(&Rollout { percent: 100, ..UNDECIDED }));
    let end = versions.end();
    assert_eq!((end.result, end.cause), (RolloutResult::Promoted, RolloutCause::Requested));
    versions.unload_clean();
}

#[test]
fn calls_of_one_key_stay_on_one_version() {
    let versions = Versions::new("sticky");
    let plugin = &versions.plugin;
    let sticky = Some(Sticky::Header("X-User".to_owned()));
    versions.begin("", Rollout { sticky, ..UNDECIDED });
    let mut users = [0, 0];
    for user in 0..64 {
        let ask = || {
            let request = Request::default().header("x-user", user.to_string());
            wait(plugin.call("version", request)).unwrap().body.to_vec()
        };
        let version = ask();
        users[usize::from(version == b"two")] += 1;
        (0..8).for_each(|_| assert_eq!(ask(), version, "user {user}"));
    }
    assert!(users.iter().all(|users| *users > 8), "both versions have users: {users:?}");
    versions.unload_clean();
}

#[test]
fn rollouts_that_go_on_and_back_lose_no_call() {
    const ROUNDS: usize = if IS_INLINE { 100 } else { 12 };
    const THREADS: usize = 4;
    let versions = Versions::new("under_way");
    let plugin = &versions.plugin;
    let files = ["one", "two"].map(|version| build(&versions.workshop, version, ""));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (versions, stop) = (&versions, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let body = match thread {
                        0 => versions.ask("later"),
                        1 if IS_INLINE => {
                            let body = plugin.call_now("version", b"").unwrap().body;
                            String::from_utf8(body.to_vec()).unwrap()
                        }
                        2 => {
                            plugin.notify("count", b"").unwrap();
                            let opened = plugin.stream("later", Request::default());
                            let frame = wait(wait(opened).unwrap().next()).unwrap().unwrap();
                            String::from_utf8(frame.body.to_vec()).unwrap()
                        }
                        _ => versions.ask("version"),
                    };
                    assert!(body == "one" || body == "two", "{body}");
                }
            });
        }
        for round in 0..ROUNDS {
            let spec = spec(plugin.name(), &files[round % 2]).dispatch(Dispatch::Caller);
            // By its calls, by request, and back.
            let calls_min = if round % 3 == 0 { 3 } else { u64::MAX };
            wait(plugin.roll_out(Some(spec), Rollout { calls_min, ..UNDECIDED })).unwrap();
            match round % 3 {
                0 => {}
                1 => _ = plugin.adjust_rollout(&Rollout { percent: 100, ..UNDECIDED }),
                _ => _ = plugin.adjust_rollout(&Rollout { percent: 0, ..UNDECIDED }),
            }
            let end = wait(plugin.rollout_over()).unwrap();
            let wanted =
                if round % 3 == 2 { RolloutResult::TakenBack } else { RolloutResult::Promoted };
            assert_eq!((end.result, end.progress.errors), (wanted, 0), "{end:?}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    versions.unload_clean();
    let snapshot = plugin.snapshot();
    assert_eq!(snapshot.calls, snapshot.ok, "{snapshot:?}");
    assert_eq!((snapshot.notifies_refused, snapshot.streams_refused), (0, 0));
    let rollouts = snapshot.rollouts;
    assert_eq!(rollouts.promoted + rollouts.taken_back, ROUNDS as u64);
}

#[test]
fn a_crash_of_the_new_version_costs_its_own_calls_alone() {
    if !HAS_WORKERS {
        // It would end this process.
        return;
    }
    const THREADS: u64 = 4;
    let versions = Versions::new("crashes");
    let plugin = &versions.plugin;
    versions.begin("#define ABORTS", Rollout::default());
    let begun = Barrier::new(THREADS as usize);
    let failed = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                begun.wait();
                for _ in 0..100 {
                    match wait(plugin.call_raw("version", b"")) {
                        Ok(response) => assert_eq!(*response.body, *b"one"),
                        Err(CallError::Crashed) => _ = failed.fetch_add(1, Ordering::Relaxed),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let end = versions.end();
    assert_eq!((end.result, end.cause), (RolloutResult::TakenBack, RolloutCause::Errors));
    let deaths = plugin.workers().unwrap().deaths;
    assert!(deaths.iter().all(|death| death.generation == end.progress.generation), "{deaths:?}");
    let failed = failed.into_inner();
    assert!((1..=end.progress.dealt_canary).contains(&failed), "{failed} of {end:?}");
    (0..100).for_each(|_| assert_eq!(versions.ask("version"), "one"));
    unload_clean(&versions.host, plugin);
}

#[test]
fn one_that_is_not_decided_in_time_is_taken_back() {
    logs::capture();
    let versions = Versions::new("in_time");
    let plugin = &versions.plugin;
    versions.begin("", Rollout { timeout_ms: 1, ..UNDECIDED });
    let end = wait(plugin.rollout_over()).unwrap();
    assert_eq!((end.result, end.cause), (RolloutResult::TakenBack, RolloutCause::Timeout));
    assert_eq!((end.progress.timeout_ms, end.progress.last_error.as_deref()), (1, None));
    assert!(end.progress.age_ms >= 1, "{end:?}");
    assert_eq!([versions.ask("version"), versions.ask("version")], ["one", "one"]);
    logs::reach(1, &["plugin=in_time ", "taken back", "cause=timeout "]);
    logs::reach(1, &["plugin=in_time ", "shut down two"]);

    // The limit counts from the beginning, whenever it is set. A call that was begun goes on.
    versions.begin("", UNDECIDED);
    assert_eq!([versions.ask("version"), versions.ask("version")], ["one", "two"]);
    let mut chats = [0, 1].map(|_| wait(plugin.stream("chat", Request::default())).unwrap());
    assert!(plugin.adjust_rollout(&Rollout { timeout_ms: u64::MAX, ..UNDECIDED }));
    assert_eq!(plugin.rollouts().now.unwrap().timeout_ms, u64::MAX);
    assert!(plugin.adjust_rollout(&Rollout { timeout_ms: 1, ..UNDECIDED }));
    let end = wait(plugin.rollout_over()).unwrap();
    assert_eq!((end.cause, end.progress.calls), (RolloutCause::Timeout, 2));
    for (chat, version) in chats.iter_mut().zip(["one", "two"]) {
        wait(chat.send(b"")).unwrap();
        assert_eq!(*wait(chat.next()).unwrap().unwrap().body, *version.as_bytes());
        chat.close().unwrap();
        assert!(wait(chat.next()).unwrap().is_none());
    }
    drop(chats);
    let snapshot = plugin.rollouts();
    assert_eq!((snapshot.promoted, snapshot.taken_back), (0, 2));
    versions.unload_clean();
}

#[test]
fn what_follows_takes_back_the_one_under_way() {
    logs::capture();
    let versions = Versions::new("follows");
    let plugin = &versions.plugin;
    versions.begin("", UNDECIDED);
    // What does not load changes nothing.
    let error = versions.roll_out("three", "#define INIT_FAILS", UNDECIDED).unwrap_err();
    assert!(matches!(error, ReloadError::Load(_)), "{error}");
    assert_eq!(plugin.rollouts().now.unwrap().version, "two");

    versions.roll_out("three", "", UNDECIDED).unwrap();
    let snapshot = plugin.rollouts();
    assert_eq!(snapshot.now.unwrap().version, "three");
    let last = snapshot.last.unwrap();
    assert_eq!((last.progress.version.as_str(), last.cause), ("two", RolloutCause::Replaced));
    logs::reach(1, &["plugin=follows ", "shut down two"]);

    let path = build(&versions.workshop, "four", "");
    wait(plugin.reload_as(spec("follows", &path).dispatch(Dispatch::Caller))).unwrap();
    let last = versions.end();
    assert_eq!((last.progress.version.as_str(), last.cause), ("three", RolloutCause::Replaced));
    (0..4).for_each(|_| assert_eq!(versions.ask("version"), "four"));
    for gone in ["one", "three"] {
        logs::reach(1, &["plugin=follows ", &format!("shut down {gone}")]);
    }
    assert!(!plugin.adjust_rollout(&UNDECIDED), "there is none");
    versions.unload_clean();
}

#[test]
fn an_unload_ends_both_versions_and_the_rollout() {
    logs::capture();
    let limits = Limits { drain_ms: 20, ..Limits::default() };
    let versions = Versions::with("unloaded", "", limits);
    let plugin = &versions.plugin;
    versions.begin("", UNDECIDED);
    let mut held = [plugin.call_raw("hold", b""), plugin.call_raw("hold", b"")];
    held.iter_mut().for_each(|held| assert!(poll_once(held).is_pending()));
    assert_eq!(plugin.rollouts().now.unwrap().dealt_canary, 1);
    assert_eq!(plugin.snapshot().pending, 2);
    let mut over = Box::pin(plugin.rollout_over());
    assert!(poll_once(&mut over).is_pending());
    assert_eq!(wait(versions.host.unload("unloaded")).unwrap(), 2, "one of each");
    for held in held {
        assert!(matches!(wait(held), Err(CallError::Unloaded)));
    }
    let end = wait(over).unwrap();
    assert_eq!((end.result, end.cause), (RolloutResult::TakenBack, RolloutCause::Unloaded));
    assert!(matches!(wait(plugin.call_raw("version", b"")), Err(CallError::Unloaded)));
    for gone in ["one", "two"] {
        logs::reach(1, &["plugin=unloaded ", &format!("shut down {gone}")]);
    }
    let error = versions.roll_out("three", "", UNDECIDED).unwrap_err();
    assert!(matches!(error, ReloadError::Unloaded { .. }), "{error}");
}

#[test]
fn whoever_sees_that_it_is_over_sees_why_and_the_version_that_won() {
    const ROUNDS: u64 = if IS_INLINE { 60 } else { 6 };
    let versions = Versions::new("why");
    let plugin = &versions.plugin;
    let files = [("good", ""), ("bad", FAILS)]
        .map(|(version, definitions)| build(&versions.workshop, version, definitions));
    for round in 0..ROUNDS {
        let is_good = round % 2 == 0;
        let path = versions.workshop.place("new");
        fs::copy(&files[usize::from(!is_good)], &path).unwrap();
        let spec = spec(plugin.name(), &path).dispatch(Dispatch::Caller);
        let rollout = Rollout { percent: 50, calls_min: 1, ..Rollout::default() };
        let before = plugin.info().generation;
        wait(plugin.roll_out(Some(spec), rollout)).unwrap();
        let generation = plugin.rollouts().now.unwrap().generation;
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let last = loop {
                        let snapshot = plugin.rollouts();
                        match snapshot.now {
                            Some(now) => assert_eq!(now.generation, generation),
                            None => break snapshot.last.unwrap(),
                        }
                        thread::yield_now();
                    };
                    assert_eq!(last.progress.generation, generation);
                    assert_eq!(last.progress.calls, 1, "nothing is counted after it was decided");
                    let (result, cause, winner) = match is_good {
                        true => (RolloutResult::Promoted, RolloutCause::Passed, generation),
                        false => (RolloutResult::TakenBack, RolloutCause::Errors, before),
                    };
                    assert_eq!((last.result, last.cause), (result, cause));
                    assert_eq!(plugin.info().generation, winner);
                    let status = wait(plugin.call_raw("version", b"")).unwrap().status;
                    assert_eq!(status, NrStatus::Ok);
                });
            }
            // Several at once reach the bound.
            for _ in 0..3 {
                scope.spawn(|| wait(plugin.call_raw("version", b"")).unwrap());
            }
        });
    }
    versions.unload_clean();
}

#[test]
fn a_rollout_may_move_the_plugin_to_another_placement_and_back() {
    if IS_INLINE {
        // There is one placement here.
        return;
    }
    let versions = Versions::new("moves");
    let plugin = &versions.plugin;
    let path = build(&versions.workshop, "two", "");
    let inline = PluginSpec::path("moves", &path).dispatch(Dispatch::Caller);
    let elsewhere = spec("moves", &path).dispatch(Dispatch::Caller);
    let generations = |wanted: (Vec<u64>, Vec<u64>)| {
        let seen = plugin.workers().unwrap();
        let each = |of: Vec<WorkerInfo>| of.iter().map(|one| one.generation).collect();
        let wanted = if HAS_WORKERS { wanted } else { Default::default() };
        assert_eq!((each(seen.workers), each(seen.canary)), wanted);
    };
    for (spec, before, after, workers) in [
        (inline, PLACEMENT, "inline", (vec![1], vec![])),
        (elsewhere, "inline", PLACEMENT, (vec![], vec![3])),
    ] {
        let rollout = Rollout { percent: 50, calls_min: 5, ..Rollout::default() };
        wait(plugin.roll_out(Some(spec), rollout)).unwrap();
        assert_eq!(plugin.info().placement, before);
        generations(workers);
        assert_eq!(plugin.rollouts().now.unwrap().placement, after);
        (0..10).for_each(|_| _ = versions.ask("version"));
        assert_eq!(versions.end().result, RolloutResult::Promoted);
        assert_eq!((plugin.info().placement, versions.ask("version").as_str()), (after, "two"));
    }
    generations((vec![3], vec![]));
    versions.unload_clean();
}
