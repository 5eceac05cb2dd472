// SPDX-License-Identifier: BSD-3-Clause
//! What the workers of a plugin write to their stdout and stderr: logged line by line, and the last lines kept.
//!
//! ```text
//!   worker ── stdout ──┐                ┌─▶ log, at most LINES_MAX each second
//!          ── stderr ──┴─ one thread ───┤
//!                                       └─▶ last lines, until the worker has ended
//! ```
//!
//! # Invariants
//!
//! 1. The thread waits for data, or for the end of a window: it never polls.
//! 2. What is kept is bounded: a partial line by [`LINE_BYTES_MAX`], the last lines by [`TAIL_LINES_MAX`] and
//!    [`TAIL_BYTES_MAX`].
//! 3. A flood costs the host at most [`WINDOW_BYTES_MAX`] of reading in each [`WINDOW`]: then its writer waits,
//!    as it would for a slow terminal.

use std::collections::{HashMap, VecDeque};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use becket_host::{WorkerHistory, escape_controls};
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
use rustix::io::{Errno, ioctl_fionbio, read, write};

/// A longer line is logged in pieces.
const LINE_BYTES_MAX: usize = 2048;
/// Lines of one plugin that are logged in each second; more are counted.
const LINES_MAX: u32 = 200;
/// The last lines that are kept of each of a worker's outputs, and their bytes.
const TAIL_LINES_MAX: usize = 20;
const TAIL_BYTES_MAX: usize = 4096;
/// Bytes that are read of one plugin in each window.
const WINDOW: Duration = Duration::from_millis(100);
const WINDOW_BYTES_MAX: usize = 2 << 20;
/// As many as a pipe holds.
const CHUNK_BYTES: usize = 64 << 10;
/// What is read of an ended worker's output: a process that it left behind may go on writing.
const LAST_BYTES_MAX: usize = 1 << 20;
/// The token of the descriptor that wakes the thread.
const WAKE: u64 = u64::MAX;

/// The read ends of a worker's stdout and stderr.
pub(crate) type Pipes = [OwnedFd; 2];

/// What a line of each is logged as coming from.
const NAMES: [&str; 2] = ["stdout", "stderr"];

/// The outputs of one plugin's workers.
pub(crate) struct Output {
    plugin: String,
    captured: Mutex<Captured>,
}

/// What the thread waits at. It is closed when the thread has ended: an [`Output`] may be there for longer.
struct Watch {
    epoll: OwnedFd,
    wake: OwnedFd,
}

/// One worker's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capture(u64);

struct Captured {
    next: u64,
    /// `None`: no more workers are started.
    watch: Option<Arc<Watch>>,
    /// By token: twice the capture's number, and 1 for stderr.
    pipes: HashMap<u64, Pipe>,
    limit: RateLimit,
}

struct Pipe {
    /// Until its end was read.
    descriptor: Option<OwnedFd>,
    name: &'static str,
    partial: Vec<u8>,
    tail: Tail,
    /// See [`Last::ran_out_of_memory`].
    ran_out_of_memory: bool,
}

/// What a worker that has ended wrote last.
#[derive(Debug, Default)]
pub(crate) struct Last {
    /// Lines of its stderr if it wrote there, else of its stdout.
    pub(crate) lines: Vec<String>,
    /// A runtime that ends its process because an allocation failed said so on stderr.
    pub(crate) ran_out_of_memory: bool,
}

#[derive(Default)]
struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Tail {
    fn push(&mut self, line: &str) {
        self.bytes += line.len();
        self.lines.push_back(line.to_owned());
        while self.lines.len() > TAIL_LINES_MAX || self.bytes > TAIL_BYTES_MAX {
            let Some(first) = self.lines.pop_front() else { return };
            self.bytes -= first.len();
        }
    }
}

/// Lines of one plugin that are logged.
struct RateLimit {
    began: Instant,
    lines: u32,
    /// Not logged since the last report of it.
    dropped: u64,
    /// Where they are counted.
    history: WorkerHistory,
}

impl RateLimit {
    fn new(history: WorkerHistory) -> Self {
        Self { began: Instant::now(), lines: 0, dropped: 0, history }
    }

    fn log(&mut self, plugin: &str, from: &str, line: &str) {
        if self.began.elapsed() >= Duration::from_secs(1) {
            self.began = Instant::now();
            self.lines = 0;
            self.report(plugin);
        }
        if self.lines >= LINES_MAX {
            self.dropped += 1;
            self.history.lines_dropped(1);
            return;
        }
        self.lines += 1;
        if from == NAMES[0] {
            tracing::info!(target: "becket::plugin", plugin, from, "{line}");
        } else {
            tracing::warn!(target: "becket::plugin", plugin, from, "{line}");
        }
    }

    fn report(&mut self, plugin: &str) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            tracing::warn!(target: "becket::process", plugin, dropped, "lines of its workers' output were not logged");
        }
    }
}

