// SPDX-License-Identifier: BSD-3-Clause
//! The server's side: the other session, and the target behind it.

use becket_wire::{Credit, Event, StreamId, codes};
use bytes::Bytes;

use super::Parts;
use super::near::{Broken, ERROR, MESSAGES, RESET};
use crate::contract::{FlowId, Tick};
use crate::pattern::Direction;
use crate::target::{Ending, due};
use crate::trace::{Place, What};

impl Parts<'_> {
    /// Bytes reach the server.
    pub(super) fn deliver_up(&mut self) {
        let (pipe, mut hazard) = self.way(true);
        let is_whole = pipe.carry(&mut hazard).is_ok();
        if !is_whole {
            return self.session_over(false);
        }
        self.client_has |= self.up.has_room_again();
        let mut pipe = std::mem::replace(&mut self.up, super::Pipe::new(0));
        let result = pipe.frames(|frame| -> Result<(), Broken> {
            self.server_has = true;
            if let Some(event) = self.server.receive(frame)? {
                self.server_event(event);
            }
            Ok(())
        });
        self.up = pipe;
        if result.is_err() {
            self.session_over(false);
        }
    }

    fn server_event(&mut self, event: Event<'_>) {
        match event {
            Event::Opened { stream, name, .. } => {
                let number = name.first_chunk().map(|number| u32::from_le_bytes(*number));
                let credit = Credit::new(MESSAGES, self.setup.window_bytes);
                if let Some(id) = number.map(FlowId::new)
                    && let Some(flow) = self.flow(id)
                {
                    flow.target.stream = Some(stream);
                    // Refused: it was reset meanwhile.
                    let _over = self.server.accept(stream, credit, Bytes::new());
                }
            }
            Event::Element { stream, body, .. } => self.request_came(stream, body.into_bytes()),
            Event::Ended { stream, .. } => {
                let Some(id) = self.of_target(stream) else { return };
                let now = self.now;
                let behaviour = self.setup.behaviour;
                let Some(flow) = self.flow(id) else { return };
                flow.target.asked = Some(now);
                let taken = flow.target.taken;
                let answer = behaviour.answer(taken, self.choices);
                if let Some(flow) = self.flow(id) {
                    flow.target.answer = Some(answer);
                }
                self.may_answer(id);
            }
            Event::Credit { stream } => {
                if let Some(id) = self.of_target(stream) {
                    self.may_answer(id);
                }
            }
            Event::Reset { stream, .. } => {
                if let Some(id) = self.of_target(stream)
                    && let Some(flow) = self.flow(id)
                {
                    flow.target.is_done = true;
                    flow.target.echoes.clear();
                }
            }
            Event::Closed { .. } => self.session_over(false),
            _ => {}
        }
    }

    fn of_target(&self, stream: StreamId) -> Option<FlowId> {
        self.flows.iter().find(|flow| flow.target.stream == Some(stream)).map(|flow| flow.id)
    }

    fn request_came(&mut self, stream: StreamId, bytes: Bytes) {
        let Some(id) = self.of_target(stream) else { return };
        let is_echo = self.setup.behaviour.is_echo();
        let count = bytes.len() as u64;
        let Some(flow) = self.flow(id) else { return };
        let other = flow.request.mismatch(flow.target.taken, &bytes);
        flow.target.taken += count;
        if is_echo && !flow.target.is_done {
            flow.target.echoes.push_back(bytes);
        }
        self.say(id, What::Crossed { direction: Direction::Request, bytes: count });
        if let Some(offset) = other {
            self.say(id, What::OtherByte { place: Place::Network, offset });
        }
        if is_echo {
            self.may_answer(id);
        } else {
            // Refused: the stream is over.
            let _over = self.server.grant(stream, 1, count);
        }
    }

    /// When the target of a flow does something next by itself.
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

    /// The flow gets into the line of those whose target has something.
    pub(super) fn may_answer(&mut self, id: FlowId) {
        if self.answer_due(id).is_none_or(|due| due > self.now) {
            return;
        }
        let Some(flow) = self.flow(id) else { return };
        if !std::mem::replace(&mut flow.answers, true) {
            self.to_answer.push_back(id);
        }
    }

    /// One target sends a chunk, or the end.
    pub(super) fn answer(&mut self) {
        let Some(id) = Self::pick(self.choices, &mut self.to_answer) else { return };
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
        let Some(flow) = self.flow(id) else { return };
        let Some(bytes) = flow.target.echoes.front().cloned() else { return };
        let count = bytes.len() as u64;
        if self.server.send(stream, 0, bytes).is_err() {
            // No credit: it is told of when there is some.
            return;
        }
        if let Some(flow) = self.flow(id) {
            flow.target.echoes.pop_front();
            flow.target.sent += count;
        }
        // Refused: the stream is over.
        let _over = self.server.grant(stream, 1, count);
        self.server_has = true;
        self.say(id, What::Answered { bytes: count, is_final: false });
        self.may_answer(id);
    }

    /// As much of a chunk as there is credit for.
    fn send_chunk(&mut self, id: FlowId, stream: StreamId, bytes: u64) {
        let credit = self.server.credit(stream).filter(|credit| credit.messages > 0);
        let most = self.setup.config.max_chunk_bytes;
        let Some(flow) = self.flow(id) else { return };
        let (response, offset) = (flow.response, flow.target.sent);
        let left = bytes - flow.target.part;
        let count = credit.map_or(0, |credit| credit.bytes).min(left).min(most);
        if count == 0 {
            return;
        }
        let mut chunk = vec![0; count as usize];
        response.fill(offset, &mut chunk);
        if self.server.send(stream, 0, chunk.into()).is_err() {
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
        self.say(id, What::Answered { bytes: count, is_final: false });
        self.may_answer(id);
    }

    fn end_answer(&mut self, id: FlowId, stream: StreamId, ending: Ending) {
        // Refused: the stream is over already.
        let _over = match ending {
            Ending::Final => self.server.end(stream, codes::DONE, Bytes::new()),
            Ending::Error => self.server.reset(stream, ERROR, Bytes::new()),
            Ending::Reset => self.server.reset(stream, RESET, Bytes::new()),
        };
        self.server_has = true;
        self.say(id, What::Answered { bytes: 0, is_final: true });
    }
}
