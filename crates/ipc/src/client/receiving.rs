// SPDX-License-Identifier: BSD-3-Clause
//! A stream out of a channel of the server: the credit that it grants, and the elements that
//! arrive.
//!
//! ```text
//!   wanted = window, or waiting receives         granted ──► server
//!        elements ──► inbox ──► a receive       surplus ──► requeued, at the front of the channel
//! ```
//!
//! The inbox is a local channel, so that a receive of the stream is a local receive, also in a
//! select. Without a window the server is asked for one element per waiting receive, and no more:
//! an element is taken from the channel only for a receive that waits. With a window that many
//! elements may be in the inbox.
//!
//! # What an element costs
//!
//! With a window, while elements come faster than they are received: the bytes are copied out of the
//! link into the element, which is moved into the inbox and out of it. Each move is one
//! compare-exchange, the count towards the next grant an atomic addition. A short element allocates
//! nothing; the connection is locked once for up to 64 frames, and once for a grant.
//!
//! # Invariants
//!
//! 1. `granted` is the number of elements that the server may still send, by this side's count.
//!    After each step `granted + inbox = wanted`, unless credit is being revoked, or, with a
//!    window, `granted` is above half of it: then no credit was granted yet.
//! 2. Surplus elements are returned once it is certain that no more are in flight, the newest
//!    first, so that the channel's order is kept.

use std::collections::VecDeque;
use std::task::{Poll, Waker};

use becket_chan::{Receiver, Sender, wakes};
use becket_wire::{Credit, StreamId};

use super::state::{Opening, Over};
use crate::connection::At;
use crate::element::Element;
use crate::streams::ignore_refusal;

/// As many numbers are kept although they are not needed.
const NUMBERS_MIN: usize = 64;

pub(crate) struct Receiving {
    pub(crate) stream: StreamId,
    pub(crate) opening: Opening,
    pub(crate) over: Option<Over>,
    inbox: Sender<Element>,
    outbox: Receiver<Element>,
    /// The numbers of the last elements that arrived, at least of those in the inbox.
    numbers: VecDeque<u64>,
    /// At this length those that are not needed are removed.
    numbers_max: usize,
    window: u32,
    /// Bytes that may be in flight.
    window_bytes: u64,
    /// Live [`Want`](crate::Want) guards: each requests one element.
    wants: u32,
    granted: u32,
    granted_bytes: u64,
    /// Credit was revoked, and the answer is pending.
    revoking: bool,
    /// Nothing is wanted any more.
    is_closing: bool,
    /// The handle was dropped.
    pub(crate) is_dropped: bool,
    /// Elements returned to a closed channel have been transmitted.
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
            numbers_max: NUMBERS_MIN,
            window,
            window_bytes,
            wants: 0,
            // The credit of the opening.
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

    /// An element has arrived.
    pub(crate) fn element(&mut self, at: &mut At<'_>, number: u64, element: Element) {
        self.granted = self.granted.saturating_sub(1);
        self.granted_bytes = self.granted_bytes.saturating_sub(element.paid_bytes());
        if self.numbers.len() >= self.numbers_max {
            self.forget_numbers();
        }
        self.numbers.push_back(number);
        // Unlimited, and open until this side closes it: the send cannot fail.
        let _taken = self.inbox.try_send(element);
        // Otherwise no credit is due by invariant 1, and the arrival has changed no other term.
        if self.window == 0 || self.granted <= self.window / 2 || self.is_closing {
            self.rebalance(at);
        }
    }

    /// Removes the numbers of elements that were received. Each is looked at once on average: the
    /// list may be twice as long as needed.
    #[cold]
    fn forget_numbers(&mut self) {
        let needed = self.outbox.len() + 1;
        self.numbers.drain(..self.numbers.len().saturating_sub(needed));
        self.numbers_max = (2 * needed).max(NUMBERS_MIN);
    }

    /// Adds or removes a request for an element.
    pub(crate) fn want(&mut self, at: &mut At<'_>, more: bool) {
        self.wants = if more { self.wants.saturating_add(1) } else { self.wants.saturating_sub(1) };
        self.rebalance(at);
    }

