// SPDX-License-Identifier: BSD-3-Clause
//! One child process, from start to end.
//!
//! ```text
//!   Child ── requests ──► socket ═══ stdin         child
//!         ◄── answers ───        ═══ stdout
//!         ◄── words ───── socket ═══ stderr
//! ```
//!
//! Both are socket pairs: waits on sockets can have a timeout, those on pipes cannot.
//!
//! # Invariants
//!
//! 1. A child is killed and reaped when its `Child` is dropped, in whatever state it is, together
//!    with all processes that it started: each child leads a process group.
//! 2. No wait is longer than the idle timeout, and a request has at most two: for the answer, and
//!    for the exit of a child that closed its side. This is the only clock in here, and decides
//!    only whether a child hangs.
//! 3. The first [`WORDS_BYTES_MAX`] bytes of its stderr are kept until they are taken; the rest is
//!    read and dropped.
//! 4. A group is killed only while its leader is not reaped: until then its number cannot be
//!    reused.

use std::io::{ErrorKind, Read, Write};
use std::mem;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::ExecError;
use super::error::ended;
use super::wire::ANSWER_BYTES_MAX;

/// Bytes of stderr that are kept.
const WORDS_BYTES_MAX: usize = 16 << 10;
/// A wait is split into slices of this length, between which stderr is read. Otherwise a child that
/// fills stderr and the lab that waits for its answer would deadlock.
const SLICE: Duration = Duration::from_millis(20);
/// Chunks of stderr that are read at once, so that a child that never stops writing cannot block
/// the lab.
const PIECES_MAX: usize = 64;
/// Interval between checks whether a child that closed its side has ended.
const PAUSE: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    stream: UnixStream,
    words: UnixStream,
    kept: Vec<u8>,
    idle_timeout: Duration,
    /// The latest answer, and bytes after it.
    read: Vec<u8>,
}

/// Checks whether a child has ended, without reaping it.
const LOOK: WaitIdOptions =
    WaitIdOptions::EXITED.union(WaitIdOptions::NOHANG).union(WaitIdOptions::NOWAIT);

/// Leaders of running groups, of all checks in this process. `None`: no more may start.
static LEADERS: Mutex<Option<Vec<Pid>>> = Mutex::new(Some(Vec::new()));

/// Kills all of them, for a process that is about to exit without dropping its values.
pub(super) fn kill_all() {
    for leader in LEADERS.lock().take().into_iter().flatten() {
        kill(leader);
    }
}

/// Removes a leader from the list before it is reaped. False: it is not in the list, and must not
/// be killed.
fn take(leaders: &mut Option<Vec<Pid>>, leader: Pid) -> bool {
    let Some(leaders) = leaders else { return false };
    let place = leaders.iter().position(|other| *other == leader);
    place.map(|at| leaders.swap_remove(at)).is_some()
}

/// Kills a group. An error means that it has ended meanwhile.
fn kill(leader: Pid) {
    let _ended = kill_process_group(leader, Signal::KILL);
}

/// The result of a read or a write in one slice.
enum Moved {
    Bytes(usize),
    Nothing,
}

impl Child {
    pub(super) fn start(command: &[String], idle_timeout: Duration) -> Result<Self, ExecError> {
        let program = command.first().cloned().unwrap_or_default();
        let (stream, theirs) = UnixStream::pair().map_err(ExecError::Io)?;
        let (words, their_words) = UnixStream::pair().map_err(ExecError::Io)?;
        words.set_nonblocking(true).map_err(ExecError::Io)?;
        stream.set_read_timeout(Some(SLICE)).map_err(ExecError::Io)?;
        stream.set_write_timeout(Some(SLICE)).map_err(ExecError::Io)?;
        let stdio = |stream: UnixStream| Stdio::from(OwnedFd::from(stream));
        let mut command_line = Command::new(&program);
        command_line
            .args(command.iter().skip(1))
            .stdin(stdio(theirs.try_clone().map_err(ExecError::Io)?))
            .stdout(stdio(theirs))
            .stderr(stdio(their_words))
            .process_group(0);
        let mut leaders = LEADERS.lock();
        let running =
            leaders.as_mut().ok_or_else(|| ExecError::Io(ErrorKind::Interrupted.into()))?;
        let process =
            command_line.spawn().map_err(|source| ExecError::Start { program, source })?;
        running.push(Pid::from_child(&process));
        drop(leaders);
        let (kept, read) = (Vec::new(), Vec::new());
        Ok(Self { process, stream, words, kept, idle_timeout, read })
    }

    pub(super) const fn set_idle_timeout(&mut self, idle_timeout: Duration) {
        self.idle_timeout = idle_timeout;
    }

