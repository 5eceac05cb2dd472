// SPDX-License-Identifier: BSD-3-Clause
//! One flow: the writer into its conduit, and the reader out of it.
//!
//! ```text
//!           offer                                                   poll
//!   writer ───────► poll_write … poll_flush      reader ◄──────── poll_read
//!     │  pending                                   │  pending
//!     ▼                                            ▼
//!   parked ── woken ──► has_room, or a poll      parked ── woken ──► a poll
//! ```
//!
//! # Invariants
//!
//! 1. A parked side is not polled until its flag is set.
//! 2. What was read is put out at once: nothing is buffered here.
//! 3. After a reset, output is discarded, and the reset is reported when the reader has noticed
//!    that the writer is gone.

use std::sync::Arc;
use std::task::{Context as Task, Poll};

use super::conduit::{Conduit, Failure};
use super::waker_flag::{FlagWaker, Scope};
use crate::contract::{AdapterError, Cause, Chunk, FlowId, Outlet, Took};

/// Maximum length of an output chunk, in bytes.
pub(super) const OUT_BYTES_MAX: usize = 16 << 10;

/// A flow of a bridge.
#[derive(Debug)]
pub(super) struct Flow<C> {
    conduit: C,
    write: FlagWaker,
    read: FlagWaker,
    /// Bytes that the conduit took and returned, and the number of chunks.
    taken: u64,
    put: u64,
    chunks: u64,
    /// No more input comes.
    is_ended: bool,
    /// The conduit was finished.
    is_finished: bool,
    /// Bytes were written and not flushed.
    is_dirty: bool,
    is_writer_parked: bool,
    /// An offer found too little room, and no room was reported since.
    is_waited_for: bool,
    /// There may be room, which could not be reported during the offer.
    owes_room: bool,
    is_reader_parked: bool,
    /// The end came out and was reported.
    is_over: bool,
    /// A reset that was not reported yet.
    broken: Option<Cause>,
    /// A failure that could not be reported when it happened.
    failed: Option<Failure>,
}

/// What to report about a flow whose flags were set.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heard {
    pub(super) wants_poll: bool,
    pub(super) has_room: bool,
}

/// The result of polling a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Polled {
    Alive,
    /// Its reset was reported: nothing more is to be reported.
    Gone,
}

impl<C: Conduit> Flow<C> {
    pub(super) fn new(conduit: C, scope: &Arc<Scope>) -> Self {
        Self {
            conduit,
            write: FlagWaker::new(scope),
            read: FlagWaker::new(scope),
            taken: 0,
            put: 0,
            chunks: 0,
            is_ended: false,
            is_finished: false,
            is_dirty: false,
            is_writer_parked: false,
            is_waited_for: false,
            owes_room: false,
            is_reader_parked: false,
            is_over: false,
            broken: None,
            failed: None,
        }
    }

    /// Bytes that the conduit took and has not returned.
    pub(super) const fn held(&self) -> u64 {
        if self.broken.is_some() { 0 } else { self.taken.saturating_sub(self.put) }
    }

    pub(super) const fn takes_more(&self) -> bool {
        !self.is_ended && self.broken.is_none()
    }

    /// Writes an offer. Returns how many bytes the conduit claims to have taken.
    pub(super) fn offer(&mut self, chunk: &Chunk, bytes: &[u8], budget: usize) -> Took {
        let flow = chunk.flow;
        if chunk.bytes != bytes.len() as u64 || chunk.offset != self.taken {
            let rule = "its offset is that of the next byte, its length that of its bytes";
            return Err(AdapterError::Malformed { flow, rule });
        }
        let taken = self.write(bytes, budget).map_err(|failure| self.fails(flow, &failure))?;
        self.taken += taken as u64;
        if taken < bytes.len() {
            self.is_waited_for = true;
        } else if chunk.is_final {
            self.is_ended = true;
        }
        self.drive_writer().map_err(|failure| self.fails(flow, &failure))?;
        Ok(taken)
    }

