// SPDX-License-Identifier: BSD-3-Clause
//! The calls, one at a time, as the choices decide. A call without an occasion is not made.

use becket_wire::{Priority, StreamId, Withdrawn, codes};
use bytes::Bytes;

use super::ledger::{Asked, Element, Fate, Line, Phase, Region, Way};
use super::{
    Ancillary, CREDIT, ELEMENT_BYTES_MAX, LINES_MAX, NACKED, Parts, RESET, SERVICE, SessionCall,
    Side, body,
};

/// Requests and regions of each side that may be open at once.
const AT_ONCE_MAX: usize = 4;
/// Base number of operations, and the number of notices.
const OPERATION: u16 = 0x4000;
const BODY_BYTES_MAX: u32 = 64;
const REGION_BYTES: u64 = 4096;
const GENERATION: u32 = 1;

impl Ancillary {
    pub(super) fn work(&mut self, parts: &mut Parts<'_>, side: Side) {
        match parts.choices.below(18) {
            0 => self.open(parts, side),
            1..=5 => self.send(parts, side),
            6 | 7 => drop(self.decide(parts, side, Fate::Accepted)),
            8 => drop(self.decide(parts, side, Fate::Refused)),
            9 => drop(self.decide(parts, side, Fate::Returned)),
            10 => self.withdraw(parts, side),
            11 => self.revoke(parts, side),
            12 => self.ask(parts, side),
            13 => drop(self.answer(parts, side)),
            14 => self.cancel(parts, side),
            15 => self.tell(parts, side),
            16 => self.regions(parts, side),
            _ => match parts.choices.below(4) {
                0 => self.reset(parts, side),
                _ => drop(self.let_go(parts, side)),
            },
        }
    }

    fn number(&mut self) -> u32 {
        self.ledger.numbers += 1;
        self.ledger.numbers
    }

    fn open(&mut self, parts: &mut Parts<'_>, side: Side) {
        let mut own = self.ledger.lines.iter().filter(|line| line.opener == side);
        if own.clone().count() >= LINES_MAX || !own.all(Line::is_over) {
            return;
        }
        let priority = Priority::from_number(parts.choices.below(3) as u8).unwrap_or_default();
        let Ok(id) = parts.session(side).open(SERVICE, priority, CREDIT, Bytes::new()) else {
            return;
        };
        self.ledger.lines.push(Line::new(id, side));
        parts.call_of(side, SessionCall::Open, true);
    }

    /// The lines that are open on both sides, the latest first.
    fn open_lines(&mut self) -> impl Iterator<Item = &mut Line> {
        self.ledger.lines.iter_mut().rev().filter(|line| line.phase == Phase::Open)
    }

    fn send(&mut self, parts: &mut Parts<'_>, side: Side) {
        let bytes = 1 + parts.choices.below(ELEMENT_BYTES_MAX);
        let is_through = parts.choices.below(2) == 1;
        let Some(line) = self.open_lines().find(|line| !line.way(side).has_ended) else { return };
        let (id, way) = (line.id, line.way_mut(side));
        let sequence = way.sent + 1;
        let element = body(of_element(id, sequence), bytes);
        let owned = || element.clone();
        let (sent, call) = match (is_through, side.is_client) {
            (true, true) => {
                let sent = parts.client.send_through(parts.up, id, 0, &element, owned);
                (sent, SessionCall::SendThrough)
            }
            (true, false) => {
                let sent = parts.server.send_through(parts.down, id, 0, &element, owned);
                (sent, SessionCall::SendThrough)
            }
            _ => (parts.session(side).send(id, 0, element), SessionCall::Send),
        };
        let Ok(number) = sent else { return };
        way.sent = sequence;
        way.elements.insert(sequence, Element { bytes, fate: Fate::Out, has_come: false });
        parts.call_of(side, call, number == sequence);
    }

    /// Accepts, refuses or returns the next element that arrived at this side. True: there was one.
    pub(super) fn decide(&mut self, parts: &mut Parts<'_>, side: Side, fate: Fate) -> bool {
        let sender = side.other();
        let is_asked = |line: &&mut Line| !line.way(sender).pending.is_empty();
        let Some(line) = self.open_lines().find(is_asked) else { return false };
        let may_give_back = !line.way(side).has_ended;
        let (id, way) = (line.id, line.way_mut(sender));
        let Some(sequence) = way.pending.pop_front() else { return false };
        let Some(element) = way.elements.get_mut(&sequence) else { return false };
        let (bytes, session) = (element.bytes, parts.session(side));
        let (fate, call, done) = match fate {
            Fate::Refused => (fate, SessionCall::Nack, session.nack(id, sequence, NACKED).is_ok()),
            Fate::Returned if may_give_back => {
                let element = body(of_element(id, sequence), bytes);
                let done = session.give_back(id, sequence, 0, element).is_ok();
                (fate, SessionCall::GiveBack, done)
            }
            _ => (Fate::Accepted, SessionCall::Ack, session.ack(id, sequence).is_ok()),
        };
        element.fate = fate;
        parts.call_of(side, call, done);
        self.grant(parts, side, id, 1, bytes.into());
        true
    }

