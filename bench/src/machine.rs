// SPDX-License-Identifier: BSD-3-Clause
//! The machine and the versions of a result; pinning threads to CPUs.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::error::BenchError;

/// The CPU of the measuring thread.
pub(crate) const FIRST_CPU: usize = 0;
/// The CPU of a second one.
pub(crate) const SECOND_CPU: usize = 1;

/// Keeps the calling thread on one CPU, and the threads that it starts from now on.
pub(crate) fn pin(cpu: usize) -> Result<(), BenchError> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    set(&cpus)
}

/// Lets the calling thread run on these CPUs again.
pub(crate) fn set(cpus: &CpuSet) -> Result<(), BenchError> {
    sched_setaffinity(None, cpus).map_err(|error| BenchError::System {
        what: "keep a thread on its CPU",
        source: error.into(),
    })
}

/// The CPUs that the calling thread may run on.
pub(crate) fn cpus() -> Result<CpuSet, BenchError> {
    sched_getaffinity(None).map_err(|error| BenchError::System {
        what: "read the CPUs of this process",
        source: error.into(),
    })
}

/// How often the kernel has given the calling thread's CPU to another process.
pub(crate) fn switches() -> Option<u64> {
    switches_of(Path::new("/proc/thread-self"))
}

/// The same of the thread with this folder in `/proc`.
pub(crate) fn switches_of(thread: &Path) -> Option<u64> {
    let status = fs::read_to_string(thread.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

/// What stands above a table.
#[derive(Debug)]
pub(crate) struct Machine {
    model: String,
    cpus: usize,
    kernel: String,
    becket: String,
    date: String,
}

impl Machine {
    /// Reads it all; what cannot be read says so.
    pub(crate) fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            cpuinfo.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                (key.trim() == name).then(|| value.trim().to_owned())
            })
        };
        let model = match (field("model name"), field("cpu family"), field("model")) {
            (Some(name), Some(family), Some(model)) => {
                format!("{name} (family {family}, model {model})")
            }
            _ => std::env::consts::ARCH.to_owned(),
        };
        Self {
            model,
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| std::env::consts::OS.to_owned(), |text| text.trim().to_owned()),
            becket: revision().unwrap_or_else(|| "outside its repository".to_owned()),
            date: time::OffsetDateTime::now_utc().date().to_string(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | |\n|---|---|")?;
        writeln!(f, "| date | {} |", self.date)?;
        writeln!(f, "| machine | {} CPUs, {} |", self.cpus, self.model)?;
        writeln!(f, "| kernel | Linux {} |", self.kernel)?;
        writeln!(f, "| compiler | {} |", env!("BENCH_RUSTC"))?;
        writeln!(f, "| Becket | {} |", self.becket)
    }
}

/// The commit that was measured; marked if the sources had changes of their own.
fn revision() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(["-C", env!("CARGO_MANIFEST_DIR")])
            .args(arguments)
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--", ":/crates"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}, with changes") })
}
