// SPDX-License-Identifier: BSD-3-Clause
//! Sending.
//!
//! ```text
//!   1 handshake  hello, welcome
//!   2 session    pongs, ping, drain, session credit
//!   3 control    requests, replies, opens, accepts, nacks, withdrawals, notices, regions: in order
//!   4 due        for each stream: revoked, ack, credit, revoke, reset
//!   5 elements   data, returns, ends: by priority, then round robin
//! ```
//!
//! Each step is complete before the next one begins; so an ack follows the nacks that were queued
//! before it, and an end follows all frames of its stream.

use bytes::Bytes;

use super::{Control, ControlBody, Session, State, VERSION, head as about, requests::parts};
use crate::{
    HEAD_BYTES, Head, Kind, Outlet, Priority, Role, StreamId,
    assembly::cut,
    counters::Traffic,
    flags, handshake,
    stream::{Due, Ending, Item, Phase, Stream},
};

/// How a stream's turn ended.
enum Turn {
    /// It has nothing more to send.
    Empty,
    /// Its deficit is used up: the next stream follows.
    Over,
    /// The outlet is full.
    Full,
    /// Not enough session credit for its next element.
    Waits,
}

/// The first item of a stream's queue.
struct Next {
    kind: Kind,
    sequence: u64,
    flags: u8,
    bytes: u64,
    offset: usize,
}

impl Session {
    /// Sends all that can be sent. `false`: the outlet is full; call again when it is writable.
    /// `true`: nothing more can be sent now; elements that are still queued wait for credit.
    pub fn transmit<O: Outlet + ?Sized>(&mut self, outlet: &mut O) -> bool {
        loop {
            if !self.transmit_control(outlet) {
                return false;
            }
            if self.state != State::Open {
                return true;
            }
            if self.ready.is_empty() && !self.owes_credit() {
                // Without elements no further control frame can become due.
                return true;
            }
            if !self.transmit_elements(outlet) {
                return false;
            }
            if !self.has_control() {
                return true;
            }
        }
    }

    /// Whether frames wait that precede elements.
    #[inline]
    pub(super) fn has_control(&self) -> bool {
        !self.due.is_empty()
            || !self.control.is_empty()
            || self.has_session_frames()
            || self.greets
            || self.close.is_some()
    }

    /// Whether enough session credit is owed for a `Credit`.
    #[inline]
    const fn owes_credit(&self) -> bool {
        self.taking.owed >= self.taking.grant_from
    }

    /// Sends everything but elements. `false`: the outlet is full.
    pub(super) fn transmit_control<O: Outlet + ?Sized>(&mut self, outlet: &mut O) -> bool {
        match self.state {
            State::Closed => return true,
            State::Closing => return self.transmit_close(outlet),
            State::Greeting | State::Open => {}
        }
        (!self.greets || self.transmit_greeting(outlet))
            && (!self.has_session_frames() || self.transmit_session(outlet))
            && self.transmit_queued(outlet)
            && self.transmit_due(outlet)
    }

    /// Whether pongs, a ping, a drain or session credit wait.
    #[inline]
    fn has_session_frames(&self) -> bool {
        let drains = self.drain.due && self.state == State::Open;
        !self.pongs.is_empty() || self.ping.is_some() || drains || self.owes_credit()
    }

    #[cold]
    #[inline(never)]
    fn transmit_close<O: Outlet + ?Sized>(&mut self, outlet: &mut O) -> bool {
        if let Some((code, why)) = &self.close {
            let head = Head { code: *code, ..Head::new(Kind::Close) };
            if !put(&mut self.counters.sent, outlet, head, why) {
                return false;
            }
        }
        self.close = None;
        self.state = State::Closed;
        true
    }

    #[cold]
    #[inline(never)]
    fn transmit_greeting<O: Outlet + ?Sized>(&mut self, outlet: &mut O) -> bool {
        let kind = match self.role {
            Role::Client => Kind::Hello,
            Role::Server => Kind::Welcome,
        };
        let head = Head { aux: VERSION, ..Head::new(kind) };
        let body = handshake::encode(&self.limits.announced());
        self.greets = !put(&mut self.counters.sent, outlet, head, &body);
        !self.greets
    }

    #[cold]
    #[inline(never)]
    fn transmit_session<O: Outlet + ?Sized>(&mut self, outlet: &mut O) -> bool {
        let sent = &mut self.counters.sent;
        while let Some(sequence) = self.pongs.front() {
            let head = Head { sequence: *sequence, ..Head::new(Kind::Pong) };
            if !put(sent, outlet, head, &[]) {
                return false;
            }
            self.pongs.pop_front();
        }
        if let Some(sequence) = self.ping {
            if !put(sent, outlet, Head { sequence, ..Head::new(Kind::Ping) }, &[]) {
                return false;
            }
            self.ping = None;
        }
        // Before the handshake a `Drain` is a violation.
        if self.drain.due && self.state == State::Open {
            if !put(sent, outlet, Head::new(Kind::Drain), &[]) {
                return false;
            }
            self.drain.due = false;
        }
        if self.owes_credit() {
            let head = Head { sequence: self.taking.owed, ..Head::new(Kind::Credit) };
            if !put(&mut self.counters.sent, outlet, head, &[]) {
                return false;
            }
            self.taking.granted += std::mem::take(&mut self.taking.owed);
        }
        true
    }

