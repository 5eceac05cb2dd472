// SPDX-License-Identifier: BSD-3-Clause
//! The process that reads a record: a worker's program once more, which has no other task and ends.
//!
//! ```text
//!   stdin   a line of JSON: [`Asked`]; then the record
//!   stdout  JSON: the stack, or why there is none
//!   stderr  the plugin's file, which is read
//! ```
//!
//! It reads what a hostile worker may have written, and files that it names, with libraries that are large: so it
//! is in a sandbox in which files can be read, and nothing else be done, with bounds for its memory and time.
//! What it has allocated is gone with it.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use becket_host::CrashStack;
use becket_sandbox::crash::{RECORD_BYTES_MAX, Record};
use becket_sandbox::limits::ResourceLimits;
use becket_sandbox::scheduling::{Class, set_class};
use becket_sandbox::{Profile, Sandbox, descriptors};
use rustix::process::{Signal, setpriority_process};
use serde::{Deserialize, Serialize};

use super::module::{Modules, PluginFile};
use super::{ANSWER_BYTES_MAX, FRAMES_MAX, names, text, unwind};
use crate::launch::WorkerError;

/// Asks a worker's program to be this; the value is a name of [`Yields`].
pub(super) const VARIABLE: &str = "BECKET_READS_STACK";

/// Of its own, not of the files that it may read.
const MEMORY_BYTES_MAX: u64 = 2 << 30;
/// The least priority.
const NICE: i32 = 19;

/// What precedes the record.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    /// The path of the plugin's file.
    pub(super) plugin: Option<PathBuf>,
}

/// A stack is late rather than another plugin slow: to which others the process yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Yields {
    /// It is of the scheduler's idle class.
    ToAll,
    /// It has the least priority of the others: where no processor is ever free, it comes to an end.
    ToMost,
}

impl Yields {
    /// The value of [`VARIABLE`].
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ToAll => "idle",
            Self::ToMost => "nice",
        }
    }

    /// If the kernel refuses, it is a process like any other.
    fn begin(self) {
        let _ = match self {
            Self::ToAll => set_class(0, Class::Idle),
            Self::ToMost => setpriority_process(None, NICE).map_err(io::Error::from),
        };
    }
}

/// Whether this process is to be one.
pub(crate) fn is_wanted() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// Reads one record.
pub(crate) fn run() -> Result<(), WorkerError> {
    let not_entered = |error| {
        let failed = crate::launch::not_entered(&error);
        WorkerError::NotStarted(failed.error, failed.cause)
    };
    let is_last = env::var_os(VARIABLE).is_some_and(|it| it == Yields::ToMost.name());
    (if is_last { Yields::ToMost } else { Yields::ToAll }).begin();
    descriptors::close_inherited().map_err(not_entered)?;
    let limits = ResourceLimits {
        memory_bytes_max: Some(MEMORY_BYTES_MAX),
        file_bytes_max: Some(ANSWER_BYTES_MAX),
        ..ResourceLimits::default()
    };
    let readable = vec![PathBuf::from("/")];
    let sandbox = Sandbox { profile: Profile::Strict, readable, limits, ..Sandbox::default() };
    // Opened anew: workers have the same descriptor, and could move its position.
    let file = File::open("/proc/self/fd/2").map_err(WorkerError::Setup)?;
    sandbox.enter().map_err(not_entered)?;
    answer(file).map_err(WorkerError::Setup)
}

/// `file` is the plugin's, if there is a plugin.
fn answer(file: File) -> io::Result<()> {
    let mut bytes = Vec::new();
    let most = RECORD_BYTES_MAX + (8 << 10);
    io::stdin().lock().take(most as u64).read_to_end(&mut bytes)?;
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let Asked { plugin } = serde_json::from_slice(parts.next().unwrap_or_default())?;
    let plugin = plugin.map(|path| PluginFile { path, file });
    let stack = stack(parts.next().unwrap_or_default(), plugin.as_ref());
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, &stack)?;
    stdout.flush()
}

/// Reads what a worker has left.
pub(super) fn stack(record: &[u8], plugin: Option<&PluginFile>) -> Result<CrashStack, String> {
    let record = Record::parse(record).map_err(|error| error.to_string())?;
    let mut modules = Modules::new(&record, plugin);
    let (addresses, is_whole) = unwind::addresses(&record, &mut modules);
    let frames = names::frames(&addresses, &modules);
    let mut notes = Vec::new();
    if modules.is_late() {
        notes.push("some files were not read: it took too long".to_owned());
    }
    if frames.len() >= FRAMES_MAX {
        notes.push(format!("these are the first {FRAMES_MAX} frames"));
    } else if !is_whole {
        notes.push("its end cannot be read".to_owned());
    }
    let signal = Signal::from_named_raw(record.signal);
    let is_from_kernel = record.code > 0;
    Ok(CrashStack {
        signal: signal.map_or_else(|| record.signal.to_string(), name_of),
        address: is_from_kernel.then(|| format!("{:#x}", record.address)),
        thread: text(&record.thread_name),
        thread_id: record.thread,
        frames,
        notes,
    })
}

fn name_of(signal: Signal) -> String {
    let name = match signal {
        Signal::SEGV => "SIGSEGV",
        Signal::BUS => "SIGBUS",
        Signal::ILL => "SIGILL",
        Signal::FPE => "SIGFPE",
        Signal::ABORT => "SIGABRT",
        Signal::TRAP => "SIGTRAP",
        Signal::SYS => "SIGSYS",
        other => return other.as_raw().to_string(),
    };
    name.to_owned()
}
