// SPDX-License-Identifier: BSD-3-Clause
//! The buffer of the access log, its bound, and the thread that writes it.
//!
//! Requests add lines to one buffer, under a lock that is held for the copy alone. The thread takes the whole
//! buffer and writes it without the lock, so that many lines are one system call.
//!
//! # Invariants
//!
//! 1. The buffer has at most `max` bytes, and the thread writes at most as many again. A line for which there is
//!    no room is dropped and counted.
//! 2. Lines that cannot be written are counted as dropped, too, and the reason is logged, one in ten seconds.
//! 3. The thread ends when the log is finished or dropped, once the buffer is empty.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::TARGET;
use crate::config::{AccessLogConfig, Complaint, access_log_key};
use crate::repeats::Repeats;
use crate::stats::Stats;

/// How long [`Writer::finish`] waits for a file or a pipe that takes nothing.
const FINISH_MAX: Duration = Duration::from_secs(1);

/// A buffer that was larger is released when it is empty.
const KEPT_BYTES: usize = 64 << 10;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Arc<Queue>,
    /// Completes when the thread has ended.
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

#[derive(Debug)]
struct Queue {
    lines: Mutex<Lines>,
    /// Notified when there is something for the thread.
    filled: Condvar,
    bytes_max: usize,
    stats: Arc<Stats>,
}

#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    /// The file is opened again before what is behind here.
    reopens_at: Option<usize>,
    is_closed: bool,
}

impl Writer {
    pub(super) fn start(config: &AccessLogConfig, stats: &Arc<Stats>) -> Result<Self, Complaint> {
        let path = config.file.clone();
        let output = Output::open(path.as_deref()).map_err(|error| not_opened(&path, &error))?;
        let queue = Arc::new(Queue {
            lines: Mutex::default(),
            filled: Condvar::new(),
            bytes_max: usize::try_from(config.buffer_bytes_max).unwrap_or(usize::MAX),
            stats: Arc::clone(stats),
        });
        let (ends, ended) = oneshot::channel();
        let run = {
            let queue = Arc::clone(&queue);
            move || {
                queue.run(output, path.as_deref());
                // The receiver may have waited for too long.
                let _ = ends.send(());
            }
        };
        let thread = thread::Builder::new().name("becket-access".to_owned()).spawn(run);
        thread.map_err(|error| not_opened(&config.file, &error))?;
        Ok(Self { queue, ended: Mutex::new(Some(ended)) })
    }

    pub(super) fn push(&self, line: &[u8]) {
        let mut lines = self.queue.lines.lock();
        if lines.is_closed || lines.bytes.len() + line.len() > self.queue.bytes_max {
            drop(lines);
            self.queue.stats.access_lines_dropped.add(1);
            return;
        }
        lines.bytes.extend_from_slice(line);
        drop(lines);
        self.queue.filled.notify_one();
    }

    pub(super) fn reopen(&self) {
        let mut lines = self.queue.lines.lock();
        lines.reopens_at = Some(lines.bytes.len());
        drop(lines);
        self.queue.filled.notify_one();
    }

    pub(super) async fn finish(&self) {
        self.close();
        let ended = self.ended.lock().take();
        if let Some(ended) = ended
            && timeout(FINISH_MAX, ended).await.is_err()
        {
            tracing::warn!(target: TARGET, "the access log is not written to its end");
        }
    }

    fn close(&self) {
        self.queue.lines.lock().is_closed = true;
        self.queue.filled.notify_one();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Queue {
    /// The thread.
    fn run(&self, mut output: Output, path: Option<&Path>) {
        let failures = Repeats::default();
        let failed = |error: io::Error| {
            if let Some(before) = failures.pass() {
                tracing::warn!(target: TARGET, %error, not_logged = before, "the access log is not written");
            }
        };
        let mut taken = Vec::new();
        loop {
            let mut lines = self.lines.lock();
            while lines.bytes.is_empty() && lines.reopens_at.is_none() && !lines.is_closed {
                self.filled.wait(&mut lines);
            }
            std::mem::swap(&mut lines.bytes, &mut taken);
            let reopens_at = lines.reopens_at.take();
            let is_last = lines.is_closed;
            drop(lines);
            let (before, after) = taken.split_at(reopens_at.unwrap_or(0).min(taken.len()));
            self.write(&mut output, before).unwrap_or_else(failed);
            if reopens_at.is_some() {
                // What is open stays if the file cannot be opened again.
                match Output::open(path) {
                    Ok(opened) => output = opened,
                    Err(error) => failed(error),
                }
            }
            self.write(&mut output, after).unwrap_or_else(failed);
            taken.clear();
            taken.shrink_to(KEPT_BYTES);
            if is_last {
                return;
            }
        }
    }

    /// Writes lines, or counts them as dropped.
    fn write(&self, output: &mut Output, lines: &[u8]) -> io::Result<()> {
        output.write(lines).inspect_err(|_| {
            let count = lines.iter().filter(|byte| **byte == b'\n').count();
            self.stats.access_lines_dropped.add(count as u64);
        })
    }
}

/// Where lines go.
enum Output {
    Stdout,
    File(File),
}

impl Output {
    fn open(path: Option<&Path>) -> io::Result<Self> {
        match path {
            None => Ok(Self::Stdout),
            Some(path) => OpenOptions::new().append(true).create(true).open(path).map(Self::File),
        }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::File(file) => file.write_all(lines),
        }
    }
}

fn not_opened(path: &Option<PathBuf>, error: &io::Error) -> Complaint {
    let shown = path.as_deref().unwrap_or(Path::new("stdout")).display();
    let what = format!("the access log `{shown}` cannot be written");
    let hint = "choose a file in a folder that the gateway's user may write to";
    Complaint::new(access_log_key("file"), what, hint).because(error.to_string())
}