    fn transmit_queued<O: Outlet + ?Sized>(&mut self, outlet: &mut O) -> bool {
        while let Some(control) = self.control.front() {
            if !put(&mut self.counters.sent, outlet, control.head, control.body.as_slice()) {
                return false;
            }
            let head = control.head;
            self.loose -= usize::from(control.loose);
            self.control.pop_front();
            if head.kind == Kind::Reply {
                let (index, generation) = parts(head.sequence);
                self.asking.remove(index, generation, false);
            }
        }
        true
    }

    fn transmit_due<O: Outlet + ?Sized>(&mut self, outlet: &mut O) -> bool {
        while let Some(&id) = self.due.front() {
            if let Some(stream) = self.streams.get_mut(id) {
                if !put_due(&mut self.counters.sent, outlet, id, stream) {
                    return false;
                }
                stream.due.listed = false;
                if stream.phase == Phase::Echoing {
                    self.remove(id);
                } else if matches!(stream.outgoing.ending, Ending::Asked(..)) {
                    self.mark_ready(id);
                }
            }
            self.due.pop_front();
        }
        true
    }

    fn transmit_elements<O: Outlet + ?Sized>(&mut self, outlet: &mut O) -> bool {
        if !self.ready.none_waits() {
            self.unpark();
        }
        for class in 0..Priority::CLASSES {
            while let Some((id, alone)) = self.ready.front(class) {
                match self.turn(outlet, id, alone) {
                    Turn::Empty => drop(self.ready.pop(class)),
                    Turn::Over => self.ready.rotate(class),
                    Turn::Waits => self.ready.park(class),
                    Turn::Full => return false,
                }
            }
        }
        true
    }

    /// Lists streams that waited for session credit, in order, as long as it suffices.
    #[cold]
    #[inline(never)]
    fn unpark(&mut self) {
        for class in 0..Priority::CLASSES {
            while let Some(id) = self.ready.waiting(class) {
                if let Some(stream) = self.streams.get_mut(id).filter(|it| it.outgoing.listed) {
                    let outgoing = &mut stream.outgoing;
                    let bytes = outgoing.queue.front().map(|item| item.element().len() as u64);
                    let Some(window) = self.window.checked_sub(bytes.unwrap_or(0)) else { return };
                    self.window = window;
                    outgoing.paid = bytes;
                    self.ready.push(class, id);
                } else {
                    self.ready.buried();
                }
                self.ready.pop_waiting(class);
            }
        }
    }

    /// Sends from one stream until its deficit is used up.
    fn turn<O: Outlet + ?Sized>(&mut self, outlet: &mut O, id: StreamId, alone: bool) -> Turn {
        let piece_max = self.piece_bytes_max();
        let quantum = u64::from(self.limits.quantum_bytes);
        let Some(stream) = self.streams.get_mut(id).filter(|stream| stream.outgoing.listed) else {
            self.ready.buried();
            return Turn::Empty;
        };
        let outgoing = &mut stream.outgoing;
        if !outgoing.in_turn {
            outgoing.in_turn = true;
            outgoing.deficit += quantum;
        }
        while let Some(item) = outgoing.queue.front() {
            let next = Next::of(item, outgoing.begun);
            let (piece, follow) = cut(item.element(), next.offset, piece_max);
            let cost = (piece.len() + HEAD_BYTES) as u64;
            if !alone && cost > outgoing.deficit {
                outgoing.in_turn = false;
                return Turn::Over;
            }
            if outgoing.begun.is_none() && outgoing.paid.is_none() {
                if next.bytes > self.window || self.ready.anyone_waits(stream.priority) {
                    return Turn::Waits;
                }
                self.window -= next.bytes;
                outgoing.paid = Some(next.bytes);
            }
            let more = if follow > 0 { flags::MORE } else { 0 };
            let (flags, aux, sequence) = (next.flags | more, follow, next.sequence);
            let head = Head { flags, aux, sequence, ..about(next.kind, id) };
            if !put(&mut self.counters.sent, outlet, head, piece) {
                return Turn::Full;
            }
            let piece_bytes = piece.len();
            self.counters.sent.element_bytes += piece_bytes as u64;
            outgoing.deficit = outgoing.deficit.saturating_sub(cost);
            outgoing.paid = None;
            if follow > 0 {
                outgoing.begun = Some(next.offset + piece_bytes);
                continue;
            }
            outgoing.begun = None;
            outgoing.queue.pop_front();
            outgoing.queue_bytes -= next.bytes;
            self.queue_bytes -= next.bytes;
            self.counters.sent.elements += 1;
            if next.kind == Kind::Data {
                outgoing.sent = sequence;
                outgoing.returnable += 1;
                if std::mem::take(&mut outgoing.withdraw) {
                    let head = Head { sequence, ..about(Kind::Withdraw, id) };
                    let body = ControlBody::Long(Bytes::new());
                    self.control.push_back(Control { head, body, loose: false });
                }
            } else {
                outgoing.returns_queued -= 1;
                let due = &stream.due;
                let waited = due.ack || !due.grant.is_none();
                if outgoing.returns_queued == 0 && waited && !due.listed {
                    stream.due.listed = true;
                    self.due.push_back(id);
                }
            }
        }
        self.last(outlet, id)
    }

