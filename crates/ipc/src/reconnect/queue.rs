// SPDX-License-Identifier: BSD-3-Clause
//! The elements of an exactly-once sender, from the send to the answer.
//!
//! ```text
//!            start, with the next number              ack, nack
//!   waiting ────────────────────────────► in flight ───────────────► done
//!      ▲  ▲                                 │    connection ends
//!      │  └─ nack: a predecessor is missing ┤    after it was transmitted
//!      │                                    ▼
//!      └── server's highest number ◄─ unacknowledged ─► done: server's highest number is not below it;
//!          is below its own                             or the producer is forgotten: unknown
//! ```
//!
//! Numbers follow go-back-N (as in HDLC and TCP without selective acknowledgment): the server
//! accepts a number only directly after its predecessor, so that a refusal makes it refuse
//! everything behind too, which is then sent again with numbers that close the gap.
//!
//! # Invariants
//!
//! 1. `highest` is the server's highest number according to its answers. The elements in flight
//!    have the numbers directly above, in the order in which their sends began, unless
//!    `is_stalled`: one was refused. Then none is started until none is in flight.
//! 2. An element that is in flight or unacknowledged never gets another number: only one that the
//!    server has not accepted, according to its answer, does.
//! 3. There is an entry for each live send and for each element in flight: at most the live sends
//!    plus the server's credit.

use std::collections::VecDeque;
use std::task::{Poll, Waker};

use becket_chan::wakes;
use becket_wire::flags;

use crate::blocks::Blocks;
use crate::client::sending::{Outcome, Posted, Refusal, Sending, Stage};
use crate::client::state::Over;
use crate::connection::{At, Ended};
use crate::dedup::{Remembered, with_number};
use crate::element::Element;
use crate::error::SendError;
use crate::streams::code;

#[derive(Default)]
pub(super) struct Queue {
    entries: VecDeque<QueueEntry>,
    tickets: u64,
    /// The server's state of the producer, updated by its answers.
    remembered: Option<Remembered>,
    is_open: bool,
    is_stalled: bool,
    /// There will be no further stream.
    never: Option<Ended>,
    /// The reconnect task, which drives the queue.
    pub(super) task: Option<Waker>,
    /// The outcomes of sends that no operation waits for.
    posted: Posted,
    /// Flushes that wait until every element has been answered.
    flushing: Vec<Waker>,
}

struct QueueEntry {
    ticket: u64,
    element: Element,
    is_try: bool,
    state: SendState,
    /// Its send has passed its limits, or was dropped.
    is_unwanted: bool,
    /// Its outcome will not be polled.
    is_abandoned: bool,
    waker: Option<Waker>,
}

enum SendState {
    Waiting,
    InFlight { number: u64, stage: Stage, numbered: Element, is_withdrawing: bool },
    Unacknowledged { number: u64 },
    Done(Result<(), SendError>),
}

/// The stream of one connection, during a dispatch of the connection.
pub(super) struct Stream<'a, 'b> {
    pub(super) at: &'a mut At<'b>,
    pub(super) sending: &'a mut Sending,
    pub(super) blocks: &'a mut Blocks,
}

/// The state of a send that passes its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It was not accepted: it is removed.
    NotAccepted,
    /// It is being withdrawn: the answer is pending.
    Withdrawing,
    /// Its outcome is unknown: it is removed.
    Unacknowledged,
}

impl Queue {
    pub(super) fn highest(&self) -> u64 {
        self.remembered.map_or(0, |remembered| remembered.highest)
    }

    /// Adds a send.
    pub(super) fn push(&mut self, element: Element, is_try: bool) -> u64 {
        let ticket = self.tickets;
        self.tickets += 1;
        let mut entry = QueueEntry {
            ticket,
            element,
            is_try,
            state: SendState::Waiting,
            is_unwanted: false,
            is_abandoned: false,
            waker: None,
        };
        if let Some(ended) = &self.never {
            entry.fail(|element| SendError::Disconnected { element, ended: ended.clone() });
        } else if is_try && !self.is_open {
            entry.fail(SendError::WouldBlock);
        }
        self.entries.push_back(entry);
        ticket
    }

    /// Ready when every element that was transmitted has been answered.
    pub(super) fn poll_flush(&mut self, waker: &Waker) -> Poll<Posted> {
        if self.is_flushed() {
            return Poll::Ready(self.posted);
        }
        if !self.flushing.iter().any(|other| other.will_wake(waker)) {
            self.flushing.push(waker.clone());
        }
        Poll::Pending
    }

    fn is_flushed(&self) -> bool {
        !self.entries.iter().any(|entry| {
            matches!(
                entry.state,
                SendState::InFlight { stage: Stage::Sent(_) | Stage::Over, .. }
                    | SendState::Unacknowledged { .. }
            )
        })
    }

    /// The outcome of a send, which is removed with it.
    pub(super) fn poll(&mut self, ticket: u64, waker: &Waker) -> Poll<Result<(), SendError>> {
        let Some(at) = self.find(ticket) else { return Poll::Pending };
        let Some(entry) = self.entries.get_mut(at) else { return Poll::Pending };
        entry.waker = Some(waker.clone());
        match entry.state {
            SendState::Done(_) => match self.entries.remove(at).map(|entry| entry.state) {
                Some(SendState::Done(done)) => Poll::Ready(done),
                _ => Poll::Pending,
            },
            _ => Poll::Pending,
        }
    }

