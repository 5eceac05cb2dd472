// SPDX-License-Identifier: BSD-3-Clause
//! Programs that speak JSON lines: one object a line on stdin and stdout, so that a shell script is a plugin.
//!
//! ```text
//!   Bridge ── session ── socket pair ── Adapter ─┬─ writer thread ── its stdin ──▶ program
//!                                                └─ reader thread ◀── its stdout ──┘
//! ```
//!
//! The adapter is a worker of the session, in the host's process, between the bridge and a program. The
//! supervisor waits for the program itself: its end has its own status, and its sandbox holds nothing else.
//!
//! # Lines to the program
//!
//! | line | members |
//! |---|---|
//! | the first | `becket`: 1, `name` and `config` of the plugin |
//! | a call | `id`, `entry`, the body; `stream`: true for a stream; `deadline_ms` if there is one; of a request `method`, `path`, `query`, `headers` |
//! | a notification | a call without `id` |
//! | data of a stream | `id`, `data` or `data64` |
//! | no more data | `id`, `close`: true |
//! | the caller has left | `id`, `cancel`: true |
//!
//! `id` is a number that is never used again. The body is `body`, text, or where it is not UTF-8 `body64`, in base64.
//! `headers` is an object; its names are in lower case, and values of one name are joined by `, `. The end of
//! the input is the end of the plugin.
//!
//! # Lines of the program
//!
//! | line | members |
//! |---|---|
//! | the first | `becket`: 1, `name`, `version`, `entries`: names, or objects of `name`, `kind`, `help` |
//! | instead of it | `failed`: why the plugin cannot be loaded |
//! | an answer | `id`, `status`, the body |
//! | a refusal | `id`, `refused`: a status |
//! | a frame of a stream | `id`, `frame` or `frame64` |
//! | the end of a stream | `id`, `end`: true, the body |
//! | a line for the log | `log`: a level, `message`, `target` |
//!
//! `status` is a name (`ok`, `err`, `invalid`, `unsupported`, `panic`, `backpressure`, `timeout`, `cancelled`,
//! `closed`, `too_long`) or a number, by default `ok`. A body that is no text is sent as its JSON. An answer on a
//! stream is a frame, and the end if it is `ok`, else the last frame. A frame of a call is its answer. What names
//! an `id` that has ended is dropped, as is an answer whose `id` is null: that of a notification.
//!
//! # Invariants
//!
//! 1. A line that is none of these, or too long, is a violation: the reason is logged, the session ends, and
//!    the program is killed. During the load it is why the load fails.
//! 2. What waits for the program is bounded by [`QUEUE_BYTES_MAX`], beyond it calls are refused; what waits of
//!    one stream for its caller by [`HELD_BYTES_MAX`], beyond it the program's output is not read.
//! 3. Both threads end with the session, whatever the program and its children do.

mod adapter;
mod messages;
mod queue;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;

use becket_ipc::Options;
use becket_ipc::session::SessionHandle;
use becket_wire::Role;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};

use self::adapter::Adapter;
use self::queue::Queue;
use crate::child::Spawned;
use crate::protocol::Failed;
use crate::start::{failed, options};

/// The longest line of a program.
const LINE_BYTES_MAX: usize = 32 << 20;
/// Bytes of lines that wait for a program.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Bytes of one stream's frames that wait for credit.
const HELD_BYTES_MAX: usize = 1 << 20;
/// A call with its payload is one frame of the session.
const FRAME_BYTES_MAX: u32 = (16 << 20) + (64 << 10);
/// Calls and streams at once.
const CALLS_MAX: u32 = 4096;
const READ_BYTES: usize = 64 << 10;
const HINT: &str =
    "stdout is for messages, one JSON object a line; write everything else to stderr";
/// From the end of a program's output to that of its process.
const END_TIMEOUT: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Of both sides of the session.
pub(crate) fn session_options() -> Options {
    let mut options = options();
    options.shared_memory = false;
    options.limits.frame_body_bytes_max = FRAME_BYTES_MAX;
    options.limits.requests_max = CALLS_MAX;
    options.limits.streams_max = CALLS_MAX;
    // The other side is this process, which may be stopped: the program is waited for by deadlines.
    options.limits.silence_ms = 60_000;
    options.transport.link.body_bytes_max = FRAME_BYTES_MAX as usize;
    options
}

/// Puts an adapter between a program and its supervisor.
pub(crate) fn adapt(spawned: Spawned, plugin: &str) -> Result<Spawned, Failed> {
    let Spawned { mut child, socket, output: [stdout, stderr], crash, entering, belongings } =
        spawned;
    match begin(socket, stdout, plugin) {
        Ok((socket, no_output)) => {
            let output = [no_output, stderr];
            Ok(Spawned { child, socket, output, crash, entering, belongings })
        }
        Err(error) => {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
            Err(failed("no adapter for a program", error, ""))
        }
    }
}

