// SPDX-License-Identifier: BSD-3-Clause
//! One flow through a plugin: calls of an entry, or a stream of its own.
//!
//! An open stream gives no sign that no more output comes. So when bytes are missing and nothing
//! comes for a while, the stream is closed and read to its end: bytes that come then were late, the
//! others are lost, and the flow continues in another stream. Lost bytes are not reported as a
//! failure of the flow: they are missing where it is read, and there the integrity rules detect
//! them.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use becket_host::{NrStatus, Stream};
use futures_lite::future::block_on;

use super::Inner;
use super::envelope::{ENDED, NO_ANSWER, call, next, next_within, open, send_all, unsent};
use crate::bridge::{Conduit, Failure};
use crate::contract::Limits;

/// Lengths of messages, in turn.
const LENGTHS: [usize; 7] = [1, 700, 64, 4096, 9, 255, 16 << 10];
/// Number of messages that are sent before their answers are awaited.
const TOGETHER: usize = 4;
/// With a plugin that waits for room, every other time this many messages are sent, which exceeds
/// all queues: nothing is read before they are full, and then as little as possible.
const BURST: usize = 3 * super::FEW_FRAMES as usize;
/// Short lengths, so that there are many messages.
const BURST_LENGTHS: [usize; 4] = [1, 9, 64, 30];
/// Surplus bytes after which the flow fails.
const SURPLUS_BYTES_MAX: u64 = 64 << 10;

/// One flow through a plugin.
pub(super) struct Line {
    inner: Arc<Inner>,
    limits: Limits,
    /// `None`: each message is a call, or the flow is over.
    stream: Option<Stream>,
    /// Bytes that came back and were not read.
    back: VecDeque<u8>,
    /// Bytes that all flows of this adapter hold.
    held: Rc<Cell<u64>>,
    /// Bytes that were sent and have not come back.
    owed: u64,
    /// Bytes that came back and had not been sent.
    surplus: u64,
    messages: usize,
    /// Number of bursts so far.
    bursts: usize,
    /// Nothing more comes back.
    is_over: bool,
    writer: Option<Waker>,
    reader: Option<Waker>,
}

impl Line {
    pub(super) fn open(
        inner: &Arc<Inner>,
        limits: Limits,
        held: &Rc<Cell<u64>>,
    ) -> Result<Self, Failure> {
        let stream = match inner.envelope.is_stream {
            true => Some(greeted(inner)?),
            false => None,
        };
        Ok(Self {
            inner: Arc::clone(inner),
            limits,
            stream,
            back: VecDeque::new(),
            held: Rc::clone(held),
            owed: 0,
            surplus: 0,
            messages: 0,
            bursts: 0,
            is_over: false,
            writer: None,
            reader: None,
        })
    }

    /// Number of bytes that may be written.
    fn room(&self) -> usize {
        let own = self.limits.flow_buffered_bytes_max.saturating_sub(self.back.len() as u64);
        let all = self.limits.buffered_bytes_max.saturating_sub(self.held.get());
        usize::try_from(own.min(all)).unwrap_or(usize::MAX)
    }

    fn came_back(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let count = bytes.len() as u64;
        self.surplus += count.saturating_sub(self.owed);
        self.owed = self.owed.saturating_sub(count);
        if self.surplus > SURPLUS_BYTES_MAX {
            return Err(Failure::new("the plugin gives back more than it was given"));
        }
        self.back.extend(bytes);
        self.held.set(self.held.get() + count);
        Ok(())
    }

    /// Sends some messages, and waits until as many bytes have come back or are lost.
    fn carry(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        self.bursts += 1;
        if self.inner.envelope.waits_for_room && self.bursts.is_multiple_of(2) {
            return self.carry_burst(bytes);
        }
        let mut gone = 0;
        for _ in 0..TOGETHER {
            let rest = bytes.get(gone..).unwrap_or_default();
            let length = LENGTHS.get(self.messages % LENGTHS.len()).copied().unwrap_or(1);
            let message = rest.get(..rest.len().min(length)).unwrap_or_default();
            if message.is_empty() {
                break;
            }
            self.messages += 1;
            gone += message.len();
            self.owed += message.len() as u64;
            self.send(message)?;
        }
        while self.owed > 0 {
            self.hear()?;
        }
        Ok(gone)
    }

