// SPDX-License-Identifier: BSD-3-Clause
//! Death records, the limit of restarts, several workers, health.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use becket_coro::block_on;
use becket_host::{
    CallError, Death, DeathReason, Host, Plugin, PluginSpec, PluginState, Request, WorkerInfo,
    WorkerState,
};
use becket_process::{Process, Restart, Sticky};

use crate::output::program_after;
use crate::{sample, worker, zoo};

/// Longer than anything takes, on however busy a machine.
const HANGS: Duration = Duration::from_secs(60);

fn load(host: &Host, name: &str, process: Process) -> Plugin {
    let spec = PluginSpec::remote(name, Arc::new(process)).config(serde_json::json!({}));
    host.load(spec).unwrap_or_else(|error| panic!("{error}: {:?}", error.cause()))
}

fn native(file: PathBuf) -> Process {
    Process::native(worker(), file)
}

fn signal(signal: &str, pid: u32) {
    let sent = Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < HANGS, "in vain: {what}");
        thread::yield_now();
    }
}

fn running(plugin: &Plugin) -> Vec<WorkerInfo> {
    let workers = plugin.workers().unwrap().workers;
    workers.into_iter().filter(|worker| worker.state == WorkerState::Running).collect()
}

fn deaths(plugin: &Plugin, count: usize) -> Vec<Death> {
    until("the deaths are known", || {
        Some(plugin.workers().unwrap().deaths).filter(|deaths| deaths.len() >= count)
    })
}

fn end(host: &Host) {
    block_on(host.shutdown(Duration::from_secs(10)));
}

#[test]
fn an_end_is_recorded_with_its_reason() {
    for (name, reason, status) in [
        ("aborts", DeathReason::Signal, "SIGABRT"),
        ("segfaults", DeathReason::Signal, "SIGSEGV"),
        ("exits", DeathReason::Exit, "exit status"),
    ] {
        let host = Host::new();
        let plugin = load(&host, name, native(zoo(name)));
        let [worker] = &running(&plugin)[..] else { panic!("one worker") };
        assert!(
            worker.resident_bytes.is_some_and(|bytes| bytes > 0) && worker.cpu_seconds.is_some()
        );
        block_on(plugin.call_raw("hit", b"").timeout(HANGS)).unwrap_err();
        let [death] = &deaths(&plugin, 1)[..] else { panic!("one death") };
        assert_eq!((death.reason, death.pid, death.calls_failed), (reason, worker.pid.unwrap(), 1));
        assert!(death.status.contains(status), "{}", death.status);
        let [again] =
            &until("it is back", || Some(running(&plugin)).filter(|it| it.len() == 1))[..]
        else {
            panic!("one worker")
        };
        assert_eq!((again.restarts, again.worker), (1, 0));
        let restarts = plugin.workers().unwrap().restarts;
        let counted = restarts.iter().filter(|restarts| restarts.count > 0);
        assert!(counted.map(|it| (it.reason, it.count)).eq([(reason, 1)]));
        // The record outlives the load.
        block_on(plugin.reload()).unwrap();
        assert_eq!(plugin.workers().unwrap().deaths.len(), 1);
        end(&host);
    }
}

/// Its end would be a kill from outside, or none.
#[test]
fn a_worker_that_closes_its_socket_and_goes_on_is_killed() {
    let code = "
import signal
def close(*_):
    os.dup2(os.open('/dev/null', os.O_RDONLY), 0)
    time.sleep(600)
signal.signal(signal.SIGUSR1, close)";
    let host = Host::new();
    let plugin = load(&host, "closes", program_after(code));
    signal("-USR1", running(&plugin)[0].pid.unwrap());
    let [death] = &deaths(&plugin, 1)[..] else { panic!("one death") };
    assert_eq!(death.reason, DeathReason::Closed, "{death:?}");
    end(&host);
}

