// SPDX-License-Identifier: BSD-3-Clause
//! A local channel's elements into a stream, as the other side's credit allows.
//!
//! ```text
//!   channel ──► recv, in line while there is credit ──► held ──► session ──► the other side
//!                          ▲                              │
//!                          └──── put back in front ◄──────┴── what was not sent when it ends
//! ```
//!
//! # Invariants
//!
//! 1. It stands in the channel's line only while it has credit for a message: who has none takes
//!    nothing from others.
//! 2. At most one element is held, for which there is no credit in bytes.
//! 3. When it ends, what has not been handed to the transport goes back, in order.
//! 4. `lent` has the blocks among those that may not have been handed over; their numbers grow.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use becket_chan::{Receiver, RecvStream};
use becket_wire::{Refused, Session, StreamId};
use bytes::Bytes;
use futures_core::Stream as _;

use super::{code, told};
use crate::blocks::{Announcing, Blocks, Loan};
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

    /// Sends what can be sent. True: the channel has ended, and the other side was told.
    pub(crate) fn pump(&mut self, at: &mut At<'_>, blocks: &mut Blocks) -> bool {
        self.pump_with(at, blocks, |_, _| {})
    }

    /// The same; tells the number of each element that is sent, and what of it is lent.
    pub(crate) fn pump_with(
        &mut self,
        at: &mut At<'_>,
        blocks: &mut Blocks,
        mut sent: impl FnMut(u64, Option<Loan>),
    ) -> bool {
        let session = &mut *at.session;
        // The first goes without a queue; those behind it take turns with other streams'.
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
            let result = match link.take() {
                Some(link) => {
                    let mut outlet = Announcing { link, blocks };
                    session.send_through(&mut outlet, self.stream, packed.flags, packed.body)
                }
                None => session.send(self.stream, packed.flags, packed.body),
            };
            match result {
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
                    told(session.reset(self.stream, code::TOO_LONG, Bytes::new()));
                    self.is_over = true;
                }
            }
        }
        if !self.is_over {
            // No credit: others may have what comes.
            self.elements.leave();
        }
        self.is_over
    }

    /// Whether it found the session's queue full, and is to be woken when that is shorter.
    pub(crate) fn found_full(&mut self) -> bool {
        std::mem::take(&mut self.found_full)
    }

    fn end(&mut self, session: &mut Session) {
        let reason = self.elements.receiver().closed_reason();
        let reason = reason.map(|reason| Bytes::copy_from_slice(reason.as_bytes()));
        told(session.end(self.stream, code::CLOSED, reason.unwrap_or_default()));
        self.is_over = true;
    }

    /// Keeps what is lent until it has been handed over.
    fn lent(&mut self, session: &Session, number: u64, loan: Loan) {
        self.lent.push_back((number, loan));
        let queued = session.queued(self.stream).map_or(0, |queued| queued.messages);
        // Those that went before the queued ones have gone. Of the others there are no more than
        // may wait in a stream's queue.
        while self.lent.front().is_some_and(|(first, _)| first + queued <= number) {
            self.lent.pop_front();
        }
    }

    /// An element came back that the other side did not take.
    pub(crate) fn put_back(&self, element: Element) {
        self.elements.receiver().put_back(element);
    }

    /// The stream is over: whatever was not handed to the transport goes back, at once, so that no
    /// other receiver has a newer one before an older one.
    pub(crate) fn give_back(mut self, session: &mut Session, blocks: &mut Blocks) {
        let handed = self.elements.withdraw();
        let unsent = session.take_unsent(self.stream).into_iter().map(|(number, element)| {
            let lent = self.lent.iter().find(|(of, _)| *of == number);
            let block = lent.and_then(|(_, loan)| blocks.take_back(*loan));
            block.unwrap_or_else(|| element.into())
        });
        self.elements.receiver().put_back_many(unsent.chain(self.held).chain(handed));
    }

    pub(crate) fn receiver(&self) -> &Receiver<Element> {
        self.elements.receiver()
    }
}
