// SPDX-License-Identifier: BSD-3-Clause
//! A stream into a channel of the server: the waiting sends, and the outcomes of the sent ones.
//!
//! ```text
//!   poll ──► waiting ──credit──► sent ──ack, nack, end──► outcome ──► returned by poll
//!             (tickets, in order)  (by number, in order)
//! ```
//!
//! # Invariants
//!
//! 1. While a send waits for credit no later one is sent: tickets are served in order.
//! 2. `sent` has the unacknowledged elements, and those whose outcome was not polled yet; its
//!    numbers ascend. It is bounded by the server's credit plus the outcomes that live operations
//!    have not polled.

use std::collections::VecDeque;
use std::task::{Poll, Waker};

use becket_chan::wakes;
use becket_wire::{Refused, StreamId, Withdrawn};

use super::state::{Opening, Over};
use crate::blocks::{Blocks, Loan};
use crate::connection::At;
use crate::element::Element;
use crate::streams::outgoing::Outgoing;
use crate::streams::{self, code};

pub(crate) struct Sending {
    pub(crate) stream: StreamId,
    pub(crate) opening: Opening,
    pub(crate) over: Option<Over>,
    sent: VecDeque<Sent>,
    waiting: VecDeque<Waiting>,
    tickets: u64,
    /// The local channel whose elements go into the stream.
    pub(crate) outbox: Option<Outgoing>,
    /// Operations that wait until every sent element has been answered.
    flushing: Vec<Waker>,
    /// The handle was dropped: the entry is removed with the stream.
    pub(crate) is_dropped: bool,
    posted: Posted,
}

/// The outcomes of sends that no operation waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Posted {
    /// Accepted by the channel.
    pub accepted: u64,
    /// Not accepted.
    pub refused: u64,
    /// The connection ended before they were acknowledged.
    pub unknown: u64,
}

struct Sent {
    number: u64,
    /// The loan to end if the element is never transmitted.
    loan: Option<Loan>,
    outcome: Option<Outcome>,
    waker: Option<Waker>,
    /// No operation waits for its outcome.
    is_posted: bool,
}

struct Waiting {
    ticket: u64,
    waker: Waker,
}

/// The outcome of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted,
    Refused(u16),
    /// It was not transmitted.
    NotSent,
    Unknown,
}

/// The progress of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    New,
    Waiting(u64),
    Sent(u64),
    Over,
}

/// Why a send was refused locally.
pub(crate) enum Refusal {
    WouldBlock,
    TooLong,
    Over(Over),
}

impl Sending {
    pub(crate) fn new(stream: StreamId) -> Self {
        Self {
            stream,
            opening: Opening::default(),
            over: None,
            sent: VecDeque::new(),
            waiting: VecDeque::new(),
            tickets: 0,
            outbox: None,
            flushing: Vec::new(),
            is_dropped: false,
            posted: Posted::default(),
        }
    }

