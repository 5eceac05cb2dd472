// SPDX-License-Identifier: BSD-3-Clause
//! The elements of a sender that sends each exactly once, from the send to the answer.
//!
//! ```text
//!            start, with the next number              ack, nack
//!   waiting ─────────────────────────────► flying ───────────────► done
//!      ▲  ▲                                 │    connection ends,
//!      │  └─────── nack: one before it ─────┤    handed over
//!      │           is missing               ▼
//!      └── the server's highest number ◄─ doubtful ─► done: the server's highest number is not
//!          is below its own                           below it; or it has forgotten: unknown
//! ```
//!
//! Numbers follow go-back-N (as in HDLC and TCP without selective acknowledgment): the server takes
//! a number only directly after the one before it, so that what is refused makes everything behind
//! it be refused too, and be sent again with numbers that close the gap.
//!
//! # Invariants
//!
//! 1. `highest` is the server's highest number as far as answers have said. The elements that fly
//!    have the numbers directly above, in the order in which their sends began, unless `is_stalled`:
//!    one was refused. Then none is started until no more fly.
//! 2. An element that flies or is doubtful is never given another number: only one that the server
//!    has said it did not accept is.
//! 3. There is an entry for each live send and for each that flies: no more than live sends and the
//!    server's credit.
//! 4. Of those sent ahead at most two wait: one for credit, and one that was handed over when the
//!    connection ended. Another is taken from the line only when nobody waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Poll, Waker};

use becket_chan::Sender;
use becket_wire::flags;

use super::line::Line;
use crate::blocks::Blocks;
use crate::client::sending::{Outcome, Posted, Refusal, Sending, Stage};
use crate::client::state::Over;
use crate::connection::{At, Ended};
use crate::dedup::{Remembered, with_number};
use crate::element::Element;
use crate::streams::code;

#[derive(Default)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    tickets: u64,
    /// What the server has said of the producer, and what its answers have added.
    remembered: Option<Remembered>,
    is_open: bool,
    is_stalled: bool,
    /// There will be no stream any more.
    never: Option<Ended>,
    /// Whoever takes the elements further.
    pub(super) engine: Option<Waker>,
    /// What is sent ahead, since somebody asked for it.
    line: Option<Line>,
    /// What became of sends that nobody waits for.
    posted: Posted,
    /// Who waits until all have been answered.
    flushing: Vec<Waker>,
}

struct Entry {
    ticket: u64,
    element: Element,
    is_try: bool,
    place: Place,
    /// Its send has passed its limits, or has gone.
    is_unwanted: bool,
    /// Nobody asks what becomes of it.
    is_abandoned: bool,
    /// Nobody ever did: it was sent ahead, and stays in any place.
    is_ahead: bool,
    waker: Option<Waker>,
}

enum Place {
    Waiting,
    Flying { number: u64, stage: Stage, numbered: Element, is_asked_back: bool },
    Doubtful { number: u64 },
    Done(Fate),
}

/// What became of a send.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    Accepted,
    WouldBlock,
    TooLong,
    WrongLength,
    Closed(Option<Arc<str>>),
    TakenBack,
    Gone(Ended),
    /// It was handed over, and the server has forgotten the producer, or there is none any more.
    Unknown(Option<Ended>),
}

/// The stream of one connection, during a turn of that.
pub(super) struct Stream<'a, 'b> {
    pub(super) at: &'a mut At<'b>,
    pub(super) sending: &'a mut Sending,
    pub(super) blocks: &'a mut Blocks,
}

/// How far a send is when it passes its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It has not been accepted: it is taken out.
    Never,
    /// It has been asked back: the answer comes.
    Asked,
    /// Nobody knows: it is taken out.
    Doubtful,
}

impl Queue {
    pub(super) fn highest(&self) -> u64 {
        self.remembered.map_or(0, |remembered| remembered.highest)
    }

    /// A send begins.
    pub(super) fn push(&mut self, element: Element, is_try: bool) -> u64 {
        let ticket = self.tickets;
        self.tickets += 1;
        let place = match &self.never {
            Some(ended) => Place::Done(Fate::Gone(ended.clone())),
            None if is_try && !self.is_open => Place::Done(Fate::WouldBlock),
            None => Place::Waiting,
        };
        let (is_unwanted, is_abandoned, is_ahead, waker) = (false, false, false, None);
        self.entries.push_back(Entry {
            ticket,
            element,
            is_try,
            place,
            is_unwanted,
            is_abandoned,
            is_ahead,
            waker,
        });
        ticket
    }

