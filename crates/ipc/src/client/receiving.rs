// SPDX-License-Identifier: BSD-3-Clause
//! A stream out of a channel of the server's: how much is asked for, and what comes.
//!
//! ```text
//!   wanted = window, or receives that wait      granted ──► server
//!        elements ──► inbox ──► a receive       surplus ──► returned, in front of the channel
//! ```
//!
//! The inbox is a local channel, so that a receive of the stream's is a local receive, also in a
//! select. Without a window the server is asked for an element for each receive that waits, and for
//! no more: an element is taken from the channel only for somebody who wants it. With a window so
//! many elements may lie in the inbox.
//!
//! # Invariants
//!
//! 1. `granted` is what the server may still send, as far as this side knows. After each step
//!    `granted + inbox = wanted`, unless credit is on its way back.
//! 2. Elements that nobody wants go back once it is sure that no more are under way, the newest
//!    first, so that the channel's order stands.

use std::collections::VecDeque;
use std::task::{Poll, Waker};

use becket_chan::{Receiver, Sender};
use becket_wire::{Credit, StreamId};

use super::state::{Opening, Over};
use crate::connection::At;
use crate::element::Element;
use crate::streams::told;

pub(crate) struct Receiving {
    pub(crate) stream: StreamId,
    pub(crate) opening: Opening,
    pub(crate) over: Option<Over>,
    inbox: Sender<Element>,
    outbox: Receiver<Element>,
    /// The numbers of the last elements that came, of those in the inbox at least.
    numbers: VecDeque<u64>,
    window: u32,
    /// Bytes that may be under way.
    window_bytes: u64,
    /// Whoever may receive by other means than an operation that waits.
    wants: u32,
    granted: u32,
    granted_bytes: u64,
    /// Credit that was asked back, and not answered.
    revoking: bool,
    /// Nothing is wanted any more.
    is_closing: bool,
    /// The handle has gone.
    pub(crate) is_dropped: bool,
    /// What went back from a channel that was closed has been handed over.
    is_flushed: bool,
    closed: Option<Waker>,
}

impl Receiving {
    pub(crate) fn new(
        stream: StreamId,
        (inbox, outbox): (Sender<Element>, Receiver<Element>),
        window: u32,
        window_bytes: u64,
    ) -> Self {
        Self {
            stream,
            opening: Opening::default(),
            over: None,
            inbox,
            outbox,
            numbers: VecDeque::new(),
            window,
            window_bytes,
            wants: 0,
            // What the opening has given.
            granted: window,
            granted_bytes: if window > 0 { window_bytes } else { 0 },
            revoking: false,
            is_closing: false,
            is_dropped: false,
            is_flushed: false,
            closed: None,
        }
    }

    /// The credit that the stream is opened with.
    pub(crate) const fn first_credit(window: u32, window_bytes: u64) -> Credit {
        Credit { messages: window, bytes: if window > 0 { window_bytes } else { 0 } }
    }

    /// An element has come.
    pub(crate) fn element(&mut self, at: &mut At<'_>, number: u64, element: Element) {
        self.granted = self.granted.saturating_sub(1);
        self.granted_bytes = self.granted_bytes.saturating_sub(element.paid_bytes());
        self.numbers.push_back(number);
        // Unlimited, and open until this side closes it: it always takes it.
        let _taken = self.inbox.try_send(element);
        let len = self.outbox.len();
        while self.numbers.len() > len + 1 {
            self.numbers.pop_front();
        }
        self.settle(at);
    }

    /// One more wants an element, or one fewer.
    pub(crate) fn want(&mut self, at: &mut At<'_>, more: bool) {
        self.wants = if more { self.wants.saturating_add(1) } else { self.wants.saturating_sub(1) };
        self.settle(at);
    }

    /// How many elements may be under way or lie here.
    fn wanted(&self) -> u32 {
        if self.is_closing {
            return 0;
        }
        if self.window > 0 {
            return self.window.saturating_add(self.wants);
        }
        let waiting = self.outbox.snapshot().receivers_waiting;
        u32::try_from(waiting).unwrap_or(u32::MAX).max(self.wants)
    }

