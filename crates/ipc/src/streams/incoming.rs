// SPDX-License-Identifier: BSD-3-Clause
//! A stream's elements into a local channel, in order, each acknowledged.
//!
//! ```text
//!   the peer ──► waiting ──► sink, in the channel's wait queue ──► accepted: ack, credit again
//!                   │              │
//!                   └──────────────┴── withdrawn, closed: nack
//! ```
//!
//! # Invariants
//!
//! 1. Elements are accepted in the order in which they arrived; an ack covers all elements up to
//!    one.
//! 2. Each element is answered once: by an ack that covers it, or by an earlier nack.
//! 3. No more elements wait than there was credit for, and over all streams of a connection no more
//!    bytes than the session's credit: it is held until they are answered.
//! 4. Credit for answered elements is granted in halves: the first grant exceeds the longest
//!    element by so many bytes that the credit still due never delays an element.
//! 5. A numbered element is examined only when all earlier ones have been answered: see
//!    [`dedup`](crate::dedup).

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use becket_chan::{SendSink, Sender, TrySendError};
use becket_wire::{Credit, Session, StreamId, flags};
use bytes::Bytes;
use futures_sink::Sink as _;

use super::{code, ignore_refusal};
use crate::dedup::{NUMBER_BYTES, NumberOrder, Producer, number_of};
use crate::element::Element;

/// The maximum number of elements that the peer may have sent and the channel not accepted.
const PREFETCH_MAX: u32 = 256;

pub(crate) struct Incoming {
    stream: StreamId,
    sink: SendSink<'static, Element>,
    element_bytes: Option<u32>,
    /// The producer, if it numbers the elements. Waiting elements still have their number prefix.
    producer: Option<Producer>,
    /// The element in the channel's wait queue: its number and its length on arrival.
    current: Option<(u64, u64)>,
    waiting: VecDeque<(u64, Element)>,
    /// Credit for answered elements that is not granted yet.
    credit_due: Credit,
    /// The amount that is granted at once.
    half: Credit,
    waker: Waker,
    /// The peer sends no more elements.
    is_ending: bool,
    is_over: bool,
}

impl Incoming {
    /// The credit that a stream is opened with, and the amount that is granted again at once.
    pub(crate) fn first_credit(element_bytes_max: u32) -> (Credit, Credit) {
        let longest = u64::from(element_bytes_max);
        let half = Credit::new(PREFETCH_MAX / 2, longest.div_ceil(2));
        (Credit::new(PREFETCH_MAX, longest + half.bytes), half)
    }

    pub(crate) fn new(
        stream: StreamId,
        sender: Sender<Element>,
        element_bytes: Option<u32>,
        producer: Option<Producer>,
        (half, waker): (Credit, Waker),
    ) -> Self {
        let sink = sender.into_sink();
        Self {
            stream,
            sink,
            element_bytes,
            producer,
            current: None,
            waiting: VecDeque::new(),
            credit_due: Credit::NONE,
            half,
            waker,
            is_ending: false,
            is_over: false,
        }
    }

    /// An element has arrived.
    pub(crate) fn element(
        &mut self,
        session: &mut Session,
        number: u64,
        flags: u8,
        element: Element,
    ) {
        // Until it is answered it occupies memory: the session's credit is held.
        session.hold(element.paid_bytes());
        if self.is_over {
            return self.refuse(session, number, element.paid_bytes(), code::CLOSED);
        }
        let in_front = if self.producer.is_some() { NUMBER_BYTES } else { 0 };
        let is_wrong = |bytes| element.len().checked_sub(in_front) != Some(bytes as usize);
        if element.len() < in_front || self.element_bytes.is_some_and(is_wrong) {
            return self.refuse(session, number, element.paid_bytes(), code::WRONG_LENGTH);
        }
        let idle = self.current.is_none() && self.waiting.is_empty();
        if flags & flags::TRY != 0 {
            self.attempt(session, number, element, idle);
        } else if idle {
            self.start(session, number, element);
        } else {
            self.waiting.push_back((number, element));
        }
    }

    /// Sends at once or not at all.
    fn attempt(&mut self, session: &mut Session, number: u64, element: Element, idle: bool) {
        let bytes = element.paid_bytes();
        if !idle || self.sink.sender().is_none() {
            return self.refuse(session, number, bytes, code::WOULD_BLOCK);
        }
        let Some(element) = self.admit(session, number, element) else { return };
        match self.sink.sender().map(|sender| sender.try_send(element)) {
            Some(Ok(())) => self.accepted(session, number, bytes),
            Some(Err(TrySendError::Full(_))) => {
                self.refuse(session, number, bytes, code::WOULD_BLOCK);
            }
            _ => {
                self.refuse(session, number, bytes, code::CLOSED);
                self.end(session);
            }
        }
    }

    /// The element without its number, if it is the producer's next one; otherwise it is answered.
    fn admit(&mut self, session: &mut Session, number: u64, element: Element) -> Option<Element> {
        let Some(producer) = &self.producer else { return Some(element) };
        let bytes = element.paid_bytes();
        let Some(own) = number_of(element.as_slice()) else {
            self.refuse(session, number, bytes, code::WRONG_LENGTH);
            return None;
        };
        match producer.compare(own) {
            NumberOrder::Next => return Some(element.into_bytes().slice(NUMBER_BYTES..).into()),
            NumberOrder::Again => self.answered(session, number, bytes),
            NumberOrder::Gap => self.refuse(session, number, bytes, code::GAP),
        }
        None
    }

