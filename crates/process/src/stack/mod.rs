// SPDX-License-Identifier: BSD-3-Clause
//! The stack of a worker that has crashed, read by its host from the record that it left
//! ([`becket_sandbox::crash`]).
//!
//! ```text
//!   worker ── record ──▶ pipe ── its slot, after its end ──▶ queue ── one thread ─┬─▶ record of the death
//!                                     └─ starts the next worker        │          └─▶ log
//!                                                                      └─▶ a process: [`reader`]
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | `reader` | the process that reads a record |
//! | `module` | the files that the code is in |
//! | `unwind` | from registers and a piece of the stack to addresses |
//! | `names` | from addresses to functions and lines |
//!
//! # Invariants
//!
//! 1. The next worker does not wait for it: what is done before that is one bounded read of a pipe.
//! 2. A record, and every file that it names, may contain anything. Both are read by a process of their own, in
//!    a sandbox, whose answer is bounded again.
//! 3. At most [`JOBS_MAX`] records wait. One that comes then is said to be left out.

mod module;
mod names;
pub(crate) mod reader;
mod unwind;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, thread};

use becket_host::{CrashFrame, CrashStack, DeathId, DeathReason, WorkerHistory, escape_controls};
use becket_sandbox::crash::RECORD_BYTES_MAX;
use parking_lot::Mutex;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, pipe_with};

use self::reader::{Asked, Yields};
use crate::child::{INHERITED_VARIABLES, Killer, SOCKET_VARIABLE};
use crate::image::PluginImage;

/// Records that wait for the thread.
const JOBS_MAX: usize = 16;
/// Frames of a stack.
const FRAMES_MAX: usize = 64;
/// Frames of a stack that are logged.
const LOGGED_MAX: usize = 4;
/// Notes on a stack.
const NOTES_MAX: usize = 8;
/// The bytes of a name.
const NAME_BYTES_MAX: usize = 512;
/// What the process that reads a record writes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// How it is run, one after the other, and for how long: its time of a processor has a limit of its own.
const ATTEMPTS: [(Yields, Duration); 2] =
    [(Yields::ToAll, Duration::from_secs(10)), (Yields::ToMost, Duration::from_secs(290))];

/// The read end of the pipe for a worker's record.
pub(crate) struct CrashPipe(OwnedFd);

/// The bytes that a worker has left.
pub(crate) struct Left(Box<[u8]>);

impl CrashPipe {
    /// The other end is the worker's.
    pub(crate) fn new() -> rustix::io::Result<(Self, OwnedFd)> {
        let (pipe, end) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok((Self(pipe), end))
    }

