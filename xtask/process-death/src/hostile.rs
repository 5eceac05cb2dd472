// SPDX-License-Identifier: BSD-3-Clause
//! What a plugin does that does not end, or is refused: what is left of another plugin's rate meanwhile.
//!
//! A round is as of `kinds`: a quiet second, then one in which the plugin misbehaves. After it its worker is
//! killed, if it has not ended by itself.
//!
//! Threads share the processors: where there are fewer of these than busy threads, the other plugin has its part
//! of them, and the goal is 95 % of that.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use becket_coro::block_on;
use becket_host::{Host, Plugin, WorkerState};
use becket_process::sandbox::Sandbox;
use becket_process::sandbox::limits::ResourceLimits;
use becket_process::{Confinement, Process};
use rustix::process::{Pid, Signal, kill_process};

use crate::beside::Beside;
use crate::error::Error;
use crate::kinds::{HALF, MEMORY_BYTES_MAX, SHARE_MIN, at, load};
use crate::{Programs, WAIT_MAX};

/// Entries of the plugin, their payloads, what that is, and how many threads it keeps busy.
const ACTS: [(&str, &[u8], &str, usize); 6] = [
    ("burn", b"0", "a busy thread", 1),
    ("burn", b"3", "four busy threads", 4),
    ("output", b"", "prints without end", 2),
    ("memory", b"", "allocates without end", 1),
    ("descriptors", b"1000000", "opens descriptors", 0),
    ("processes", b"1000", "starts processes", 0),
];
/// Threads that a call to the other plugin keeps busy: its caller's, and the worker's.
const BESIDE_THREADS: usize = 2;

/// Measures all, prints the table, and returns the goals that were missed.
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

    let beside = Arc::new(Beside::default());
    let caller = {
        let (beside, healthy) = (beside.clone(), healthy.clone());
        thread::spawn(move || beside.call(&healthy))
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    println!(
        "\n{:<22} {:>6} | {:>7} {:>7} {:>7} | {:>7}",
        "act", "rounds", "beside", "least", "most", "goal"
    );
    let mut missed = Vec::new();
    for (entry, payload, act, busy) in ACTS {
        let mut shares = Vec::new();
        for _ in 0..rounds {
            shares.push(round(&hostile, entry, payload, &beside)?);
        }
        shares.sort_by(f64::total_cmp);
        let [least, share, most] = [0.0, 0.5, 1.0].map(|part| at(&shares, part) * 100.0);
        let part = (processors as f64 / (busy + BESIDE_THREADS) as f64).min(1.0);
        let goal = SHARE_MIN * part * 100.0;
        println!("{act:<22} {rounds:>6} | {share:>6.1}% {least:>6.1}% {most:>6.1}% | {goal:>6.1}%");
        if share < goal {
            missed.push(format!("{act}: another plugin kept {share:.1} % of its rate"));
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
    block_on(host.shutdown(Duration::from_secs(10)));
    Ok(missed)
}

/// The share of its rate that the other plugin keeps.
fn round(plugin: &Plugin, entry: &str, payload: &[u8], beside: &Beside) -> Result<f64, Error> {
    let quiet = beside.mark();
    let quiet = beside.rate(quiet, quiet.0 + HALF);
    let (begin, count) = beside.mark();
    // Answered, late or crashed: what comes of it is tested elsewhere.
    let _ = block_on(plugin.call_raw(entry, payload).timeout(HALF));
    let share = beside.rate((begin, count), begin + HALF) / quiet;
    let workers = plugin.workers().map(|workers| workers.workers).unwrap_or_default();
    for worker in workers.iter().filter(|worker| worker.state == WorkerState::Running) {
        if let Some(pid) = worker.pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    let until = Instant::now() + WAIT_MAX;
    while block_on(plugin.call_raw("ok", b"0").timeout(WAIT_MAX)).is_err() {
        if Instant::now() > until {
            return Err(Error::TooLong("a call after a kill"));
        }
    }
    Ok(share)
}
