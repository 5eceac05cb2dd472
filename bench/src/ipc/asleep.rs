// SPDX-License-Identifier: BSD-3-Clause
//! Whether another process sleeps, as reported by the kernel.
//!
//! `/proc/PID/task/TID/syscall` contains `running` for a thread that runs or is runnable. Before it
//! names the system call in which a thread waits, the kernel makes sure that the thread has left
//! its CPU, so that a thread that is about to sleep is not reported as sleeping.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::error::BenchError;

/// Nothing takes so long to fall asleep.
const LIMIT: Duration = Duration::from_secs(10);

/// The threads of a process.
#[derive(Debug)]
pub(crate) struct Threads(Vec<File>);

impl Threads {
    /// Those that this process has now.
    pub(crate) fn of(process: u32) -> Result<Self, BenchError> {
        Self::found(process).map(Self).map_err(refused)
    }

    /// This thread of this process.
    pub(crate) fn one(thread: rustix::thread::Pid) -> Result<Self, BenchError> {
        let path = format!("/proc/self/task/{}/syscall", thread.as_raw_nonzero());
        Ok(Self(vec![File::open(path).map_err(refused)?]))
    }

    /// Returns once all of them sleep in a system call.
    pub(crate) fn wait_until_asleep(&self) -> Result<(), BenchError> {
        let begin = Instant::now();
        for thread in &self.0 {
            while !sleeps(thread).map_err(refused)? {
                if begin.elapsed() > LIMIT {
                    let limit_s = LIMIT.as_secs();
                    let (host, operation) = ("the other process", "to fall asleep");
                    return Err(BenchError::Stuck { host, operation, limit_s });
                }
            }
        }
        Ok(())
    }

    fn found(process: u32) -> std::io::Result<Vec<File>> {
        let mut threads = Vec::new();
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            threads.push(File::open(thread?.path().join("syscall"))?);
        }
        Ok(threads)
    }
}

/// A thread that is no more sleeps well.
fn sleeps(thread: &File) -> std::io::Result<bool> {
    let mut text = [0; 16];
    match thread.read_at(&mut text, 0) {
        Ok(0) => Ok(false),
        // `-1` is a wait outside of a system call: for a page, say.
        Ok(_) => Ok(!text.starts_with(b"running") && !text.starts_with(b"-1")),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
            Ok(true)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn refused(source: std::io::Error) -> BenchError {
    BenchError::System { what: "see in /proc whether the other process sleeps", source }
}
