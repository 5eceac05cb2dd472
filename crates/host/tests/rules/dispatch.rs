// SPDX-License-Identifier: BSD-3-Clause
//! On which thread `handle` runs, and that a plugin which is not thread-safe is entered by one.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    thread,
};

use becket_abi::NrStatus;
use becket_host::{
    CallError, Dispatch, Host, Limits, Observer, Plugin, Request, lend_nothing, lend_nothing_here,
};
use tracing::{Event, Metadata, Subscriber, span};

use crate::support::{
    assert_adds_up, logs,
    script::{Api, Script},
    unload_clean,
    wait::{Mailbox, Tally, poll_once, wait},
};

/// Answers at once; tells the test on which thread.
fn here(threads: &Arc<Mailbox<thread::ThreadId>>) -> Script {
    let threads = threads.clone();
    Script::new(move |api, call| {
        threads.put(thread::current().id());
        api.send(call.sid, NrStatus::Ok, b"")
    })
}

#[test]
fn the_callers_thread_runs_handle_when_asked_to() {
    let host = Host::new();
    let threads = Mailbox::new();
    let (plugin, _) = here(&threads).load_with(&host, "x", |spec| spec.dispatch(Dispatch::Caller));
    for _ in 0..20 {
        wait(plugin.call_raw("x", b"")).unwrap();
        assert_eq!(threads.take(), thread::current().id());
    }
}

#[test]
fn a_worker_runs_handle_when_asked_to() {
    let host = Host::new();
    let threads = Mailbox::new();
    let (plugin, _) = here(&threads).load_with(&host, "x", |spec| spec.dispatch(Dispatch::Worker));
    for _ in 0..20 {
        wait(plugin.call_raw("x", b"")).unwrap();
        assert_ne!(threads.take(), thread::current().id());
    }
    plugin.notify("x", b"").unwrap();
    assert_ne!(threads.take(), thread::current().id());
    // This one is the caller's own, by definition.
    plugin.call_now("x", b"").unwrap();
    assert_eq!(threads.take(), thread::current().id());
}

#[test]
fn no_call_earns_the_callers_thread_by_being_quick() {
    let host = Host::new();
    let threads = Mailbox::new();
    let (plugin, _) = here(&threads).load(&host, "x");
    for _ in 0..1000 {
        wait(plugin.call_raw("x", b"")).unwrap();
        assert_ne!(threads.take(), thread::current().id());
    }
    assert_eq!(plugin.snapshot().dispatch_revoked, 0);
    unload_clean(&host, &plugin);
}

#[test]
fn a_plugin_that_declares_that_it_never_blocks_runs_on_its_callers_threads_until_it_blocks() {
    logs::capture();
    let host = Host::new();
    let threads = Mailbox::new();
    let gate = Tally::new();
    let (to_test, opened) = (threads.clone(), gate.clone());
    let script = Script::new(move |api, call| {
        to_test.put(thread::current().id());
        if call.entry == "blocks" {
            opened.reach(1);
        }
        api.send(call.sid, NrStatus::Ok, b"")
    })
    .never_blocks();
    let (plugin, _) = script.load(&host, "declared");
    for _ in 0..20 {
        wait(plugin.call_raw("x", b"")).unwrap();
        assert_eq!(threads.take(), thread::current().id());
    }
    thread::scope(|scope| {
        scope.spawn(|| wait(plugin.call_raw("blocks", b"")).unwrap());
        logs::reach(1, &["becket::watchdog", "declared that it never blocks", "plugin=declared"]);
        threads.take_all();
        wait(plugin.call_raw("x", b"")).unwrap();
        assert_ne!(threads.take(), thread::current().id(), "revoked");
        gate.add();
    });
    assert_eq!(plugin.snapshot().dispatch_revoked, 1);
    assert_adds_up(&plugin);
    unload_clean(&host, &plugin);
}

/// Looks at the counts when it is notified of them, and not later.
#[derive(Debug)]
struct Looks {
    plugin: OnceLock<Plugin>,
    /// How often a thread was found stuck, and how many are.
    seen: Arc<Mailbox<(u64, u32)>>,
}

impl Observer for Looks {
    fn log_level_max(&self) -> u32 {
        0
    }

    fn log(&self, _: u32, _: &str, _: &str) {}

    fn watchdog(&self, _: u32, _: &str) {}

    fn counts_changed(&self) {
        if let Some(plugin) = self.plugin.get() {
            let counts = plugin.reported_counts();
            self.seen.put((counts.blocked, counts.blocked_now));
        }
    }

