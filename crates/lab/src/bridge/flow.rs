// SPDX-License-Identifier: BSD-3-Clause
//! One flow: who writes into its conduit, and who reads out of it.
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
//! 1. Who is parked is not polled until its bell has rung.
//! 2. What was read is put out at once: nothing is kept here.
//! 3. Behind a reset what comes out is thrown away, and the reset is said when the reader has heard
//!    that the writer is gone.

use std::sync::Arc;
use std::task::{Context as Task, Poll};

use super::bell::{Desk, Line};
use super::conduit::{Conduit, Failure};
use crate::contract::{AdapterError, Cause, Chunk, FlowId, Outlet};

/// A chunk that is put out is at most so long.
pub(super) const OUT_BYTES_MAX: usize = 16 << 10;

/// A flow of a bridge.
#[derive(Debug)]
pub(super) struct Flow<C> {
    conduit: C,
    write: Line,
    read: Line,
    /// Bytes that the conduit took, and that it gave back, and in how many chunks.
    taken: u64,
    put: u64,
    chunks: u64,
    /// Nothing more comes in.
    is_ended: bool,
    /// The conduit knows that.
    is_finished: bool,
    /// Bytes were written and not flushed.
    is_dirty: bool,
    is_writer_parked: bool,
    /// Who offered found too little room, and was not told of more.
    is_waited_for: bool,
    /// There may be room, which could not be said during the offer.
    owes_room: bool,
    is_reader_parked: bool,
    /// The end came out, and was said.
    is_over: bool,
    /// It was broken off, and that was not said yet.
    broken: Option<Cause>,
    /// A failure that could not be said when it was seen.
    failed: Option<Failure>,
}

/// What is to be said of a flow whose bells have rung.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heard {
    pub(super) wants_poll: bool,
    pub(super) has_room: bool,
}

/// What a poll of a flow came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Polled {
    Alive,
    /// It was said that it is broken off: nothing more is to be said of it.
    Gone,
}

impl<C: Conduit> Flow<C> {
    pub(super) fn new(conduit: C, desk: &Arc<Desk>) -> Self {
        Self {
            conduit,
            write: Line::new(desk),
            read: Line::new(desk),
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

    /// Bytes that the conduit took and has not given back.
    pub(super) const fn held(&self) -> u64 {
        if self.broken.is_some() { 0 } else { self.taken.saturating_sub(self.put) }
    }

    pub(super) const fn takes_more(&self) -> bool {
        !self.is_ended && self.broken.is_none()
    }

    /// Writes what was offered. Gives how many bytes the conduit says that it took.
    pub(super) fn offer(
        &mut self,
        chunk: &Chunk,
        bytes: &[u8],
        budget: usize,
    ) -> Result<usize, AdapterError> {
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
                // It may be more than there was: that is for the rules to see.
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

    /// Nothing more comes in.
    pub(super) fn end(&mut self) {
        self.is_ended = true;
        if let Err(failure) = self.drive_writer() {
            self.failed = Some(failure);
        }
    }

    /// Flushes or finishes, unless that is to wait.
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

    /// What its bells say. During an offer that it took too little of, room is said later.
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

    /// Goes on with what was woken, and puts out what comes out and there is room for.
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
            // Who reads hears of a writer that is gone by a failure, if it does not by the end.
            (Err(_), Some(cause)) => outlet.reset(flow, cause),
            (Err(failure), None) => outlet.reset(flow, failure.cause()),
        }
        Polled::Gone
    }

    /// True: the end came out.
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

    /// Reading and writing are given up and begun anew: what waits has to wait again, and what was woken
    /// meanwhile has lost nothing.
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
        } else if !self.write.is_rung() {
            self.conduit.cancel_write(cx)?;
        }
        Ok(())
    }

    /// Throws away what comes out. True: the reader knows that the writer is gone.
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
