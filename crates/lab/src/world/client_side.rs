// SPDX-License-Identifier: BSD-3-Clause
//! The client's side: sources in front of the ingress adapter, the boundary between adapters and
//! session, and responses in front of the egress adapter.

use becket_wire::{Credit, DecodeError, Event, Priority, SessionError, StreamId, codes};
use bytes::Bytes;

use super::flow::Ending;
use super::{Parts, World};
use crate::contract::{Cause, Chunk, Class, Descriptor, FlowEvent, FlowId, FlowState, Tick};
use crate::pattern::Direction;
use crate::source::{End, GAP_BYTES, STRAY_BYTES};
use crate::trace::{Call, EventKind, Stage};

/// The service of all streams. There is only one.
const SERVICE: u16 = 1;
/// The code of an explicit reset; the next one is that of an error.
pub(super) const RESET: u16 = codes::APPLICATION;
pub(super) const ERROR: u16 = codes::APPLICATION + 1;
/// Elements of each flow that may be in flight, whatever their length.
pub(super) const MESSAGES: u32 = 64;

/// The names of the first streams' flows, preallocated.
static NAMES: [[u8; 4]; 65] = {
    let mut names = [[0; 4]; 65];
    let (mut rest, mut number) = (names.as_mut_slice(), 0_u32);
    while let Some((name, behind)) = rest.split_first_mut() {
        *name = number.to_le_bytes();
        number += 1;
        rest = behind;
    }
    names
};

/// A frame that was refused, which ends the session with this code.
pub(super) struct Broken(pub(super) u16);

impl From<DecodeError> for Broken {
    fn from(_: DecodeError) -> Self {
        Self(codes::PROTOCOL)
    }
}

impl From<SessionError> for Broken {
    fn from(error: SessionError) -> Self {
        Self(error.code())
    }
}

