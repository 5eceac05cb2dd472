// SPDX-License-Identifier: BSD-3-Clause
//! One worker of a plugin: started, waited for, started again.
//!
//! ```text
//!   thread   start ─ session ─ load ─ wait for its end ─┬─ stopped: done
//!              ▲                                        │
//!              └── pause, or long rest ◀── death record ┘
//! ```
//!
//! One thread for each: it starts the process, because the process is to end when the thread does that
//! started it, and waits for its end.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use becket_chan::wakes;
use becket_host::{Death, DeathId, DeathReason, WorkerInfo, WorkerState};
use becket_ipc::Ended;
use becket_ipc::session::{Locked, SessionHandle};
use becket_wire::Role;
use parking_lot::{Mutex, RwLock};
use rustix::process::Signal;

use crate::bridge::{Bridge, Watch};
use crate::child::{Belongings, Killer, Spawned};
use crate::output::Capture;
use crate::protocol::{Failed, Loaded};
use crate::reported::Stuck;
use crate::restart::{Attempts, Next};
use crate::share::{Rules, Share};
use crate::stack::{self, CrashPipe, Job, Left};
use crate::start::{LoadShared, Loading, failed};
use crate::supervisor::Supervised;

/// How long the end of a session may be behind that of its process.
const LAST_FRAMES: Duration = Duration::from_millis(50);
/// Signals that come from outside: a process sends none of them to itself by a mistake.
const FROM_OUTSIDE: [Signal; 4] = [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP];

/// See the module's documentation.
pub(crate) struct Slot {
    number: u32,
    current: Mutex<Option<SessionHandle<Bridge>>>,
    /// The same, which a thread that acts on it holds meanwhile.
    held: RwLock<Option<SessionHandle<Bridge>>>,
    pub(crate) watch: Arc<Watch>,
    process: Mutex<SlotProcess>,
}

struct SlotProcess {
    /// The one that was started last.
    killer: Killer,
    pid: Option<u32>,
    ready: Option<Instant>,
    state: WorkerState,
    restarts: u64,
}

/// A worker that runs.
struct Running {
    session: SessionHandle<Bridge>,
    loaded: Loaded,
    /// The worker, or its guard.
    child: Child,
    /// The worker's number.
    pid: u32,
    belongings: Belongings,
    capture: Capture,
    crash: Option<CrashPipe>,
}

/// A worker that did not start.
struct NotRunning {
    failed: Failed,
    pid: u32,
    last_lines: Vec<String>,
    left: Option<Left>,
}

/// A worker that has ended.
struct Over {
    death: Death,
    left: Option<Left>,
}

impl Slot {
    pub(crate) fn new(number: u32, is_only: bool) -> Self {
        let stuck = Arc::new(Stuck { is_only, ..Stuck::default() });
        Self {
            number,
            current: Mutex::default(),
            held: RwLock::default(),
            watch: Arc::new(Watch::new(stuck)),
            process: Mutex::new(SlotProcess {
                killer: Killer::default(),
                pid: None,
                ready: None,
                state: WorkerState::Restarting,
                restarts: 0,
            }),
        }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn is_live(&self) -> bool {
        self.watch.is_live.load(Ordering::Acquire)
    }

    pub(crate) fn session(&self) -> Option<SessionHandle<Bridge>> {
        self.current.lock().clone()
    }

    fn set_session(&self, session: Option<&SessionHandle<Bridge>>) {
        *self.current.lock() = session.cloned();
        *self.held.write() = session.cloned();
    }

    /// Acts on the session, which the slot keeps meanwhile: a clone would be counted. `None`: there is none.
    pub(crate) fn with_session<R>(
        &self,
        act: impl FnOnce(&SessionHandle<Bridge>) -> R,
    ) -> Option<R> {
        // A task that is woken may wait for the slot's thread, which waits for this: it is woken afterwards.
        let _deferral = wakes::defer();
        match self.held.try_read() {
            Some(held) => held.as_ref().map(act),
            // The slot's thread waits to change it, perhaps for an outer call of this thread.
            None => self.session().as_ref().map(act),
        }
    }

    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Bridge, &mut Locked<'_>) -> R) -> Option<R> {
        self.with_session(|session| session.with(act))
    }

    pub(crate) fn kill(&self) {
        self.process.lock().killer.kill();
    }

