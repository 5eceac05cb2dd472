// SPDX-License-Identifier: BSD-3-Clause
//! Each kind of end: what the plugin's own calls and those of another plugin see of it.
//!
//! ```text
//!   a round      quiet, one second       │ end ─ error ─ answered again ─ ..., one second
//!   the other     calls, one after the   │  the same
//!   plugin        other: its rate        │
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use becket_coro::block_on;
use becket_host::{CallError, Host, Plugin, PluginSpec, WorkerState};
use becket_process::sandbox::Sandbox;
use becket_process::sandbox::limits::ResourceLimits;
use becket_process::{Confinement, Process};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

use crate::beside::Beside;
use crate::error::Error;
use crate::record::Record;
use crate::{Programs, WAIT_MAX, pause};

/// Ends of its own, which are entries of the plugin, and one from outside.
const KINDS: [&str; 5] = ["aborts", "segfaults", "exits", "memory", KILLED];
const KILLED: &str = "killed";
/// Half a round. Rounds are further apart than the ends after which a worker's start is delayed.
pub(crate) const HALF: Duration = Duration::from_secs(1);
/// Of the plugin that ends.
pub(crate) const MEMORY_BYTES_MAX: u64 = 512 << 20;

/// Medians that have to be kept.
const ERROR_MAX: Duration = Duration::from_millis(5);
const BACK_MAX: Duration = Duration::from_millis(100);
pub(crate) const SHARE_MIN: f64 = 0.95;

/// One kind, over its rounds.
struct Measured {
    kind: &'static str,
    errors: Vec<Duration>,
    backs: Vec<Duration>,
    shares: Vec<f64>,
    /// Ends that the plugin wrote down, beyond one for each round.
    run_twice: u64,
}

/// Measures all, prints the table, and returns the goals that were missed.
pub(crate) fn run(programs: &Programs, rounds: u32) -> Result<Vec<String>, Error> {
    let folder = tempfile::tempdir().map_err(Error::system("make a folder"))?;
    let host = Host::new();
    let worker = || vec![programs.becket.clone().into(), "plugin-worker".into()];
    let process = Process::native(worker(), &programs.sample);
    let healthy = load(&host, "healthy", process)?;
    let record = Record::new(&folder.path().join("record"))?;
    let process = Process::native(worker(), &programs.plugin).confined(confinement(record.path()));
    let plugin = load(&host, "ends", process)?;
    let before = descriptors()?;

    let beside = Arc::new(Beside::default());
    let caller = {
        let (beside, healthy) = (beside.clone(), healthy.clone());
        thread::spawn(move || beside.call(&healthy))
    };
    let mut all = Vec::new();
    for kind in KINDS {
        all.push(measure(kind, &plugin, &record, &beside, rounds)?);
    }
    beside.is_over.store(true, Ordering::Relaxed);
    caller.join().map_err(|_| Error::Thread)?;

    println!(
        "\n{:<10} {:>6} | {:>8} {:>8} {:>8} | {:>8} {:>8} {:>8} | {:>6} | {:>5}",
        "end", "rounds", "error ms", "median", "p99", "back ms", "median", "p99", "beside", "twice"
    );
    let mut missed: Vec<String> = all.iter_mut().flat_map(Measured::report).collect();
    let (failed, deaths) = (healthy.snapshot().failed.total(), healthy.workers());
    let deaths = deaths.map_or(0, |workers| workers.deaths.len());
    let calls = beside.answered.load(Ordering::Relaxed);
    println!("beside them {calls} calls of another plugin, {failed} failed");
    if failed + beside.wrong.load(Ordering::Relaxed) > 0 || deaths > 0 {
        missed.push(format!("the other plugin: {failed} calls failed, {deaths} ends"));
    }
    let snapshot = plugin.snapshot();
    let ends = u64::from(rounds) * KINDS.len() as u64;
    if (snapshot.failed.crashed, snapshot.failed.total(), snapshot.pending) != (ends, ends, 0) {
        missed.push(format!("{ends} ends, but {:?} failed", snapshot.failed));
    }
    // What a restart leaves open would be there for each of them.
    let after = descriptors()?;
    println!("descriptors: {before} before, {after} after {ends} ends");
    if after > before + rounds as usize {
        missed.push(format!("{before} descriptors before, {after} after"));
    }
    block_on(host.shutdown(Duration::from_secs(10)));
    Ok(missed)
}

pub(crate) fn load(host: &Host, name: &str, process: Process) -> Result<Plugin, Error> {
    Ok(host.load(PluginSpec::remote(name, Arc::new(process))).map_err(Box::new)?)
}

fn confinement(record: &Path) -> Confinement {
    let limits =
        ResourceLimits { memory_bytes_max: Some(MEMORY_BYTES_MAX), ..ResourceLimits::default() };
    let sandbox = Sandbox { limits, writable: vec![record.into()], ..Sandbox::default() };
    let mut confinement = Confinement { sandbox, ..Confinement::default() };
    confinement.env.insert(crate::RECORD.into(), record.display().to_string());
    confinement
}

fn descriptors() -> Result<usize, Error> {
    let folder = PathBuf::from("/proc/self/fd");
    match fs::read_dir(&folder) {
        Ok(entries) => Ok(entries.count()),
        Err(source) => Err(Error::File { action: "read", path: folder, source }),
    }
}