/// Whether a line is what a runtime writes right before it ends its process because an allocation failed:
/// that of Rust, C++ (GNU's and LLVM's), Go, or V8.
fn ends_for_lack_of_memory(line: &str) -> bool {
    const BEGINNINGS: [&str; 4] = [
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "fatal error: runtime: out of memory",
        "fatal error: runtime: cannot allocate memory",
        "runtime: out of memory: ",
    ];
    BEGINNINGS.iter().any(|beginning| line.starts_with(beginning))
        || line.starts_with("memory allocation of ") && line.ends_with(" bytes failed")
        || line.starts_with("libc++abi: ") && line.ends_with("of type std::bad_alloc")
        || line.starts_with("FATAL ERROR: ") && line.ends_with(" heap out of memory")
}

impl Output {
    /// Starts the thread that reads, which ends after [`Self::end`].
    pub(crate) fn start(plugin: &str, history: WorkerHistory) -> std::io::Result<Arc<Self>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let data = epoll::EventData::new_u64(WAKE);
        epoll::add(&epoll, &wake, data, epoll::EventFlags::IN)?;
        let limit = RateLimit::new(history);
        let watch = Arc::new(Watch { epoll, wake });
        let of_thread = watch.clone();
        let captured = Captured { next: 0, watch: Some(watch), pipes: HashMap::new(), limit };
        let captured = Mutex::new(captured);
        let output = Arc::new(Self { plugin: plugin.to_owned(), captured });
        let reading = output.clone();
        let read = move || reading.run(&of_thread);
        thread::Builder::new().name(format!("bkout-{plugin}")).spawn(read)?;
        Ok(output)
    }

    /// The outputs of a worker that has just started. What cannot be watched is not read.
    pub(crate) fn capture(&self, pipes: Pipes) -> Capture {
        let mut captured = self.captured.lock();
        let capture = Capture(captured.next);
        captured.next += 1;
        let Some(watch) = captured.watch.clone() else { return capture };
        for ((descriptor, name), token) in pipes.into_iter().zip(NAMES).zip(capture.tokens()) {
            let data = epoll::EventData::new_u64(token);
            let watched = ioctl_fionbio(&descriptor, true)
                .and_then(|()| epoll::add(&watch.epoll, &descriptor, data, epoll::EventFlags::IN));
            if let Err(error) = watched {
                tracing::warn!(target: "becket::process", plugin = self.plugin, %error, "a worker's output cannot be read");
                continue;
            }
            let descriptor = Some(descriptor);
            let pipe = Pipe {
                descriptor,
                name,
                partial: Vec::new(),
                tail: Tail::default(),
                ran_out_of_memory: false,
            };
            captured.pipes.insert(token, pipe);
        }
        capture
    }

    /// The worker has ended.
    pub(crate) fn last(&self, capture: Capture) -> Last {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut captured = self.captured.lock();
        let Captured { pipes, limit, .. } = &mut *captured;
        let [stdout, stderr] = capture.tokens().map(|token| {
            let Some(mut pipe) = pipes.remove(&token) else { return (Tail::default(), false) };
            let mut left = LAST_BYTES_MAX;
            while left > 0 {
                match pipe.read(&mut chunk, &self.plugin, limit) {
                    Some(bytes) => left = left.saturating_sub(bytes),
                    None => break,
                }
            }
            pipe.flush(&self.plugin, limit);
            (pipe.tail, pipe.ran_out_of_memory)
        });
        limit.report(&self.plugin);
        let (stderr, ran_out_of_memory) = stderr;
        let tail = if stderr.lines.is_empty() { stdout.0 } else { stderr };
        // An exception that ended nothing may have been printed before: only as the last line does it count.
        let is_exception =
            |line: &String| line == "MemoryError" || line.starts_with("MemoryError: ");
        let ran_out_of_memory = ran_out_of_memory || tail.lines.back().is_some_and(is_exception);
        Last { lines: tail.lines.into(), ran_out_of_memory }
    }

    /// No more workers are started.
    pub(crate) fn end(&self) {
        let Some(watch) = self.captured.lock().watch.take() else { return };
        // Full: it is awake.
        let _ = write(&watch.wake, &1_u64.to_ne_bytes());
    }

    fn run(&self, watch: &Watch) {
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; 16];
        let mut chunk = vec![0; CHUNK_BYTES];
        let (mut window, mut bytes) = (Instant::now(), 0);
        loop {
            let ready = match epoll::wait(&watch.epoll, &mut events, None) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => {
                    tracing::error!(target: "becket::process", plugin = self.plugin, %error, "its workers' output is not read any more");
                    return;
                }
            };
            for event in ready {
                let mut captured = self.captured.lock();
                if captured.watch.is_none() {
                    return;
                }
                let Captured { pipes, limit, .. } = &mut *captured;
                if let Some(pipe) = pipes.get_mut(&event.data.u64()) {
                    bytes += pipe.read(&mut chunk, &self.plugin, limit).unwrap_or_default();
                }
            }
            if bytes >= WINDOW_BYTES_MAX {
                watch.pause(WINDOW.saturating_sub(window.elapsed()));
            }
            if window.elapsed() >= WINDOW {
                (window, bytes) = (Instant::now(), 0);
            }
        }
    }
}

