// SPDX-License-Identifier: BSD-3-Clause
//! Lines that wait for a program, and what its two threads wait for.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use becket_wire::StreamId;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use super::QUEUE_BYTES_MAX;

/// A line to the program.
pub(super) struct Line {
    pub(super) bytes: Bytes,
    /// The stream, and the bytes of its credit, that are given back when it is written.
    pub(super) credit: Option<(StreamId, u64)>,
}

pub(super) struct Queue {
    stdin: OwnedFd,
    /// Readable when the session is over.
    over: OwnedFd,
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    lines: VecDeque<Line>,
    bytes: usize,
    /// No more lines: the input ends after them.
    is_finished: bool,
    is_over: bool,
    /// Streams of which more is held than may be.
    full: usize,
}

/// The session is over.
pub(super) struct Over;

impl Queue {
    pub(super) fn new(stdin: OwnedFd) -> io::Result<Self> {
        let over = eventfd(0, EventfdFlags::CLOEXEC)?;
        Ok(Self { stdin, over, state: Mutex::default(), changed: Condvar::new() })
    }

    pub(super) fn over(&self) -> &OwnedFd {
        &self.over
    }

    /// True if a line of so many bytes is one too many.
    pub(super) fn is_full(&self, bytes: usize) -> bool {
        let state = self.state.lock();
        state.bytes.saturating_add(bytes) > QUEUE_BYTES_MAX
    }

    pub(super) fn push(&self, line: Line) {
        let mut state = self.state.lock();
        if !(state.is_finished || state.is_over) {
            state.bytes += line.bytes.len();
            state.lines.push_back(line);
            self.changed.notify_all();
        }
    }

    /// The next line to be written; `None`: there is none any more.
    pub(super) fn next(&self) -> Option<Line> {
        let mut state = self.state.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                state.bytes -= line.bytes.len();
                return Some(line);
            }
            if state.is_finished || state.is_over {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }

    /// Writes to the program; false: it takes no more.
    pub(super) fn write(&self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match send(&self.stdin, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// The program's input ends here.
    pub(super) fn end(&self) {
        // It has ended already.
        let _ = shutdown(&self.stdin, Shutdown::Write);
    }

    /// No more lines follow.
    pub(super) fn finish(&self) {
        self.state.lock().is_finished = true;
        self.changed.notify_all();
    }

    /// The session is over: ends every wait.
    pub(super) fn set_over(&self) {
        let mut state = self.state.lock();
        state.is_over = true;
        state.lines.clear();
        state.bytes = 0;
        self.changed.notify_all();
        drop(state);
        // A write to a program that does not read ends, too.
        let _ = shutdown(&self.stdin, Shutdown::Both);
        let _ = rustix::io::write(&self.over, &1_u64.to_ne_bytes());
    }

    /// True if the session ends within this time.
    pub(super) fn ended_within(&self, timeout: &Timespec) -> bool {
        loop {
            match poll(&mut [PollFd::new(&self.over, PollFlags::IN)], Some(timeout)) {
                Err(Errno::INTR) => {}
                ready => return ready.is_ok_and(|count| count > 0),
            }
        }
    }

    /// One stream more, or less, of which more is held than may be.
    pub(super) fn set_full(&self, is_full: bool) {
        let mut state = self.state.lock();
        state.full = if is_full { state.full + 1 } else { state.full.saturating_sub(1) };
        self.changed.notify_all();
    }

    /// Waits until callers have taken what is held.
    pub(super) fn wait_until_taken(&self) -> Result<(), Over> {
        let mut state = self.state.lock();
        while state.full > 0 && !state.is_over {
            self.changed.wait(&mut state);
        }
        if state.is_over { Err(Over) } else { Ok(()) }
    }
}