    /// The queue is empty: sends the end if one was requested.
    fn last<O: Outlet + ?Sized>(&mut self, outlet: &mut O, id: StreamId) -> Turn {
        let Some(stream) = self.streams.get_mut(id) else { return Turn::Empty };
        // Frames that are due precede the end: `transmit_due` lists the stream again.
        if !stream.due.listed
            && let Ending::Asked(code, why) = &stream.outgoing.ending
        {
            let end = Head { code: *code, ..about(Kind::End, id) };
            if !put(&mut self.counters.sent, outlet, end, why) {
                return Turn::Full;
            }
            stream.outgoing.ending = Ending::Done;
        }
        let outgoing = &mut stream.outgoing;
        outgoing.listed = false;
        outgoing.in_turn = false;
        outgoing.deficit = 0;
        if stream.is_over() {
            self.remove(id);
        }
        Turn::Empty
    }
}

impl Next {
    #[inline]
    fn of(item: &Item, begun: Option<usize>) -> Self {
        let (kind, sequence, flags, element) = match item {
            Item::Data { sequence, flags, element } => (Kind::Data, *sequence, *flags, element),
            Item::Return { sequence, flags, element } => (Kind::Return, *sequence, *flags, element),
        };
        let (bytes, offset) = (element.len() as u64, begun.unwrap_or(0));
        Self { kind, sequence, flags, bytes, offset }
    }
}

/// Sends the frames due on a stream. `false`: the outlet is full; the rest is still due.
#[inline]
fn put_due<O: Outlet + ?Sized>(
    sent: &mut Traffic,
    outlet: &mut O,
    id: StreamId,
    stream: &mut Stream,
) -> bool {
    let Stream { due, outgoing, incoming, .. } = stream;
    let Due { ack, grant, revoke, revoking, revoked, reset, .. } = due;
    if let Some(taken) = *revoked {
        let (aux, sequence) = (taken.messages, taken.bytes);
        if !put(sent, outlet, Head { aux, sequence, ..about(Kind::Revoked, id) }, &[]) {
            return false;
        }
        *revoked = None;
    }
    // An ack covers all elements before it, and credit admits later ones: returns go first, so that
    // neither overtakes them.
    let returned = outgoing.returns_queued == 0;
    if *ack && returned {
        let head = Head { sequence: incoming.acked, ..about(Kind::Ack, id) };
        if !put(sent, outlet, head, &[]) {
            return false;
        }
        *ack = false;
    }
    while returned && !grant.is_none() {
        let mut rest = *grant;
        let chunk = rest.chunk();
        let (aux, sequence) = (chunk.messages, chunk.bytes);
        if !put(sent, outlet, Head { aux, sequence, ..about(Kind::Credit, id) }, &[]) {
            return false;
        }
        incoming.granted.add(aux.into(), sequence);
        *grant = rest;
    }
    if revoking.is_none() && !revoke.is_none() && grant.is_none() {
        let mut rest = *revoke;
        let chunk = rest.chunk();
        let (aux, sequence) = (chunk.messages, chunk.bytes);
        if !put(sent, outlet, Head { aux, sequence, ..about(Kind::Revoke, id) }, &[]) {
            return false;
        }
        *revoking = Some(chunk);
        *revoke = rest;
    }
    if let Some((code, why)) = reset {
        let head = Head { code: *code, ..about(Kind::Reset, id) };
        if !put(sent, outlet, head, why) {
            return false;
        }
        *reset = None;
    }
    true
}

/// Puts a frame into the outlet and counts it. Always inlined: a head that is stored by fields and
/// then loaded by words would stall on store forwarding.
#[inline(always)]
fn put<O: Outlet + ?Sized>(sent: &mut Traffic, outlet: &mut O, head: Head, body: &[u8]) -> bool {
    let head = Head { length: body.len() as u32, ..head };
    let put = outlet.put(&head, body).is_ok();
    if put {
        sent.frame(body.len());
    }
    put
}