    /// Grants spent credit again.
    pub(super) fn grant(
        &mut self,
        parts: &mut Parts<'_>,
        side: Side,
        id: StreamId,
        messages: u32,
        bytes: u64,
    ) {
        let is_over = self.ledger.line(id).is_none_or(|line| line.way(side.other()).has_ended);
        if !is_over && parts.session(side).grant(id, messages, bytes).is_ok() {
            parts.call_of(side, SessionCall::Grant, true);
        }
    }

    fn withdraw(&mut self, parts: &mut Parts<'_>, side: Side) {
        let is_undecided = |line: &&mut Line| {
            let mut elements = line.way(side).elements.values();
            elements.any(|element| element.fate == Fate::Out)
        };
        let Some(line) = self.open_lines().find(is_undecided) else { return };
        let (id, way) = (line.id, line.way_mut(side));
        // The last one is most likely still queued.
        let mut elements = way.elements.iter().rev();
        let Some((sequence, element)) = elements.find(|(_, it)| it.fate == Fate::Out) else {
            return;
        };
        let (sequence, element) = (*sequence, *element);
        let is_right = match parts.session(side).withdraw(id, sequence) {
            Ok(Withdrawn::Here(bytes)) => {
                way.elements.remove(&sequence);
                !element.has_come && bytes == body(of_element(id, sequence), element.bytes)
            }
            Ok(Withdrawn::Asked) => true,
            Err(_) => false,
        };
        parts.call_of(side, SessionCall::Withdraw, is_right);
    }

    fn revoke(&mut self, parts: &mut Parts<'_>, side: Side) {
        let (messages, bytes) = (1 + parts.choices.below(2), u64::from(parts.choices.below(500)));
        let sender = side.other();
        let may = |line: &&mut Line| {
            let way = line.way(sender);
            way.revoking == (0, 0) && !way.has_ended
        };
        let Some(line) = self.open_lines().find(may) else { return };
        if parts.session(side).revoke(line.id, messages, bytes).is_ok() {
            line.way_mut(sender).revoking = (messages.into(), bytes);
            parts.call_of(side, SessionCall::Revoke, true);
        }
    }

    fn ask(&mut self, parts: &mut Parts<'_>, side: Side) {
        let (code, bytes) = (parts.choices.below(100) as u16, parts.choices.below(BODY_BYTES_MAX));
        if self.ledger.book(side).requests.len() >= AT_ONCE_MAX {
            return;
        }
        let (operation, token) = (OPERATION + code, u64::from(self.number()));
        let (whole, session) = (body(token, bytes), parts.session(side));
        let asked = match token % 2 {
            0 => session.request(operation, whole),
            _ => session.request_parts(operation, whole.split_at(whole.len() / 2).into()),
        };
        let Ok(number) = asked else { return };
        let (has_come, is_answered, is_cancelled) = (false, false, false);
        let asked = Asked { number, token, operation, bytes, has_come, is_answered, is_cancelled };
        self.ledger.book(side).requests.push(asked);
        parts.call_of(side, SessionCall::Request, true);
    }

    /// Answers a request that arrived at this side. True: there was one.
    pub(super) fn answer(&mut self, parts: &mut Parts<'_>, side: Side) -> bool {
        let mut asked = self.ledger.book(side.other()).requests.iter_mut();
        let Some(asked) = asked.find(|it| it.has_come && !it.is_answered) else { return false };
        let answer = body(!asked.token, asked.bytes + 1);
        let (status, session) = (!asked.operation, parts.session(side));
        let done = match asked.token % 2 {
            0 => session.reply(asked.number, status, answer),
            _ => {
                let parts = answer.split_at(answer.len() / 2).into();
                session.reply_parts(asked.number, status, parts)
            }
        };
        let done = done.is_ok();
        asked.is_answered = true;
        parts.call_of(side, SessionCall::Reply, done);
        true
    }

    fn cancel(&mut self, parts: &mut Parts<'_>, side: Side) {
        let mut asked = self.ledger.book(side).requests.iter_mut();
        let Some(asked) = asked.find(|it| !it.is_cancelled) else { return };
        asked.is_cancelled = true;
        let done = parts.session(side).cancel(asked.number).is_ok();
        parts.call_of(side, SessionCall::Cancel, done);
    }