    fn metrics_changed(&self) {}
}

#[test]
fn an_observer_is_notified_of_a_thread_that_is_stuck_when_it_is_counted_everywhere() {
    let host = Host::new();
    let (seen, gate) = (Mailbox::new(), Tally::new());
    let looks = Arc::new(Looks { plugin: OnceLock::new(), seen: seen.clone() });
    let opened = gate.clone();
    let script = Script::new(move |api, call| {
        opened.reach(1);
        api.send(call.sid, NrStatus::Ok, b"")
    });
    let limits = Limits { block_report_ms: 20, ..Limits::default() };
    let observer = looks.clone();
    let (plugin, _) =
        script.load_with(&host, "stuck", |spec| spec.limits(limits).observer(observer));
    looks.plugin.set(plugin.clone()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| wait(plugin.call_raw("x", b"")).unwrap());
        assert_eq!(seen.take(), (1, 1));
        gate.add();
    });
    assert_eq!(seen.take(), (1, 0));
    unload_clean(&host, &plugin);
}

#[test]
fn a_thread_that_lends_nothing_runs_no_code_of_a_plugin_that_minds_it() {
    let host = Host::new();
    let threads = Mailbox::new();
    let (plugin, _) = here(&threads).never_blocks().load(&host, "minds");
    let runs_here = || {
        wait(plugin.call_raw("x", b"")).unwrap();
        threads.take() == thread::current().id()
    };
    let on_one_that_lends_nothing = || {
        lend_nothing_here();
        (runs_here(), lend_nothing(runs_here), runs_here())
    };
    let look = || {
        let seen = thread::scope(|scope| scope.spawn(on_one_that_lends_nothing).join().unwrap());
        // The next thread has the record of the one that has ended.
        assert!(thread::scope(|scope| scope.spawn(runs_here).join().unwrap()));
        seen
    };
    assert_eq!(look(), (true, true, true), "it does not mind");
    plugin.mind_lending();
    assert_eq!(look(), (false, false, false));
    assert!(runs_here());
    assert_eq!(plugin.snapshot().dispatch_revoked, 0);
    assert_adds_up(&plugin);
    unload_clean(&host, &plugin);
}

#[test]
fn the_last_thread_of_an_executor_is_never_inside_a_plugin() {
    let host = Host::new();
    let woken = Tally::new();
    let wake = woken.clone();
    host.set_executor(2, move |_| wake.add());
    let (threads, gate) = (Mailbox::new(), Tally::new());
    let (to_test, opened) = (threads.clone(), gate.clone());
    let script = Script::new(move |api, call| {
        to_test.put(thread::current().id());
        if call.entry == "blocks" {
            opened.reach(1);
        }
        api.send(call.sid, NrStatus::Ok, b"")
    })
    .never_blocks();
    let (plugin, _) = script.load(&host, "guarded");
    wait(plugin.call_raw("x", b"")).unwrap();
    assert_eq!(threads.take(), thread::current().id());
    thread::scope(|scope| {
        scope.spawn(|| wait(plugin.call_raw("blocks", b"")).unwrap());
        threads.take();
        // One of two is inside: this one is not lent, whatever the watchdog has seen by now.
        wait(plugin.call_raw("x", b"")).unwrap();
        assert_ne!(threads.take(), thread::current().id());
        woken.reach(1);
        gate.add();
    });
    unload_clean(&host, &plugin);
}

/// Counts how many threads are inside at once.
#[derive(Default)]
struct Inside {
    now: AtomicU64,
    most: AtomicU64,
    times: AtomicU64,
}