    /// An element was taken from the line.
    fn push_ahead(&mut self, element: Element) {
        self.push(element, false);
        if let Some(entry) = self.entries.back_mut() {
            entry.is_ahead = true;
        }
    }

    /// The local channel for what is sent ahead.
    pub(super) fn ahead(&mut self) -> Sender<Element> {
        let Self { line, never, .. } = self;
        let line = line.get_or_insert_with(|| match never {
            Some(ended) => Line::closed(&ended.to_string()),
            None => Line::new(),
        });
        line.sender().clone()
    }

    /// Ready when all that was handed over has been answered, and all that was sent ahead. True: the
    /// engine is to be called.
    pub(super) fn poll_flush(&mut self, waker: &Waker, at_line: &Waker) -> (Poll<Posted>, bool) {
        let handed = self.line.as_mut().and_then(|line| line.handed(at_line));
        let is_handed = handed.is_some();
        if let Some(element) = handed {
            self.push_ahead(element);
        }
        if self.is_flushed() {
            return (Poll::Ready(self.posted), false);
        }
        if !self.flushing.iter().any(|other| other.will_wake(waker)) {
            self.flushing.push(waker.clone());
        }
        (Poll::Pending, is_handed)
    }

    fn is_flushed(&self) -> bool {
        self.entries.iter().all(|entry| match entry.place {
            Place::Flying { stage: Stage::Sent(_) | Stage::Over, .. } | Place::Doubtful { .. } => {
                false
            }
            Place::Flying { .. } | Place::Waiting => !entry.is_ahead,
            Place::Done(_) => true,
        })
    }

    /// What became of a send; it is taken out then.
    pub(super) fn poll(&mut self, ticket: u64, waker: &Waker) -> Poll<(Element, Fate)> {
        let Some(at) = self.find(ticket) else { return Poll::Pending };
        let Some(entry) = self.entries.get_mut(at) else { return Poll::Pending };
        if let Place::Done(fate) = &entry.place {
            let done = (std::mem::take(&mut entry.element), fate.clone());
            self.entries.remove(at);
            return Poll::Ready(done);
        }
        entry.waker = Some(waker.clone());
        Poll::Pending
    }

    /// A send has passed its limits.
    pub(super) fn stop(&mut self, ticket: u64) -> Stopped {
        let Some(at) = self.find(ticket) else { return Stopped::Never };
        let Some(entry) = self.entries.get_mut(at) else { return Stopped::Never };
        match entry.place {
            Place::Flying { .. } | Place::Done(_) => {
                entry.is_unwanted = true;
                Stopped::Asked
            }
            Place::Waiting => {
                self.entries.remove(at);
                Stopped::Never
            }
            Place::Doubtful { .. } => {
                self.entries.remove(at);
                Stopped::Doubtful
            }
        }
    }

    /// Nobody asks about a send any more. It is asked back if it flies. Gives whom to wake.
    pub(super) fn abandon(&mut self, ticket: u64) -> Vec<Waker> {
        let Some(at) = self.find(ticket) else { return Vec::new() };
        let Some(entry) = self.entries.get_mut(at) else { return Vec::new() };
        if let Place::Flying { .. } = entry.place {
            (entry.is_unwanted, entry.is_abandoned, entry.waker) = (true, true, None);
        } else if let Some(entry) = self.entries.remove(at) {
            count_posted(&mut self.posted, &entry);
        }
        self.flushed()
    }

    /// Whom to wake if all has been answered.
    pub(super) fn flushed(&mut self) -> Vec<Waker> {
        if self.flushing.is_empty() || !self.is_flushed() {
            return Vec::new();
        }
        std::mem::take(&mut self.flushing)
    }

