// SPDX-License-Identifier: BSD-3-Clause
//! Streams: those of one instance, and sessions both ways.
//!
//! # Invariants
//!
//! 1. A stream ends once. The cell's state becomes `FINISHED` or `CANCELLED` before the terminal
//!    frame is sent; the thread that makes that step sends the frame, and nothing follows.
//! 2. A cell is in the table from the opening of its stream until its end; the table is bounded.
//! 3. The methods of a session never overlap: `on_data` runs under its cell's lock, `on_close` and
//!    `on_cancel` on the session that was taken out of it. A cancellation that arrives during
//!    `on_data` is carried out by the thread that runs it, right after it.
//! 4. While the handler that opens a stream is at work, the outcome of the handler decides: a sink
//!    that it drops on its way to `Err` does not end the stream first.
//! 5. The host calls `stream_room` ([`Streams::room`]) once for each time that a queue refused
//!    frames. That wakes every future that waits to send, and asks the host for the message that
//!    `on_data` did not take. See [`Room`] for why neither is missed.
//! 6. A stream that the host no longer knows (`Invalid` for a frame, and no caller) is cancelled.
//!    If its session is not at work, a timer of the host lets go of it: the sender may hold a
//!    lock that `on_cancel` takes.
//! 7. The host may react to the first frame before the handler that opens the stream has returned,
//!    even from within the send. Nothing waits for the handler: a message is left with the host, a
//!    close is recorded, and both are handled when the session is there.
//!
//! ```text
//!                 ┌──────────── sink dropped ───▶ ORPHANED ──┐
//!   OPENING ──────┤                                          ├─ handler ends ─▶ FINISHED
//!                 └─ handler ends ─▶ OPEN ── finish, drop ───┘
//!   any of these ── cancel, or a send answered `Invalid` ──────▶ CANCELLED
//! ```
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use becket_abi::NrStatus;

use crate::call::CallHandle;
use crate::error::{Failure, SessionError};
use crate::host::Host;
use crate::lock::Mutex;
use crate::responder::dropped;
use crate::room::Room;
use crate::sink::Sink;

const SHARDS: usize = 16;

/// One end of a bidirectional stream: what the plugin keeps for it, and what it does.
///
/// The value is the stream's typed state. It usually owns the [`Sink`] to answer into.
pub trait Session: Send + 'static {
    /// A message from the host.
    ///
    /// # Errors
    /// [`SessionError::NotTaken`], which a full sink becomes with `?`: the host keeps the message and
    /// offers it again when this stream's queue has room, so change nothing before the last
    /// `send(..)?`. If something else was full, call [`Sink::ready`] when it is not.
    /// [`SessionError::Failed`]: the stream ends with that status and text.
    fn on_data(&mut self, data: &[u8]) -> Result<(), SessionError>;

    /// The host sends no more. Answers may still follow; dropping the sink unfinished ends the
    /// stream with `Err`.
    fn on_close(self: Box<Self>);

    /// No caller reads any more. Frames sent from here on go nowhere.
    fn on_cancel(self: Box<Self>) {}
}

/// The streams of one instance.
pub(crate) struct Streams {
    shards: [Mutex<HashMap<u64, Arc<Cell>>>; SHARDS],
    open: AtomicUsize,
    open_max: usize,
}

pub(crate) const OPENING: u8 = 0;
pub(crate) const ORPHANED: u8 = 1;
const OPEN: u8 = 2;
pub(crate) const FINISHED: u8 = 3;
const CANCELLED: u8 = 4;

pub(crate) struct Cell {
    state: AtomicU8,
    room: Room,
    talk: Mutex<SessionState>,
}

enum SessionState {
    /// Output only, closed, or over.
    None,
    /// The handler that makes it is at work.
    Opening(Early),
    Open(Box<dyn Session>),
}

/// Calls of the host for a session that was not there yet.
#[derive(Default)]
struct Early {
    data: bool,
    closed: bool,
}