    /// What there is to see of it, as one of this load.
    pub(crate) fn info(&self, generation: u64) -> WorkerInfo {
        let process = self.process.lock();
        let (state, restarts, pid) = (process.state, process.restarts, process.pid);
        let ready_ms = process.ready.map_or(0, |ready| millis(ready.elapsed()));
        // Under the lock: the number is not another process's before this one was waited for.
        let usage = pid.and_then(usage);
        drop(process);
        WorkerInfo {
            worker: self.number,
            generation,
            state,
            pid,
            ready_ms,
            in_hand: self.watch.in_hand.load(Ordering::Relaxed),
            restarts,
            resident_bytes: usage.map(|usage| usage.0),
            cpu_seconds: usage.map(|usage| usage.1),
            idle_class_threads: self.watch.lowered.load(Ordering::Relaxed),
        }
    }

    /// The slot's thread.
    pub(crate) fn supervise(&self, plugin: &Supervised, first: &LoadShared) {
        let mut attempts = Attempts::new(plugin.process.restart);
        let mut is_first = true;
        loop {
            let Over { death, left } = match self.start(plugin) {
                Ok(running) => self.serve(plugin, running, is_first.then_some(first)),
                Err(NotRunning { failed, pid, left, .. }) if is_first => {
                    first.set(Err(failed));
                    self.read_later(plugin, pid, left, None);
                    break;
                }
                Err(not_running) => self.not_started(plugin, not_running),
            };
            is_first = false;
            if plugin.is_stopping() {
                break;
            }
            let (reason, pid) = (death.reason, death.pid);
            let next = attempts.ended(Instant::now(), Duration::from_millis(death.ran_ms));
            // The log comes second: the record is there for a reader of the log.
            let id = plugin.history.died(death.clone());
            if reason != DeathReason::Start {
                log(plugin, &death);
            }
            let pause = match next {
                Next::Start(pause) => pause,
                Next::Fail(pause) => {
                    self.process.lock().state = WorkerState::Failed;
                    plugin.slot_failed(self.number, pause);
                    pause
                }
            };
            self.read_later(plugin, pid, left, Some(id));
            if plugin.wait_for_stop(pause) {
                break;
            }
            self.process.lock().restarts += 1;
            plugin.history.restarted(reason);
        }
    }

    /// Starts a worker and has it load the plugin.
    fn start(&self, plugin: &Supervised) -> Result<Running, NotRunning> {
        let no_process = |failed| NotRunning { failed, pid: 0, last_lines: Vec::new(), left: None };
        let spawned =
            plugin.process.spawn(&plugin.load, plugin.image().as_deref()).map_err(no_process)?;
        let Spawned { mut child, socket, output, crash, entering, belongings } = spawned;
        let capture = plugin.output.capture(output);
        let mut pid = child.id();
        let mut killer = self.started(plugin, pid);
        let loaded = entering.wait(plugin.load_timeout_ms).and_then(|(report, guarded)| {
            if let Some(worker) = guarded {
                // Its guard ends with it.
                pid = worker;
                killer = self.started(plugin, pid);
            }
            plugin.enter(report);
            self.load(plugin, socket, (pid, killer.clone()))
        });
        match loaded {
            Ok((session, loaded)) => {
                Ok(Running { session, loaded, child, pid, belongings, capture, crash })
            }
            Err(failed) => {
                // It may have ended already.
                killer.kill();
                if pid == child.id() {
                    let _ = child.kill();
                }
                let _ = self.wait(&mut child);
                let last_lines = plugin.output.last(capture).lines;
                let (failed, left) = (failed_with(failed, &last_lines), crash.map(CrashPipe::read));
                Err(NotRunning { failed, pid, last_lines, left })
            }
        }
    }

    /// Lets a process be found by what kills all.
    fn started(&self, plugin: &Supervised, pid: u32) -> Killer {
        let killer = Killer::of(pid);
        let mut process = self.process.lock();
        process.killer = killer.clone();
        process.pid = Some(pid);
        drop(process);
        // That may have come before.
        if plugin.is_killed() {
            killer.kill();
        }
        killer
    }