impl Inside {
    fn visit(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.times.fetch_add(1, Ordering::SeqCst);
        // Gives another thread the chance to come in.
        (0..3).for_each(|_| thread::yield_now());
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn a_plugin_that_is_not_thread_safe_is_never_entered_by_two_threads() {
    const THREADS: usize = 6;
    const ROUNDS: u64 = 100;
    for dispatch in [Dispatch::Caller, Dispatch::Worker] {
        let host = Host::new();
        let inside = Arc::new(Inside::default());
        let ran = Tally::new();
        let visit = || {
            let inside = inside.clone();
            move || inside.visit()
        };
        let (handle, data, close, cancel) = (visit(), visit(), visit(), visit());
        let (timer, timers_ran) = (inside.clone(), ran.clone());
        let script = Script::new(move |api: &Api, call| {
            handle();
            match call.entry {
                "silent" => NrStatus::Ok,
                "timer" => {
                    let (timer, ran) = (timer.clone(), timers_ran.clone());
                    api.timer(0, move || {
                        timer.visit();
                        ran.add();
                    });
                    NrStatus::Ok
                }
                _ => api.send(call.sid, NrStatus::Ok, b""),
            }
        })
        .on_data(move |_, _, _| {
            data();
            NrStatus::Ok
        })
        .on_close(move |api, sid| {
            close();
            api.send(sid, NrStatus::StreamEnd, b"")
        })
        .on_cancel(move |_, _| {
            cancel();
            NrStatus::Ok
        })
        .one_at_a_time();
        // On a busy machine one's turn may be long in coming.
        let limits = Limits { block_report_ms: 60_000, ..Limits::default() };
        let (plugin, _) =
            script.load_with(&host, "single", |spec| spec.limits(limits).dispatch(dispatch));
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let plugin = &plugin;
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        match thread {
                            0 => drop(plugin.call_now("x", b"").unwrap()),
                            1 => plugin.notify("timer", b"").unwrap(),
                            2 => {
                                let open = plugin.stream("silent", Request::default());
                                let mut stream = wait(open).unwrap();
                                wait(stream.send(b"x")).unwrap();
                                stream.close().unwrap();
                                assert!(wait(stream.next()).unwrap().is_none());
                            }
                            3 => {
                                let call = plugin.call_raw("silent", b"");
                                wait(call.timeout(std::time::Duration::ZERO)).unwrap_err();
                            }
                            _ => drop(wait(plugin.call_raw("x", b"")).unwrap()),
                        }
                    }
                });
            }
        });
        ran.reach(ROUNDS);
        assert_eq!(inside.most.load(Ordering::SeqCst), 1, "{dispatch:?}");
        assert!(inside.times.load(Ordering::SeqCst) >= THREADS as u64 * ROUNDS);
        assert_adds_up(&plugin);
        unload_clean(&host, &plugin);
    }
}

#[test]
fn a_plugin_of_one_thread_that_is_busy_holds_no_callers_thread() {
    let host = Host::new();
    let (entered, gate) = (Tally::new(), Tally::new());
    let (inside, opened) = (entered.clone(), gate.clone());
    let script = Script::new(move |api: &Api, call| match call.entry {
        "chat" => NrStatus::Ok,
        "blocks" => {
            inside.add();
            opened.reach(1);
            api.send(call.sid, NrStatus::Ok, b"")
        }
        _ => api.send(call.sid, NrStatus::Ok, call.payload),
    })
    .on_data(|api, sid, data| api.send(sid, NrStatus::Ok, data))
    .on_close(|api, sid| api.send(sid, NrStatus::StreamEnd, b""))
    .one_at_a_time();
    let limits = Limits { block_report_ms: 20, ..Limits::default() };
    let (plugin, _) =
        script.load_with(&host, "busy", |spec| spec.limits(limits).dispatch(Dispatch::Caller));
    let mut stream = wait(plugin.stream("chat", Request::default())).unwrap();
    thread::scope(|scope| {
        let blocks = scope.spawn(|| plugin.call_now("blocks", b"").unwrap());
        entered.reach(1);
        let busy = |error| {
            let refused = CallError::Refused { status: NrStatus::Backpressure };
            assert_eq!(format!("{error:?}"), format!("{refused:?}"));
        };
        busy(plugin.call_now("x", b"").unwrap_err());
        busy(plugin.entry("x").unwrap().call_now(b"").unwrap_err());
        // The others wait for their turn, on a worker.
        plugin.notify("x", b"").unwrap();
        assert_eq!(stream.try_send(b"first"), Ok(()));
        let mut call = plugin.call_raw("x", b"in turn");
        let sender = stream.sender();
        let mut send = Box::pin(sender.send(b"in turn"));
        assert!(poll_once(&mut call).is_pending());
        assert!(poll_once(&mut send).is_pending());
        gate.add();
        assert_eq!(*wait(call).unwrap().body, *b"in turn");
        wait(send).unwrap();
        blocks.join().unwrap();
    });
    assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"first");
    assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"in turn");
    stream.close().unwrap();
    assert!(wait(stream.next()).unwrap().is_none());
    drop(stream);
    // A notification is counted as pending until its worker is done with it: nothing but the unload waits for that.
    unload_clean(&host, &plugin);
    assert_adds_up(&plugin);
}

/// Runs its function when a span of a call is entered: on the thread that is about to call the
/// plugin, which it has been lent to.
struct OnEnter<F>(F);