#[test]
fn the_last_lines_are_in_the_record() {
    let code = "
import signal
def leave(*_):
    print('to stdout', flush=True)
    for i in range(30): print('line', i, file=sys.stderr)
    print('\\x1b[31mout of luck', file=sys.stderr, flush=True)
    os._exit(3)
signal.signal(signal.SIGUSR1, leave)";
    let host = Host::new();
    let plugin = load(&host, "lines", program_after(code));
    signal("-USR1", running(&plugin)[0].pid.unwrap());
    let [death] = &deaths(&plugin, 1)[..] else { panic!("one death") };
    assert_eq!((death.reason, death.calls_failed), (DeathReason::Exit, 0));
    assert!(death.status.contains('3'), "{}", death.status);
    let lines = &death.last_lines;
    assert_eq!((lines.len(), lines[0].as_str()), (20, "line 11"));
    assert!(lines[19].ends_with("out of luck") && !lines[19].contains('\x1b'), "{lines:?}");
    end(&host);
}

#[test]
fn what_ends_too_often_stays_down_until_a_reload() {
    let restart = Restart { attempts_max: 2, within_ms: 600_000 };
    let host = Host::new();
    let plugin = load(&host, "looping", native(zoo("aborts")).restart(restart));
    for _ in 0..3 {
        let ended = block_on(plugin.call_raw("hit", b"").timeout(HANGS));
        assert!(matches!(ended, Err(CallError::Crashed)), "{ended:?}");
    }
    until("it has failed", || (plugin.state() == PluginState::Failed).then_some(()));
    assert_eq!(plugin.workers().unwrap().workers[0].state, WorkerState::Failed);
    let ended = block_on(plugin.call_raw("hit", b"").timeout(HANGS));
    assert!(matches!(ended, Err(CallError::PluginFailed)), "{ended:?}");
    let opened = block_on(plugin.stream("hit", Request::new("")));
    assert!(matches!(opened, Err(CallError::PluginFailed)), "{opened:?}");
    let snapshot = plugin.snapshot();
    assert_eq!((snapshot.failed.crashed, snapshot.failed.plugin_failed), (3, 1));
    block_on(plugin.reload()).unwrap();
    assert_eq!(plugin.state(), PluginState::Ready);
    let ended = block_on(plugin.call_raw("hit", b"").timeout(HANGS));
    assert!(matches!(ended, Err(CallError::Crashed)), "{ended:?}");
    end(&host);
}

#[test]
fn one_of_several_workers_ends_with_its_own_calls() {
    let host = Host::new();
    let plugin = load(&host, "several", native(sample("c")).workers(4));
    assert_eq!(running(&plugin).len(), 4);
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let plugin = plugin.clone();
            thread::spawn(move || block_on(plugin.call_raw("slow", b"3000").timeout(HANGS)))
        })
        .collect();
    // Least in hand: each has one.
    let all = until("each has a call", || {
        Some(running(&plugin)).filter(|all| all.iter().all(|worker| worker.in_hand == 1))
    });
    let mut chat = block_on(plugin.stream("chat", Request::new(""))).unwrap();
    block_on(chat.next()).unwrap();
    let with_chat = until("one has the stream", || {
        running(&plugin).into_iter().find(|worker| worker.in_hand == 2)
    });
    let victim = all.iter().find(|worker| worker.worker != with_chat.worker).unwrap();
    signal("-KILL", victim.pid.unwrap());
    let answers: Vec<_> = calls.into_iter().map(|call| call.join().unwrap()).collect();
    let crashed = answers.iter().filter(|it| matches!(it, Err(CallError::Crashed))).count();
    let answered = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((crashed, answered), (1, 3), "{answers:?}");
    let [death] = &deaths(&plugin, 1)[..] else { panic!("one death") };
    assert_eq!(
        (death.worker, death.reason, death.calls_failed),
        (victim.worker, DeathReason::Killed, 1)
    );
    // The stream is where it was.
    for text in ["one", "two"] {
        block_on(chat.send(text.as_bytes())).unwrap();
        assert!(block_on(chat.next()).unwrap().is_some());
    }
    drop(chat);
    until("all are back", || (running(&plugin).len() == 4).then_some(()));
    end(&host);
    assert!(crate::workers("several").is_empty());
}