    /// A send has passed its limits.
    pub(super) fn stop(&mut self, ticket: u64) -> Stopped {
        let Some(at) = self.find(ticket) else { return Stopped::NotAccepted };
        let Some(entry) = self.entries.get_mut(at) else { return Stopped::NotAccepted };
        match entry.state {
            SendState::InFlight { .. } | SendState::Done(_) => {
                entry.is_unwanted = true;
                Stopped::Withdrawing
            }
            SendState::Waiting => {
                self.entries.remove(at);
                Stopped::NotAccepted
            }
            SendState::Unacknowledged { .. } => {
                self.entries.remove(at);
                Stopped::Unacknowledged
            }
        }
    }

    /// A send was dropped. It is withdrawn if it is in flight. Returns the wakers to wake.
    pub(super) fn abandon(&mut self, ticket: u64) -> Vec<Waker> {
        let Some(at) = self.find(ticket) else { return Vec::new() };
        let Some(entry) = self.entries.get_mut(at) else { return Vec::new() };
        if let SendState::InFlight { .. } = entry.state {
            (entry.is_unwanted, entry.is_abandoned, entry.waker) = (true, true, None);
        } else if let Some(entry) = self.entries.remove(at) {
            count_posted(&mut self.posted, &entry);
        }
        self.flushed()
    }

    /// The flushes to wake if every element has been answered.
    pub(super) fn flushed(&mut self) -> Vec<Waker> {
        if self.flushing.is_empty() || !self.is_flushed() {
            return Vec::new();
        }
        std::mem::take(&mut self.flushing)
    }

    fn find(&self, ticket: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&ticket, |entry| entry.ticket).ok()
    }

    /// A stream is open again, and the server has reported the producer's state.
    pub(super) fn opened(&mut self, remembered: Remembered) -> Vec<Waker> {
        let before = self.remembered.replace(remembered);
        let is_forgotten = before.is_some_and(|before| before.mark != remembered.mark);
        self.is_open = true;
        self.is_stalled = false;
        for entry in &mut self.entries {
            if let SendState::Unacknowledged { number } = entry.state {
                if is_forgotten {
                    entry.fail(|element| SendError::Unknown { element, ended: None });
                } else if number <= remembered.highest {
                    entry.state = SendState::Done(Ok(()));
                } else {
                    entry.state = SendState::Waiting;
                }
            }
        }
        self.tidy()
    }

    /// The stream has ended.
    pub(super) fn lost(&mut self) -> Vec<Waker> {
        self.is_open = false;
        for entry in &mut self.entries {
            if let SendState::InFlight { stage, number, .. } = &entry.state {
                entry.state = match stage {
                    Stage::Sent(_) | Stage::Over => SendState::Unacknowledged { number: *number },
                    Stage::New | Stage::Waiting(_) => SendState::Waiting,
                };
            }
            if entry.is_try && matches!(entry.state, SendState::Waiting) {
                entry.fail(SendError::WouldBlock);
            }
        }
        let mut woken = self.tidy();
        // A send that has passed its limits does not wait for another stream.
        let unwanted = self.entries.iter_mut().filter(|entry| entry.is_unwanted);
        woken.extend(unwanted.filter_map(|entry| entry.waker.take()));
        woken
    }

    /// There will be no further connection.
    pub(super) fn never(&mut self, ended: &Ended) -> Vec<Waker> {
        self.never = Some(ended.clone());
        for entry in &mut self.entries {
            let ended = ended.clone();
            match entry.state {
                SendState::Waiting => {
                    entry.fail(|element| SendError::Disconnected { element, ended });
                }
                SendState::Unacknowledged { .. } | SendState::InFlight { .. } => {
                    entry.fail(|element| SendError::Unknown { element, ended: Some(ended) });
                }
                SendState::Done(_) => {}
            }
        }
        self.tidy()
    }

    /// Removes entries whose outcomes will not be polled, and returns the wakers of others that are
    /// done.
    fn tidy(&mut self) -> Vec<Waker> {
        let posted = &mut self.posted;
        self.entries.retain(|entry| {
            let is_left = match entry.state {
                SendState::InFlight { .. } => false,
                _ => entry.is_abandoned,
            };
            if is_left {
                count_posted(posted, entry);
            }
            !is_left
        });
        let done = |entry: &&mut QueueEntry| matches!(entry.state, SendState::Done(_));
        let mut woken = self.flushed();
        woken.extend(self.entries.iter_mut().filter(done).filter_map(|entry| entry.waker.take()));
        woken
    }

    /// Advances every element as far as possible on this stream.
    pub(super) fn pump(&mut self, side: &mut Stream<'_, '_>, waker: &Waker) {
        self.poll_in_flight(side, waker);
        self.start(side, waker);
        self.tidy().into_iter().for_each(wakes::wake);
    }

    /// Polls the elements in flight.
    fn poll_in_flight(&mut self, side: &mut Stream<'_, '_>, waker: &Waker) {
        let mut is_any_in_flight = false;
        for entry in &mut self.entries {
            if let SendState::InFlight { .. } = entry.state {
                self.is_stalled |= entry.step(side, waker);
                match &entry.state {
                    SendState::InFlight { .. } => is_any_in_flight = true,
                    SendState::Done(Ok(())) => count(&mut self.remembered),
                    _ => {}
                }
            }
        }
        self.is_stalled &= is_any_in_flight;
    }

    /// Starts waiting elements, in order.
    fn start(&mut self, side: &mut Stream<'_, '_>, waker: &Waker) {
        let mut last = self.highest();
        let mut is_any_in_flight = false;
        for entry in &mut self.entries {
            match &entry.state {
                SendState::InFlight { number, stage, .. } => {
                    if let Stage::Waiting(_) = stage {
                        // There is no credit for it, and none for those behind it.
                        return;
                    }
                    (last, is_any_in_flight) = (*number, true);
                }
                // Earlier ones are in flight: it cannot be accepted at once.
                SendState::Waiting if entry.is_try && is_any_in_flight => {
                    entry.fail(SendError::WouldBlock);
                }
                SendState::Waiting if self.is_stalled => return,
                SendState::Waiting => {
                    let number = last.saturating_add(1);
                    let numbered = with_number(number, entry.element.as_slice()).into();
                    let (stage, is_withdrawing) = (Stage::New, false);
                    entry.state = SendState::InFlight { number, stage, numbered, is_withdrawing };
                    self.is_stalled |= entry.step(side, waker);
                    match &entry.state {
                        SendState::InFlight { stage: Stage::Waiting(_), .. }
                        | SendState::Waiting => return,
                        SendState::InFlight { .. } => (last, is_any_in_flight) = (number, true),
                        SendState::Done(Ok(())) => {
                            last = number;
                            count(&mut self.remembered);
                        }
                        _ => {}
                    }
                }
                SendState::Unacknowledged { .. } | SendState::Done(_) => {}
            }
        }
    }
}