    fn find(&self, ticket: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&ticket, |entry| entry.ticket).ok()
    }

    /// There is a stream again, and the server has said what it remembers.
    pub(super) fn opened(&mut self, remembered: Remembered) -> Vec<Waker> {
        let before = self.remembered.replace(remembered);
        let is_forgotten = before.is_some_and(|before| before.mark != remembered.mark);
        self.is_open = true;
        self.is_stalled = false;
        if self.line.as_ref().is_some_and(|line| line.sender().is_closed()) {
            self.line = None;
        }
        for entry in &mut self.entries {
            if let Place::Doubtful { number } = entry.place {
                entry.place = if is_forgotten {
                    Place::Done(Fate::Unknown(None))
                } else if number <= remembered.highest {
                    Place::Done(Fate::Accepted)
                } else {
                    Place::Waiting
                };
            }
        }
        self.tidy()
    }

    /// There is no stream any more.
    pub(super) fn lost(&mut self) -> Vec<Waker> {
        self.is_open = false;
        if let Some(handed) = self.line.as_mut().and_then(Line::leave) {
            self.push_ahead(handed);
        }
        for entry in &mut self.entries {
            if let Place::Flying { stage, number, .. } = &entry.place {
                entry.place = match stage {
                    Stage::Sent(_) | Stage::Over => Place::Doubtful { number: *number },
                    Stage::New | Stage::Waiting(_) => Place::Waiting,
                };
            }
            if entry.is_try && matches!(entry.place, Place::Waiting) {
                entry.place = Place::Done(Fate::WouldBlock);
            }
        }
        let mut woken = self.tidy();
        // Who has passed its limits does not wait for another stream.
        let unwanted = self.entries.iter_mut().filter(|entry| entry.is_unwanted);
        woken.extend(unwanted.filter_map(|entry| entry.waker.take()));
        woken
    }

    /// There will be no other.
    pub(super) fn never(&mut self, ended: &Ended) -> Vec<Waker> {
        if let Some(line) = &mut self.line
            && let Some(handed) = line.close(Some(ended.to_string().into()))
        {
            self.push_ahead(handed);
        }
        self.never = Some(ended.clone());
        for entry in &mut self.entries {
            match entry.place {
                Place::Waiting => entry.place = Place::Done(Fate::Gone(ended.clone())),
                Place::Doubtful { .. } | Place::Flying { .. } => {
                    entry.place = Place::Done(Fate::Unknown(Some(ended.clone())));
                }
                Place::Done(_) => {}
            }
        }
        self.tidy()
    }

    /// Takes out what nobody asks about, and gives the wakers of the others that are done.
    fn tidy(&mut self) -> Vec<Waker> {
        let posted = &mut self.posted;
        self.entries.retain(|entry| {
            let is_left = match entry.place {
                Place::Flying { .. } => false,
                Place::Done(_) => entry.is_abandoned || entry.is_ahead,
                Place::Waiting | Place::Doubtful { .. } => entry.is_abandoned,
            };
            if is_left {
                count_posted(posted, entry);
            }
            !is_left
        });
        let done = |entry: &&mut Entry| matches!(entry.place, Place::Done(_));
        let mut woken = self.flushed();
        woken.extend(self.entries.iter_mut().filter(done).filter_map(|entry| entry.waker.take()));
        woken
    }

    /// Takes every element as far as it goes on this stream.
    pub(super) fn pump(&mut self, side: &mut Stream<'_, '_>, waker: &Waker, at_line: &Waker) {
        self.look(side, waker);
        self.start(side, waker);
        self.take_ahead(side, waker, at_line);
        self.tidy().into_iter().for_each(|waker| side.at.wakes.push(waker));
    }

    /// Takes from the line as long as nobody waits.
    fn take_ahead(&mut self, side: &mut Stream<'_, '_>, waker: &Waker, at_line: &Waker) {
        loop {
            if let Some(Over::Closed(reason)) = &side.sending.over
                && let Some(line) = &mut self.line
            {
                if let Some(handed) = line.close(reason.clone()) {
                    self.push_ahead(handed);
                    self.start(side, waker);
                }
                return;
            }
            if side.sending.over.is_some() || self.entries.iter().any(Entry::waits) {
                return;
            }
            match self.line.as_mut().map(|line| line.next(at_line)) {
                Some(Poll::Ready(Some(element))) => {
                    self.push_ahead(element);
                    self.start(side, waker);
                }
                // Whoever had it has closed it: the next who asks has another.
                Some(Poll::Ready(None)) => self.line = None,
                Some(Poll::Pending) | None => return,
            }
        }
    }

    /// What became of those that fly.
    fn look(&mut self, side: &mut Stream<'_, '_>, waker: &Waker) {
        let mut is_any_flying = false;
        for entry in &mut self.entries {
            if let Place::Flying { .. } = entry.place {
                self.is_stalled |= entry.step(side, waker);
                match &entry.place {
                    Place::Flying { .. } => is_any_flying = true,
                    Place::Done(Fate::Accepted) => count(&mut self.remembered),
                    _ => {}
                }
            }
        }
        self.is_stalled &= is_any_flying;
    }

    /// Starts those that wait, in order.
    fn start(&mut self, side: &mut Stream<'_, '_>, waker: &Waker) {
        let mut last = self.highest();
        let mut is_any_flying = false;
        for entry in &mut self.entries {
            match &entry.place {
                Place::Flying { number, stage, .. } => {
                    if let Stage::Waiting(_) = stage {
                        // There is no credit for it: none for those behind it either.
                        return;
                    }
                    (last, is_any_flying) = (*number, true);
                }
                // Others are before it: it is not accepted at once.
                Place::Waiting if entry.is_try && is_any_flying => {
                    entry.place = Place::Done(Fate::WouldBlock);
                }
                Place::Waiting if self.is_stalled => return,
                Place::Waiting => {
                    let number = last.saturating_add(1);
                    let numbered = with_number(number, entry.element.as_slice()).into();
                    let (stage, is_asked_back) = (Stage::New, false);
                    entry.place = Place::Flying { number, stage, numbered, is_asked_back };
                    self.is_stalled |= entry.step(side, waker);
                    match &entry.place {
                        Place::Flying { stage: Stage::Waiting(_), .. } | Place::Waiting => return,
                        Place::Flying { .. } => (last, is_any_flying) = (number, true),
                        Place::Done(Fate::Accepted) => {
                            last = number;
                            count(&mut self.remembered);
                        }
                        _ => {}
                    }
                }
                Place::Doubtful { .. } | Place::Done(_) => {}
            }
        }
    }
}

