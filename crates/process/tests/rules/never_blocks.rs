// SPDX-License-Identifier: BSD-3-Clause
//! A plugin that declares that it never blocks, was quick a thousand times, and blocks: its worker goes on.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use becket_abi::NrStatus;
use becket_host::{CallError, Host, Limits, Plugin, PluginState, Request};
use tokio::runtime::{Builder, Runtime};

use crate::support::{
    assert_adds_up, counted, logs,
    script::Script,
    unload_clean,
    wait::{LIMIT, Mailbox, Tally, until},
};

/// For what is answered in a moment; where it waits for the call that blocks, its worker ends before.
const IN_TIME: Duration = Duration::from_secs(20);
const QUICK: u32 = 1000;

/// What entry `refuses` does, as a script has the callbacks of its first load alone.
const REFUSED: NrStatus = NrStatus(99);

/// The thread that drives the session.
fn is_driving() -> bool {
    thread::current().name() == Some("becket-calls")
}

/// What the plugin did.
#[derive(Clone)]
struct Seen {
    /// Calls that block, and how many of them may return.
    blocking: Arc<AtomicU64>,
    gate: Arc<Tally>,
    entered: Arc<Mailbox<()>>,
    /// Whether each quick call ran on the thread that drives the session.
    driving: Arc<Mailbox<bool>>,
    silent: Arc<Mailbox<u64>>,
    cancelled: Arc<Mailbox<u64>>,
}

impl Seen {
    fn new() -> Self {
        Self {
            blocking: Arc::default(),
            gate: Tally::new(),
            entered: Mailbox::new(),
            driving: Mailbox::new(),
            silent: Mailbox::new(),
            cancelled: Mailbox::new(),
        }
    }

    fn script(&self) -> Script {
        let (seen, cancelled) = (self.clone(), self.cancelled.clone());
        let handle = Script::new(move |api, call| {
            match call.entry {
                "blocks" => {
                    let number = seen.blocking.fetch_add(1, Ordering::Relaxed) + 1;
                    seen.entered.put(());
                    seen.gate.reach(number);
                }
                "silent" => {
                    seen.silent.put(call.sid);
                    return NrStatus::Ok;
                }
                "stream" => return NrStatus::Ok,
                "refuses" => {
                    seen.driving.put(is_driving());
                    return REFUSED;
                }
                _ => seen.driving.put(is_driving()),
            }
            api.send(call.sid, NrStatus::Ok, call.payload)
        });
        handle
            .never_blocks()
            .on_data(|api, sid, data| api.send(sid, NrStatus::Ok, data))
            .on_close(|api, sid| api.send(sid, NrStatus::StreamEnd, b""))
            .on_cancel(move |_, sid| {
                cancelled.put(sid);
                NrStatus::Ok
            })
    }
}

struct Program {
    runtime: Runtime,
    host: Host,
    plugin: Plugin,
    seen: Seen,
}

impl Program {
    /// Of so many threads. The plugin was quick.
    fn start(threads: usize) -> Self {
        logs::capture();
        let runtime = Builder::new_multi_thread().worker_threads(threads).enable_time().build();
        let runtime = runtime.unwrap();
        let host = Host::new();
        let handle = runtime.handle().clone();
        host.set_executor(threads, move |work| drop(handle.spawn(async { work.run() })));
        let seen = Seen::new();
        let limits = Limits { block_report_ms: 500, drain_ms: 200, ..Limits::default() };
        let (plugin, _) = seen.script().load_with(&host, "liar", |spec| spec.limits(limits));
        let program = Self { runtime, host, plugin, seen };
        program.calls(QUICK);
        program
    }

    fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime.block_on(self.runtime.spawn(future)).unwrap()
    }

    /// Calls, one after the other, that are answered.
    fn calls(&self, count: u32) {
        let plugin = self.plugin.clone();
        self.run(async move {
            for at in 0..count {
                let payload = at.to_le_bytes();
                let answer = plugin.call_raw("quick", &payload).timeout(IN_TIME).await.unwrap();
                assert_eq!(*answer.body, payload);
            }
        });
    }

    /// A call that is inside the plugin, and blocks.
    fn block(&self, timeout: Duration) -> tokio::task::JoinHandle<Result<(), CallError>> {
        let plugin = self.plugin.clone();
        let blocked = self
            .runtime
            .spawn(async move { plugin.call_raw("blocks", b"").timeout(timeout).await.map(drop) });
        self.seen.entered.take();
        blocked
    }
}

