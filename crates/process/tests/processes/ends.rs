// SPDX-License-Identifier: BSD-3-Clause
//! Workers that crash, are killed, or are ended.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use becket_coro::block_on;
use becket_host::{CallError, Host, Limits, PluginSpec, Request, StreamError};
use becket_process::Process;

use crate::{load, sample, worker, workers, zoo};

/// Longer than anything takes, on however busy a machine.
pub(crate) const HANGS: Duration = Duration::from_secs(60);

pub(crate) fn kill(pid: u32) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
}

pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < HANGS, "in vain: {what}");
        thread::yield_now();
    }
}

/// The plugins of the zoo that end their own process: each of their calls has crashed, a new worker is there
/// for the next, and another plugin notices nothing.
#[test]
fn a_plugin_that_ends_its_process_costs_its_own_calls() {
    for name in ["throws_without_boundary", "aborts", "segfaults", "exits", "overflows_stack"] {
        let host = Host::new();
        let healthy = load(&host, "healthy", sample("c"));
        let plugin = load(&host, name, zoo(name));
        for _ in 0..3 {
            let ended = block_on(plugin.call_raw("hit", b"").timeout(HANGS));
            assert!(matches!(ended, Err(CallError::Crashed)), "{name}: {ended:?}");
            assert!(block_on(healthy.call_raw("echo", b"x")).is_ok(), "{name}");
        }
        let snapshot = plugin.snapshot();
        assert_eq!((snapshot.failed.crashed, snapshot.pending), (3, 0), "{name}");
        assert_eq!(healthy.snapshot().failed.total(), 0);
        block_on(host.shutdown(Duration::from_secs(10)));
        assert!(workers(name).is_empty() && workers("healthy").is_empty(), "{name}");
    }
}

#[test]
fn what_a_killed_worker_had_in_hand_fails_at_once_and_what_comes_after_waits() {
    let host = Host::new();
    let plugin = load(&host, "killed", sample("rust"));
    let slow = plugin.clone();
    let call = thread::spawn(move || block_on(slow.call_raw("slow", b"60000")));
    let mut chat = block_on(plugin.stream("chat", Request::new(""))).unwrap();
    block_on(chat.next()).unwrap();
    until("the call is in hand", || (plugin.snapshot().pending == 1).then_some(()));
    // The worker has it: what was sent after it was answered.
    block_on(plugin.call_raw("echo", b"")).unwrap();
    let [pid] = workers("killed")[..] else { panic!("one worker") };
    kill(pid);
    assert!(matches!(call.join().unwrap(), Err(CallError::Crashed)));
    assert!(matches!(block_on(chat.next()), Err(StreamError::Crashed)));
    drop(chat);
    block_on(plugin.call_raw("echo", b"again")).unwrap();
    assert_ne!(workers("killed"), [pid]);
    block_on(host.shutdown(Duration::from_secs(10)));
}

/// Every call ends, as answered or as crashed, whenever its worker is killed.
#[test]
fn no_call_is_lost_beside_kills() {
    const KILLS: usize = 10;
    let host = Host::new();
    let plugin = load(&host, "storm", sample("c"));
    let (stop, answered, crashed) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    match block_on(plugin.call_raw("echo", b"x").timeout(HANGS)) {
                        Ok(_) => answered.fetch_add(1, Ordering::Relaxed),
                        Err(CallError::Crashed) => crashed.fetch_add(1, Ordering::Relaxed),
                        Err(other) => panic!("{other}"),
                    };
                }
            });
        }
        let mut killed = 0;
        for _ in 0..KILLS {
            let before = answered.load(Ordering::Relaxed);
            until("calls are answered", || {
                (answered.load(Ordering::Relaxed) > before + 50).then_some(())
            });
            let pid = until("another worker", || {
                workers("storm").first().copied().filter(|pid| *pid != killed)
            });
            kill(pid);
            killed = pid;
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (answered, crashed) = (answered.into_inner(), crashed.into_inner());
    let snapshot = plugin.snapshot();
    assert_eq!((snapshot.ok, snapshot.failed.crashed), (answered, crashed));
    // Four callers, one call each.
    assert!(crashed <= 4 * KILLS as u64, "{crashed} of {answered}");
    block_on(host.shutdown(Duration::from_secs(10)));
    assert!(workers("storm").is_empty());
}

#[test]
fn a_reload_starts_another_worker_and_ends_the_one_before() {
    let host = Host::new();
    let plugin = load(&host, "reloaded", sample("go"));
    let before = workers("reloaded");
    block_on(plugin.reload()).unwrap();
    assert_eq!(plugin.info().generation, 2);
    block_on(plugin.call_raw("echo", b"x")).unwrap();
    until("the one before has ended", || {
        let now = workers("reloaded");
        (now.len() == 1 && now != before).then_some(())
    });
    block_on(host.shutdown(Duration::from_secs(10)));
}

#[test]
fn what_does_not_start_says_why() {
    let host = Host::new();
    let load =
        |process: Process| host.load(PluginSpec::remote("bad", Arc::new(process))).unwrap_err();
    let error = load(Process::program(worker(), vec!["/no/such/program".into()]));
    assert!(error.to_string().contains("cannot start /no/such/program"), "{error}");
    let error = load(Process::program(worker(), vec!["/bin/true".into()]));
    assert!(error.to_string().contains("ended before it was ready"), "{error}");
    let error = load(Process::native(worker(), "/no/such/plugin.so"));
    assert!(error.to_string().contains("no plugin file found"), "{error}");
    assert!(error.hint().is_some());
    assert!(workers("bad").is_empty());
}

#[test]
fn what_never_gets_ready_is_given_up_and_leaves_no_process() {
    let host = Host::new();
    let process = Arc::new(Process::program(worker(), vec!["/bin/sleep".into(), "1000".into()]));
    let limits = Limits { load_timeout_ms: 100, ..Limits::default() };
    host.load(PluginSpec::remote("sleeps", process).limits(limits)).unwrap_err();
    until("no process is left", || workers("sleeps").is_empty().then_some(()));
}

/// What a host leaves when it is killed, and does not end its workers.
#[test]
fn a_worker_ends_when_its_socket_does() {
    let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut worker = Command::new(env!("CARGO_BIN_EXE_becket-worker"))
        .stdin(std::process::Stdio::from(std::os::fd::OwnedFd::from(there)))
        .env(becket_process::SOCKET_VARIABLE, "0")
        .spawn()
        .unwrap();
    drop(here);
    until("it ends", || worker.try_wait().unwrap());
}