/// Counts an accepted element.
fn count(remembered: &mut Option<Remembered>) {
    if let Some(remembered) = remembered {
        remembered.highest = remembered.highest.saturating_add(1);
    }
}

/// Counts the outcome of a send that no operation waits for. One that was never transmitted is not
/// counted.
fn count_posted(posted: &mut Posted, entry: &QueueEntry) {
    match &entry.state {
        SendState::Done(Ok(())) => posted.accepted += 1,
        SendState::Done(Err(SendError::Unknown { .. })) | SendState::Unacknowledged { .. } => {
            posted.unknown += 1
        }
        SendState::Done(_) => posted.refused += 1,
        SendState::Waiting | SendState::InFlight { .. } => {}
    }
}

impl QueueEntry {
    /// Ends it with an error, which returns its element.
    fn fail(&mut self, error: impl FnOnce(Element) -> SendError) {
        self.state = SendState::Done(Err(error(std::mem::take(&mut self.element))));
    }

    /// Advances an element in flight. True: the server has refused it.
    fn step(&mut self, side: &mut Stream<'_, '_>, waker: &Waker) -> bool {
        let Stream { at, sending, blocks } = side;
        let SendState::InFlight { stage, numbered, is_withdrawing, .. } = &mut self.state else {
            return false;
        };
        if self.is_unwanted && !*is_withdrawing {
            *is_withdrawing = true;
            let Stage::Sent(number) = *stage else {
                sending.forget(stage);
                self.fail(SendError::Cancelled);
                return false;
            };
            sending.withdraw(at, blocks, number);
        }
        let flags = if self.is_try { flags::TRY } else { 0 };
        let polled = sending.poll((at, blocks), stage, (&*numbered, flags), waker);
        if let Stage::Sent(_) = stage {
            *numbered = Element::default();
        }
        let Poll::Ready(polled) = polled else { return false };
        let reason = || match &sending.over {
            Some(Over::Closed(reason)) => reason.clone(),
            _ => None,
        };
        let is_refused = matches!(polled, Ok(Outcome::Refused(_)));
        match polled {
            Ok(Outcome::Accepted) => self.state = SendState::Done(Ok(())),
            // The connection has ended: `lost` handles the entry.
            Ok(Outcome::Unknown) => {}
            Ok(Outcome::NotSent | Outcome::Refused(code::GAP))
            | Err(Refusal::Over(Over::Ended(_) | Over::Reset { .. })) => {
                self.state = SendState::Waiting;
                if self.is_unwanted {
                    // It was being withdrawn, and was not accepted.
                    self.fail(SendError::Cancelled);
                }
            }
            Ok(Outcome::Refused(code)) => {
                self.fail(|element| SendError::refused(code, element, reason));
            }
            Err(Refusal::WouldBlock) => self.fail(SendError::WouldBlock),
            Err(Refusal::TooLong) => self.fail(SendError::TooLong),
            Err(Refusal::Over(Over::Closed(reason))) => {
                self.fail(|element| SendError::Closed { element, reason });
            }
        }
        is_refused
    }
}
