// SPDX-License-Identifier: BSD-3-Clause
//! One flow through a plugin: calls of an entry, or a stream of its own.
//!
//! Of a stream nobody can say that no more comes, until it has ended. So when an answer is short and
//! nothing more comes for a while, the stream is closed and read to its end: what came then was late,
//! what did not is lost, and the flow goes on in another stream. Lost bytes are no failure of the
//! flow: they are missing where it is read, and there the rules of integrity find them.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use becket_host::{NrStatus, SendError, Stream};
use futures_lite::future::block_on;

use super::Inner;
use super::envelope::{ENDED, NO_ANSWER, call, next, next_within, open, send_all};
use crate::bridge::{Conduit, Failure};
use crate::contract::Limits;

/// Messages are as long as these, one after the other, and then again.
const LENGTHS: [usize; 7] = [1, 700, 64, 4096, 9, 255, 16 << 10];
/// So many messages go before their answers are waited for.
const TOGETHER: usize = 4;
/// Of a plugin that waits for room every other time so many go, more than all queues hold: nothing is
/// read before they are full, and then as little as can be.
const BURST: usize = 3 * super::FEW_FRAMES as usize;
/// These are short, so that they are many.
const BURST_LENGTHS: [usize; 4] = [1, 9, 64, 30];
/// So many bytes more than went may come back; then the flow has failed.
const SURPLUS_BYTES_MAX: u64 = 64 << 10;

/// One flow through a plugin.
pub(super) struct Line {
    inner: Arc<Inner>,
    limits: Limits,
    /// `None`: each message is a call. Or it is over.
    stream: Option<Stream>,
    /// What came back and was not read.
    back: VecDeque<u8>,
    /// Bytes that all flows of this adapter hold.
    held: Rc<Cell<u64>>,
    /// Bytes that went and have not come back.
    owed: u64,
    /// Bytes that came back and had not gone.
    surplus: u64,
    messages: usize,
    /// How often messages were sent together.
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

    /// Bytes that may be written.
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

    /// Sends some messages, and waits until as much has come back, or is lost.
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

    /// As [`Self::carry`], with queues that are full both ways.
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
        let sent = send_all(&mut stream, messages.into_iter(), inner.patience(), |frame| {
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
            let answer = call(&inner.plugin, &inner.entry, message, inner.patience());
            let answer = answer.map_err(|failure| patient(&inner, failure))?;
            self.came_back(inner.envelope.strip(&answer))?;
            // Whatever came, this was the answer to it.
            self.owed = 0;
            return Ok(());
        };
        block_on(stream.send(message)).map_err(|error| match error {
            SendError::Closed => Failure::new("the plugin's stream is over"),
            other => Failure::new(other.to_string()),
        })
    }

    /// Takes what comes back next; if nothing does, what is owed is lost.
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

    /// Takes what still comes until the stream's end, forgets the rest, and begins another stream.
    fn write_off(&mut self) -> Result<(), Failure> {
        let inner = Arc::clone(&self.inner);
        match self.read_out() {
            // It has neither ended nor said anything: then that is all.
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

    /// Nothing more is sent; what still comes back is taken.
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

/// A stream whose greetings were heard.
fn greeted(inner: &Inner) -> Result<Stream, Failure> {
    let mut stream = open(&inner.plugin, &inner.entry, inner.patience())?;
    for _ in 0..inner.envelope.greetings {
        next(&mut stream).map_err(|failure| patient(inner, failure))?;
    }
    Ok(stream)
}

fn is_hang(failure: &Failure) -> bool {
    failure.to_string() == NO_ANSWER
}

/// A wait that came to its end makes the next ones shorter.
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
        // The plugin is told that nobody reads any more.
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