fn harms_nobody_and_is_answered(threads: usize) {
    let program = Program::start(threads);
    let Program { plugin, seen, .. } = &program;
    assert!(seen.driving.take_all().contains(&true));
    // What is under way when it blocks.
    let to = plugin.clone();
    let mut stream =
        program.run(async move { to.stream("stream", Request::default()).await.unwrap() });
    let to = plugin.clone();
    let silent = program.runtime.spawn(async move {
        let _ended = to.call_raw("silent", b"").timeout(LIMIT).await;
    });
    let sid = seen.silent.take();
    let blocked = program.block(LIMIT);

    // Calls, streams, notifications and cancellations go on.
    program.calls(100);
    program.run(async move {
        for at in 0..100_u32 {
            stream.send(&at.to_le_bytes()).await.unwrap();
            let frame = stream.next().await.unwrap().unwrap();
            assert_eq!(*frame.body, at.to_le_bytes());
        }
        stream.close().unwrap();
        assert!(stream.next().await.unwrap().is_none());
    });
    plugin.notify("silent", b"").unwrap();
    seen.silent.take();
    silent.abort();
    assert_eq!(seen.cancelled.take(), sid);
    // As inline: it is reported, and its calls go to workers.
    counted(plugin, |it| (it.blocked, it.blocked_now, it.dispatch_revoked) == (1, 1, 1));
    assert_eq!(plugin.state(), PluginState::Blocked);
    logs::reach(1, &["WARN becket::watchdog", "declared that it never blocks", "plugin=liar "]);
    seen.driving.take_all();
    program.calls(100);
    assert!(!seen.driving.take_all().contains(&true));
    assert!(!blocked.is_finished());

    // It is answered when it returns, and its thread serves the session again.
    seen.gate.add();
    program.runtime.block_on(blocked).unwrap().unwrap();
    counted(plugin, |it| it.blocked_now == 0);
    assert_eq!(plugin.state(), PluginState::Ready);
    program.calls(100);
    assert!(!seen.driving.take_all().contains(&true));
    assert_adds_up(plugin);
    assert_eq!(plugin.workers().unwrap().deaths, [], "the same worker");
    unload_clean(&program.host, plugin);
}

#[test]
fn a_liar_harms_nobody_and_is_answered_in_a_program_of_one_thread() {
    harms_nobody_and_is_answered(1);
}

#[test]
fn a_liar_harms_nobody_and_is_answered_in_a_program_of_two_threads() {
    harms_nobody_and_is_answered(2);
}

/// The call that blocks is given up by its caller; then the plugin is reloaded while it still blocks.
fn is_reloaded(threads: usize) {
    let program = Program::start(threads);
    let Program { plugin, seen, .. } = &program;
    let blocked = program.block(Duration::from_millis(50));
    let ended = program.runtime.block_on(blocked).unwrap();
    assert!(matches!(ended, Err(CallError::DeadlineExceeded)), "{ended:?}");
    program.calls(10);
    // The worker has given it up too.
    until(|| plugin.workers().unwrap().workers[0].in_hand == 0);
    let again = plugin.clone();
    program.run(async move { again.reload().await.unwrap() });
    // Its word counts again.
    seen.driving.take_all();
    let to = plugin.clone();
    program.run(async move {
        for _ in 0..100 {
            let refused = to.call_raw("refuses", b"").timeout(IN_TIME).await;
            let Err(CallError::Refused { status: REFUSED }) = refused else {
                panic!("{refused:?}");
            };
        }
    });
    assert!(seen.driving.take_all().contains(&true));
    seen.gate.add();
    assert_eq!(plugin.state(), PluginState::Ready);
    assert_adds_up(plugin);
    unload_clean(&program.host, plugin);
}

#[test]
fn a_liar_is_reloaded_while_it_blocks_in_a_program_of_one_thread() {
    is_reloaded(1);
}

#[test]
fn a_liar_is_reloaded_while_it_blocks_in_a_program_of_two_threads() {
    is_reloaded(2);
}

/// Those that came with it, and behind it, are not held up by it, nor begun twice.
#[test]
fn calls_that_come_at_once_with_one_that_blocks_are_answered_once_each() {
    const AT_ONCE: u64 = 64;
    for place in [0, 5, AT_ONCE - 1] {
        let program = Program::start(1);
        let Program { plugin, seen, .. } = &program;
        let to = plugin.clone();
        let (others, blocked) = program.run(async move {
            let begin = |at: u64| {
                let to = to.clone();
                tokio::spawn(async move {
                    let entry = if at == place { "blocks" } else { "quick" };
                    let payload = at.to_le_bytes();
                    let answer = to.call_raw(entry, &payload).timeout(LIMIT).await.unwrap();
                    assert_eq!(*answer.body, payload);
                })
            };
            let mut calls: Vec<_> = (0..AT_ONCE).map(begin).collect();
            let blocked = calls.remove(place as usize);
            let mut answered = 0;
            for call in calls {
                call.await.unwrap();
                answered += 1;
            }
            (answered, blocked)
        });
        assert_eq!(others, AT_ONCE - 1);
        assert!(!blocked.is_finished());
        seen.gate.add();
        program.runtime.block_on(blocked).unwrap();
        assert_eq!(plugin.snapshot().ok, u64::from(QUICK) + AT_ONCE);
        assert_eq!(seen.driving.take_all().len() as u64, u64::from(QUICK) + AT_ONCE - 1);
        assert_adds_up(plugin);
        unload_clean(&program.host, plugin);
    }
}