    fn load(
        &self,
        plugin: &Supervised,
        socket: OwnedFd,
        (pid, killer): (u32, Killer),
    ) -> Result<(SessionHandle<Bridge>, Loaded), Failed> {
        let shared: Arc<LoadShared> = Arc::default();
        let load =
            serde_json::to_vec(&plugin.load).map_err(|error| failed("no JSON", error, ""))?;
        let loading = Loading::new(shared.clone(), load.into());
        *self.watch.end.lock() = None;
        let bridge = Bridge::new(
            (&plugin.load.name, pid),
            plugin.answers(),
            loading,
            killer,
            self.watch.clone(),
        );
        let start = SessionHandle::start(socket, Role::Client, &plugin.process.options, bridge);
        let session = becket_coro::block_on(start).map_err(|error| {
            failed("no session with the worker", error, "does it speak the protocol?")
        })?;
        let loaded = shared.wait(plugin.load_timeout_ms)?;
        plugin.check_entries(&loaded)?;
        Ok((session, loaded))
    }

    /// Lets calls go to the worker until it ends.
    fn serve(&self, plugin: &Supervised, running: Running, first: Option<&LoadShared>) -> Over {
        let Running { session, loaded, mut child, pid, belongings, capture, crash } = running;
        let began = Instant::now();
        let killer = self.process.lock().killer.clone();
        self.set_session(Some(&session));
        session.with(|bridge, _| {
            // Under the session's lock, as its end.
            self.watch.is_live.store(!bridge.is_over(), Ordering::Release);
            // After it can be found: whichever of this thread and the host's comes second attaches.
            if let Some(answers) = plugin.answers() {
                bridge.attach(answers);
            }
        });
        {
            // After it gets calls: one that is seen to run does.
            let mut process = self.process.lock();
            process.ready = Some(began);
            process.state = WorkerState::Running;
        }
        plugin.slot_serves(self.number);
        if let Some(first) = first {
            first.set(Ok(loaded));
        }
        if plugin.is_stopping() {
            // The end came while it started.
            session.with(|bridge, locked| bridge.stop(locked));
        }
        plugin.pass_waiting_on(self);
        self.share(plugin, pid, &killer);
        let status = self.wait(&mut child);
        self.watch.is_live.store(false, Ordering::Release);
        self.set_session(None);
        // What it sent last is still to be read. A process that it has started may keep its socket open.
        let mut end = self.watch.end.lock();
        if end.is_none() {
            self.watch.ended.wait_for(&mut end, LAST_FRAMES);
        }
        drop(end);
        session.close(0, "the worker has ended");
        let last = plugin.output.last(capture);
        let seen = Seen {
            oom_killed: belongings.ran_out_of_memory(),
            allocation_failed: last.ran_out_of_memory,
            killed_by_host: killer.has_killed(),
        };
        let (ended, calls_failed) = self.watch.end.lock().take().unzip();
        let reason = reason(ended.as_ref(), status.as_ref().ok(), seen);
        let left = crash.map(CrashPipe::read);
        let death = Death {
            worker: self.number,
            generation: plugin.generation,
            pid,
            at_unix_ms: unix_ms(),
            reason,
            status: status.map_or_else(|error| error.to_string(), |status| status.to_string()),
            ran_ms: millis(began.elapsed()),
            calls_failed: calls_failed.unwrap_or_default(),
            last_lines: last.lines,
            stack: None,
            no_stack: Some(stack::why_none(left.as_ref(), reason)),
        };
        Over { death, left }
    }

    /// Until the worker ends, or is about to: what computes for no call yields to everything else.
    fn share(&self, plugin: &Supervised, pid: u32, killer: &Killer) {
        let mut share = Share::new(pid, Rules::new(plugin.deadline_ms), Instant::now());
        let mut before = 0;
        while killer.wait_within(share.next()) == Some(false) {
            let lowered = share.look(self.watch.given(), Instant::now());
            self.watch.lowered.store(lowered, Ordering::Relaxed);
            if lowered > before {
                tracing::warn!(
                    target: "becket::process",
                    plugin = plugin.load.name,
                    worker = self.number,
                    pid,
                    threads = lowered,
                    "a worker computes for no call: these threads run when no other wants the processor"
                );
            }
            before = lowered;
        }
        self.watch.lowered.store(0, Ordering::Relaxed);
    }

    /// Has the stack read that a worker has left, if it has.
    fn read_later(&self, plugin: &Supervised, pid: u32, left: Option<Left>, of: Option<DeathId>) {
        let Some(left) = left else { return };
        let (name, worker) = (plugin.load.name.clone(), self.number);
        let death = of.map(|id| (plugin.history.clone(), id));
        let (program, image) = (plugin.process.worker().to_vec(), plugin.image());
        stack::read_later(Job { program, image, name, worker, pid, left, death });
    }