impl World<'_> {
    /// One source opens its flow, or offers what is due.
    pub(super) fn offer(&mut self) {
        let parts = &mut self.parts;
        let Some(id) = Parts::pick(parts.choices, parts.to_offer) else { return };
        let end = parts.case.plans.get((id.number() as usize).wrapping_sub(1));
        let Some((flow, plan)) = parts.flow(id).zip(end) else { return };
        flow.offers = false;
        let is_stray = plan.end == End::LateWrite && flow.source.chunk == plan.chunks.len();
        if flow.source.is_done || flow.broken.is_some() && !(flow.is_open && is_stray) {
            // It was reset, or cut short, while it was in the wait queue.
            return;
        }
        if flow.is_open { self.offer_next(id) } else { self.open(id) }
    }

    #[inline(never)]
    fn open(&mut self, id: FlowId) {
        self.parts.apply(Stage::Ingress, id, FlowEvent::Open);
        let mut known = 0;
        let is_open = [Stage::Ingress, Stage::Egress].into_iter().all(|place| {
            let knows = self.ask(place, Call::Open, id);
            known += usize::from(knows);
            knows
        }) && self.parts.open_stream(id);
        if !is_open {
            for place in [Stage::Ingress, Stage::Egress].into_iter().take(known) {
                self.ask(place, Call::Close, id);
            }
            if let Some(flow) = self.parts.flow(id) {
                (flow.is_ended, flow.sink_knows) = (true, true);
            }
            self.parts.apply(Stage::Ingress, id, FlowEvent::Fail);
            return self.see_to_ended();
        }
        if let Some(flow) = self.parts.flow(id) {
            flow.is_open = true;
        }
        self.parts.may_offer(id);
    }

    fn offer_next(&mut self, id: FlowId) {
        let case = self.parts.case;
        let Some(plan) = case.plans.get(id.number() as usize - 1) else { return };
        let Some(flow) = self.parts.flow(id) else { return };
        let sent = flow.source;
        let Some(planned) = plan.chunks.get(sent.chunk) else {
            return self.end_source(id, plan.end);
        };
        let is_last = sent.chunk + 1 == plan.chunks.len();
        let left = planned.bytes - sent.part;
        let part = self.parts.part_of(id, left);
        let chunk = Chunk {
            flow: self.parts.numbers.seen(id),
            sequence: sent.chunk as u64 + 1,
            offset: sent.offset,
            bytes: part,
            is_final: is_last && part == left && plan.end.is_final(),
        };
        let mut unknown = std::mem::take(self.parts.offered);
        let chunk = self.parts.as_planted(chunk);
        let Some(flow) = self.parts.flow(id) else { return };
        let known = flow.request.lend(sent.offset, part as usize);
        let bytes = match &known {
            Some(known) => known.bytes(),
            None => {
                unknown.resize(part as usize, 0);
                flow.request.fill(sent.offset, &mut unknown);
                &unknown
            }
        };
        let place = Stage::Ingress;
        self.parts.say(id, offered(place, &chunk));
        self.parts.probe_source(id, sent.offset, bytes);
        let ingress = (&mut *self.ingress, &mut *self.calls);
        let result =
            self.parts.call(place, ingress, |ingress, cx, _| ingress.offer(cx, &chunk, bytes));
        if let (Some(flow), Some(known)) = (self.parts.flow(id), known) {
            flow.request.take_back(known);
        }
        *self.parts.offered = unknown;
        match result {
            Ok(taken) => {
                let taken = taken as u64;
                self.parts.say(id, EventKind::Took { place, bytes: taken });
                self.parts.source_gave(id, taken.min(part), (taken >= part, part == left));
            }
            Err(error) => {
                self.parts.say(id, EventKind::OfferRefused { place, class: error.class() });
                self.parts.break_off(id, Cause::Error);
                self.see_to_ended();
            }
        }
    }

    /// All chunks were taken: executes the end of the plan.
    #[cold]
    #[inline(never)]
    fn end_source(&mut self, id: FlowId, end: End) {
        if let Some(flow) = self.parts.flow(id) {
            flow.source.is_done = true;
        }
        match end {
            End::Final => {}
            End::LateWrite => self.stray(id, 0),
            End::Malformed => {
                // Whether it is taken or not: bytes after a gap do not belong to this flow.
                self.stray(id, GAP_BYTES);
                self.parts.break_off(id, Cause::Error);
            }
            End::HalfClose => {
                if !self.ask(Stage::Ingress, Call::HalfClose, id) {
                    self.parts.break_off(id, Cause::Error);
                }
            }
            End::Reset => {
                if let Some(flow) = self.parts.flow(id) {
                    flow.broken_by_source = true;
                }
                if !self.ask(Stage::Ingress, Call::Reset, id) {
                    self.parts.break_off(id, Cause::Reset);
                }
            }
        }
        self.see_to_ended();
    }

    /// Offers the ingress adapter a chunk that it may not take.
    #[cold]
    #[inline(never)]
    fn stray(&mut self, id: FlowId, gap: u64) {
        let Some(flow) = self.parts.flow(id) else { return };
        let (sequence, offset) = (flow.source.chunk as u64 + 1, flow.source.offset + gap);
        let mut bytes = [0; STRAY_BYTES as usize];
        flow.request.fill(offset, &mut bytes);
        let seen = self.parts.numbers.seen(id);
        let chunk = Chunk { flow: seen, sequence, offset, bytes: STRAY_BYTES, is_final: false };
        let place = Stage::Ingress;
        self.parts.say(id, offered(place, &chunk));
        let ingress = (&mut *self.ingress, &mut *self.calls);
        let result =
            self.parts.call(place, ingress, |ingress, cx, _| ingress.offer(cx, &chunk, &bytes));
        let what = match result {
            Ok(taken) => EventKind::Took { place, bytes: taken as u64 },
            Err(error) => EventKind::OfferRefused { place, class: error.class() },
        };
        self.parts.say(id, what);
    }

    /// Offers the egress adapter what arrived for a flow.
    pub(super) fn accept(&mut self) {
        let parts = &mut self.parts;
        let Some(id) = Parts::pick(parts.choices, parts.to_accept) else { return };
        let Some(flow) = parts.flow(id) else { return };
        flow.accepts = false;
        if flow.broken.is_some() || flow.handed.is_over {
            return;
        }
        let is_final = flow.is_answered && flow.arrived.len() <= 1;
        if flow.arrived.is_empty() && !is_final {
            return;
        }
        let (sequence, offset) = (flow.handed.sequence, flow.handed.offset);
        let lent = flow.arrived.lend(flow.arrived_part);
        let rest = lent.bytes().len();
        let count = parts.part_of(id, rest as u64) as usize;
        let bytes = lent.bytes().get(..count).unwrap_or_default();
        let is_rest = count == rest;
        let is_final = is_final && is_rest;
        let flow = parts.numbers.seen(id);
        let chunk = Chunk { flow, sequence, offset, bytes: count as u64, is_final };
        let place = Stage::Egress;
        parts.say(id, offered(place, &chunk));
        parts.probe_offer(id, offset, bytes);
        let egress = (&mut *self.egress, &mut *self.calls);
        let result = parts.call(place, egress, |egress, cx, _| egress.accept(cx, &chunk, bytes));
        if let Some(flow) = parts.flow(id) {
            flow.arrived.take_back(lent);
        }
        match result {
            Ok(taken) => {
                self.parts.say(id, EventKind::Took { place, bytes: taken as u64 });
                self.parts.egress_took(id, &chunk, taken.min(count), is_rest);
            }
            Err(error) => {
                self.parts.say(id, EventKind::OfferRefused { place, class: error.class() });
                self.parts.break_off(id, Cause::Error);
            }
        }
        self.see_to_ended();
    }
}