impl Watch {
    /// Waits for the end of a window, or of the plugin.
    fn pause(&self, rest: Duration) {
        let rest = Timespec { tv_sec: 0, tv_nsec: rest.subsec_nanos().into() };
        // Interrupted: the window is a little shorter.
        let _ = poll(&mut [PollFd::new(&self.wake, PollFlags::IN)], Some(&rest));
    }
}

impl Capture {
    fn tokens(self) -> [u64; 2] {
        [self.0 << 1, self.0 << 1 | 1]
    }
}

impl Pipe {
    /// Reads what is there, at most one chunk; `None`: nothing, or its end.
    fn read(&mut self, chunk: &mut [u8], plugin: &str, limit: &mut RateLimit) -> Option<usize> {
        let read = read(self.descriptor.as_ref()?, &mut *chunk);
        match read {
            Ok(0) => self.descriptor = None,
            Ok(bytes) => {
                self.lines(chunk.get(..bytes)?, plugin, limit);
                return Some(bytes);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.descriptor = None,
        }
        None
    }

    fn lines(&mut self, mut data: &[u8], plugin: &str, limit: &mut RateLimit) {
        while !data.is_empty() {
            let room = LINE_BYTES_MAX - self.partial.len().min(LINE_BYTES_MAX);
            let piece = data.get(..room.min(data.len())).unwrap_or_default();
            let end = piece.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(piece.len());
            self.partial.extend_from_slice(piece.get(..taken).unwrap_or_default());
            data = data.get(taken + usize::from(end.is_some())..).unwrap_or_default();
            if end.is_some() || self.partial.len() >= LINE_BYTES_MAX {
                self.line(plugin, limit);
            }
        }
    }

    fn line(&mut self, plugin: &str, limit: &mut RateLimit) {
        let text = String::from_utf8_lossy(&self.partial);
        let line = escape_controls(text.trim_end_matches('\r'));
        self.ran_out_of_memory |= ends_for_lack_of_memory(&line);
        self.tail.push(&line);
        limit.log(plugin, self.name, &line);
        self.partial.clear();
    }

    fn flush(&mut self, plugin: &str, limit: &mut RateLimit) {
        if !self.partial.is_empty() {
            self.line(plugin, limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe() -> Pipe {
        Pipe {
            descriptor: None,
            name: NAMES[1],
            partial: Vec::new(),
            tail: Tail::default(),
            ran_out_of_memory: false,
        }
    }

    fn lines(pieces: &[&[u8]]) -> (Vec<String>, u64) {
        let (mut pipe, mut limit) = (pipe(), RateLimit::new(WorkerHistory::default()));
        pieces.iter().for_each(|piece| pipe.lines(piece, "p", &mut limit));
        pipe.flush("p", &mut limit);
        (pipe.tail.lines.into(), limit.dropped)
    }

    #[test]
    fn lines_are_joined_over_reads_and_made_harmless() {
        let (found, dropped) = lines(&[b"on", b"e\ntwo\r\n\nfo\x1b[31m", b"ur"]);
        assert_eq!(found[..3], ["one", "two", ""]);
        assert!(found[3].starts_with("fo") && !found[3].contains('\x1b'), "{found:?}");
        assert_eq!(dropped, 0);
    }

    #[test]
    fn what_runtimes_write_when_memory_runs_out_is_known() {
        for line in [
            "memory allocation of 1099511627776 bytes failed",
            "terminate called after throwing an instance of 'std::bad_alloc'",
            "libc++abi: terminating due to uncaught exception of type std::bad_alloc",
            "fatal error: runtime: out of memory",
            "runtime: out of memory: cannot allocate 4194304-byte block (67108864 in use)",
            "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
        ] {
            assert!(ends_for_lack_of_memory(line), "{line}");
        }
        for line in ["out of memory", "WARN memory allocation of 7 bytes failed", "MemoryError", ""]
        {
            assert!(!ends_for_lack_of_memory(line), "{line}");
        }
    }

    #[test]
    fn what_is_kept_and_logged_is_bounded() {
        let flood = b"x\n".repeat(10_000);
        let (found, dropped) = lines(&[&flood]);
        assert_eq!(found.len(), TAIL_LINES_MAX);
        assert_eq!(dropped, 10_000 - u64::from(LINES_MAX));
        let endless = vec![b'y'; 10 * LINE_BYTES_MAX + 1];
        let (found, _) = lines(&[&endless]);
        assert!(found.iter().map(String::len).sum::<usize>() <= TAIL_BYTES_MAX);
        assert_eq!(found.last().unwrap(), "y");
    }
}
