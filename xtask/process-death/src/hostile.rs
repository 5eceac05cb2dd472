// SPDX-License-Identifier: BSD-3-Clause
//! What a plugin does that does not end, or is refused: what is left of another plugin's rate meanwhile.
//!
//! A round is as of `kinds`: a quiet second, then one in which the plugin misbehaves. After it its worker is
//! killed, if it has not ended by itself. Its call is in hand for all of that second; or its deadline has passed,
//! and the worker's threads that go on were put into the scheduler's idle class.
//!
//! The other plugin is called in two ways. First as fast as it answers, by one caller: caller and worker then keep a
//! processor each. Where there are fewer processors than busy threads, the other plugin has its part of them, and the
//! goal is 95 % of that. What it reaches with one processor alone is measured first: there, each call is two
//! switches between processes. Then a thousand times a second: the goal is 95 % of that, however few processors there
//! are.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use becket_coro::block_on;
use becket_host::{Host, Plugin, WorkerState};
use becket_process::sandbox::Sandbox;
use becket_process::sandbox::limits::ResourceLimits;
use becket_process::{Confinement, Process};
use rustix::process::{Pid, Signal, getpid, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::beside::Beside;
use crate::error::Error;
use crate::kinds::{HALF, MEMORY_BYTES_MAX, SHARE_MIN, at, load};
use crate::{Programs, WAIT_MAX, pause};

/// What the plugin does.
#[derive(Debug, Clone, Copy)]
struct Act {
    entry: &'static str,
    payload: &'static [u8],
    name: &'static str,
    /// Threads that it keeps busy, which have their part of the processors.
    busy: usize,
    /// Threads that have none, once the call's deadline has passed; 0: the call is in hand.
    late: u32,
}

const ACTS: [Act; 8] = [
    act("burn", b"0", "a busy thread", 1),
    act("burn", b"3", "four busy threads", 4),
    late("burn", b"0", "the same, past its deadline", 1),
    late("burn", b"3", "the four, past the deadline", 4),
    act("output", b"", "prints without end", 2),
    act("memory", b"", "allocates without end", 1),
    act("descriptors", b"1000000", "opens descriptors", 0),
    act("processes", b"1000", "starts processes", 0),
];

const fn act(entry: &'static str, payload: &'static [u8], name: &'static str, busy: usize) -> Act {
    Act { entry, payload, name, busy, late: 0 }
}

const fn late(entry: &'static str, payload: &'static [u8], name: &'static str, late: u32) -> Act {
    Act { late, ..act(entry, payload, name, 0) }
}

/// Threads that a call to the other plugin keeps busy: its caller's, and the worker's.
const BESIDE_THREADS: usize = 2;

/// The deadline of a call that is to be late.
const DEADLINE: Duration = Duration::from_millis(50);
/// From one paced call to the next.
const PACE: Duration = Duration::from_millis(1);

/// Measures all, prints the tables, and returns the goals that were missed.
pub(crate) fn run(programs: &Programs, rounds: u32) -> Result<Vec<String>, Error> {
    let host = Host::new();
    let worker = || vec![programs.becket.clone().into(), "plugin-worker".into()];
    let healthy = load(&host, "healthy", Process::native(worker(), &programs.sample))?;
    let limits =
        ResourceLimits { memory_bytes_max: Some(MEMORY_BYTES_MAX), ..ResourceLimits::default() };
    let sandbox = Sandbox { limits, ..Sandbox::default() };
    let confined = Confinement { sandbox, ..Confinement::default() };
    let process = Process::native(worker(), &programs.hostile).confined(confined);
    let hostile = load(&host, "hostile", process)?;

    let mut missed = Vec::new();
    for beside in [Beside::default(), Beside::paced(PACE)] {
        missed.extend(table(&hostile, &healthy, beside, rounds)?);
    }
    block_on(host.shutdown(Duration::from_secs(10)));
    Ok(missed)
}

/// All that the plugin does, beside calls of one way.
fn table(
    hostile: &Plugin,
    healthy: &Plugin,
    beside: Beside,
    rounds: u32,
) -> Result<Vec<String>, Error> {
    let beside = Arc::new(beside);
    let caller = {
        let (beside, healthy) = (beside.clone(), healthy.clone());
        thread::spawn(move || beside.call(&healthy))
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    match beside.every {
        None => {
            let (all, one) = on_one_processor(healthy, &beside)?;
            println!(
                "\nas fast as it answers: {all:.0} a second; on one processor {one:.0}, {:.1} %",
                one / all * 100.0
            );
        }
        Some(every) => println!("\nevery {every:?}"),
    }
    println!(
        "{:<28} {:>6} | {:>7} {:>7} {:>7} | {:>7} | {:>7}",
        "act", "rounds", "beside", "least", "most", "goal", "p99 ms"
    );
    let mut missed = Vec::new();
    for act in ACTS {
        let Act { name, busy, .. } = act;
        let (mut shares, mut p99s) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (share, p99) = round(hostile, act, &beside)?;
            shares.push(share);
            p99s.push(p99);
        }
        shares.sort_by(f64::total_cmp);
        p99s.sort_unstable();
        let [least, share, most] = [0.0, 0.5, 1.0].map(|part| at(&shares, part) * 100.0);
        let part = match beside.every {
            None => (processors as f64 / (busy + BESIDE_THREADS) as f64).min(1.0),
            Some(_) => 1.0,
        };
        let goal = SHARE_MIN * part * 100.0;
        let p99 = beside.every.map(|_| format!("{:.2}", at(&p99s, 0.5).as_secs_f64() * 1e3));
        println!(
            "{name:<28} {rounds:>6} | {share:>6.1}% {least:>6.1}% {most:>6.1}% | {goal:>6.1}% | {:>7}",
            p99.unwrap_or_default()
        );
        if share < goal {
            missed.push(format!("{name}: another plugin kept {share:.1} % of its rate"));
        }
    }
    beside.is_over.store(true, Ordering::Relaxed);
    caller.join().map_err(|_| Error::Thread)?;
    let calls = beside.answered.load(Ordering::Relaxed);
    let failed = healthy.snapshot().failed.total() + beside.wrong.load(Ordering::Relaxed);
    println!("beside it {calls} calls of another plugin, {failed} failed");
    if failed > 0 {
        missed.push(format!("the other plugin: {failed} calls failed"));
    }
    Ok(missed)
}

/// The quiet rate on all processors, and with caller and worker on one.
fn on_one_processor(healthy: &Plugin, beside: &Beside) -> Result<(f64, f64), Error> {
    let rate = || {
        let mark = beside.mark();
        beside.rate(mark, mark.0 + HALF)
    };
    let all = rate();
    let before = sched_getaffinity(None)
        .map_err(|error| Error::system("read the processors of a thread")(error.into()))?;
    let first = (0..CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu)).unwrap_or_default();
    let mut one = CpuSet::new();
    one.set(first);
    let workers = running(healthy);
    let set = |cpus: &CpuSet| {
        // Another program's thread may have ended by itself.
        for pid in workers.iter().copied().chain([getpid()]) {
            for task in tasks(pid) {
                let _ = sched_setaffinity(Some(task), cpus);
            }
        }
    };
    set(&one);
    let packed = rate();
    set(&before);
    Ok((all, packed))
}