fn offered(place: Stage, chunk: &Chunk) -> EventKind {
    let Chunk { sequence, offset, bytes, is_final, .. } = *chunk;
    EventKind::Offered { place, sequence, offset, bytes, is_final }
}

impl Parts<'_> {
    fn class(&self, flow: FlowId) -> Class {
        let plan = self.case.plans.get((flow.number() as usize).wrapping_sub(1));
        plan.map_or(Class::Normal, |plan| plan.class)
    }

    /// What adapters learn about a flow when it opens.
    pub(super) fn descriptor(&self, flow: FlowId) -> Descriptor {
        let key = self.known(flow).map(|flow| flow.key).unwrap_or_default();
        Descriptor::of(self.class(flow)).with(key, self.identity)
    }

    pub(super) fn cause(&self, flow: FlowId) -> Cause {
        self.known(flow).and_then(|flow| flow.broken).unwrap_or(Cause::Reset)
    }

    /// Queues sources and targets that are due.
    pub(super) fn wake_due(&mut self) {
        for at in 1..=self.flows.len() as u32 {
            self.may_offer(FlowId::new(at));
            self.may_answer(FlowId::new(at));
        }
    }

    /// Queues the flow for an offer, if it has something.
    pub(super) fn may_offer(&mut self, id: FlowId) {
        if self.source_due(id).is_none_or(|due| due > self.now) {
            return;
        }
        let Some(flow) = self.flow(id) else { return };
        if !flow.offers && !flow.is_stalled {
            flow.offers = true;
            self.to_offer.push(id);
        }
    }

    /// When a source next acts by itself.
    fn source_due(&mut self, id: FlowId) -> Option<Tick> {
        let case = self.case;
        let plan = case.plans.get((id.number() as usize).checked_sub(1)?)?;
        let flow = self.flow(id)?;
        if flow.source.is_done || flow.life.state().is_over() {
            return None;
        }
        if !flow.is_open {
            let opens_at = flow.opens_at;
            return self.numbers.has_turn(id).then_some(opens_at);
        }
        let now = Tick(0);
        Some(plan.chunks.get(flow.source.chunk).map_or(now, |chunk| chunk.at))
    }

    /// When anything next happens by itself.
    pub(super) fn next_due(&mut self) -> Option<Tick> {
        let mut next: Option<Tick> = None;
        for at in 1..=self.flows.len() as u32 {
            let id = FlowId::new(at);
            let stalled = self.flow(id).is_some_and(|flow| flow.is_stalled);
            let source = self.source_due(id).filter(|_| !stalled);
            let due = [source, self.answer_due(id)].into_iter().flatten();
            next = next.into_iter().chain(due.filter(|due| *due > self.now)).min();
        }
        let network = [&self.up, &self.down].map(|pipe| pipe.next_due(self.now));
        let network = network.into_iter().flatten().filter(|_| !self.is_broken);
        next.into_iter().chain(network).min()
    }

    /// Updates the source: whether the whole offer was taken, and whether it was the rest of the
    /// chunk.
    fn source_gave(&mut self, id: FlowId, taken: u64, (is_all, is_rest): (bool, bool)) {
        let case = self.case;
        let plan = case.plans.get((id.number() as usize).wrapping_sub(1));
        let Some(flow) = self.flow(id) else { return };
        flow.source.offset += taken;
        flow.source.part += taken;
        if is_all && !is_rest {
            self.may_offer(id);
        } else if is_all {
            flow.source.chunk += 1;
            flow.source.part = 0;
            if plan.is_some_and(|plan| {
                plan.end == End::Final && flow.source.chunk == plan.chunks.len()
            }) {
                flow.source.is_done = true;
            }
            self.may_offer(id);
        } else if !flow.is_stalled {
            flow.is_stalled = true;
            self.say(id, EventKind::Stalled);
        }
    }

    /// An adapter reported room.
    pub(super) fn has_room(&mut self, place: Stage, id: FlowId) {
        let Some(flow) = self.flow(id) else { return };
        match place {
            Stage::Ingress => {
                if std::mem::take(&mut flow.is_stalled) {
                    self.say(id, EventKind::Resumed);
                    self.may_offer(id);
                }
            }
            _ => {
                flow.egress_is_full = false;
                self.may_accept(id);
            }
        }
    }

    /// Opens a stream for the flow. False: the session has none.
    #[inline(never)]
    fn open_stream(&mut self, id: FlowId) -> bool {
        let priority = match self.class(id) {
            Class::Interactive => Priority::High,
            Class::Normal => Priority::Normal,
            Class::Bulk => Priority::Low,
        };
        let credit = Credit::new(MESSAGES, self.case.window_bytes);
        let name = match NAMES.get(id.number() as usize) {
            Some(name) => Bytes::from_static(name),
            None => self.pool.copy_of(&id.number().to_le_bytes()),
        };
        self.client_has = true;
        let Ok(stream) = self.client.open(SERVICE, priority, credit, name) else { return false };
        if let Some(flow) = self.flow(id) {
            flow.stream = Some(stream);
        }
        self.set_owner(stream, id, true);
        self.say(id, EventKind::Stream { stream: stream.number() });
        true
    }

    fn of_stream(&self, stream: StreamId) -> Option<FlowId> {
        let [by_stream, _] = &*self.by_stream;
        let id = *by_stream.get(stream.index() as usize)?;
        self.known(id).filter(|flow| flow.stream == Some(stream)).map(|flow| flow.id)
    }

    /// Queues the flow for an offer to the egress adapter.
    fn may_accept(&mut self, id: FlowId) {
        let Some(flow) = self.flow(id) else { return };
        let has = !flow.arrived.is_empty() || flow.is_answered && !flow.handed.is_over;
        if has && !flow.accepts && !flow.egress_is_full && flow.broken.is_none() {
            flow.accepts = true;
            self.to_accept.push(id);
        }
    }

    fn egress_took(&mut self, id: FlowId, chunk: &Chunk, taken: usize, is_rest: bool) {
        let Some(flow) = self.flow(id) else { return };
        flow.handed.offset += taken as u64;
        flow.arrived_part += taken;
        let mut messages = 0;
        if taken as u64 == chunk.bytes && is_rest {
            flow.handed.sequence += 1;
            flow.handed.is_over = chunk.is_final;
            flow.arrived_part = 0;
            messages = u32::from(flow.arrived.pop());
        } else {
            flow.egress_is_full = (taken as u64) < chunk.bytes;
        }
        if let Some(stream) = flow.stream
            && !flow.is_answered
        {
            // Refused: the stream is over, and needs no credit.
            let _over = self.client.grant(stream, messages, taken as u64);
            self.client_has = true;
        }
        if taken > 0 {
            self.may_block(id);
        }
        self.may_accept(id);
    }

    /// Delivers bytes to the server, or to the client.
    pub(super) fn deliver(&mut self, is_up: bool) {
        let (pipe, mut hazard) = self.way(is_up);
        if pipe.carry(&mut hazard).is_err() {
            return self.session_over(!is_up, codes::PROTOCOL);
        }
        let (pipe, writer_has) = match is_up {
            true => (&mut *self.up, &mut self.client_has),
            false => (&mut *self.down, &mut self.server_has),
        };
        *writer_has |= pipe.has_room_again();
        let bytes = pipe.lend();
        let taken = if is_up { self.take_up(&bytes) } else { self.take_down(&bytes) };
        let pipe = if is_up { &mut *self.up } else { &mut *self.down };
        pipe.take_back(bytes);
        if let Err(Broken(code)) = taken {
            self.session_over(!is_up, code);
        }
    }

    fn take_down(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        while let Some(frame) = self.down.next(bytes)? {
            self.client_has = true;
            if let Some(event) = self.client.receive(frame)? {
                self.client_event(event);
            }
        }
        Ok(())
    }

    fn client_event(&mut self, event: Event<'_>) {
        if self.ancillary.is_some() && self.ancillary_event(true, &event) {
            return;
        }
        match event {
            Event::Accepted { stream, .. } => {
                let Some(id) = self.of_stream(stream) else { return };
                self.apply(Stage::Network, id, FlowEvent::Opened);
                self.nears_its_end(Stage::Network, id);
                self.wake_ingress();
            }
            Event::Credit { .. } | Event::Ready { .. } => self.wake_ingress(),
            Event::Element { stream, body, .. } => {
                let Some(id) = self.of_stream(stream) else { return };
                let direction = Direction::Response;
                self.say(id, EventKind::Crossed { direction, bytes: body.len() as u64 });
                self.arrives(id, &body);
                self.may_accept(id);
            }
            Event::Ended { stream, code, .. } => {
                let Some(id) = self.of_stream(stream) else { return };
                self.say(id, EventKind::StreamOver { is_reset: false, code });
                if let Some(flow) = self.flow(id) {
                    flow.is_answered = true;
                }
                self.nears_its_end(Stage::Network, id);
                self.may_accept(id);
            }
            Event::Reset { stream, code, .. } => {
                let Some(id) = self.of_stream(stream) else { return };
                self.say(id, EventKind::StreamOver { is_reset: true, code });
                // Queued bytes are of no use any more.
                drop(self.client.take_unsent(stream));
                self.break_off(id, if code == RESET { Cause::Reset } else { Cause::Error });
            }
            Event::Closed { code, .. } => self.session_over(true, code),
            _ => {}
        }
    }

    /// One direction of the flow is over: the request when the ingress adapter has put out its end,
    /// the response when its end has arrived. One of them half-closes the flow, both drain it.
    fn nears_its_end(&mut self, place: Stage, id: FlowId) {
        let Some(flow) = self.flow(id) else { return };
        let ends = u8::from(flow.entered.is_over) + u8::from(flow.is_answered);
        let event = match (flow.life.state(), ends) {
            (FlowState::Open, 1) => FlowEvent::HalfClose,
            (FlowState::Open | FlowState::HalfClosed, 2) => FlowEvent::Drain,
            _ => return,
        };
        self.apply(place, id, event);
    }

    fn wake_ingress(&mut self) {
        let [ingress, _] = &mut self.wants_poll;
        *ingress = true;
    }

    /// Ends the flow at once: its stream is reset, and every side that does not know is notified.
    #[inline(never)]
    pub(super) fn break_off(&mut self, id: FlowId, cause: Cause) {
        let Some(flow) = self.flow(id) else { return };
        if flow.life.state().is_over() {
            return;
        }
        flow.broken = Some(cause);
        flow.arrived.clear();
        self.may_have_ended(id);
        let Some(flow) = self.flow(id) else { return };
        if !flow.is_open {
            // It was never opened anywhere.
            (flow.is_ended, flow.sink_knows) = (true, true);
        }
        let stream = flow.stream;
        let code = if cause == Cause::Reset { RESET } else { ERROR };
        if let Some(stream) = stream {
            // Refused: it was reset by the other side.
            let _over = self.client.reset(stream, code, Bytes::new());
            drop(self.client.take_unsent(stream));
            self.client_has = true;
        }
        let event = if cause == Cause::Reset { FlowEvent::Reset } else { FlowEvent::Fail };
        self.apply(Stage::Network, id, event);
    }

    /// Passes output of the ingress adapter to the session. False: there is no credit for it.
    pub(super) fn pass_on(&mut self, id: FlowId, bytes: &[u8]) -> bool {
        self.client_has = true;
        match self.flow(id).and_then(|flow| flow.stream) {
            Some(stream) if !bytes.is_empty() => {
                self.client.send(stream, 0, self.pool.copy_of(bytes)).is_ok()
            }
            _ => true,
        }
    }

    /// The ingress adapter has put out the end of a flow.
    pub(super) fn end_request(&mut self, id: FlowId) {
        let Some(flow) = self.flow(id) else { return };
        if flow.broken.is_some() || std::mem::replace(&mut flow.entered.is_over, true) {
            return;
        }
        let stream = flow.stream;
        self.may_have_ended(id);
        if let Some(stream) = stream {
            // Refused: it is over.
            let _over = self.client.end(stream, codes::DONE, Bytes::new());
            self.client_has = true;
        }
        self.nears_its_end(Stage::Ingress, id);
    }

    /// The next flow whose end must be handled.
    pub(super) fn next_ending(&mut self) -> Option<(FlowId, Ending)> {
        while let Some((at, id)) = self.ended.iter().copied().enumerate().min_by_key(|it| it.1) {
            self.ended.swap_remove(at);
            let Some(flow) = self.flow(id).filter(|flow| flow.is_open) else { continue };
            if let Some(ending) = flow.ending() {
                flow.is_ended = true;
                return Some((id, ending));
            }
        }
        None
    }

    /// A session is over, with this code: so are all flows.
    #[cold]
    #[inline(never)]
    pub(super) fn session_over(&mut self, is_client: bool, code: u16) {
        if std::mem::replace(&mut self.is_broken, true) {
            return;
        }
        self.say(super::RUN, EventKind::SessionError { is_client, code });
        for at in 1..=self.flows.len() as u32 {
            self.break_off(FlowId::new(at), Cause::Error);
        }
    }
}
