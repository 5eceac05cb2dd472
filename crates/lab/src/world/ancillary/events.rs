// SPDX-License-Identifier: BSD-3-Clause
//! Compares what arrives with what was sent.

use becket_wire::{Credit, Event, StreamId, codes};
use bytes::Bytes;

use super::calls::of_element;
use super::ledger::{Fate, Phase, less};
use super::{Ancillary, CREDIT, NACKED, Parts, REFUSED, SERVICE, SessionCall, Side, body};

/// The result of a call: correct or wrong; or `None` if the event has no call here.
type Came = Option<(SessionCall, bool)>;

impl Parts<'_> {
    /// Handles an event that is not about flows. False: it is about a flow.
    pub(in super::super) fn ancillary_event(&mut self, is_client: bool, event: &Event<'_>) -> bool {
        let Some(mut it) = self.ancillary.take() else { return false };
        let side = Side { is_client };
        let came = it.came(self, side, event);
        // It may be what an obligation waits for.
        it.is_settled = false;
        self.ancillary = Some(it);
        if let Some((call, false)) = came {
            self.call_of(side, call, false);
        }
        came.is_some()
    }
}

impl Ancillary {
    fn came(&mut self, parts: &mut Parts<'_>, side: Side, event: &Event<'_>) -> Came {
        use SessionCall as Call;
        let ledger = &mut self.ledger;
        match *event {
            Event::Opened { stream, service, credit, name, .. } if service == SERVICE => {
                let is_right = credit == CREDIT && name.is_empty();
                Some((Call::Open, self.opened(parts, side, stream) && is_right))
            }
            Event::Request { request, operation, body: came } => {
                let mut asked = ledger.book(side.other()).requests.iter_mut();
                let asked = asked.find(|asked| asked.number == request && !asked.has_come);
                Some((
                    Call::Request,
                    asked.is_some_and(|asked| {
                        asked.has_come = true;
                        asked.operation == operation && *came == body(asked.token, asked.bytes)
                    }),
                ))
            }
            Event::Reply { request, status, body: came } => {
                let requests = &mut ledger.book(side).requests;
                let at = requests.iter().position(|asked| asked.number == request);
                let asked = at.map(|at| requests.swap_remove(at));
                Some((
                    Call::Reply,
                    asked.is_some_and(|asked| {
                        let is_answer = *came == body(!asked.token, asked.bytes + 1);
                        asked.is_answered && status == !asked.operation && is_answer
                    }),
                ))
            }
            Event::Cancelled { request } => {
                let mut asked = ledger.book(side.other()).requests.iter();
                let asked = asked.find(|asked| asked.number == request);
                let is_right = |asked: &super::ledger::Asked| {
                    asked.has_come && asked.is_cancelled && !asked.is_answered
                };
                Some((Call::Cancel, asked.is_some_and(is_right)))
            }
            Event::Notice { of, body: came, .. } => {
                let news = ledger.book(side.other()).news.pop_front();
                let is_it = |(token, bytes)| token == of && *came == body(token, bytes);
                Some((Call::Notice, news.is_some_and(is_it)))
            }
            Event::Region { region, .. } => {
                let mut regions = ledger.book(side.other()).regions.iter_mut();
                let known = regions.find(|it| it.number == region && !it.has_come);
                Some((Call::Region, known.map(|region| region.has_come = true).is_some()))
            }
            Event::Unregion { region, .. } => {
                let regions = &mut ledger.book(side.other()).regions;
                let at = regions.iter().position(|it| it.number == region && it.is_gone);
                Some((Call::Unregion, at.map(|at| regions.swap_remove(at)).is_some()))
            }
            Event::Release { region, .. } => {
                let mut regions = ledger.book(side).regions.iter_mut();
                let known = regions.find(|it| it.number == region && it.released > 0);
                Some((Call::Release, known.map(|region| region.released -= 1).is_some()))
            }
            Event::Draining => Some((Call::Drain, !side.is_client && self.is_ending)),
            Event::Closed { code, .. } if self.is_ending => {
                self.is_closed = !side.is_client && code == codes::DONE;
                Some((Call::Close, self.is_closed))
            }
            _ => self.of_line(parts, side, event),
        }
    }

    /// The other side opens a line.
    fn opened(&mut self, parts: &mut Parts<'_>, side: Side, id: StreamId) -> bool {
        let Some(line) = self.ledger.line(id).filter(|line| line.opener != side) else {
            return false;
        };
        line.has_come = true;
        let is_refused = parts.choices.below(6) == 1;
        let session = parts.session(side);
        let (call, done) = match is_refused {
            true => (SessionCall::Refuse, session.refuse(id, REFUSED, Bytes::new()).is_ok()),
            false => (SessionCall::Accept, session.accept(id, CREDIT, Bytes::new()).is_ok()),
        };
        line.phase = match (line.phase, is_refused) {
            (Phase::Opening, true) => Phase::Broken(side, REFUSED),
            (Phase::Opening, false) => Phase::Open,
            // Its opener has reset it meanwhile.
            (_, true) => Phase::Over,
            (phase, false) => phase,
        };
        parts.call_of(side, call, done);
        true
    }