    /// Waits for the end of the process.
    fn wait(&self, child: &mut Child) -> std::io::Result<ExitStatus> {
        use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
        // Its number is its own until it is waited for, which is after no reader has it any more.
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while waitid(WaitId::Pid(pid), options).err() == Some(rustix::io::Errno::INTR) {}
            // What it started and has left; it leads a group of its own.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let mut process = self.process.lock();
        (process.pid, process.ready) = (None, None);
        // Before its death is known: one that is seen to run after that is the next.
        process.state = WorkerState::Restarting;
        // Its descriptor.
        process.killer = Killer::default();
        drop(process);
        child.wait()
    }

    fn not_started(&self, plugin: &Supervised, not_running: NotRunning) -> Over {
        let NotRunning { failed: Failed { error, cause, .. }, pid, last_lines, left } = not_running;
        if !plugin.is_stopping() {
            tracing::error!(target: "becket::process", plugin = plugin.load.name, worker = self.number, error, cause, "a worker was not started again");
        }
        let reason = DeathReason::Start;
        let death = Death {
            worker: self.number,
            generation: plugin.generation,
            pid,
            at_unix_ms: unix_ms(),
            reason,
            status: if cause.is_empty() { error } else { format!("{error}: {cause}") },
            ran_ms: 0,
            calls_failed: 0,
            last_lines,
            stack: None,
            no_stack: Some(stack::why_none(left.as_ref(), reason)),
        };
        Over { death, left }
    }
}

fn log(plugin: &Supervised, death: &Death) {
    tracing::warn!(
        target: "becket::process",
        plugin = plugin.load.name,
        worker = death.worker,
        reason = death.reason.name(),
        status = death.status,
        calls_failed = death.calls_failed,
        "a worker has ended"
    );
}

/// A failure with what the worker wrote last, unless that is the same.
fn failed_with(mut failed: Failed, last_lines: &[String]) -> Failed {
    let is_known = |line: &str| !failed.cause.is_empty() && line.contains(&failed.cause);
    let last = last_lines.iter().rev().find(|line| !line.trim().is_empty());
    if let Some(line) = last.filter(|line| !is_known(line)) {
        let gap = if failed.cause.is_empty() { "" } else { "; " };
        failed.cause = format!("{}{gap}it wrote: {line}", failed.cause);
    }
    failed
}

/// What was seen of an end, beside the session and the status.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// The kernel counted a kill for lack of memory in the worker's control group.
    oom_killed: bool,
    /// Its runtime wrote that it ends because an allocation failed.
    allocation_failed: bool,
    /// This process killed it.
    killed_by_host: bool,
}

/// Why a worker ended. A session that ends badly has its worker killed, whose status says only that.
fn reason(ended: Option<&Ended>, status: Option<&ExitStatus>, seen: Seen) -> DeathReason {
    let signal = status.and_then(ExitStatus::signal).and_then(Signal::from_named_raw);
    let is_killed = signal == Some(Signal::KILL);
    match ended {
        _ if is_killed && seen.oom_killed => DeathReason::Memory,
        Some(Ended::Silent | Ended::HandshakeTimeout(_)) if is_killed => DeathReason::Silent,
        Some(Ended::Protocol(_)) if is_killed => DeathReason::Protocol,
        Some(Ended::ByPeer { .. } | Ended::DrainTimeout(_) | Ended::Transport(_)) if is_killed => {
            DeathReason::Closed
        }
        Some(Ended::PeerGone) if is_killed && seen.killed_by_host => DeathReason::Closed,
        _ => match signal {
            Some(signal) if FROM_OUTSIDE.contains(&signal) => DeathReason::Killed,
            Some(Signal::XCPU) => DeathReason::Cpu,
            Some(Signal::XFSZ | Signal::SYS) => DeathReason::Sandbox,
            _ if seen.allocation_failed && !status.is_some_and(ExitStatus::success) => {
                DeathReason::Memory
            }
            Some(_) => DeathReason::Signal,
            None if status.is_some_and(|status| status.signal().is_some()) => DeathReason::Signal,
            None => DeathReason::Exit,
        },
    }
}

