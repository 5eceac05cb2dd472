// SPDX-License-Identifier: BSD-3-Clause
//! The server's side: the other session, and the target behind it.

use becket_wire::{Credit, Event, StreamId, codes};
use bytes::Bytes;

use super::client_side::{Broken, ERROR, MESSAGES, RESET};
use super::{Parts, by_id};
use crate::contract::{FlowId, Tick};
use crate::pattern::Direction;
use crate::target::{Ending, due};
use crate::trace::{EventKind, Stage};

impl Parts<'_> {
    pub(super) fn take_up(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        while let Some(frame) = self.up.next(bytes)? {
            self.server_has = true;
            if let Some(event) = self.server.receive(frame)? {
                self.server_event(event);
            }
        }
        Ok(())
    }

    fn server_event(&mut self, event: Event<'_>) {
        if self.ancillary.is_some() && self.ancillary_event(false, &event) {
            return;
        }
        match event {
            Event::Opened { stream, name, .. } => {
                let number = name.first_chunk().map(|number| u32::from_le_bytes(*number));
                let credit = Credit::new(MESSAGES, self.case.window_bytes);
                let Some(id) = number.map(FlowId::new) else { return };
                let Some(flow) = self.flow(id) else { return };
                flow.target.stream = Some(stream);
                self.set_owner(stream, id, false);
                // Refused: it was reset meanwhile.
                let _over = self.server.accept(stream, credit, Bytes::new());
                if self.case.behaviour.is_unprompted() {
                    self.begin_answer(id);
                }
            }
            Event::Element { stream, body, .. } => self.request_came(stream, &body),
            Event::Ended { stream, .. } => {
                let Some(id) = self.of_target(stream) else { return };
                if !self.case.behaviour.is_unprompted() {
                    self.begin_answer(id);
                }
            }
            Event::Credit { stream } => {
                if let Some(id) = self.of_target(stream) {
                    self.may_answer(id);
                }
            }
            Event::Reset { stream, .. } => {
                drop(self.server.take_unsent(stream));
                if let Some(id) = self.of_target(stream)
                    && let Some(flow) = self.flow(id)
                {
                    flow.target.is_done = true;
                    flow.target.echoes.clear();
                }
            }
            Event::Closed { code, .. } => self.session_over(false, code),
            _ => {}
        }
    }

    #[inline(never)]
    fn begin_answer(&mut self, id: FlowId) {
        let (now, behaviour) = (self.now, self.case.behaviour);
        let Some(taken) = self.flow(id).map(|flow| flow.target.taken) else { return };
        let answer = behaviour.answer(taken, self.choices);
        if let Some(flow) = self.flow(id) {
            flow.target.asked = Some(now);
            flow.target.answer = Some(answer);
        }
        self.may_answer(id);
    }

    fn of_target(&self, stream: StreamId) -> Option<FlowId> {
        let [_, by_stream] = &*self.by_stream;
        let id = *by_stream.get(stream.index() as usize)?;
        self.known(id).filter(|flow| flow.target.stream == Some(stream)).map(|flow| flow.id)
    }

    fn request_came(&mut self, stream: StreamId, bytes: &[u8]) {
        let Some(id) = self.of_target(stream) else { return };
        let is_echo = self.case.behaviour.is_echo();
        let count = bytes.len() as u64;
        let Some(flow) = self.flow(id) else { return };
        let other = flow.request.mismatch(flow.target.taken, bytes);
        flow.target.taken += count;
        let is_echo = is_echo && !flow.target.is_done;
        if is_echo {
            flow.target.echoes.push(bytes);
        }
        self.say(id, EventKind::Crossed { direction: Direction::Request, bytes: count });
        self.probe_request(id, other);
        if let Some(offset) = other {
            self.say(id, EventKind::OtherByte { place: Stage::Network, offset });
        }
        if is_echo {
            self.may_answer(id);
        } else {
            // Refused: the stream is over.
            let _over = self.server.grant(stream, 1, count);
        }
    }

    /// When the target of a flow next acts by itself.
    pub(super) fn answer_due(&mut self, id: FlowId) -> Option<Tick> {
        let target = &self.flow(id)?.target;
        if target.is_done {
            return None;
        }
        if !target.echoes.is_empty() {
            return Some(Tick(0));
        }
        let answer = target.answer.as_ref()?;
        let after = answer.chunks.get(target.chunk).map_or(0, |chunk| chunk.0);
        Some(due(target.asked?, after))
    }

    /// Queues the flow for its target.
    pub(super) fn may_answer(&mut self, id: FlowId) {
        if self.answer_due(id).is_none_or(|due| due > self.now) {
            return;
        }
        let Some(flow) = self.flow(id) else { return };
        if !std::mem::replace(&mut flow.answers, true) {
            self.to_answer.push(id);
        }
    }

    /// One target sends a chunk, or the end.
    pub(super) fn answer(&mut self) {
        let Some(id) = Self::pick(self.choices, self.to_answer) else { return };
        let Some(flow) = self.flow(id) else { return };
        flow.answers = false;
        let Some(stream) = flow.target.stream.filter(|_| !flow.target.is_done) else { return };
        if !flow.target.echoes.is_empty() {
            return self.echo(id, stream);
        }
        let Some(answer) = &flow.target.answer else { return };
        match answer.chunks.get(flow.target.chunk).copied() {
            Some((_, bytes)) => self.send_chunk(id, stream, bytes),
            None => {
                let ending = answer.ending;
                flow.target.is_done = true;
                self.end_answer(id, stream, ending);
            }
        }
    }

    fn echo(&mut self, id: FlowId, stream: StreamId) {
        let credit = self.server.credit(stream).filter(|credit| credit.messages > 0);
        let Self { flows, pool, server, .. } = self;
        let Some(flow) = by_id(flows, id) else { return };
        let Some(element) = flow.target.echoes.front() else { return };
        let (count, offset) = (element.len() as u64, flow.target.sent);
        if credit.is_none_or(|credit| credit.bytes < count) {
            // It continues when credit arrives.
            return;
        }
        let element = pool.copy_of(element);
        if server.send(stream, 0, element.clone()).is_err() {
            return;
        }
        self.probe_answer(id, offset, &element);
        drop(element);
        let Some(flow) = self.flow(id) else { return };
        flow.target.echoes.pop();
        flow.target.sent += count;
        // Refused: the stream is over.
        let _over = self.server.grant(stream, 1, count);
        self.server_has = true;
        self.say(id, EventKind::Answered { bytes: count, is_final: false });
        self.may_answer(id);
    }

    /// Sends as much of a chunk as there is credit for.
    #[cold]
    #[inline(never)]
    fn send_chunk(&mut self, id: FlowId, stream: StreamId, bytes: u64) {
        let credit = self.server.credit(stream).filter(|credit| credit.messages > 0);
        let most = self.case.config.max_chunk_bytes;
        let Some(flow) = self.flow(id) else { return };
        let offset = flow.target.sent;
        let left = bytes - flow.target.part;
        let count = credit.map_or(0, |credit| credit.bytes).min(left).min(most);
        if count == 0 {
            return;
        }
        let Self { flows, pool, .. } = self;
        let Some(flow) = by_id(flows, id) else { return };
        let chunk = pool.filled(count as usize, |bytes| flow.response.fill(offset, bytes));
        if self.server.send(stream, 0, chunk).is_err() {
            return;
        }
        self.server_has = true;
        if let Some(flow) = self.flow(id) {
            flow.target.sent += count;
            flow.target.part += count;
            if flow.target.part == bytes {
                flow.target.chunk += 1;
                flow.target.part = 0;
            }
        }
        self.say(id, EventKind::Answered { bytes: count, is_final: false });
        self.may_answer(id);
    }

    #[inline(never)]
    pub(super) fn end_answer(&mut self, id: FlowId, stream: StreamId, ending: Ending) {
        // Refused: the stream is over already.
        let _over = match ending {
            Ending::Final => self.server.end(stream, codes::DONE, Bytes::new()),
            Ending::Error => self.server.reset(stream, ERROR, Bytes::new()),
            Ending::Reset => self.server.reset(stream, RESET, Bytes::new()),
        };
        if ending != Ending::Final {
            // Queued bytes are of no use any more.
            drop(self.server.take_unsent(stream));
        }
        self.server_has = true;
        self.say(id, EventKind::Answered { bytes: 0, is_final: true });
    }
}
