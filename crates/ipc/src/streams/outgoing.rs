// SPDX-License-Identifier: BSD-3-Clause
//! A local channel's elements into a stream, as the peer's credit allows.
//!
//! ```text
//!   channel ──► recv, waiting while there is credit ──► held ──► session ──► the peer
//!                          ▲                              │
//!                          └──── requeued at the front ◄──┴── what was not sent when it ends
//! ```
//!
//! # What an element costs
//!
//! One that is found in the channel: a compare-exchange, a move, and a copy into the link, which is
//! flushed once for all of a dispatch. One that is sent while the stream waits: in addition the
//! dispatch of the connection on the sender's thread, and another wait under the channel's lock. It
//! is allocated for only if it has to be queued: the link is full, other streams have elements to
//! send, or it is not the first one of a dispatch.
//!
//! # Invariants
//!
//! 1. It waits in the channel's queue only while it has credit for a message: a stream without
//!    credit takes nothing from other receivers.
//! 2. At most one element is held: one for which there is no credit in bytes.
//! 3. When it ends, elements that were not transmitted are requeued, in order.
//! 4. `lent` has the blocks of elements that may not have been transmitted; their numbers ascend.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use becket_chan::{Receiver, RecvStream};
use becket_wire::{Refused, Session, StreamId};
use bytes::Bytes;
use futures_core::Stream as _;

use super::{code, ignore_refusal};
use crate::blocks::{Blocks, Loan};
use crate::connection::At;
use crate::element::Element;

pub(crate) struct Outgoing {
    stream: StreamId,
    elements: RecvStream<'static, Element>,
    held: Option<Element>,
    found_full: bool,
    lent: VecDeque<(u64, Loan)>,
    waker: Waker,
    is_over: bool,
}

impl Outgoing {
    pub(crate) fn new(stream: StreamId, receiver: Receiver<Element>, waker: Waker) -> Self {
        let elements = receiver.into_stream();
        let lent = VecDeque::new();
        Self { stream, elements, held: None, found_full: false, lent, waker, is_over: false }
    }

    /// Sends what can be sent. True: the channel has ended, and the peer was notified.
    pub(crate) fn pump(&mut self, at: &mut At<'_>, blocks: &mut Blocks) -> bool {
        self.pump_with(at, blocks, |_, _| {})
    }

    /// As [`pump`](Self::pump); calls `sent` with the number of each element, and its loan.
    pub(crate) fn pump_with(
        &mut self,
        at: &mut At<'_>,
        blocks: &mut Blocks,
        mut sent: impl FnMut(u64, Option<Loan>),
    ) -> bool {
        let session = &mut *at.session;
        // The first element bypasses the queue; further ones alternate with other streams'.
        let mut link = at.link.as_deref_mut();
        let has_credit = |session: &Session, stream| {
            session.credit(stream).is_some_and(|credit| credit.messages > 0)
        };
        while !self.is_over && has_credit(session, self.stream) {
            let element = match self.held.take() {
                Some(element) => element,
                None => {
                    let mut context = Context::from_waker(&self.waker);
                    match Pin::new(&mut self.elements).poll_next(&mut context) {
                        Poll::Ready(Some(element)) => element,
                        Poll::Ready(None) => {
                            self.end(session);
                            break;
                        }
                        Poll::Pending => return false,
                    }
                }
            };
            let packed = blocks.pack(session, &element);
            let element_parts = (packed.flags, &packed.body);
            match super::send((session, link.take()), blocks, self.stream, element_parts) {
                Ok(number) => {
                    blocks.sent(&element, packed.loan);
                    if let Some(loan) = packed.loan {
                        self.lent(session, number, loan);
                    }
                    sent(number, packed.loan);
                }
                Err(refused @ (Refused::NoCredit | Refused::Full)) => {
                    self.held = Some(element);
                    self.found_full = refused == Refused::Full;
                    break;
                }
                Err(_) => {
                    self.elements.receiver().put_back(element);
                    self.elements.leave();
                    ignore_refusal(session.reset(self.stream, code::TOO_LONG, Bytes::new()));
                    self.is_over = true;
                }
            }
        }
        if !self.is_over {
            // No credit: other receivers may take what arrives.
            self.elements.leave();
        }
        self.is_over
    }

    /// Whether it found the session's queue full, and has to be woken when the queue has drained.
    pub(crate) fn found_full(&mut self) -> bool {
        std::mem::take(&mut self.found_full)
    }

    fn end(&mut self, session: &mut Session) {
        let reason = self.elements.receiver().closed_reason();
        let reason = reason.map(|reason| Bytes::copy_from_slice(reason.as_bytes()));
        ignore_refusal(session.end(self.stream, code::CLOSED, reason.unwrap_or_default()));
        self.is_over = true;
    }

    /// Keeps a loan until its element has been transmitted.
    fn lent(&mut self, session: &Session, number: u64, loan: Loan) {
        self.lent.push_back((number, loan));
        let queued = session.queued(self.stream).map_or(0, |queued| queued.messages);
        // Elements before the queued ones have been transmitted. The others are at most as many as
        // a stream's queue holds.
        while self.lent.front().is_some_and(|(first, _)| first + queued <= number) {
            self.lent.pop_front();
        }
    }

    /// Requeues an element that the peer returned.
    pub(crate) fn put_back(&self, element: Element) {
        self.elements.receiver().put_back(element);
    }

    /// Ends the stream: elements that were not transmitted are requeued at once, so that no other
    /// receiver gets a newer element before an older one.
    pub(crate) fn give_back(mut self, session: &mut Session, blocks: &mut Blocks) {
        let handed = self.elements.withdraw();
        let unsent = session.take_unsent(self.stream).into_iter().map(|(number, element)| {
            let lent = self.lent.iter().find(|(of, _)| *of == number);
            let block = lent.and_then(|(_, loan)| blocks.take_back(*loan));
            block.unwrap_or_else(|| element.into())
        });
        self.elements.receiver().put_back_many(unsent.chain(self.held).chain(handed));
    }

    /// Closes the channel for its senders, and returns the number of elements that they have handed over and that were
    /// not sent. They are dropped.
    pub(crate) fn close(mut self) -> u64 {
        self.elements.receiver().close();
        let taken =
            self.held.is_some() as u64 + self.elements.withdraw().into_iter().count() as u64;
        let left = std::iter::from_fn(|| self.elements.receiver().try_recv().ok()).count();
        taken + left as u64
    }

    pub(crate) fn receiver(&self) -> &Receiver<Element> {
        self.elements.receiver()
    }
}