impl SessionState {
    fn take(&mut self) -> Option<Box<dyn Session>> {
        match mem::replace(self, Self::None) {
            Self::Open(session) => Some(session),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl Streams {
    pub(crate) fn new(open_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            open: AtomicUsize::new(0),
            open_max,
        }
    }

    fn shard(&self, sid: u64) -> &Mutex<HashMap<u64, Arc<Cell>>> {
        let [first, ..] = &self.shards;
        // The low bits of an id are its slot in the host's table, so neighbours spread out.
        self.shards.get(sid as usize % SHARDS).unwrap_or(first)
    }

    /// Opens the stream `sid`; `None` if too many are open, or it is open already.
    pub(crate) fn open(self: &Arc<Self>, handle: CallHandle) -> Option<(Opening, Sink)> {
        let room = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
            (open < self.open_max).then_some(open + 1)
        });
        room.ok()?;
        let cell = Arc::new(Cell {
            state: AtomicU8::new(OPENING),
            room: Room::default(),
            talk: Mutex::new(SessionState::None),
        });
        let stale = self.shard(handle.sid()).lock().insert(handle.sid(), Arc::clone(&cell));
        if let Some(stale) = stale {
            // The host used the id again without a cancel: the older stream is over.
            self.open.fetch_sub(1, Ordering::Relaxed);
            stale.cancel();
        }
        let opening = Opening { handle, cell: Arc::clone(&cell), streams: Arc::clone(self) };
        Some((opening, Sink { handle, cell, streams: Arc::clone(self) }))
    }

    fn find(&self, sid: u64) -> Option<Arc<Cell>> {
        self.shard(sid).lock().get(&sid).map(Arc::clone)
    }

    /// Takes `cell` out, if it is still the one under `sid`.
    pub(crate) fn remove(&self, sid: u64, cell: &Arc<Cell>) {
        let mut shard = self.shard(sid).lock();
        if shard.get(&sid).is_some_and(|found| Arc::ptr_eq(found, cell)) {
            shard.remove(&sid);
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The host's `stream_data`.
    pub(crate) fn data(&self, host: Host, sid: u64, data: &[u8]) -> NrStatus {
        let Some(cell) = self.find(sid) else { return NrStatus::Invalid };
        let outcome = {
            let mut talk = cell.talk.lock();
            match &mut *talk {
                SessionState::None => return NrStatus::Invalid,
                SessionState::Opening(early) => {
                    early.data = true;
                    return NrStatus::Backpressure;
                }
                SessionState::Open(_) if cell.is_ended() => Err(SessionError::Closed),
                SessionState::Open(session) => {
                    cell.room.offered();
                    session.on_data(data)
                }
            }
        };
        let answer = match outcome {
            Ok(()) if !cell.is_ended() => return NrStatus::Ok,
            Err(SessionError::NotTaken) if !cell.is_ended() => {
                if cell.room.not_taken() {
                    host.stream_ready(sid);
                }
                return NrStatus::Backpressure;
            }
            // Ended by the session itself, or cancelled meanwhile.
            Ok(()) => NrStatus::Ok,
            Err(SessionError::Failed(failure)) => {
                if cell.end(FINISHED) {
                    let stream = CallHandle::new(host, sid);
                    let _ = stream.end(failure.status(), failure.text().as_bytes());
                }
                NrStatus::Ok
            }
            Err(SessionError::NotTaken | SessionError::Closed) => {
                cell.end(CANCELLED);
                NrStatus::Invalid
            }
        };
        self.remove(sid, &cell);
        cell.release();
        answer
    }

    /// The host's `stream_room`: a frame was refused, and now there is room.
    pub(crate) fn room(&self, host: Host, sid: u64) -> NrStatus {
        let Some(cell) = self.find(sid) else { return NrStatus::Invalid };
        if cell.room.again() {
            host.stream_ready(sid);
        }
        NrStatus::Ok
    }

    /// The host no longer knows stream `sid` (invariant 6).
    pub(crate) fn lost(self: &Arc<Self>, host: Host, sid: u64, cell: &Arc<Cell>) {
        if !cell.end(CANCELLED) {
            return;
        }
        // The thread that holds the lock, or opens it, works there, and frees an ended stream when done.
        let Some(talk) = cell.talk.try_lock() else { return };
        match *talk {
            SessionState::Opening(_) => return,
            SessionState::None => {
                drop(talk);
                self.remove(sid, cell);
                return;
            }
            SessionState::Open(_) => drop(talk),
        }
        let (streams, cell) = (Arc::clone(self), Arc::clone(cell));
        let timer = host.timer(Duration::ZERO, move || {
            streams.remove(sid, &cell);
            cell.release();
        });
        // With no timer free, the stream is freed when the host finds no reader.
        if let Ok(timer) = timer {
            timer.detach();
        }
    }

    /// The host's `stream_close`.
    pub(crate) fn close(&self, sid: u64) -> NrStatus {
        let Some(cell) = self.find(sid) else { return NrStatus::Invalid };
        if let SessionState::Opening(early) = &mut *cell.talk.lock() {
            let again = mem::replace(&mut early.closed, true);
            return if again { NrStatus::Invalid } else { NrStatus::Ok };
        }
        if cell.close() { NrStatus::Ok } else { NrStatus::Invalid }
    }

    /// The host's `cancel`; false if no such stream is open.
    pub(crate) fn cancel(&self, sid: u64) -> bool {
        let Some(cell) = self.find(sid) else { return false };
        self.remove(sid, &cell);
        cell.cancel();
        true
    }

    /// Forgets every stream: the plugin ends.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let cells = mem::take(&mut *shard.lock());
            self.open.fetch_sub(cells.len(), Ordering::Relaxed);
            for cell in cells.into_values() {
                cell.cancel();
            }
        }
    }
}