fn measure(
    kind: &'static str,
    plugin: &Plugin,
    record: &Record,
    beside: &Beside,
    rounds: u32,
) -> Result<Measured, Error> {
    let mut measured =
        Measured { kind, errors: Vec::new(), backs: Vec::new(), shares: Vec::new(), run_twice: 0 };
    record.clear()?;
    for _ in 0..rounds {
        let quiet = beside.mark();
        let quiet = beside.rate(quiet, quiet.0 + HALF);
        let (begin, count) = beside.mark();
        let lines = record.lines()?.len();
        let (ended_ns, failed_ns) = match kind {
            KILLED => killed(plugin, record)?,
            _ => {
                let failed_ns = crashes(plugin, kind)?;
                let written = record.lines()?;
                let Some(ended_ns) = written.get(lines).and_then(|line| line.parse().ok()) else {
                    let expected = "the time of an end";
                    return Err(Error::Unexpected { expected, got: written.join(" ") });
                };
                measured.run_twice += (written.len() - lines) as u64 - 1;
                (ended_ns, failed_ns)
            }
        };
        let answer = block_on(plugin.call_raw("echo", b"").timeout(WAIT_MAX));
        answer.map_err(|source| Error::Call { what: "a call after an end", source })?;
        let back_ns = now_ns();
        measured.errors.push(Duration::from_nanos(failed_ns.saturating_sub(ended_ns)));
        measured.backs.push(Duration::from_nanos(back_ns.saturating_sub(ended_ns)));
        measured.shares.push(beside.rate((begin, count), begin + HALF) / quiet);
    }
    if kind == KILLED {
        measured.run_twice += (record.lines()?.len() as u64).saturating_sub(rounds.into());
    }
    Ok(measured)
}

/// The call has to fail as crashed; when it did.
fn crashes(plugin: &Plugin, entry: &str) -> Result<u64, Error> {
    let ended = block_on(plugin.call_raw(entry, b"").timeout(WAIT_MAX));
    let failed_ns = now_ns();
    match ended {
        Err(CallError::Crashed) => Ok(failed_ns),
        other => Err(Error::Unexpected { expected: "a crash", got: format!("{other:?}") }),
    }
}

/// Kills the worker while it has a call; when it did, and when the call failed.
fn killed(plugin: &Plugin, record: &Record) -> Result<(u64, u64), Error> {
    let before = record.lines()?.len();
    let caller = plugin.clone();
    let call = thread::spawn(move || crashes(&caller, "wait"));
    let begin = Instant::now();
    while record.lines()?.len() == before {
        if begin.elapsed() > WAIT_MAX {
            return Err(Error::TooLong("a call"));
        }
        pause(Duration::from_millis(1));
    }
    let workers = plugin.workers().map(|workers| workers.workers).unwrap_or_default();
    let running = workers.iter().find(|worker| worker.state == WorkerState::Running);
    let pid = running.and_then(|worker| Pid::from_raw(i32::try_from(worker.pid?).ok()?));
    let pid = pid.ok_or(Error::TooLong("a running worker"))?;
    let killed_ns = now_ns();
    kill_process(pid, Signal::KILL)
        .map_err(|errno| Error::System { action: "kill a worker", source: errno.into() })?;
    Ok((killed_ns, call.join().map_err(|_| Error::Thread)??))
}

/// As the plugin has it.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    (now.tv_sec as u64) * 1_000_000_000 + now.tv_nsec as u64
}

/// Of a sorted list; its share from 0 to 1.
pub(crate) fn at<T: Copy + Default>(sorted: &[T], share: f64) -> T {
    let last = sorted.len().saturating_sub(1) as f64;
    sorted.get((last * share).round() as usize).copied().unwrap_or_default()
}

impl Measured {
    /// Prints its line; returns what was missed.
    fn report(&mut self) -> Vec<String> {
        self.errors.sort();
        self.backs.sort();
        self.shares.sort_by(f64::total_cmp);
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let three = |sorted: &[Duration]| [0.0, 0.5, 0.99].map(|share| at(sorted, share));
        let [error_min, error, error_p99] = three(&self.errors);
        let [back_min, back, back_p99] = three(&self.backs);
        let share = at(&self.shares, 0.5);
        println!(
            "{:<10} {:>6} | {:>8.2} {:>8.2} {:>8.2} | {:>8.2} {:>8.2} {:>8.2} | {:>5.1}% | {:>5}",
            self.kind,
            self.errors.len(),
            ms(error_min),
            ms(error),
            ms(error_p99),
            ms(back_min),
            ms(back),
            ms(back_p99),
            share * 100.0,
            self.run_twice
        );
        let kind = self.kind;
        let mut missed = Vec::new();
        if error > ERROR_MAX {
            missed.push(format!("{kind}: the error came after {error:?}, not {ERROR_MAX:?}"));
        }
        if back > BACK_MAX {
            missed.push(format!("{kind}: it was back after {back:?}, not {BACK_MAX:?}"));
        }
        if share < SHARE_MIN {
            missed.push(format!("{kind}: another plugin kept {:.1} % of its rate", share * 100.0));
        }
        if self.run_twice > 0 {
            missed.push(format!("{kind}: {} calls were run twice", self.run_twice));
        }
        missed
    }
}