    fn tell(&mut self, parts: &mut Parts<'_>, side: Side) {
        let (token, bytes) = (u64::from(self.number()), parts.choices.below(BODY_BYTES_MAX));
        if parts.session(side).notice(OPERATION, token, body(token, bytes)).is_ok() {
            self.ledger.book(side).news.push_back((token, bytes));
            parts.call_of(side, SessionCall::Notice, true);
        }
    }

    /// Announces or withdraws a region, or releases a block of one.
    fn regions(&mut self, parts: &mut Parts<'_>, side: Side) {
        match parts.choices.below(3) {
            0 if self.ledger.book(side).regions.len() < AT_ONCE_MAX => {
                let number = self.number();
                if parts.session(side).region(number, GENERATION, REGION_BYTES).is_ok() {
                    let (has_come, released, is_gone) = (false, 0, false);
                    let region = Region { number, has_come, released, is_gone };
                    self.ledger.book(side).regions.push(region);
                    parts.call_of(side, SessionCall::Region, true);
                }
            }
            1 => drop(self.unregion(parts, side)),
            _ => {
                let mut regions = self.ledger.book(side.other()).regions.iter_mut();
                let Some(region) = regions.find(|region| region.has_come) else { return };
                let offset = u64::from(region.released) * 64;
                let done = parts.session(side).release(region.number, GENERATION, offset).is_ok();
                region.released += 1;
                parts.call_of(side, SessionCall::Release, done);
            }
        }
    }

    /// Withdraws a region. True: there was one.
    pub(super) fn unregion(&mut self, parts: &mut Parts<'_>, side: Side) -> bool {
        let mut regions = self.ledger.book(side).regions.iter_mut();
        let Some(region) = regions.find(|region| !region.is_gone) else { return false };
        region.is_gone = true;
        let done = parts.session(side).unregion(region.number, GENERATION).is_ok();
        parts.call_of(side, SessionCall::Unregion, done);
        true
    }

    /// Releases held bytes. True: there were some.
    pub(super) fn let_go(&mut self, parts: &mut Parts<'_>, side: Side) -> bool {
        let held = std::mem::take(&mut self.ledger.book(side).held);
        if held > 0 {
            parts.session(side).let_go(held);
            parts.call_of(side, SessionCall::LetGo, true);
        }
        held > 0
    }

    fn reset(&mut self, parts: &mut Parts<'_>, side: Side) {
        let may = |line: &&mut Line| match line.phase {
            Phase::Opening => line.opener == side,
            Phase::Open => true,
            Phase::Broken(by, _) => by != side && (line.has_come || line.opener == side),
            Phase::Over => false,
        };
        let Some(line) = self.ledger.lines.iter_mut().rev().find(may) else { return };
        let is_right = parts.session(side).reset(line.id, RESET, Bytes::new()).is_ok();
        // If both sides have reset it, neither receives the other's reset.
        line.phase = match line.phase {
            Phase::Broken(..) => Phase::Over,
            _ => Phase::Broken(side, RESET),
        };
        parts.call_of(side, SessionCall::Reset, is_right);
        let id = line.id;
        self.take_unsent(parts, side, id);
    }

    /// Takes back what was queued on a line that is reset, and checks it.
    pub(super) fn take_unsent(&mut self, parts: &mut Parts<'_>, side: Side, id: StreamId) {
        let unsent = parts.session(side).take_unsent(id);
        let line = self.ledger.lines.iter_mut().rev().find(|line| line.id == id);
        let Some(way) = line.map(|line| line.way_mut(side)) else { return };
        let is_right = unsent.iter().all(|(sequence, bytes)| {
            let element = way.elements.remove(sequence);
            element.is_some_and(|element| {
                !element.has_come && *bytes == body(of_element(id, *sequence), element.bytes)
            })
        });
        parts.call_of(side, SessionCall::TakeUnsent, is_right);
    }

    /// Ends a direction without open obligations. True: there was one.
    pub(super) fn end(&mut self, parts: &mut Parts<'_>, side: Side) -> bool {
        let is_quiet =
            |way: &Way| way.elements.is_empty() && way.pending.is_empty() && way.revoking == (0, 0);
        let may = |line: &&mut Line| !line.way(side).has_ended && line.ways.iter().all(is_quiet);
        let Some(line) = self.open_lines().find(may) else { return false };
        line.way_mut(side).has_ended = true;
        let done = parts.session(side).end(line.id, codes::DONE, Bytes::new()).is_ok();
        parts.call_of(side, SessionCall::End, done);
        true
    }
}

/// The content of an element: unique to its line and number.
pub(super) fn of_element(id: StreamId, sequence: u64) -> u64 {
    u64::from(id.number()) << 20 | sequence
}