impl Cell {
    pub(crate) const fn room(&self) -> &Room {
        &self.room
    }

    fn state(&self) -> u8 {
        self.state.load(Ordering::SeqCst)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.state() >= FINISHED
    }

    /// True for the one that ends it.
    pub(crate) fn end(&self, how: u8) -> bool {
        let ended = self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| {
            (state < FINISHED).then_some(how)
        });
        if ended.is_ok() {
            self.room.wake();
        }
        ended.is_ok()
    }

    pub(crate) fn step(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// False if there is no session to close.
    fn close(&self) -> bool {
        let session = self.talk.lock().take();
        let found = session.is_some();
        if let Some(session) = session {
            session.on_close();
        }
        found
    }

    fn cancel(&self) {
        self.end(CANCELLED);
        self.release();
    }

    /// Lets go of the session of an ended stream, and notifies it if there is no reader: now or, if it
    /// is at work, by the thread it works on (invariant 3).
    fn release(&self) {
        let session = self.talk.try_lock().and_then(|mut talk| talk.take());
        if let Some(session) = session
            && self.state() == CANCELLED
        {
            session.on_cancel();
        }
    }
}

/// The time in which the handler that opens a stream is at work.
pub(crate) struct Opening {
    handle: CallHandle,
    cell: Arc<Cell>,
    streams: Arc<Streams>,
}

impl Opening {
    /// Runs the handler of a bidirectional stream (invariant 7).
    pub(crate) fn converse<C: Session>(
        &self,
        open: impl FnOnce() -> Result<C, Failure>,
    ) -> Result<(), Failure> {
        *self.cell.talk.lock() = SessionState::Opening(Early::default());
        let session = SessionState::Open(Box::new(open()?));
        let opening = mem::replace(&mut *self.cell.talk.lock(), session);
        let SessionState::Opening(early) = opening else { return Ok(()) };
        if self.cell.is_ended() {
            self.cell.release();
        } else if early.closed {
            self.cell.close();
        } else if early.data {
            self.handle.host().stream_ready(self.handle.sid());
        }
        Ok(())
    }

    /// The handler has ended; gives back what `handle` returns, if it still can.
    pub(crate) fn settle(self, result: &Result<(), Failure>) -> NrStatus {
        let (status, text) = match result {
            Ok(()) if self.cell.step(OPENING, OPEN) => return NrStatus::Ok,
            Ok(()) => dropped(),
            Err(failure) => (failure.status(), failure.text().as_bytes()),
        };
        let ours = self.cell.end(FINISHED);
        self.streams.remove(self.handle.sid(), &self.cell);
        match result {
            Err(failure) if failure.is_silent() => return failure.status(),
            _ if ours => {
                let _ = self.handle.end(status, text);
            }
            _ => {}
        }
        NrStatus::Ok
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        // Only a panic leaves a handler without `settle`: then `handle` itself returns `Panic`.
        if self.cell.state() < OPEN {
            self.cell.end(FINISHED);
            self.streams.remove(self.handle.sid(), &self.cell);
        }
    }
}
