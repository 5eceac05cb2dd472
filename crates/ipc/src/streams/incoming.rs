// SPDX-License-Identifier: BSD-3-Clause
//! A stream's elements into a local channel, in order, each with its answer.
//!
//! ```text
//!   the other side ──► waiting ──► sink, in the channel's line ──► accepted: ack, credit again
//!                         │              │
//!                         └──────────────┴── withdrawn, closed: nack
//! ```
//!
//! # Invariants
//!
//! 1. Elements are accepted in the order in which they came; an ack says so of all up to one.
//! 2. Each element is answered once: by an ack that reaches it, or by a nack that goes before.
//! 3. No more wait than there was credit for.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use becket_chan::{SendSink, Sender, TrySendError};
use becket_wire::{Session, StreamId, flags};
use bytes::Bytes;
use futures_sink::Sink as _;

use super::{code, told};
use crate::element::Element;

pub(crate) struct Incoming {
    stream: StreamId,
    sink: SendSink<'static, Element>,
    element_bytes: Option<u32>,
    /// In the channel's line: its number and length.
    current: Option<(u64, u64)>,
    waiting: VecDeque<(u64, Element)>,
    waker: Waker,
    /// The other side sends no more.
    is_ending: bool,
    is_over: bool,
}

impl Incoming {
    pub(crate) fn new(
        stream: StreamId,
        sender: Sender<Element>,
        element_bytes: Option<u32>,
        waker: Waker,
    ) -> Self {
        let sink = sender.into_sink();
        let waiting = VecDeque::new();
        let (is_ending, is_over) = (false, false);
        Self { stream, sink, element_bytes, current: None, waiting, waker, is_ending, is_over }
    }

    /// An element has come.
    pub(crate) fn element(
        &mut self,
        session: &mut Session,
        number: u64,
        asked: u8,
        element: Element,
    ) {
        if self.is_over {
            return self.refuse(session, number, &element, code::CLOSED);
        }
        if self.element_bytes.is_some_and(|bytes| element.len() as u64 != u64::from(bytes)) {
            return self.refuse(session, number, &element, code::WRONG_LENGTH);
        }
        let idle = self.current.is_none() && self.waiting.is_empty();
        if asked & flags::TRY != 0 {
            self.attempt(session, number, element, idle);
        } else if idle {
            self.start(session, number, element);
        } else {
            self.waiting.push_back((number, element));
        }
    }

    /// At once or not at all.
    fn attempt(&mut self, session: &mut Session, number: u64, element: Element, idle: bool) {
        let Some(sender) = self.sink.sender().filter(|_| idle) else {
            return self.refuse(session, number, &element, code::WOULD_BLOCK);
        };
        let bytes = element.len() as u64;
        match sender.try_send(element) {
            Ok(()) => self.accepted(session, number, bytes),
            Err(TrySendError::Full(element)) => {
                self.refuse(session, number, &element, code::WOULD_BLOCK);
            }
            Err(closed) => {
                self.refuse(session, number, &closed.into_inner(), code::CLOSED);
                self.end(session);
            }
        }
    }

    /// Into the channel's line.
    fn start(&mut self, session: &mut Session, number: u64, element: Element) {
        let bytes = element.len() as u64;
        if let Err(error) = Pin::new(&mut self.sink).start_send(element) {
            self.refuse(session, number, &error.into_inner(), code::CLOSED);
            return self.end(session);
        }
        self.current = Some((number, bytes));
        self.poll(session);
    }

    /// Whether the one in line was accepted.
    fn poll(&mut self, session: &mut Session) {
        let Some((number, bytes)) = self.current else { return };
        let mut context = Context::from_waker(&self.waker);
        match Pin::new(&mut self.sink).poll_ready(&mut context) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                self.current = None;
                self.accepted(session, number, bytes);
            }
            Poll::Ready(Err(error)) => {
                self.current = None;
                self.refuse(session, number, &error.into_inner(), code::CLOSED);
                self.end(session);
            }
        }
    }

    /// The channel has news.
    pub(crate) fn pump(&mut self, session: &mut Session) {
        self.poll(session);
        while self.current.is_none()
            && let Some((number, element)) = self.waiting.pop_front()
        {
            self.start(session, number, element);
        }
        if self.is_ending && !self.is_over && self.current.is_none() {
            told(session.end(self.stream, code::OK, Bytes::new()));
            self.is_over = true;
        }
    }

    /// The other side sends no more: the stream is over when all has been answered. True: it is.
    pub(crate) fn ending(&mut self, session: &mut Session) -> bool {
        self.is_ending = true;
        self.pump(session);
        self.is_over
    }

    /// Nothing more will be answered.
    pub(crate) const fn is_done(&self) -> bool {
        self.is_ending && self.is_over
    }

    /// The other side takes one back.
    pub(crate) fn withdraw(&mut self, session: &mut Session, number: u64) {
        if self.current.is_some_and(|(current, _)| current == number) {
            if let Some(element) = self.sink.take_back() {
                self.current = None;
                self.refuse(session, number, &element, code::WITHDRAWN);
            }
            // Otherwise it was accepted: the ack says so.
            self.pump(session);
        } else if let Some(at) = self.waiting.iter().position(|(other, _)| *other == number)
            && let Some((_, element)) = self.waiting.remove(at)
        {
            self.refuse(session, number, &element, code::WITHDRAWN);
        }
    }

    fn accepted(&mut self, session: &mut Session, number: u64, bytes: u64) {
        told(session.ack(self.stream, number));
        told(session.grant(self.stream, 1, bytes));
    }

    fn refuse(&mut self, session: &mut Session, number: u64, element: &Element, why: u16) {
        told(session.nack(self.stream, number, why));
        told(session.grant(self.stream, 1, element.len() as u64));
    }

    /// The channel is closed: nothing more is accepted.
    fn end(&mut self, session: &mut Session) {
        for (number, element) in std::mem::take(&mut self.waiting) {
            self.refuse(session, number, &element, code::CLOSED);
        }
        let reason = self.sink.sender().and_then(Sender::closed_reason);
        let reason = reason.map(|reason| Bytes::copy_from_slice(reason.as_bytes()));
        told(session.end(self.stream, code::CLOSED, reason.unwrap_or_default()));
        self.is_over = true;
    }
}

impl Drop for Incoming {
    /// The stream is over, perhaps with its session: what the channel has not accepted was never
    /// sent, and is not an undelivered element of the channel's.
    fn drop(&mut self) {
        let _never_sent = self.sink.take_back();
    }
}