    /// Advances an operation by one step. `Ready(Ok)`: it has an outcome.
    pub(crate) fn poll(
        &mut self,
        (at, blocks): (&mut At<'_>, &mut Blocks),
        stage: &mut Stage,
        (element, flags): (&Element, u8),
        waker: &Waker,
    ) -> Poll<Result<Outcome, Refusal>> {
        match *stage {
            Stage::New | Stage::Waiting(_) => {
                match self.start((at, blocks), stage, (element, flags), waker) {
                    Ok(false) => return Poll::Pending,
                    Ok(true) => {}
                    Err(refusal) => {
                        self.forget(stage);
                        return Poll::Ready(Err(refusal));
                    }
                }
            }
            Stage::Sent(_) | Stage::Over => {}
        }
        match *stage {
            Stage::Sent(number) => self.outcome(number, waker).map(|outcome| {
                *stage = Stage::Over;
                Ok(outcome)
            }),
            _ => Poll::Pending,
        }
    }

    /// Passes the element to the session, in the order of the tickets. False: it waits for credit.
    fn start(
        &mut self,
        (at, blocks): (&mut At<'_>, &mut Blocks),
        stage: &mut Stage,
        (element, flags): (&Element, u8),
        waker: &Waker,
    ) -> Result<bool, Refusal> {
        if let Some(over) = &self.over {
            return Err(Refusal::Over(over.clone()));
        }
        let is_next = match (*stage, self.waiting.front()) {
            (_, None) => true,
            (Stage::Waiting(ticket), Some(first)) => first.ticket == ticket,
            _ => false,
        };
        let refused = if is_next {
            let packed = blocks.pack(at.session, element);
            let flags = flags | packed.flags;
            let link = at.link.as_deref_mut();
            match streams::send((at.session, link), blocks, self.stream, (flags, &packed.body)) {
                Ok(number) => {
                    blocks.sent(element, packed.loan);
                    if let Stage::Waiting(_) = stage {
                        self.waiting.pop_front();
                        self.call_next();
                    }
                    let loan = packed.loan;
                    let sent = Sent { number, loan, outcome: None, waker: None, is_posted: false };
                    self.sent.push_back(sent);
                    *stage = Stage::Sent(number);
                    return Ok(true);
                }
                Err(refused) => refused,
            }
        } else {
            Refused::NoCredit
        };
        match refused {
            Refused::NoCredit | Refused::Full if flags & becket_wire::flags::TRY != 0 => {
                Err(Refusal::WouldBlock)
            }
            Refused::NoCredit | Refused::Full | Refused::State => {
                if refused == Refused::Full {
                    at.full.push(self.stream.number());
                }
                self.wait(stage, waker);
                Ok(false)
            }
            Refused::TooLong => Err(Refusal::TooLong),
            _ => Err(Refusal::Over(Over::Closed(None))),
        }
    }

    fn wait(&mut self, stage: &mut Stage, waker: &Waker) {
        if let Stage::Waiting(ticket) = *stage {
            if let Some(waiting) = self.waiting.iter_mut().find(|one| one.ticket == ticket) {
                waiting.waker.clone_from(waker);
            }
        } else {
            let ticket = self.tickets;
            self.tickets += 1;
            self.waiting.push_back(Waiting { ticket, waker: waker.clone() });
            *stage = Stage::Waiting(ticket);
        }
    }

    /// Wakes the first waiting send: there may be credit for it.
    fn call_next(&self) {
        if let Some(first) = self.waiting.front() {
            wakes::wake(first.waker.clone());
        }
    }

    fn outcome(&mut self, number: u64, waker: &Waker) -> Poll<Outcome> {
        let Some(sent) = self.find(number) else {
            return Poll::Ready(Outcome::Unknown);
        };
        let Some(outcome) = sent.outcome else {
            sent.waker = Some(waker.clone());
            return Poll::Pending;
        };
        sent.is_posted = true;
        self.tidy();
        Poll::Ready(outcome)
    }

    fn find(&mut self, number: u64) -> Option<&mut Sent> {
        let at = self.sent.binary_search_by_key(&number, |sent| sent.number).ok()?;
        self.sent.get_mut(at)
    }

    /// Removes elements at the front whose outcomes will not be polled.
    fn tidy(&mut self) {
        while self.sent.front().is_some_and(|sent| sent.is_posted && sent.outcome.is_some()) {
            self.sent.pop_front();
        }
    }

    /// The operation was dropped: it leaves the wait queue; if it was sent, its outcome is only
    /// counted.
    pub(crate) fn forget(&mut self, stage: &mut Stage) {
        match std::mem::replace(stage, Stage::Over) {
            Stage::Waiting(ticket) => {
                let was_first = self.waiting.front().is_some_and(|first| first.ticket == ticket);
                self.waiting.retain(|one| one.ticket != ticket);
                if was_first {
                    self.call_next();
                }
            }
            Stage::Sent(number) => self.leave(number),
            Stage::New | Stage::Over => {}
        }
    }

    /// The outcome will not be polled. It is counted, now if it is known already.
    pub(crate) fn leave(&mut self, number: u64) {
        let Some(sent) = self.find(number) else { return };
        let outcome = sent.outcome;
        sent.is_posted = true;
        sent.waker = None;
        if let Some(outcome) = outcome {
            self.posted.count(outcome);
        }
        self.tidy();
    }

    /// Withdraws an element. Its outcome is known once the server has answered.
    pub(crate) fn withdraw(&mut self, at: &mut At<'_>, blocks: &mut Blocks, number: u64) {
        let Some(sent) = self.find(number).filter(|sent| sent.outcome.is_none()) else { return };
        let loan = sent.loan;
        // Refused: it was answered, or the stream has ended.
        if let Ok(Withdrawn::Here(_)) = at.session.withdraw(self.stream, number) {
            loan.and_then(|loan| blocks.take_back(loan));
            self.nacked(number, code::WITHDRAWN);
        }
    }

    /// Everything up to a number was accepted, except what was refused before.
    pub(crate) fn acked(&mut self, upto: u64) {
        let end = self.sent.partition_point(|sent| sent.number <= upto);
        for sent in self.sent.iter_mut().take(end).filter(|sent| sent.outcome.is_none()) {
            resolve(sent, Outcome::Accepted, &mut self.posted);
        }
        self.answered();
    }

    pub(crate) fn nacked(&mut self, number: u64, code: u16) {
        let at = self.sent.binary_search_by_key(&number, |sent| sent.number);
        if let Some(sent) = at.ok().and_then(|at| self.sent.get_mut(at))
            && sent.outcome.is_none()
        {
            resolve(sent, Outcome::Refused(code), &mut self.posted);
        }
        self.answered();
    }

    fn answered(&mut self) {
        self.tidy();
        if !self.flushing.is_empty() && self.is_flushed() {
            self.flushing.drain(..).for_each(wakes::wake);
        }
    }

    fn is_flushed(&self) -> bool {
        self.sent.iter().all(|sent| sent.outcome.is_some())
    }

    /// Continues: credit has arrived, or there is room in the session.
    pub(crate) fn room(&mut self, at: &mut At<'_>, blocks: &mut Blocks) {
        if self.waiting.is_empty() {
            self.pump(at, blocks);
        } else {
            self.call_next();
        }
    }

    /// Sends elements of the local channel.
    pub(crate) fn pump(&mut self, at: &mut At<'_>, blocks: &mut Blocks) {
        if self.waiting.is_empty()
            && self.over.is_none()
            && let Some(outbox) = &mut self.outbox
            && outbox.pump_with(at, blocks, |number, loan| {
                let sent = Sent { number, loan, outcome: None, waker: None, is_posted: true };
                self.sent.push_back(sent);
            })
        {
            self.outbox = None;
        }
        if self.outbox.as_mut().is_some_and(Outgoing::found_full) {
            at.full.push(self.stream.number());
        }
    }

    /// The channel is closed, or the stream or the connection has ended: waiting operations are
    /// woken.
    pub(crate) fn end(&mut self, blocks: &mut Blocks, over: Over, unsent: &[u64]) {
        self.opening.over(&over);
        if let Over::Closed(_) = over {
            // Acks come before the end, and nothing is accepted after it. A nack may be missing:
            // both sides have ended the stream by then.
            for sent in self.sent.iter_mut().filter(|sent| sent.outcome.is_none()) {
                resolve(sent, Outcome::Refused(code::CLOSED), &mut self.posted);
            }
        } else {
            for sent in self.sent.iter_mut().filter(|sent| sent.outcome.is_none()) {
                let never = unsent.binary_search(&sent.number).is_ok();
                if never && let Some(loan) = sent.loan.take() {
                    blocks.take_back(loan);
                }
                let outcome = if never { Outcome::NotSent } else { Outcome::Unknown };
                resolve(sent, outcome, &mut self.posted);
            }
        }
        self.close_outbox();
        self.over.get_or_insert(over);
        self.waiting.drain(..).for_each(|one| wakes::wake(one.waker));
        self.answered();
    }

    /// Ends the channel of elements that are sent ahead. Those that were handed over and not sent are not accepted.
    pub(crate) fn close_outbox(&mut self) {
        if let Some(outbox) = self.outbox.take() {
            self.posted.refused += outbox.close();
        }
    }

    /// Ready when every element sent so far has been answered.
    pub(crate) fn poll_flush(&mut self, waker: &Waker) -> Poll<Posted> {
        if self.is_flushed()
            && self.outbox.as_ref().is_none_or(|outbox| outbox.receiver().is_empty())
        {
            return Poll::Ready(self.posted);
        }
        if !self.flushing.iter().any(|other| other.will_wake(waker)) {
            self.flushing.push(waker.clone());
        }
        Poll::Pending
    }
}

fn resolve(sent: &mut Sent, outcome: Outcome, posted: &mut Posted) {
    sent.outcome = Some(outcome);
    if sent.is_posted {
        posted.count(outcome);
    }
    if let Some(waker) = sent.waker.take() {
        wakes::wake(waker);
    }
}

impl Posted {
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Accepted => self.accepted += 1,
            Outcome::Refused(_) | Outcome::NotSent => self.refused += 1,
            Outcome::Unknown => self.unknown += 1,
        }
    }
}