    /// After the worker's end: a process that it has started may still write.
    pub(crate) fn read(self) -> Left {
        let mut bytes = vec![0; RECORD_BYTES_MAX];
        let mut len = 0;
        while let Some(room) = bytes.get_mut(len..).filter(|room| !room.is_empty()) {
            match read(&self.0, room) {
                Ok(0) => break,
                Ok(count) => len += count,
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        bytes.truncate(len);
        Left(bytes.into())
    }
}

/// What the record of a death says until the stack is read, or for good.
pub(crate) fn why_none(left: Option<&Left>, reason: DeathReason) -> String {
    let why = match (reason, left) {
        (_, Some(left)) if !left.0.is_empty() => "it is being read",
        (DeathReason::Exit, _) => "it exited",
        (DeathReason::Start, _) => "it did not start",
        (DeathReason::Killed, _) => "it was killed from outside",
        (DeathReason::Silent | DeathReason::Protocol | DeathReason::Closed, _) => {
            "it was killed by its host"
        }
        (DeathReason::Cpu, _) => "it was ended by the kernel",
        (_, None) => "a program leaves none",
        (_, Some(_)) => {
            "it left no record: it was killed, or handled the signal itself, or had no stack for that"
        }
    };
    why.to_owned()
}

/// A record that is to be read.
pub(crate) struct Job {
    /// The program of a worker, which reads it in another process.
    pub(crate) program: Vec<OsString>,
    pub(crate) name: String,
    pub(crate) worker: u32,
    pub(crate) pid: u32,
    pub(crate) left: Left,
    /// The plugin's file.
    pub(crate) image: Option<Arc<PluginImage>>,
    /// Where its stack goes; `None`: to the log alone.
    pub(crate) death: Option<(WorkerHistory, DeathId)>,
}

struct Queue {
    jobs: VecDeque<Job>,
    /// There is a thread for them.
    is_running: bool,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue { jobs: VecDeque::new(), is_running: false });

/// Has a record read by a thread of its own, if there is something in it.
pub(crate) fn read_later(job: Job) {
    if job.left.0.is_empty() {
        return;
    }
    let mut queue = QUEUE.lock();
    if queue.jobs.len() >= JOBS_MAX {
        drop(queue);
        return job.end(Err("too many workers have crashed at once".to_owned()));
    }
    queue.jobs.push_back(job);
    if queue.is_running {
        return;
    }
    let thread = thread::Builder::new().name("becket-stacks".to_owned()).spawn(run);
    queue.is_running = thread.is_ok();
    let unread = if queue.is_running { VecDeque::new() } else { std::mem::take(&mut queue.jobs) };
    drop(queue);
    unread.into_iter().for_each(|job| job.end(Err("there is no thread to read it".to_owned())));
}

/// The thread, which ends when no record waits.
fn run() {
    loop {
        let mut queue = QUEUE.lock();
        let Some(job) = queue.jobs.pop_front() else {
            queue.is_running = false;
            return;
        };
        drop(queue);
        let stack = job.read().unwrap_or_else(|error| Err(format!("it cannot be read: {error}")));
        job.end(stack);
    }
}

impl Job {
    /// Has another process read it.
    fn read(&self) -> io::Result<Result<CrashStack, String>> {
        for (yields, timeout) in ATTEMPTS {
            if let Some(read) = self.attempt(yields, timeout)? {
                return Ok(read.map(bounded).map_err(|why| text(&why)));
            }
        }
        Ok(Err("it was not read within five minutes: there was no processor for it".to_owned()))
    }

    /// Has a process read it; `None`: that took too long.
    fn attempt(
        &self,
        yields: Yields,
        timeout: Duration,
    ) -> io::Result<Option<Result<CrashStack, String>>> {
        let Some((program, arguments)) = self.program.split_first() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        // A pipe would have to be written and read while the process goes on, or does not.
        let memory = |name| memfd_create(name, MemfdFlags::CLOEXEC).map(File::from);
        let (mut question, mut answer) = (memory("becket-record")?, memory("becket-stack")?);
        let plugin = self.image.as_ref().map(|it| it.path().to_owned());
        serde_json::to_writer(&mut question, &Asked { plugin })?;
        question.write_all(b"\n")?;
        question.write_all(&self.left.0)?;
        question.rewind()?;
        let inherited = INHERITED_VARIABLES.iter().filter_map(|it| Some((it, env::var_os(it)?)));
        let image = self.image.as_ref().map(|image| image.as_fd().try_clone_to_owned());
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(inherited)
            .env(SOCKET_VARIABLE, "0")
            .env(reader::VARIABLE, yields.name())
            .stdin(question)
            .stdout(answer.try_clone()?)
            .stderr(image.transpose()?.map_or_else(Stdio::null, Stdio::from))
            .spawn()?;
        let has_ended = Killer::of(child.id()).has_ended_within(timeout);
        if !has_ended {
            child.kill()?;
        }
        let status = child.wait()?;
        if !has_ended {
            return Ok(None);
        }
        if !status.success() {
            return Err(io::Error::other(format!("its reader ended: {status}")));
        }
        answer.rewind()?;
        let mut json = Vec::new();
        answer.take(ANSWER_BYTES_MAX).read_to_end(&mut json)?;
        Ok(Some(serde_json::from_slice(&json)?))
    }

    fn end(self, stack: Result<CrashStack, String>) {
        let Self { name, worker, pid, death, .. } = self;
        let is_shown = death.is_some();
        // The log comes second: the record is there for a reader of the log.
        let logged = stack.as_ref().map(logged).map_err(Clone::clone);
        if let Some((history, death)) = death {
            history.set_stack(death, stack);
        }
        match logged {
            Ok((signal, thread, frames)) => {
                tracing::error!(target: "becket::process", plugin = name, worker, pid, signal, thread, stack = frames, "a worker has crashed");
            }
            Err(why) if is_shown => {
                tracing::warn!(target: "becket::process", plugin = name, worker, pid, why, "the stack of a worker cannot be read");
            }
            Err(_) => {}
        }
    }
}

/// The signal, the thread, and the first frames: from the plugin's first one on, if it is there.
fn logged(stack: &CrashStack) -> (String, String, String) {
    let first = stack.frames.iter().position(|frame| frame.is_plugin).unwrap_or_default();
    let frames = stack.frames.iter().skip(first).take(LOGGED_MAX).map(CrashFrame::to_string);
    (stack.signal.clone(), stack.thread.clone(), frames.collect::<Vec<_>>().join("; "))
}

/// What came from the process that reads: as it should be, whatever it is.
fn bounded(mut stack: CrashStack) -> CrashStack {
    stack.frames.truncate(FRAMES_MAX);
    stack.notes.truncate(NOTES_MAX);
    let CrashStack { signal, address, thread, frames, notes, .. } = &mut stack;
    let of_frames = frames.iter_mut().flat_map(|frame| {
        let CrashFrame { function, file, module, offset, .. } = frame;
        function.iter_mut().chain(file).chain(module).chain([offset])
    });
    let texts = [signal, thread].into_iter().chain(address).chain(notes).chain(of_frames);
    texts.for_each(|it| *it = text(it));
    stack
}

/// A name that was read: bounded, without control characters.
fn text(name: &str) -> String {
    let bounded = name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default();
    let mut text = escape_controls(bounded).into_owned();
    if bounded.len() < name.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