/// Resident bytes and seconds of processor time of a process, as the system knows them.
fn usage(pid: u32) -> Option<(u64, f64)> {
    usage_of(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The same, from `/proc/PID/stat`: fields 14, 15 and 24, of which the second may contain anything.
fn usage_of(stat: &str) -> Option<(u64, f64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = fields.next()?.ok()? + fields.next()?.ok()?;
    let pages = fields.nth(8)?.ok()?;
    let page_bytes = u64::try_from(rustix::param::page_size()).ok()?;
    let seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    Some((pages * page_bytes, seconds))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processs_usage_is_read_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4 0 0 0 0 150 50 0 0 20 0 3 0 99 1000 25 184467 1";
        let (bytes, seconds) = usage_of(stat).unwrap();
        assert_eq!(bytes, 25 * rustix::param::page_size() as u64);
        assert!((seconds - 200.0 / rustix::param::clock_ticks_per_second() as f64).abs() < 1e-9);
        assert!(usage(std::process::id()).is_some_and(|(bytes, _)| bytes > 0));
        assert_eq!(usage_of("nothing"), None);
    }

    #[test]
    fn the_last_line_is_in_the_cause_unless_it_says_the_same() {
        let cause = |cause, line: &str| {
            let failed = failed("no start", cause, "");
            failed_with(failed, &["before".to_owned(), line.to_owned()]).cause
        };
        assert_eq!(cause("", "no module"), "it wrote: no module");
        assert_eq!(cause("it ended", "no module"), "it ended; it wrote: no module");
        assert_eq!(cause("it ended", "cause: no start: it ended"), "it ended");
    }

    #[test]
    fn the_reason_is_the_sessions_if_that_had_the_worker_killed() {
        let reason = |ended, status| reason(ended, Some(&status), Seen::default());
        let killed = ExitStatus::from_raw(9);
        let silent = Some(&Ended::Silent);
        assert_eq!(reason(silent, killed), DeathReason::Silent);
        assert_eq!(reason(Some(&Ended::PeerGone), killed), DeathReason::Killed);
        assert_eq!(reason(silent, ExitStatus::from_raw(11)), DeathReason::Signal);
        let left = Some(&Ended::PeerGone);
        assert_eq!(reason(left, ExitStatus::from_raw(3 << 8)), DeathReason::Exit);
    }

    #[test]
    fn the_reason_is_memory_if_the_kernel_or_the_runtime_says_so() {
        let none = Seen::default();
        let by_kernel = Seen { oom_killed: true, ..none };
        let by_runtime = Seen { allocation_failed: true, ..none };
        let (killed, aborted, exited, done) = (9, 6, 2 << 8, 0);
        for (status, seen, expected) in [
            (killed, none, DeathReason::Killed),
            (killed, by_kernel, DeathReason::Memory),
            // A line does not explain a kill, nor an end that was wanted.
            (killed, by_runtime, DeathReason::Killed),
            (done, by_runtime, DeathReason::Exit),
            (aborted, none, DeathReason::Signal),
            (aborted, by_runtime, DeathReason::Memory),
            // What the kernel ended was a process that the worker had started.
            (aborted, by_kernel, DeathReason::Signal),
            (exited, by_runtime, DeathReason::Memory),
        ] {
            let status = ExitStatus::from_raw(status);
            let found = reason(Some(&Ended::PeerGone), Some(&status), seen);
            assert_eq!(found, expected, "{status:?}, {seen:?}");
        }
    }

    #[test]
    fn a_kill_is_the_hosts_or_that_of_another() {
        let killed = ExitStatus::from_raw(9);
        let by_host = Seen { killed_by_host: true, ..Seen::default() };
        let reason = |seen| reason(Some(&Ended::PeerGone), Some(&killed), seen);
        assert_eq!(reason(by_host), DeathReason::Closed);
        assert_eq!(reason(Seen::default()), DeathReason::Killed);
    }

    #[test]
    fn limits_have_reasons_of_their_own() {
        for (signal, expected) in [
            (Signal::XCPU, DeathReason::Cpu),
            (Signal::XFSZ, DeathReason::Sandbox),
            (Signal::SYS, DeathReason::Sandbox),
            (Signal::SEGV, DeathReason::Signal),
        ] {
            let status = ExitStatus::from_raw(signal.as_raw());
            let found = reason(None, Some(&status), Seen::default());
            assert_eq!(found, expected, "{signal:?}");
        }
    }
}