/// The server has accepted one more.
fn count(remembered: &mut Option<Remembered>) {
    if let Some(remembered) = remembered {
        remembered.highest = remembered.highest.saturating_add(1);
    }
}

/// What became of a send that nobody waits for. One that never was handed over leaves no trace.
fn count_posted(posted: &mut Posted, entry: &Entry) {
    match &entry.place {
        Place::Done(Fate::Accepted) => posted.accepted += 1,
        Place::Done(Fate::Unknown(_)) | Place::Doubtful { .. } => posted.unknown += 1,
        Place::Done(_) => posted.refused += 1,
        Place::Waiting | Place::Flying { .. } => {}
    }
}

impl Entry {
    fn waits(&self) -> bool {
        matches!(self.place, Place::Waiting | Place::Flying { stage: Stage::Waiting(_), .. })
    }

    /// Takes one that flies a step further. True: the server has refused it.
    fn step(&mut self, side: &mut Stream<'_, '_>, waker: &Waker) -> bool {
        let Stream { at, sending, blocks } = side;
        let Place::Flying { stage, numbered, is_asked_back, .. } = &mut self.place else {
            return false;
        };
        if self.is_unwanted && !*is_asked_back {
            *is_asked_back = true;
            let Stage::Sent(number) = *stage else {
                sending.forget(at, stage);
                self.place = Place::Done(Fate::TakenBack);
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
        let over = || match &sending.over {
            Some(Over::Closed(reason)) => reason.clone(),
            _ => None,
        };
        let (place, is_refused) = match polled {
            Ok(Outcome::Accepted) => (Place::Done(Fate::Accepted), false),
            // The connection is over: `lost` finds it where it is.
            Ok(Outcome::Unknown) => return false,
            Ok(Outcome::NotSent) | Err(Refusal::Over(Over::Ended(_) | Over::Reset { .. })) => {
                (Place::Waiting, false)
            }
            Ok(Outcome::Refused(code::GAP)) => (Place::Waiting, true),
            Ok(Outcome::Refused(code)) => (Place::Done(Fate::of(code, over())), true),
            Err(Refusal::WouldBlock) => (Place::Done(Fate::WouldBlock), false),
            Err(Refusal::TooLong) => (Place::Done(Fate::TooLong), false),
            Err(Refusal::Over(Over::Closed(reason))) => (Place::Done(Fate::Closed(reason)), false),
        };
        // It was asked back, and has come back.
        let is_back = self.is_unwanted && matches!(place, Place::Waiting);
        self.place = if is_back { Place::Done(Fate::TakenBack) } else { place };
        is_refused
    }
}

impl Fate {
    fn of(code: u16, reason: Option<Arc<str>>) -> Self {
        match code {
            code::WOULD_BLOCK => Self::WouldBlock,
            code::WITHDRAWN => Self::TakenBack,
            code::WRONG_LENGTH => Self::WrongLength,
            _ => Self::Closed(reason),
        }
    }
}