/// Waits until so many threads of the plugin run only when no other wants the processor.
fn wait_for_idle_class(plugin: &Plugin, threads: u32) -> Result<(), Error> {
    let until = Instant::now() + WAIT_MAX;
    let lowered = || {
        let workers = plugin.workers().map(|workers| workers.workers).unwrap_or_default();
        workers.iter().map(|worker| worker.idle_class_threads).sum::<u32>()
    };
    while lowered() < threads {
        if Instant::now() > until {
            return Err(Error::TooLong("threads past their deadline"));
        }
        pause(Duration::from_millis(10));
    }
    Ok(())
}

/// The threads of a process.
fn tasks(pid: Pid) -> Vec<Pid> {
    let entries = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    let names = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| Pid::from_raw(name.parse().ok()?)).collect()
}

/// The processes of a plugin that run.
fn running(plugin: &Plugin) -> Vec<Pid> {
    let workers = plugin.workers().map(|workers| workers.workers).unwrap_or_default();
    let running = workers.iter().filter(|worker| worker.state == WorkerState::Running);
    running.filter_map(|worker| Pid::from_raw(i32::try_from(worker.pid?).ok()?)).collect()
}

/// The share of its rate that the other plugin keeps, and its slowest calls if they are paced.
fn round(
    plugin: &Plugin,
    Act { entry, payload, late, .. }: Act,
    beside: &Beside,
) -> Result<(f64, Duration), Error> {
    let quiet = beside.mark();
    let quiet = beside.rate(quiet, quiet.0 + HALF);
    // Answered, late or crashed: what comes of it is tested elsewhere.
    let call = |timeout| _ = block_on(plugin.call_raw(entry, payload).timeout(timeout));
    if late > 0 {
        call(DEADLINE);
        wait_for_idle_class(plugin, late)?;
    }
    let (begin, count) = beside.mark();
    if late == 0 {
        call(HALF);
    }
    let share = beside.rate((begin, count), begin + HALF) / quiet;
    let p99 = beside.p99();
    for pid in running(plugin) {
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::KILL);
    }
    let until = Instant::now() + WAIT_MAX;
    while block_on(plugin.call_raw("ok", b"0").timeout(WAIT_MAX)).is_err() {
        if Instant::now() > until {
            return Err(Error::TooLong("a call after a kill"));
        }
    }
    Ok((share, p99))
}