    fn of_line(&mut self, parts: &mut Parts<'_>, side: Side, event: &Event<'_>) -> Came {
        use SessionCall as Call;
        let (Event::Accepted { stream: id, .. }
        | Event::Element { stream: id, .. }
        | Event::Credit { stream: id }
        | Event::Acked { stream: id, .. }
        | Event::Nacked { stream: id, .. }
        | Event::Withdraw { stream: id, .. }
        | Event::Returned { stream: id, .. }
        | Event::Revoke { stream: id, .. }
        | Event::Revoked { stream: id, .. }
        | Event::Ended { stream: id, .. }
        | Event::Reset { stream: id, .. }) = *event
        else {
            return None;
        };
        if !self.ledger.knows(id) {
            return None;
        }
        let Some(line) = self.ledger.line(id) else { return Some((Call::Reset, false)) };
        Some(match event {
            Event::Accepted { .. } => (Call::Accept, line.opener == side && line.has_come),
            Event::Element { sequence, body: came, .. } => {
                let way = line.way_mut(side.other());
                way.pending.push_back(*sequence);
                let element = way.elements.get_mut(sequence).filter(|element| !element.has_come);
                let bytes = element.map(|element| {
                    element.has_come = true;
                    element.bytes
                });
                let is_right =
                    bytes.is_some_and(|bytes| **came == *body(of_element(id, *sequence), bytes));
                self.hold(parts, side, came.len() as u64);
                (Call::Send, is_right)
            }
            Event::Acked { upto, .. } => {
                let elements = &mut line.way_mut(side).elements;
                let acked: Vec<_> = elements.extract_if(..=*upto, |_, _| true).collect();
                let is_right = acked.iter().all(|(_, it)| it.fate == Fate::Accepted);
                (Call::Ack, is_right)
            }
            Event::Nacked { sequence, code, .. } => {
                let element = line.way_mut(side).elements.remove(sequence);
                let is_refused = element.is_some_and(|element| element.fate == Fate::Refused);
                (Call::Nack, is_refused && *code == NACKED)
            }
            Event::Returned { sequence, body: came, .. } => {
                let element = line.way_mut(side).elements.remove(sequence);
                let is_right = element.is_some_and(|element| {
                    let as_sent = body(of_element(id, *sequence), element.bytes);
                    element.fate == Fate::Returned && **came == *as_sent
                });
                (Call::GiveBack, is_right)
            }
            Event::Withdraw { sequence, .. } => {
                (Call::Withdraw, self.withdraw_came(parts, side, id, *sequence))
            }
            Event::Revoke { messages, bytes, .. } => {
                let asked = Credit::new(*messages, *bytes);
                (Call::Revoke, less(line.way(side).revoking, asked).is_some())
            }
            Event::Revoked { asked, taken, .. } => {
                let way = line.way_mut(side.other());
                let is_right = less(way.revoking, *asked) == Some((0, 0));
                way.revoking = (0, 0);
                if taken.messages > 0 || taken.bytes > 0 {
                    self.grant(parts, side, id, taken.messages, taken.bytes);
                }
                (Call::Revoke, is_right)
            }
            Event::Ended { .. } => {
                let way = line.way_mut(side.other());
                way.is_over = true;
                let is_right = way.has_ended && way.elements.is_empty();
                if line.ways.iter().all(|way| way.is_over) {
                    line.phase = Phase::Over;
                }
                (Call::End, is_right)
            }
            Event::Reset { code, .. } => {
                let is_right = line.phase == Phase::Broken(side.other(), *code);
                line.phase = Phase::Over;
                self.take_unsent(parts, side, id);
                (Call::Reset, is_right)
            }
            _ => (Call::Grant, true),
        })
    }

    /// Holds some of the arrived bytes in memory for a while.
    fn hold(&mut self, parts: &mut Parts<'_>, side: Side, bytes: u64) {
        if parts.choices.below(4) == 1 {
            parts.session(side).hold(bytes);
            self.ledger.book(side).held += bytes;
            parts.call_of(side, SessionCall::Hold, true);
        }
    }

    /// The sender withdraws an element: it is refused, unless it was decided before.
    fn withdraw_came(
        &mut self,
        parts: &mut Parts<'_>,
        side: Side,
        id: StreamId,
        sequence: u64,
    ) -> bool {
        let Some(line) = self.ledger.line(id) else { return false };
        let way = line.way_mut(side.other());
        let Some(at) = way.pending.iter().position(|pending| *pending == sequence) else {
            // It was decided, and the answer is in flight, or has arrived.
            return true;
        };
        way.pending.remove(at);
        let Some(element) = way.elements.get_mut(&sequence) else { return false };
        element.fate = Fate::Refused;
        let bytes = element.bytes;
        let done = parts.session(side).nack(id, sequence, NACKED).is_ok();
        parts.call_of(side, SessionCall::Nack, done);
        self.grant(parts, side, id, 1, bytes.into());
        true
    }
}
