// SPDX-License-Identifier: BSD-3-Clause
//! Threads that are kept from block to block, parked between them, so that the start of a thread is
//! not measured.
//!
//! ```text
//!   harness   n ─▶ ┌ role 0 ─ ready ┐        ┌ work(n) ────────┐ report ┐
//!             n ─▶ ├ role 1 ─ ready ┼─ start ┼ work(n) ──────┐ │ report ┼─▶ harness
//!             n ─▶ └ role 2 ─ ready ┘        └ work(n) ──┐     │ report ┘
//!                                            ├───── the block ───┤
//! ```
//!
//! 1. A block is timed from the first start to the last end, by the roles themselves.
//! 2. A pinned role reports whether the kernel gave its CPU to another process; such a
//!    block is repeated, fewer times than a short one.
//! 3. A role that does not end in time ends the run: it lost a value or a wake-up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{JoinHandle, yield_now};
use std::time::{Duration, Instant};

use rustix::thread::CpuSet;

use crate::error::{BenchError, check};
use crate::harness::{Side, undisturbed};
use crate::machine::{pin, set, switches};

/// No block is near this long.
const LIMIT: Duration = Duration::from_secs(60);

/// What one thread does in a block: that many operations. Its answer is summed up over the crew.
pub(crate) type Work = Box<dyn FnMut(u64) -> Result<u64, BenchError> + Send>;

/// One thread of a crew.
pub(crate) struct Role {
    /// The CPU to which it keeps; `None`: any.
    pub(crate) cpu: Option<usize>,
    /// What it does.
    pub(crate) work: Work,
}

struct Report {
    begin: Instant,
    end: Instant,
    disturbed: bool,
    sum: u64,
}

struct Member {
    orders: Option<Sender<u64>>,
    thread: Option<JoinHandle<()>>,
}

struct Crew {
    job: Job,
    members: Vec<Member>,
    reports: Receiver<Result<Report, BenchError>>,
    stuck: bool,
}

/// What a crew works for.
pub(crate) struct Job {
    /// Whose figures they are.
    pub(crate) host: &'static str,
    /// What is done.
    pub(crate) operation: &'static str,
    /// Where roles without a CPU of their own run.
    pub(crate) cpus: CpuSet,
    /// How often a disturbed block is done again.
    pub(crate) tries_max: usize,
}

/// A side whose work is done by these roles. `expected` says what the roles' answers have to sum
/// up to after `n` operations.
pub(crate) fn crew(
    job: Job,
    roles: Vec<Role>,
    expected: impl Fn(u64) -> u64 + 'static,
) -> Result<Side<'static>, BenchError> {
    let (tries_max, host, operation) = (job.tries_max, job.host, job.operation);
    let mut crew = Crew::hire(job, roles)?;
    Ok(Box::new(move |n| {
        undisturbed(tries_max, || {
            let (taken, disturbed, sum) = crew.block(n)?;
            check(host, operation, expected(n), sum)?;
            Ok((taken, disturbed))
        })
    }))
}

impl Crew {
    fn hire(job: Job, roles: Vec<Role>) -> Result<Self, BenchError> {
        let gate = Arc::new(Gate { ready: AtomicU64::new(0), roles: roles.len() as u64 });
        let (reports_tx, reports) = channel();
        let mut members = Vec::new();
        for role in roles {
            let (orders, inbox) = channel();
            let (gate, reports, cpus) = (Arc::clone(&gate), reports_tx.clone(), job.cpus);
            let thread = std::thread::Builder::new()
                .spawn(move || serve(role, &cpus, &inbox, &gate, &reports))
                .map_err(|source| BenchError::System { what: "start a thread", source })?;
            members.push(Member { orders: Some(orders), thread: Some(thread) });
        }
        Ok(Self { job, members, reports, stuck: false })
    }

    fn block(&mut self, n: u64) -> Result<(Duration, bool, u64), BenchError> {
        for member in &self.members {
            let order = member.orders.as_ref().map(|orders| orders.send(n));
            order.ok_or(BenchError::Worker)?.map_err(|_| BenchError::Worker)?;
        }
        let mut all: Option<Report> = None;
        for _ in &self.members {
            let report = match self.reports.recv_timeout(LIMIT) {
                Ok(report) => report.inspect_err(|_| self.stuck = true)?,
                Err(RecvTimeoutError::Timeout) => {
                    self.stuck = true;
                    let (host, operation) = (self.job.host, self.job.operation);
                    let limit_s = LIMIT.as_secs();
                    return Err(BenchError::Stuck { host, operation, limit_s });
                }
                Err(RecvTimeoutError::Disconnected) => return Err(BenchError::Worker),
            };
            all = Some(match all {
                None => report,
                Some(all) => Report {
                    begin: all.begin.min(report.begin),
                    end: all.end.max(report.end),
                    disturbed: all.disturbed || report.disturbed,
                    sum: all.sum.wrapping_add(report.sum),
                },
            });
        }
        let all = all.ok_or(BenchError::Worker)?;
        Ok((all.end - all.begin, all.disturbed, all.sum))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for member in &mut self.members {
            drop(member.orders.take());
        }
        // The next row begins when these threads are gone; those that hang end with the process.
        for thread in self.members.iter_mut().filter_map(|member| member.thread.take()) {
            if !self.stuck && thread.join().is_err() {
                self.stuck = true;
            }
        }
    }
}

/// Where the roles meet before each block, awake.
struct Gate {
    ready: AtomicU64,
    roles: u64,
}

impl Gate {
    fn pass(&self, keeps_to_a_cpu: bool) {
        let mine = self.ready.fetch_add(1, Ordering::AcqRel);
        let all = (mine / self.roles + 1) * self.roles;
        while self.ready.load(Ordering::Acquire) < all {
            // Roles without a CPU of their own may need the one of those that wait here.
            if !keeps_to_a_cpu {
                yield_now();
            }
        }
    }
}

fn serve(
    mut role: Role,
    cpus: &CpuSet,
    orders: &Receiver<u64>,
    gate: &Gate,
    reports: &Sender<Result<Report, BenchError>>,
) {
    let placed = role.cpu.map_or_else(|| set(cpus), pin);
    if let Err(error) = placed {
        let _ = reports.send(Err(error));
        return;
    }
    let keeps = role.cpu.is_some();
    while let Ok(n) = orders.recv() {
        let before = keeps.then(switches).flatten();
        gate.pass(keeps);
        let begin = Instant::now();
        let done = (role.work)(n);
        let end = Instant::now();
        let disturbed = keeps && switches() != before;
        let report = done.map(|sum| Report { begin, end, disturbed, sum });
        let failed = report.is_err();
        if reports.send(report).is_err() || failed {
            return;
        }
    }
}