impl<F: Fn() + 'static> Subscriber for OnEnter<F> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target() == "becket::call"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn enter(&self, _: &span::Id) {
        (self.0)();
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn exit(&self, _: &span::Id) {}
}

#[test]
fn a_thread_that_was_lent_to_a_plugin_of_one_thread_waits_for_no_other() {
    let host = Host::new();
    let (tried, gate) = (Tally::new(), Tally::new());
    let (inside, opened) = (tried.clone(), gate.clone());
    let script = Script::new(move |api: &Api, call| match call.entry {
        "blocks" => {
            inside.add();
            opened.reach(1);
            api.send(call.sid, NrStatus::Ok, b"")
        }
        _ => NrStatus::Ok,
    });
    let limits = Limits { block_report_ms: 20, ..Limits::default() };
    let (plugin, _) = script
        .one_at_a_time()
        .load_with(&host, "lent", |spec| spec.limits(limits).dispatch(Dispatch::Caller));
    thread::scope(|scope| {
        let lent = Tally::new();
        let (other, is_lent, has_tried) = (&plugin, lent.clone(), tried.clone());
        scope.spawn(move || {
            is_lent.reach(1);
            let tried = other.call_now("blocks", b"");
            has_tried.add();
            let refused = CallError::Refused { status: NrStatus::Backpressure };
            assert_eq!(format!("{tried:?}"), format!("Err({refused:?})"), "it is another thread's");
        });
        let on_enter = OnEnter(move || {
            lent.add();
            tried.reach(1);
        });
        let mut opening = plugin.stream("x", Request::default());
        let opened = tracing::subscriber::with_default(on_enter, || poll_once(&mut opening));
        gate.add();
        assert!(matches!(opened, Poll::Ready(Ok(_))), "it runs where it was lent");
    });
    unload_clean(&host, &plugin);
}

#[test]
fn a_stream_opens_when_the_plugin_has_the_request() {
    let host = Host::new();
    let (entered, gate) = (Tally::new(), Tally::new());
    let (inside, opened) = (entered.clone(), gate.clone());
    let known = Mailbox::new();
    let knows = known.clone();
    let script = Script::new(move |_, call| {
        inside.add();
        opened.reach(1);
        knows.put(call.sid);
        NrStatus::Ok
    })
    .on_data(move |_, sid, _| {
        // Put by `handle`; a plugin that has not heard of the stream has nothing else to say.
        if known.take_all() == [sid] { NrStatus::Ok } else { NrStatus::Invalid }
    });
    let (plugin, _) = script.load_with(&host, "opens", |spec| spec.dispatch(Dispatch::Worker));
    let mut opening = plugin.stream("any", Request::default());
    assert!(poll_once(&mut opening).is_pending());
    entered.reach(1);
    assert!(poll_once(&mut opening).is_pending(), "handle has not returned");
    gate.add();
    let stream = wait(opening).unwrap();
    assert_eq!(wait(stream.send(b"x")), Ok(()));
    drop(stream);
    unload_clean(&host, &plugin);
}

#[test]
fn the_id_of_an_immediate_call_is_good_on_its_thread_until_handle_returns() {
    let host = Host::new();
    let ids = Mailbox::new();
    let to_test = ids.clone();
    let script = Script::new(move |api, call| {
        let (api, sid) = (*api, call.sid);
        let elsewhere =
            thread::spawn(move || api.send(sid, NrStatus::Ok, b"elsewhere")).join().unwrap();
        assert_eq!(elsewhere, NrStatus::Invalid);
        to_test.put(sid);
        if call.payload.is_empty() {
            return NrStatus::Ok;
        }
        api.send(sid, NrStatus::Ok, call.payload)
    });
    let (plugin, api) = script.load(&host, "now");
    assert_eq!(*plugin.call_now("x", b"here").unwrap().body, *b"here");
    plugin.call_now("x", b"").unwrap_err();
    plugin.notify("x", b"").unwrap();
    for sid in [(); 3].map(|()| ids.take()) {
        assert_eq!(api.send(sid, NrStatus::Ok, b"late"), NrStatus::Invalid);
    }
    let snapshot = plugin.snapshot();
    let refused = snapshot.refused_answers;
    assert_eq!(refused.unknown + refused.late, 6, "{refused:?}");
    assert_eq!((snapshot.calls, snapshot.notifies), (2, 1));
    assert_eq!((snapshot.ok, snapshot.failed.total()), (1, 1));
    assert_eq!(snapshot.failed.not_answered, 1);
}
