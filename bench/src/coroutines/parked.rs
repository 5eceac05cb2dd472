// SPDX-License-Identifier: BSD-3-Clause
//! A million waiting coroutines: their memory, and the time to create, keep and wake them. Each
//! repetition of each peer has a separate process, so that no peer reuses memory of another.

use std::fs;
use std::time::{Duration, Instant};

use super::child::Child;
use super::peer::COLUMNS;
use super::peers::go;
use super::work::cpu_time;
use crate::error::{BenchError, check};
use crate::harness::{Figures, Plan};
use crate::report::{Goal, Row};

/// How many.
const COUNT: u64 = 1_000_000;
/// How long they are left alone.
pub(crate) const IDLE: Duration = Duration::from_secs(1);
const REPETITIONS: usize = 7;

/// What one process found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parked {
    /// From the first spawn until the last one waits.
    pub(crate) created: Duration,
    /// From the first wake until the last one has run to its end and was joined.
    pub(crate) woken: Duration,
    /// CPU time of the process while all of them waited for [`IDLE`].
    pub(crate) idle: Duration,
    /// What they added to the process's memory.
    pub(crate) memory: Memory,
    /// How many have run.
    pub(crate) sum: u64,
}

/// Memory of the process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Resident, without the page tables.
    pub(crate) resident_bytes: u64,
    /// Page tables.
    pub(crate) tables_bytes: u64,
    /// Lines of `/proc/self/maps`.
    pub(crate) mappings: u64,
}

impl Memory {
    /// Now.
    pub(crate) fn read() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let field = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
        };
        let maps = fs::read_to_string("/proc/self/maps").ok()?;
        Some(Self {
            resident_bytes: field("VmRSS:")?,
            tables_bytes: field("VmPTE:")?,
            mappings: maps.lines().count() as u64,
        })
    }

    /// What came since then.
    pub(crate) fn since(self, then: Self) -> Self {
        Self {
            resident_bytes: self.resident_bytes.saturating_sub(then.resident_bytes),
            tables_bytes: self.tables_bytes.saturating_sub(then.tables_bytes),
            mappings: self.mappings,
        }
    }
}

/// Takes the times and the memory, in the order in which the methods stand.
pub(crate) struct Watch {
    memory: Memory,
    begin: Instant,
    created: Duration,
    grown: Option<Memory>,
    cpu: Duration,
    idle: Duration,
}

impl Watch {
    /// Before the first spawn.
    pub(crate) fn start() -> Option<Self> {
        let memory = Memory::read()?;
        let begin = Instant::now();
        let (created, cpu, idle) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        Some(Self { memory, begin, created, grown: None, cpu, idle })
    }

    /// All wait.
    pub(crate) fn all_wait(&mut self) {
        self.created = self.begin.elapsed();
        self.grown = Memory::read().map(|now| now.since(self.memory));
        self.cpu = cpu_time();
    }

    /// They have been left alone.
    pub(crate) fn wake(&mut self) {
        self.idle = cpu_time().saturating_sub(self.cpu);
        self.begin = Instant::now();
    }

    /// All have ended.
    pub(crate) fn stop(self, sum: u64) -> Option<Parked> {
        let woken = self.begin.elapsed();
        let (created, idle) = (self.created, self.idle);
        Some(Parked { created, woken, idle, memory: self.grown?, sum })
    }
}

impl Parked {
    /// What a child is asked with.
    pub(crate) const REQUEST: &str = "parked";

    /// As a line.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} {} {} {} {} {} {}",
            self.created.as_nanos(),
            self.woken.as_nanos(),
            self.idle.as_nanos(),
            self.memory.resident_bytes,
            self.memory.tables_bytes,
            self.memory.mappings,
            self.sum,
        )
    }

    /// From a line's numbers.
    pub(crate) fn of(numbers: &[u64]) -> Option<Self> {
        let &[created, woken, idle, resident_bytes, tables_bytes, mappings, sum] = numbers else {
            return None;
        };
        Some(Self {
            created: Duration::from_nanos(created),
            woken: Duration::from_nanos(woken),
            idle: Duration::from_nanos(idle),
            memory: Memory { resident_bytes, tables_bytes, mappings },
            sum,
        })
    }
}

/// A row: its name, its goal, its digits, and what it takes from a process.
type Part = (&'static str, Option<f64>, usize, fn(&Parked) -> f64);

const PARTS: [Part; 6] = [
    ("a million waiting: bytes each, page tables included", Some(4.4 * 1024.0), 0, |parked| {
        (parked.memory.resident_bytes + parked.memory.tables_bytes) as f64 / COUNT as f64
    }),
    ("a million waiting: bytes of page tables each", None, 1, |parked| {
        parked.memory.tables_bytes as f64 / COUNT as f64
    }),
    ("a million waiting: lines of `/proc/self/maps`", None, 0, |parked| {
        parked.memory.mappings as f64
    }),
    ("a million waiting: s to create", Some(1.0), 3, |parked| parked.created.as_secs_f64()),
    ("a million waiting: s to wake, run and join", Some(0.5), 3, |parked| {
        parked.woken.as_secs_f64()
    }),
    ("a million waiting: µs of CPU in an idle second", None, 0, |parked| {
        parked.idle.as_secs_f64() * 1e6
    }),
];

/// May's stacks are two mappings each, of which a process has 65 530; async-executor has no timer
/// to be idle with.
const PEERS: [&str; 3] = ["Becket", go::NAME, "tokio"];

/// Measures the rows.
pub(crate) fn rows(plan: Plan<'_>) -> Result<Vec<Row>, BenchError> {
    if !PARTS.iter().any(|(name, ..)| plan.wants(name)) {
        return Ok(Vec::new());
    }
    let repetitions = if plan.is_quick { 1 } else { REPETITIONS };
    let mut found: Vec<(&'static str, Vec<Parked>)> =
        PEERS.iter().map(|name| (*name, Vec::new())).collect();
    for _ in 0..repetitions {
        for (name, taken) in &mut found {
            let parked = Child::start(name, 1)?.parked(COUNT)?;
            check(name, "a million waiting", COUNT, parked.sum)?;
            taken.push(parked);
        }
    }
    let rows = PARTS.iter().filter(|(name, ..)| plan.wants(name)).map(|part| {
        let (name, goal, digits, of) = *part;
        let figures =
            found.iter().map(|(peer, taken)| (*peer, Figures::new(taken.iter().map(of).collect())));
        Row { digits, ..Row::of(&COLUMNS, name, goal.map(Goal::Figure), figures) }
    });
    Ok(rows.collect())
}