/// Starts an adapter. Returns the socket of the session, and an output without a byte: the program's is read
/// here.
fn begin(stdin: OwnedFd, stdout: OwnedFd, plugin: &str) -> io::Result<(OwnedFd, OwnedFd)> {
    let (here, there) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let (no_output, _) = pipe_with(PipeFlags::CLOEXEC)?;
    let queue = Arc::new(Queue::new(stdin)?);
    let adapter = Adapter::new(plugin.to_owned(), queue.clone());
    let options = session_options();
    let start = SessionHandle::start(there, Role::Server, &options, adapter);
    let session = becket_coro::block_on(start).map_err(io::Error::other)?;
    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        thread::Builder::new().name(format!("becket-{name}")).spawn(run)
    };
    let (at, to) = (session.clone(), queue.clone());
    spawn("lines-out", Box::new(move || write(&at, &to)))?;
    spawn("lines-in", Box::new(move || Reader::new(session, queue, stdout).run()))?;
    Ok((here, no_output))
}

/// The writer's thread.
fn write(session: &SessionHandle<Adapter>, queue: &Queue) {
    while let Some(line) = queue.next() {
        if !queue.write(&line.bytes) {
            // It reads no more, or has ended.
            break;
        }
        if let Some((stream, bytes)) = line.credit {
            // Refused: the stream has ended.
            session.with(|_, locked| _ = locked.session.grant(stream, 1, bytes));
        }
    }
    queue.end();
}

/// The reader's thread.
struct Reader {
    session: SessionHandle<Adapter>,
    queue: Arc<Queue>,
    stdout: OwnedFd,
    /// A line without its end.
    partial: Vec<u8>,
    lines: u64,
}

/// The output is not read any further.
enum Stop {
    /// The session has ended.
    Over,
    /// The program has closed it.
    Closed,
    /// A violation.
    Broken { what: String, cause: String },
}

impl Reader {
    fn new(session: SessionHandle<Adapter>, queue: Arc<Queue>, stdout: OwnedFd) -> Self {
        Self { session, queue, stdout, partial: Vec::new(), lines: 0 }
    }

    fn run(mut self) {
        let stop = loop {
            if let Err(stop) = self.read() {
                break stop;
            }
        };
        let ended = match stop {
            Stop::Over => return,
            Stop::Closed => {
                let what = "the program has closed its stdout";
                let is_loaded = self.session.with(|adapter, _| adapter.is_loaded());
                // Its supervisor waits for its end, which ends the session, and has its status.
                if is_loaded && self.queue.ended_within(&END_TIMEOUT) {
                    return;
                }
                failed(what, "", "its end is that of its process")
            }
            Stop::Broken { what, cause } => failed(what, cause, HINT),
        };
        let is_over = self.session.with(|adapter, locked| adapter.broken(locked, ended));
        if is_over {
            self.session.close(becket_wire::codes::PROTOCOL, "the program broke a rule");
        }
    }

    /// Waits for bytes, and handles the lines that they complete.
    fn read(&mut self) -> Result<(), Stop> {
        let mut chunk = vec![0; READ_BYTES];
        let mut waits = [
            PollFd::new(&self.stdout, PollFlags::IN),
            PollFd::new(self.queue.over(), PollFlags::IN),
        ];
        match poll(&mut waits, None) {
            Err(Errno::INTR) => return Ok(()),
            Err(_) => return Err(Stop::Over),
            Ok(_) => {}
        }
        let [_, over] = &waits;
        if !over.revents().is_empty() {
            return Err(Stop::Over);
        }
        let count = match rustix::io::read(self.stdout.as_fd(), &mut chunk) {
            Err(Errno::INTR) => return Ok(()),
            Ok(0) | Err(_) => return Err(Stop::Closed),
            Ok(count) => count,
        };
        let mut rest = chunk.get(..count).unwrap_or_default();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            self.append(line)?;
            let line = std::mem::take(&mut self.partial);
            self.line(&line)?;
        }
        self.append(rest)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if self.partial.len() + bytes.len() > LINE_BYTES_MAX {
            let what = format!("line {} of the program is too long", self.lines + 1);
            let cause = format!("it has more than {LINE_BYTES_MAX} bytes");
            return Err(Stop::Broken { what, cause });
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Stop> {
        self.lines += 1;
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let handled = messages::parse(line)
            .and_then(|said| self.session.with(|adapter, locked| adapter.said(locked, said)));
        let is_full = handled.map_err(|cause| {
            let what = format!("line {} of the program is no message of a plugin", self.lines);
            Stop::Broken { what, cause }
        })?;
        // Its caller reads slower than the program writes: so does this thread, from here on.
        if is_full { self.queue.wait_until_taken().map_err(|_| Stop::Over) } else { Ok(()) }
    }
}
