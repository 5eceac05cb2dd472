// SPDX-License-Identifier: BSD-3-Clause
//! Calls of a plugin that has been quick run as tasks of the executor, and one that blocks there costs
//! nothing but itself.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use becket_abi::NrStatus;
use becket_host::{CallError, Host, Limits, Plugin, Work};
use tokio::{runtime::Builder, task::yield_now};

use crate::support::{
    assert_adds_up, logs,
    script::Script,
    unload_clean,
    wait::{LIMIT, Mailbox, Tally, poll_once, wait},
};

/// Many more quick calls than a plugin needs to prove itself, with room for slow ones.
const PROOF_MAX: u32 = 100_000;

/// An executor of two threads, whose tasks are run by the test.
struct Manual {
    tasks: Arc<Mailbox<Work>>,
}

impl Manual {
    fn of(host: &Host) -> Self {
        let tasks = Mailbox::new();
        let to = tasks.clone();
        host.set_executor(2, move |work| to.put(work));
        Self { tasks }
    }

    /// Calls the plugin until the first call that is given to the executor, which is not run yet.
    fn prove(&self, plugin: &Plugin, entry: &str) -> (thread::JoinHandle<Answer>, Work) {
        for _ in 0..PROOF_MAX {
            let call = call(plugin, entry, LIMIT);
            loop {
                // A wake without a call is the watchdog's.
                if let Some(work) = self.tasks.take_all().into_iter().find(is_call) {
                    return (call, work);
                }
                if call.is_finished() {
                    break;
                }
                thread::yield_now();
            }
            call.join().unwrap().unwrap();
        }
        panic!("it was never quick");
    }

    /// The next call that is given to the executor.
    fn next(&self) -> Work {
        loop {
            let work = self.tasks.take();
            if is_call(&work) {
                return work;
            }
        }
    }
}

type Answer = Result<(), CallError>;

fn is_call(work: &Work) -> bool {
    format!("{work:?}").contains("is_call: true")
}

fn call(plugin: &Plugin, entry: &str, timeout: Duration) -> thread::JoinHandle<Answer> {
    let (plugin, entry) = (plugin.clone(), entry.to_owned());
    thread::spawn(move || wait(plugin.call_raw(&entry, b"").timeout(timeout)).map(drop))
}

/// Leaves each call's thread in a mailbox; `blocks` answers after the gate is open, `answers` before.
fn script(threads: &Arc<Mailbox<thread::ThreadId>>, gate: &Arc<Tally>) -> Script {
    let (threads, gate) = (threads.clone(), gate.clone());
    Script::new(move |api, call| {
        threads.put(thread::current().id());
        match call.entry {
            "blocks" => {
                gate.reach(1);
                api.send(call.sid, NrStatus::Ok, b"")
            }
            "answers" => {
                let status = api.send(call.sid, NrStatus::Ok, b"");
                gate.reach(1);
                status
            }
            _ => api.send(call.sid, NrStatus::Ok, b""),
        }
    })
}

#[test]
fn a_quick_plugin_runs_on_the_executor_until_it_blocks_and_its_callers_are_released_in_time() {
    logs::capture();
    let host = Host::new();
    let (threads, gate) = (Mailbox::new(), Tally::new());
    let (plugin, _) = script(&threads, &gate).load(&host, "quick");
    let executor = Manual::of(&host);
    let (first, work) = executor.prove(&plugin, "x");
    threads.take_all();
    work.run();
    first.join().unwrap().unwrap();
    assert_eq!(threads.take(), thread::current().id());

    let began = Instant::now();
    let blocked = call(&plugin, "blocks", Duration::from_millis(50));
    let work = executor.next();
    let thread = thread::spawn(move || work.run());
    assert!(matches!(blocked.join().unwrap(), Err(CallError::DeadlineExceeded)));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    logs::reach(1, &["becket::watchdog", "it was quick, and blocked", "plugin=quick"]);
    assert_eq!(threads.take(), thread.thread().id());

    // From then on calls run on workers, also when many more were quick.
    for _ in 0..1000 {
        wait(plugin.call_raw("x", b"")).unwrap();
        assert_ne!(threads.take(), thread::current().id());
    }
    assert!(!executor.tasks.take_all().iter().any(is_call));
    assert_eq!(plugin.snapshot().dispatch_revoked, 1);
    gate.add();
    thread.join().unwrap();
    assert_adds_up(&plugin);
    unload_clean(&host, &plugin);
}

#[test]
fn the_last_thread_of_the_executor_runs_no_quick_plugin() {
    let host = Host::new();
    let (threads, gate) = (Mailbox::new(), Tally::new());
    let (plugin, _) = script(&threads, &gate).load(&host, "quick");
    let executor = Manual::of(&host);
    let (blocked, work) = executor.prove(&plugin, "blocks_not");
    let second = call(&plugin, "x", LIMIT);
    let second_work = executor.next();
    threads.take_all();
    // The first is inside while the second begins.
    let (inside, may_end) = (Tally::new(), Tally::new());
    let (enters, ends) = (inside.clone(), may_end.clone());
    let (other, _) = Script::new(move |api, call| {
        enters.add();
        ends.reach(1);
        api.send(call.sid, NrStatus::Ok, b"")
    })
    .never_blocks()
    .load(&host, "other");
    let occupies = thread::spawn(move || wait(other.call_raw("x", b"")).map(drop));
    inside.reach(1);
    second_work.run();
    second.join().unwrap().unwrap();
    assert_ne!(threads.take(), thread::current().id(), "it went on to a worker");
    may_end.add();
    occupies.join().unwrap().unwrap();
    work.run();
    blocked.join().unwrap().unwrap();
    gate.add();
    unload_clean(&host, &plugin);
}