    /// How many elements may be in flight or in the inbox.
    fn wanted(&self) -> u32 {
        if self.is_closing {
            return 0;
        }
        if self.window > 0 {
            return self.window.saturating_add(self.wants);
        }
        u32::try_from(self.outbox.waiting()).unwrap_or(u32::MAX).max(self.wants)
    }

    /// Adjusts the credit to what is wanted.
    pub(crate) fn rebalance(&mut self, at: &mut At<'_>) {
        if self.over.is_some() || self.opening.info().is_none() {
            return;
        }
        let wanted = self.wanted();
        let held = u32::try_from(self.outbox.len()).unwrap_or(u32::MAX);
        let expected = self.granted.saturating_add(held);
        if expected < wanted {
            // A window is refilled in halves, so that not every element costs a grant.
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

    /// The server reports how much credit was revoked.
    pub(crate) fn revoked(&mut self, at: &mut At<'_>, taken: Credit) {
        self.revoking = false;
        self.granted = self.granted.saturating_sub(taken.messages);
        self.granted_bytes = self.granted_bytes.saturating_sub(taken.bytes);
        self.rebalance(at);
        self.try_end(at);
    }

    /// Returns the newest elements, except `wanted` ones. They leave the inbox at once: concurrent
    /// receives get the remaining ones, in order.
    fn give_back(&mut self, at: &mut At<'_>, wanted: u32) {
        for element in self.outbox.split_off(wanted as usize).into_iter().rev() {
            let Some(&number) = self.numbers.back() else { break };
            // The last number stays: an element whose number was removed while a receive held it is
            // returned under the number of a later one. The server only counts, and requires a
            // number that is outstanding.
            if self.numbers.len() > 1 {
                self.numbers.pop_back();
            }
            self.give_one_back(at, number, element);
        }
    }

    /// Refused only when the stream or the session has ended: then nothing can be returned.
    fn give_one_back(&self, at: &mut At<'_>, number: u64, element: Element) {
        let element = match element.into_peers() {
            Ok(block) => match block.to_return() {
                Some(body) => {
                    let flags = becket_wire::flags::DESCRIPTOR;
                    if at.session.give_back(self.stream, number, flags, body).is_ok() {
                        block.returned();
                    }
                    return;
                }
                None => block.into_bytes(),
            },
            Err(element) => element.into_bytes(),
        };
        ignore_refusal(at.session.give_back(self.stream, number, 0, element));
    }

    /// The handle was dropped: all credit and all elements are returned, then the stream ends.
    pub(crate) fn close(&mut self, at: &mut At<'_>) {
        self.is_closing = true;
        if let Some(Over::Closed(_)) = self.over {
            // No more elements arrive.
            self.give_back(at, 0);
            ignore_refusal(at.session.end(self.stream, 0, bytes::Bytes::new()));
            return;
        }
        self.rebalance(at);
        self.try_end(at);
    }

    fn try_end(&mut self, at: &mut At<'_>) {
        if self.is_closing && !self.revoking && self.over.is_none() {
            ignore_refusal(at.session.end(self.stream, 0, bytes::Bytes::new()));
        }
    }

    /// The channel is closed and drained, or the stream or the connection has ended. Earlier
    /// elements can still be received.
    pub(crate) fn end(&mut self, at: &mut At<'_>, over: Over) {
        self.opening.over(&over);
        self.is_flushed |= matches!(over, Over::Ended(_));
        self.over.get_or_insert(over);
        self.inbox.close();
        if self.is_closing {
            self.close(at);
        }
        self.closed.take().into_iter().for_each(wakes::wake);
    }

    /// Ready when every element was returned to the server; if the channel was closed meanwhile,
    /// when all of them have been transmitted.
    pub(crate) fn poll_closed(&mut self, at: &mut At<'_>, waker: &Waker) -> Poll<()> {
        match &self.over {
            Some(Over::Closed(_)) if !self.is_flushed => at.full.push(self.stream.number()),
            None => {}
            Some(_) => return Poll::Ready(()),
        }
        self.closed = Some(waker.clone());
        Poll::Pending
    }

    /// The session's queue is empty.
    pub(crate) fn flushed(&mut self) {
        self.is_flushed = true;
        self.closed.take().into_iter().for_each(wakes::wake);
    }
}