    /// Sends a request and returns the answer, without its length.
    pub(super) fn ask(&mut self, request: &[u8]) -> Result<&[u8], ExecError> {
        let until = Instant::now() + self.idle_timeout;
        self.write(request, until)?;
        self.read.clear();
        let mut wanted = 4;
        while self.read.len() < wanted {
            self.read_some(until)?;
            if let (4, Some(len)) = (wanted, self.read.first_chunk().copied()) {
                let len = u32::from_le_bytes(len);
                if len as usize > ANSWER_BYTES_MAX {
                    return Err(ExecError::TooLong(len));
                }
                wanted += len as usize;
            }
        }
        if self.read.len() > wanted {
            return Err(ExecError::Garbled("there is something behind it"));
        }
        // What it wrote before its answer is readable by now.
        self.listen();
        Ok(self.read.get(4..).unwrap_or_default())
    }

    fn write(&mut self, mut bytes: &[u8], until: Instant) -> Result<(), ExecError> {
        while !bytes.is_empty() {
            let moved = match self.stream.write(bytes) {
                Ok(count) => Moved::Bytes(count),
                Err(error) => self.after(error)?,
            };
            match moved {
                Moved::Bytes(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Moved::Nothing => self.wait_on(until)?,
            }
        }
        Ok(())
    }

    fn read_some(&mut self, until: Instant) -> Result<(), ExecError> {
        let mut piece = [0; 8 << 10];
        let moved = match self.stream.read(&mut piece) {
            Ok(0) => return Err(self.end()),
            Ok(count) => Moved::Bytes(count),
            Err(error) => self.after(error)?,
        };
        match moved {
            Moved::Bytes(count) => self.read.extend(piece.get(..count).unwrap_or_default()),
            Moved::Nothing => self.wait_on(until)?,
        }
        Ok(())
    }

    fn after(&mut self, error: std::io::Error) -> Result<Moved, ExecError> {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {
                Ok(Moved::Nothing)
            }
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Err(self.end()),
            _ => Err(ExecError::Io(error)),
        }
    }

    /// Waits for the end of a slice.
    fn wait_on(&mut self, until: Instant) -> Result<(), ExecError> {
        self.listen();
        if Instant::now() >= until {
            return Err(ExecError::Hung(self.idle_timeout.as_millis() as u64));
        }
        Ok(())
    }

    /// The child closed its side. If it does not end, it is terminated.
    fn end(&mut self) -> ExecError {
        self.listen();
        // A child that closes stdout is expected to exit, and has one idle timeout for it.
        let until = Instant::now() + self.idle_timeout;
        let _closed = self.stream.shutdown(std::net::Shutdown::Both);
        loop {
            match self.try_wait() {
                Ok(Some(status)) => return ExecError::Ended(ended(status)),
                // Between the close and the exit there is no event to wait for.
                Ok(None) if Instant::now() < until => std::thread::park_timeout(PAUSE),
                Ok(None) => return ExecError::Closed,
                Err(error) => return ExecError::Io(error),
            }
        }
    }

    /// Whether it has ended. Then its whole group is killed.
    fn try_wait(&mut self) -> std::io::Result<Option<ExitStatus>> {
        let leader = Pid::from_child(&self.process);
        let mut leaders = LEADERS.lock();
        let is_known = leaders.as_ref().is_some_and(|all| all.contains(&leader));
        // An unlisted leader was reaped or killed: its status is available, or soon will be.
        if is_known && waitid(WaitId::Pid(leader), LOOK)?.is_none() {
            return Ok(None);
        }
        if take(&mut leaders, leader) {
            kill(leader);
        }
        drop(leaders);
        self.process.wait().map(Some)
    }

    /// Reads stderr.
    fn listen(&mut self) {
        let mut piece = [0; 4 << 10];
        for _ in 0..PIECES_MAX {
            let Ok(count @ 1..) = self.words.read(&mut piece) else { return };
            keep(&mut self.kept, piece.get(..count).unwrap_or_default());
        }
    }

    /// Adds a text as if the child had written it to stderr.
    pub(super) fn hear(&mut self, text: &str) {
        keep(&mut self.kept, text.as_bytes());
    }

    /// What it wrote to stderr since the last call: in hexadecimal if it is not text.
    pub(super) fn words(&mut self) -> String {
        String::from_utf8(mem::take(&mut self.kept)).unwrap_or_else(|error| {
            let bytes = error.into_bytes();
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        })
    }

    /// Terminates it. Returns the rest of stderr, which often has the reason.
    pub(super) fn last_words(mut self) -> String {
        self.listen();
        self.words()
    }
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    let room = WORDS_BYTES_MAX.saturating_sub(kept.len());
    kept.extend(bytes.get(..bytes.len().min(room)).unwrap_or_default());
}

impl Drop for Child {
    fn drop(&mut self) {
        let leader = Pid::from_child(&self.process);
        let mut leaders = LEADERS.lock();
        if take(&mut leaders, leader) {
            kill(leader);
        }
        drop(leaders);
        // A child that left its group. An error means that it has ended; it is reaped in either
        // case.
        let _ended = self.process.kill();
        let _waited = self.process.wait();
    }
}