#[test]
fn calls_of_one_key_stay_on_one_worker() {
    // Each worker greets with its number.
    let code = "
import json
json.loads = lambda text: {'config': {'greeting': str(os.getpid())}}";
    let process = program_after(code).workers(3).sticky(Sticky::Header("x-user".into()));
    let host = Host::new();
    let plugin = load(&host, "sticky", process);
    let on = |user: &str| -> u32 {
        let request = Request::new("").header("X-User", user.to_owned());
        let answer = block_on(plugin.call("greet", request).timeout(HANGS)).unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        text.split(',').next().unwrap().parse().unwrap()
    };
    let users: Vec<String> = (0..24).map(|user| format!("user{user}")).collect();
    let homes: Vec<u32> = users.iter().map(|user| on(user)).collect();
    assert_eq!(homes, users.iter().map(|user| on(user)).collect::<Vec<_>>());
    let killed = homes[0];
    assert!(homes.iter().any(|home| *home != killed), "all on one worker");
    signal("-KILL", killed);
    deaths(&plugin, 1);
    until("it is back", || (running(&plugin).len() == 3).then_some(()));
    let again = on("user0");
    for (user, home) in users.iter().zip(&homes) {
        assert_eq!(on(user), if *home == killed { again } else { *home });
    }
    assert!(!homes.contains(&again), "its keys are on the worker in its place");
    end(&host);
}

#[test]
fn a_worker_that_does_not_answer_pings_is_killed() {
    let host = Host::new();
    let process = native(sample("c")).ping_timeout(Duration::from_secs(1));
    let plugin = load(&host, "stopped", process);
    let pid = running(&plugin)[0].pid.unwrap();
    signal("-STOP", pid);
    // One of its threads takes the signal, and then stops the others.
    until("the worker has stopped", || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let stat = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("stat"));
        let is_stopped = |stat: String| stat.rsplit_once(") ").unwrap().1.starts_with('T');
        // A thread may have ended meanwhile.
        let mut stats = tasks.filter_map(|task| stat(task.unwrap()).ok());
        stats.all(is_stopped).then_some(())
    });
    let ended = block_on(plugin.call_raw("echo", b"x").timeout(HANGS));
    assert!(matches!(ended, Err(CallError::Crashed)), "{ended:?}");
    let [death] = &deaths(&plugin, 1)[..] else { panic!("one death") };
    assert_eq!((death.reason, death.pid, death.calls_failed), (DeathReason::Silent, pid, 1));
    block_on(plugin.call_raw("echo", b"x").timeout(HANGS)).unwrap();
    end(&host);
}

/// A plugin in C.
fn built(folder: &Path, code: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (source, file) = (folder.join("plugin.c"), folder.join("plugin.so"));
    std::fs::write(&source, code).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&file, &source])
        .arg("-I")
        .arg(root.join("examples/zoo/plugins"))
        .arg("-I")
        .arg(root.join("crates/abi/include"))
        .status();
    assert!(built.unwrap().success());
    file
}

/// A plugin that needs a processor for longer than a ping may take: its session has a thread of its own.
#[test]
fn a_worker_that_is_only_busy_is_not_killed() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::new();
    let burns = native(built(folder.path(), BURNS));
    let plugin = load(&host, "burns", burns.ping_timeout(Duration::from_millis(500)));
    let answer = block_on(plugin.call_raw("hit", b"").timeout(HANGS)).unwrap();
    assert_eq!(&*answer.body, b"burnt");
    let workers = plugin.workers().unwrap();
    assert!(workers.deaths.is_empty(), "{:?}", workers.deaths);
    assert!(workers.workers[0].cpu_seconds.unwrap() > 1.0, "{workers:?}");
    assert_eq!(workers.workers[0].idle_class_threads, 0, "it had a call in hand");
    end(&host);
}