#[test]
fn a_call_whose_task_the_executor_drops_runs_on_a_worker() {
    let host = Host::new();
    let (threads, gate) = (Mailbox::new(), Tally::new());
    let (plugin, _) = script(&threads, &gate).load(&host, "quick");
    let executor = Manual::of(&host);
    let (dropped, work) = executor.prove(&plugin, "x");
    threads.take_all();
    drop(work);
    dropped.join().unwrap().unwrap();
    assert_ne!(threads.take(), thread::current().id());
    unload_clean(&host, &plugin);
}

#[test]
fn an_answer_that_is_given_before_the_plugin_blocks_reaches_its_caller() {
    let host = Host::new();
    let (threads, gate) = (Mailbox::new(), Tally::new());
    let (plugin, _) = script(&threads, &gate).load(&host, "quick");
    let executor = Manual::of(&host);
    let (first, work) = executor.prove(&plugin, "x");
    work.run();
    first.join().unwrap().unwrap();
    let answered = call(&plugin, "answers", LIMIT);
    let work = executor.next();
    let began = Instant::now();
    let thread = thread::spawn(move || work.run());
    answered.join().unwrap().unwrap();
    assert!(began.elapsed() < LIMIT / 4, "{:?}", began.elapsed());
    gate.add();
    thread.join().unwrap();
    unload_clean(&host, &plugin);
}

/// tokio keeps a task that is woken on one of its threads for that thread.
#[test]
fn an_answer_that_is_given_before_the_plugin_blocks_leaves_the_blocked_thread_of_a_real_executor() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let host = Host::new();
    let (threads, gate) = (Mailbox::new(), Tally::new());
    let (plugin, _) = script(&threads, &gate).load(&host, "quick");
    let handle = runtime.handle().clone();
    host.set_executor(2, move |work| drop(handle.spawn(async { work.run() })));
    let caller = plugin.clone();
    let program = runtime.spawn(async move {
        let mut has_moved = false;
        for _ in 0..PROOF_MAX {
            caller.call_raw("x", b"").await.unwrap();
            // The only calls that run on threads of the runtime are those of a quick plugin.
            has_moved = threads.take() == thread::current().id();
            if has_moved {
                break;
            }
        }
        assert!(has_moved, "it was never quick");
        // tokio does not do so after a few tasks in a row.
        yield_now().await;
        let began = Instant::now();
        caller.call_raw("answers", b"").await.unwrap();
        assert!(began.elapsed() < LIMIT / 4, "{:?}", began.elapsed());
    });
    runtime.block_on(program).unwrap();
    gate.add();
    unload_clean(&host, &plugin);
}

#[test]
fn a_plugin_whose_calls_take_long_stays_on_workers() {
    let host = Host::new();
    let threads = Mailbox::new();
    let to_test = threads.clone();
    let (plugin, _) = Script::new(move |api, call| {
        to_test.put(thread::current().id());
        let until = Instant::now() + Duration::from_millis(1);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        api.send(call.sid, NrStatus::Ok, b"")
    })
    .load(&host, "slow");
    let executor = Manual::of(&host);
    for _ in 0..200 {
        wait(plugin.call_raw("x", b"")).unwrap();
        assert_ne!(threads.take(), thread::current().id());
    }
    assert!(!executor.tasks.take_all().iter().any(is_call));
    unload_clean(&host, &plugin);
}

#[test]
fn calls_that_were_given_up_while_they_were_queued_prove_nothing() {
    let host = Host::new();
    let (inside, gate) = (Mailbox::new(), Mailbox::new());
    let (enters, may_end) = (inside.clone(), gate.clone());
    let script = Script::new(move |api, call| {
        if call.entry == "blocks" {
            enters.put(());
            may_end.take();
        }
        api.send(call.sid, NrStatus::Ok, b"")
    });
    let one_worker = Limits { workers_max: 1, ..Limits::default() };
    let (plugin, _) = script.load_with(&host, "left", |spec| spec.limits(one_worker));
    let executor = Manual::of(&host);
    for _ in 0..4 {
        let blocked = call(&plugin, "blocks", LIMIT);
        inside.take();
        // Fewer than so many that the queue is searched for them.
        for _ in 0..60 {
            assert!(poll_once(&mut plugin.call_raw("x", b"")).is_pending());
        }
        let behind_them = call(&plugin, "x", LIMIT);
        gate.put(());
        blocked.join().unwrap().unwrap();
        behind_them.join().unwrap().unwrap();
        assert!(!executor.tasks.take_all().iter().any(is_call));
    }
    unload_clean(&host, &plugin);
}