    fn write(&mut self, bytes: &[u8], budget: usize) -> Result<usize, Failure> {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            if self.is_writer_parked {
                break;
            }
            if taken >= budget {
                self.owes_room = true;
                break;
            }
            let cx = &mut Task::from_waker(self.write.waker());
            match self.conduit.poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Err(Failure::new("it takes nothing, for ever")),
                // A conduit may claim more than it was offered; the rules detect that.
                Poll::Ready(Ok(count)) => {
                    taken = taken.saturating_add(count);
                    self.is_dirty = true;
                }
                Poll::Ready(Err(failure)) => return Err(failure),
                Poll::Pending => self.is_writer_parked = true,
            }
        }
        Ok(taken)
    }

    fn fails(&mut self, flow: FlowId, failure: &Failure) -> AdapterError {
        self.is_ended = true;
        self.is_finished = true;
        AdapterError::Failed { flow, what: failure.to_string() }
    }

    /// No more input comes.
    pub(super) fn end(&mut self) {
        self.is_ended = true;
        if let Err(failure) = self.drive_writer() {
            self.failed = Some(failure);
        }
    }

    /// Flushes or finishes, unless that must wait.
    fn drive_writer(&mut self) -> Result<(), Failure> {
        if self.is_writer_parked || self.broken.is_some() {
            return Ok(());
        }
        let cx = &mut Task::from_waker(self.write.waker());
        let polled = match (self.is_ended, self.is_finished, self.is_dirty) {
            (true, false, _) => self.conduit.poll_finish(cx),
            (false, _, true) => self.conduit.poll_flush(cx),
            _ => return Ok(()),
        };
        match polled {
            Poll::Ready(done) => {
                self.is_finished = self.is_ended;
                self.is_dirty = false;
                done
            }
            Poll::Pending => {
                self.is_writer_parked = true;
                Ok(())
            }
        }
    }

    pub(super) fn reset(&mut self, cause: Cause) {
        self.broken = Some(cause);
        self.conduit.abandon();
    }

    pub(super) fn abandon(&mut self) {
        self.conduit.abandon();
    }

    /// Whether a poll has something to do, as far as is known here.
    pub(super) const fn wants_poll(&self) -> bool {
        let may_read = !self.is_reader_parked && !self.is_over;
        may_read || self.failed.is_some() || self.is_over && self.broken.is_some()
    }

    pub(super) const fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Evaluates its flags. After an offer that was taken in part, room is reported later.
    pub(super) fn hear(&mut self, is_offered: bool) -> Heard {
        let mut heard = Heard::default();
        if self.read.take() {
            self.is_reader_parked = false;
            heard.wants_poll = true;
        }
        if self.write.take() {
            self.is_writer_parked = false;
            if self.is_waited_for && self.takes_more() {
                self.owes_room = true;
            } else {
                heard.wants_poll = true;
            }
        }
        if is_offered {
            heard.wants_poll |= self.owes_room;
        } else if std::mem::take(&mut self.owes_room) {
            self.is_waited_for = false;
            heard.has_room = true;
        }
        heard
    }

    /// Continues what was woken, and puts out as much as there is room for.
    pub(super) fn poll(
        &mut self,
        flow: FlowId,
        outlet: &mut Outlet<'_>,
        budget: &mut usize,
        gives_up: bool,
    ) -> Polled {
        let gives_up = gives_up && self.broken.is_none() && self.failed.is_none();
        let given_up = if gives_up { self.give_up() } else { Ok(()) };
        let driven = given_up.and_then(|()| self.drive_writer());
        let result = driven.and_then(|()| match self.failed.take() {
            Some(failure) => Err(failure),
            None if self.broken.is_some() => self.drain(budget),
            None => self.put_out(flow, outlet, budget),
        });
        match (result, self.broken) {
            (Ok(true), Some(cause)) => outlet.reset(flow, cause),
            (Ok(_), _) => return Polled::Alive,
            // If the reader does not notice the dropped writer by the end, it does by a failure.
            (Err(_), Some(cause)) => outlet.reset(flow, cause),
            (Err(failure), None) => outlet.reset(flow, failure.cause()),
        }
        Polled::Gone
    }

    /// Returns true if the end came out.
    fn put_out(
        &mut self,
        flow: FlowId,
        outlet: &mut Outlet<'_>,
        budget: &mut usize,
    ) -> Result<bool, Failure> {
        let mut buffer = [0; OUT_BYTES_MAX];
        while !self.is_reader_parked && !self.is_over {
            let room = outlet.room(flow).min(*budget).min(OUT_BYTES_MAX);
            let Some(into) = buffer.get_mut(..room).filter(|into| !into.is_empty()) else { break };
            match self.read(into)? {
                None => {}
                Some(0) => {
                    self.is_over = true;
                    outlet.half_closed(flow);
                }
                Some(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    let (sequence, offset) = (self.chunks + 1, self.put);
                    let chunk =
                        Chunk { flow, sequence, offset, bytes: count as u64, is_final: false };
                    if outlet.data(&chunk, bytes).is_err() {
                        return Err(Failure::new("what came out is not taken"));
                    }
                    self.chunks += 1;
                    self.put += count as u64;
                    *budget -= count;
                }
            }
        }
        Ok(self.is_over)
    }

    /// Cancels reads and writes and starts them anew: what was waiting must wait again, and what
    /// was woken meanwhile has lost nothing.
    fn give_up(&mut self) -> Result<(), Failure> {
        self.is_reader_parked &= !self.read.take();
        match self.is_reader_parked {
            _ if self.is_over => {}
            true => self.conduit.cancel_read(&mut Task::from_waker(self.read.waker()))?,
            false => self.conduit.drop_read(),
        }
        let cx = &mut Task::from_waker(self.write.waker());
        if !self.is_writer_parked {
            match self.conduit.drop_write(cx) {
                Poll::Ready(done) => done?,
                Poll::Pending => self.is_writer_parked = true,
            }
        } else if !self.write.is_set() {
            self.conduit.cancel_write(cx)?;
        }
        Ok(())
    }

    /// Discards output. Returns true when the reader has noticed that the writer is gone.
    fn drain(&mut self, budget: &mut usize) -> Result<bool, Failure> {
        let mut buffer = [0; OUT_BYTES_MAX];
        while !self.is_reader_parked && !self.is_over && *budget > 0 {
            match self.read(&mut buffer)? {
                None => {}
                Some(0) => self.is_over = true,
                Some(count) => *budget = budget.saturating_sub(count),
            }
        }
        Ok(self.is_over)
    }

    /// `None`: nothing yet.
    fn read(&mut self, into: &mut [u8]) -> Result<Option<usize>, Failure> {
        let cx = &mut Task::from_waker(self.read.waker());
        match self.conduit.poll_read(cx, into) {
            Poll::Pending => {
                self.is_reader_parked = true;
                Ok(None)
            }
            Poll::Ready(Ok(count)) if count > into.len() => {
                Err(Failure::new("more came out than there was room for"))
            }
            Poll::Ready(read) => read.map(Some),
        }
    }
}