    /// Puts an element into the channel's wait queue.
    fn start(&mut self, session: &mut Session, number: u64, element: Element) {
        let bytes = element.paid_bytes();
        let Some(element) = self.admit(session, number, element) else { return };
        if Pin::new(&mut self.sink).start_send(element).is_err() {
            self.refuse(session, number, bytes, code::CLOSED);
            return self.end(session);
        }
        self.current = Some((number, bytes));
        self.poll(session);
    }

    /// Checks whether the channel has accepted the current element.
    fn poll(&mut self, session: &mut Session) {
        let Some((number, bytes)) = self.current else { return };
        let mut context = Context::from_waker(&self.waker);
        match Pin::new(&mut self.sink).poll_ready(&mut context) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                self.current = None;
                self.accepted(session, number, bytes);
            }
            Poll::Ready(Err(_)) => {
                self.current = None;
                self.refuse(session, number, bytes, code::CLOSED);
                self.end(session);
            }
        }
    }

    /// Continues: the channel has news.
    pub(crate) fn pump(&mut self, session: &mut Session) {
        self.poll(session);
        while self.current.is_none()
            && let Some((number, element)) = self.waiting.pop_front()
        {
            self.start(session, number, element);
        }
        if self.is_ending && !self.is_over && self.current.is_none() {
            ignore_refusal(session.end(self.stream, code::OK, Bytes::new()));
            self.is_over = true;
        }
    }

    /// The peer sends no more: the stream ends when all elements have been answered. True: it has.
    pub(crate) fn ending(&mut self, session: &mut Session) -> bool {
        self.is_ending = true;
        self.pump(session);
        self.is_over
    }

    /// Ends the stream at once: waiting elements are dropped unanswered.
    pub(crate) fn abandon(self, session: &mut Session) {
        let waiting: u64 = self.waiting.iter().map(|(_, element)| element.paid_bytes()).sum();
        session.let_go(waiting + self.current.map_or(0, |(_, bytes)| bytes));
    }

    /// Whether no more answers follow.
    pub(crate) const fn is_done(&self) -> bool {
        self.is_ending && self.is_over
    }

    /// The peer withdraws an element.
    pub(crate) fn withdraw(&mut self, session: &mut Session, number: u64) {
        if let Some((_, bytes)) = self.current.filter(|(current, _)| *current == number) {
            if self.sink.take_back().is_some() {
                self.current = None;
                self.refuse(session, number, bytes, code::WITHDRAWN);
            }
            // Otherwise it was accepted, and the ack reports that.
            self.pump(session);
        } else if let Some(at) = self.waiting.iter().position(|(other, _)| *other == number)
            && let Some((_, element)) = self.waiting.remove(at)
        {
            self.refuse(session, number, element.paid_bytes(), code::WITHDRAWN);
        }
    }

    fn accepted(&mut self, session: &mut Session, number: u64, bytes: u64) {
        if let Some(producer) = &mut self.producer {
            producer.accepted();
        }
        self.answered(session, number, bytes);
    }

    fn answered(&mut self, session: &mut Session, number: u64, bytes: u64) {
        session.let_go(bytes);
        ignore_refusal(session.ack(self.stream, number));
        self.add_credit_due(session, bytes);
    }

    fn refuse(&mut self, session: &mut Session, number: u64, bytes: u64, why: u16) {
        session.let_go(bytes);
        ignore_refusal(session.nack(self.stream, number, why));
        self.add_credit_due(session, bytes);
    }

    /// Adds to the credit due, for an element of `bytes` bytes, and grants it if it reaches a half.
    fn add_credit_due(&mut self, session: &mut Session, bytes: u64) {
        self.credit_due.messages += 1;
        self.credit_due.bytes += bytes;
        if self.credit_due.messages >= self.half.messages
            || self.credit_due.bytes >= self.half.bytes
        {
            let Credit { messages, bytes } = std::mem::take(&mut self.credit_due);
            ignore_refusal(session.grant(self.stream, messages, bytes));
        }
    }

    /// The channel is closed: refuses the waiting elements and ends the stream.
    fn end(&mut self, session: &mut Session) {
        for (number, element) in std::mem::take(&mut self.waiting) {
            self.refuse(session, number, element.paid_bytes(), code::CLOSED);
        }
        let reason = self.sink.sender().and_then(Sender::closed_reason);
        let reason = reason.map(|reason| Bytes::copy_from_slice(reason.as_bytes()));
        ignore_refusal(session.end(self.stream, code::CLOSED, reason.unwrap_or_default()));
        self.is_over = true;
    }
}

impl Drop for Incoming {
    /// The stream has ended, perhaps with its session: an element that the channel has not accepted
    /// was never sent, and does not count as undelivered. An accepted one is recorded for its
    /// producer, though it was not acknowledged.
    fn drop(&mut self) {
        let never_sent = self.sink.take_back();
        if let Some(producer) = &mut self.producer
            && self.current.is_some()
            && never_sent.is_none()
        {
            producer.accepted();
        }
    }
}