    /// Brings credit in line with what is wanted.
    pub(crate) fn settle(&mut self, at: &mut At<'_>) {
        if self.over.is_some() || self.opening.info().is_none() {
            return;
        }
        let wanted = self.wanted();
        let held = u32::try_from(self.outbox.len()).unwrap_or(u32::MAX);
        let expected = self.granted.saturating_add(held);
        if expected < wanted {
            // A window is filled in halves, so that not every element asks for the next.
            if self.window == 0 || self.granted <= self.window / 2 {
                self.grant(at, wanted - expected);
            }
        } else if expected > wanted && !self.revoking {
            let surplus = expected - wanted;
            if self.granted > 0 {
                let messages = surplus.min(self.granted);
                self.revoking = at.session.revoke(self.stream, messages, 0).is_ok();
            }
            if !self.revoking {
                self.give_back(at, wanted);
            }
        }
    }

    fn grant(&mut self, at: &mut At<'_>, messages: u32) {
        let bytes = self.window_bytes.saturating_sub(self.granted_bytes);
        if at.session.grant(self.stream, messages, bytes).is_ok() {
            self.granted = self.granted.saturating_add(messages);
            self.granted_bytes = self.granted_bytes.saturating_add(bytes);
        }
    }

    /// The server says how much credit it gave back.
    pub(crate) fn revoked(&mut self, at: &mut At<'_>, taken: Credit) {
        self.revoking = false;
        self.granted = self.granted.saturating_sub(taken.messages);
        self.granted_bytes = self.granted_bytes.saturating_sub(taken.bytes);
        self.settle(at);
        self.try_end(at);
    }

    /// The newest elements, all but those that somebody wants. They leave the inbox at once: who takes
    /// from it meanwhile has the others, in order.
    fn give_back(&mut self, at: &mut At<'_>, wanted: u32) {
        for element in self.outbox.split_off(wanted as usize).into_iter().rev() {
            let Some(&number) = self.numbers.back() else { break };
            // The last one stays: an element whose number was forgotten while a receive had it goes
            // back under that of a later one. The server asks for one that is out, and counts.
            if self.numbers.len() > 1 {
                self.numbers.pop_back();
            }
            self.give_one_back(at, number, element);
        }
    }

    /// Refused only when the stream or the session is over: then nothing can go back.
    fn give_one_back(&self, at: &mut At<'_>, number: u64, element: Element) {
        let element = match element.into_peers() {
            Ok(block) => match block.to_return() {
                Some(body) => {
                    let flags = becket_wire::flags::DESCRIPTOR;
                    if at.session.give_back(self.stream, number, flags, body).is_ok() {
                        block.gone_back();
                    }
                    return;
                }
                None => block.into_bytes(),
            },
            Err(element) => element.into_bytes(),
        };
        told(at.session.give_back(self.stream, number, 0, element));
    }

    /// The handle has gone: all credit and all elements go back, then the stream ends.
    pub(crate) fn close(&mut self, at: &mut At<'_>) {
        self.is_closing = true;
        if let Some(Over::Closed(_)) = self.over {
            // No more will come.
            self.give_back(at, 0);
            told(at.session.end(self.stream, 0, bytes::Bytes::new()));
            return;
        }
        self.settle(at);
        self.try_end(at);
    }

    fn try_end(&mut self, at: &mut At<'_>) {
        if self.is_closing && !self.revoking && self.over.is_none() {
            told(at.session.end(self.stream, 0, bytes::Bytes::new()));
        }
    }

    /// The channel is closed and drained, or the stream or the connection over. What came before can
    /// still be received.
    pub(crate) fn end(&mut self, at: &mut At<'_>, over: Over) {
        self.opening.over(at.wakes, &over);
        self.is_flushed |= matches!(over, Over::Ended(_));
        self.over.get_or_insert(over);
        self.inbox.close();
        if self.is_closing {
            self.close(at);
        }
        if let Some(waker) = self.closed.take() {
            at.wakes.push(waker);
        }
    }

    /// Ready when the server has everything back; of a channel that was closed meanwhile, when all of
    /// it was handed to the transport.
    pub(crate) fn poll_closed(&mut self, at: &mut At<'_>, waker: &Waker) -> Poll<()> {
        match &self.over {
            Some(Over::Closed(_)) if !self.is_flushed => at.full.push(self.stream.number()),
            None => {}
            Some(_) => return Poll::Ready(()),
        }
        self.closed = Some(waker.clone());
        Poll::Pending
    }

    /// Nothing is queued any more.
    pub(crate) fn flushed(&mut self, at: &mut At<'_>) {
        self.is_flushed = true;
        at.wakes.extend(self.closed.take());
    }
}