    /// As [`Self::carry`], with full queues both ways.
    fn carry_burst(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let inner = Arc::clone(&self.inner);
        let Some(mut stream) = self.stream.take() else { return Err(inner.hung()) };
        let (mut messages, mut rest) = (Vec::new(), bytes);
        for length in BURST_LENGTHS.iter().cycle().take(BURST) {
            let Some((message, behind)) = rest.split_at_checked((*length).min(rest.len())) else {
                break;
            };
            rest = behind;
            messages.extend(Some(message).filter(|message| !message.is_empty()));
        }
        let gone = bytes.len() - rest.len();
        self.owed += gone as u64;
        let sent = send_all(&mut stream, messages.into_iter(), inner.idle_timeout(), |frame| {
            self.came_back(inner.envelope.strip(&frame.body))
        });
        self.stream = Some(stream);
        sent.map_err(|failure| patient(&inner, failure))?;
        while self.owed > 0 {
            self.hear()?;
        }
        Ok(gone)
    }

    fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        let inner = Arc::clone(&self.inner);
        let Some(stream) = &self.stream else {
            let answer = call(&inner.plugin, &inner.entry, message, inner.idle_timeout());
            let answer = answer.map_err(|failure| patient(&inner, failure))?;
            self.came_back(inner.envelope.strip(&answer))?;
            // Whatever came, it was the answer to this message.
            self.owed = 0;
            return Ok(());
        };
        block_on(stream.send(message)).map_err(unsent)
    }

    /// Receives the next frame; if none comes, the outstanding bytes are lost.
    fn hear(&mut self) -> Result<(), Failure> {
        let inner = Arc::clone(&self.inner);
        let Some(stream) = &mut self.stream else { return Err(inner.hung()) };
        let Some(frame) = next_within(stream, inner.quiet()) else { return self.write_off() };
        match frame? {
            Some(frame) if frame.status == NrStatus::Ok => {
                self.came_back(inner.envelope.strip(&frame.body))
            }
            _ => Err(Failure::new(ENDED)),
        }
    }

    /// Receives what still comes until the stream's end, writes off the rest, and opens another
    /// stream.
    fn write_off(&mut self) -> Result<(), Failure> {
        let inner = Arc::clone(&self.inner);
        match self.read_out() {
            // It neither ended nor sent anything: the rest is lost.
            Err(failure) if is_hang(&failure) => drop(inner.hung()),
            ended => ended?,
        }
        if self.owed > 0 {
            inner.has_lost.store(true, Ordering::Relaxed);
            self.owed = 0;
        }
        self.stream = Some(greeted(&inner)?);
        Ok(())
    }

    /// Ends the input and receives what still comes back.
    fn finish(&mut self) -> Result<(), Failure> {
        self.read_out().map_err(|failure| patient(&self.inner, failure))?;
        self.is_over = true;
        Ok(())
    }

    /// Closes the stream and reads it to its end.
    fn read_out(&mut self) -> Result<(), Failure> {
        let inner = Arc::clone(&self.inner);
        let Some(mut stream) = self.stream.take() else { return Ok(()) };
        stream.close().map_err(|error| Failure::new(error.to_string()))?;
        while let Some(frame) = next(&mut stream)? {
            let is_farewell = inner.envelope.has_farewell && frame.status == NrStatus::StreamEnd;
            if !is_farewell {
                self.came_back(inner.envelope.strip(&frame.body))?;
            }
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.held.set(self.held.get().saturating_sub(self.back.len() as u64));
        self.back.clear();
    }
}

/// A stream whose greetings were received.
fn greeted(inner: &Inner) -> Result<Stream, Failure> {
    let mut stream = open(&inner.plugin, &inner.entry, inner.idle_timeout())?;
    for _ in 0..inner.envelope.greetings {
        next(&mut stream).map_err(|failure| patient(inner, failure))?;
    }
    Ok(stream)
}

fn is_hang(failure: &Failure) -> bool {
    failure.to_string() == NO_ANSWER
}

/// Records a hang, which shortens later waits.
fn patient(inner: &Inner, failure: Failure) -> Failure {
    if is_hang(&failure) { inner.hung() } else { failure }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl Conduit for Line {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Failure>> {
        let room = self.room();
        if room == 0 {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let carried = self.carry(bytes.get(..room).unwrap_or(bytes));
        wake(&mut self.reader);
        Poll::Ready(carried)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let finished = self.finish();
        wake(&mut self.reader);
        Poll::Ready(finished)
    }

    fn abandon(&mut self) {
        // Dropping the stream notifies the plugin.
        self.stream = None;
        self.forget();
        self.is_over = true;
        wake(&mut self.reader);
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, Failure>> {
        let count = self.back.len().min(into.len());
        if count == 0 && !self.is_over {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        for (place, byte) in into.iter_mut().zip(self.back.drain(..count)) {
            *place = byte;
        }
        self.held.set(self.held.get().saturating_sub(count as u64));
        wake(&mut self.writer);
        Poll::Ready(Ok(count))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.forget();
    }
}