/// The threads of a process that run when no other wants the processor: field 41 of their `stat`.
fn of_idle_class(pid: u32) -> usize {
    let stats = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let stats = stats.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    stats.filter(|stat| stat.rsplit_once(") ").unwrap().1.split(' ').nth(38) == Some("5")).count()
}

/// It computes on for a caller that has left, and yields to everything else until it is done.
#[test]
fn a_thread_that_computes_for_no_call_is_put_into_the_idle_class() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::new();
    let plugin = load(&host, "goes on", native(built(folder.path(), GOES_ON)));
    let call = |payload: &[u8], timeout| block_on(plugin.call_raw("hit", payload).timeout(timeout));
    let late = call(b"burn", Duration::from_millis(20));
    assert!(matches!(late, Err(CallError::DeadlineExceeded)), "{late:?}");
    let lowered = || running(&plugin)[0].idle_class_threads;
    until("it is lowered", || (lowered() == 1).then_some(()));
    let pid = running(&plugin)[0].pid.unwrap();
    assert_eq!(of_idle_class(pid), 1, "no other thread of the worker");
    // Other calls go on, on other threads; so does the session.
    assert_eq!(&*call(b"ok", HANGS).unwrap().body, b"ok");
    assert_eq!(&*call(b"stop", HANGS).unwrap().body, b"ok");
    // The thread has ended, or may be raised.
    until("nothing is lowered", || (of_idle_class(pid) == 0 && lowered() == 0).then_some(()));
    assert_eq!(&*call(b"ok", HANGS).unwrap().body, b"ok");
    end(&host);
}

const GOES_ON: &str = r#"
#include "zoo.h"
#include <stdatomic.h>

static atomic_int stops;

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    while (payload.ptr[0] == 'b' && !atomic_load(&stops)) {
    }
    if (payload.ptr[0] == 's') {
        atomic_store(&stops, 1);
    }
    zoo_send(sid, NR_OK, "ok");
    return NR_OK;
}

ZOO_PLUGIN("goes on")
"#;

const BURNS: &str = r#"
#include "zoo.h"
#include <time.h>

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    clock_t until = clock() + 2 * CLOCKS_PER_SEC;
    while (clock() < until) {
    }
    zoo_send(sid, NR_OK, "burnt");
    return NR_OK;
}

ZOO_PLUGIN("burns")
"#;

/// The fastest of some rounds, within what a busy machine takes; `cargo xtask process-death` measures it.
#[test]
fn a_crash_is_known_at_once_and_the_worker_is_soon_back() {
    let host = Host::new();
    let plugin = load(&host, "quick", native(sample("c")));
    let (mut known, mut back) = (HANGS, HANGS);
    for _ in 0..8 {
        let caller = plugin.clone();
        let call = thread::spawn(move || {
            let ended = block_on(caller.call_raw("slow", b"60000").timeout(HANGS));
            assert!(matches!(ended, Err(CallError::Crashed)), "{ended:?}");
            Instant::now()
        });
        let worker = until("the call is in hand", || {
            running(&plugin).into_iter().find(|worker| worker.in_hand == 1)
        });
        // The worker has it: what was sent after it was answered.
        block_on(plugin.call_raw("echo", b"").timeout(HANGS)).unwrap();
        let pid = rustix::process::Pid::from_raw(worker.pid.unwrap() as i32).unwrap();
        let killed = Instant::now();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        known = known.min(call.join().unwrap() - killed);
        block_on(plugin.call_raw("echo", b"").timeout(HANGS)).unwrap();
        back = back.min(killed.elapsed());
    }
    assert!(known <= Duration::from_secs(1), "the call failed after {known:?}");
    assert!(back <= Duration::from_secs(5), "it was back after {back:?}");
    eprintln!("failed after {known:?}, back after {back:?}");
    end(&host);
}
