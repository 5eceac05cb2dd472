// SPDX-License-Identifier: BSD-3-Clause
//! The sink: checks the output of the egress adapter. It keeps counters and flags, no bytes.

use super::Parts;
use crate::contract::{
    Cause, Chunk, FlowId,
    outlet::{Receiver, Refused},
};
use crate::trace::{EventKind, OutletEvent, Stage};

/// Receives the output of the egress adapter.
pub(super) struct Sink<'a, 'b>(pub(super) &'a mut Parts<'b>);

impl Sink<'_, '_> {
    fn end(&mut self, flow: FlowId) {
        if let Some(known) = self.0.flow(flow) {
            known.sunk.is_over = true;
            known.sink_knows = true;
            self.0.may_have_ended(flow);
        }
    }
}

impl Receiver for Sink<'_, '_> {
    fn room(&self, flow: FlowId) -> usize {
        let flow = self.0.numbers.whose(flow);
        let takes = self.0.known(flow).is_some_and(|flow| flow.is_open && !flow.sink_knows);
        let room = if takes { self.0.setup.config.max_chunk_bytes as usize } else { 0 };
        self.0.lasting.room(Stage::Egress, flow, room)
    }

    fn data(&mut self, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        let room = self.room(chunk.flow);
        let parts = &mut *self.0;
        let (place, count) = (Stage::Egress, bytes.len() as u64);
        let id = parts.numbers.whose(chunk.flow);
        let known = parts.flow(id).map(|flow| {
            // After a reset the sink takes what the adapter had, until the adapter reports the flow
            // as over.
            (flow.is_open && !flow.sink_knows, flow.life.state())
        });
        let (takes, state) = known.unwrap_or_default();
        if !takes {
            parts.say(id, EventKind::OutOnNoFlow { place, bytes: count, state });
            return Err(Refused::UnknownFlow);
        }
        if bytes.len() > room {
            parts.say(id, EventKind::OutBeyondRoom { place, bytes: count, room: room as u64 });
            return Err(Refused::NoRoom);
        }
        parts.lasting.took(bytes.len());
        parts.put_out(place, id, chunk, bytes);
        if chunk.is_final {
            self.half_closed(chunk.flow);
        }
        Ok(())
    }

    fn half_closed(&mut self, flow: FlowId) {
        let flow = self.0.numbers.whose(flow);
        self.0.say(
            flow,
            EventKind::Signalled { place: Stage::Egress, said: OutletEvent::HalfClosed },
        );
        self.end(flow);
    }

    fn reset(&mut self, flow: FlowId, cause: Cause) {
        let said = if cause == Cause::Reset { OutletEvent::Reset } else { OutletEvent::Failed };
        let flow = self.0.numbers.whose(flow);
        self.0.say(flow, EventKind::Signalled { place: Stage::Egress, said });
        self.end(flow);
        // The adapter reset it by itself: the sides before it are notified.
        self.0.break_off(flow, cause);
    }

    fn closed(&mut self, flow: FlowId) {
        let flow = self.0.numbers.whose(flow);
        self.0.say(flow, EventKind::Signalled { place: Stage::Egress, said: OutletEvent::Closed });
        self.end(flow);
    }
}
