// SPDX-License-Identifier: BSD-3-Clause
//! Where the output of an adapter goes: that of the ingress adapter to the session, that of the egress
//! adapter to the sink, which checks it and keeps counters and flags, no bytes.

use super::Parts;
use super::flow::Flow;
use crate::contract::{
    Cause, Chunk, FlowId, FlowState,
    outlet::{Receiver, Refused},
};
use crate::trace::{EventKind, OutletEvent, Stage};

/// Receives the output of the ingress adapter, or of the egress adapter: each is compiled by itself.
pub(super) struct Port<'a, 'b, const IS_INGRESS: bool> {
    pub(super) parts: &'a mut Parts<'b>,
}

impl<const IS_INGRESS: bool> Port<'_, '_, IS_INGRESS> {
    const PLACE: Stage = if IS_INGRESS { Stage::Ingress } else { Stage::Egress };

    /// Whether output of a flow is taken. After a reset the sink takes what the adapter had, until the
    /// adapter reports the flow as over.
    fn takes(&self, flow: &Flow) -> bool {
        flow.is_open
            && match Self::PLACE {
                Stage::Ingress => flow.broken.is_none() && !flow.entered.is_over,
                _ => !flow.sink_knows,
            }
    }

    /// Records what the adapter reports about a flow.
    fn signalled(&mut self, seen: FlowId, said: OutletEvent) -> FlowId {
        let flow = self.parts.numbers.whose(seen);
        self.parts.say(flow, EventKind::Signalled { place: Self::PLACE, said });
        flow
    }

    /// The sink has the end of a flow.
    fn sink_ends(&mut self, id: FlowId) {
        if Self::PLACE != Stage::Egress {
            return;
        }
        if let Some(flow) = self.parts.flow(id) {
            (flow.sunk.is_over, flow.sink_knows) = (true, true);
            self.parts.may_have_ended(id);
        }
    }
}

impl<const IS_INGRESS: bool> Receiver for Port<'_, '_, IS_INGRESS> {
    fn room(&self, flow: FlowId) -> usize {
        let parts = &*self.parts;
        let flow = parts.numbers.whose(flow);
        let most = parts.case.config.max_chunk_bytes;
        let room =
            parts.known(flow).filter(|flow| self.takes(flow)).and_then(|flow| match Self::PLACE {
                Stage::Ingress => {
                    let credit = parts.client.credit(flow.stream?)?;
                    (credit.messages > 0).then(|| credit.bytes.min(most))
                }
                _ => Some(most),
            });
        parts.lasting.room(Self::PLACE, flow, room.unwrap_or(0) as usize)
    }

    fn data(&mut self, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        let room = self.room(chunk.flow);
        let (place, count) = (Self::PLACE, bytes.len() as u64);
        let id = self.parts.numbers.whose(chunk.flow);
        let known = self.parts.known(id).map(|flow| (self.takes(flow), flow.life.state()));
        let (takes, state) = known.unwrap_or((false, FlowState::New));
        let parts = &mut *self.parts;
        if !takes {
            parts.say(id, EventKind::OutOnNoFlow { place, bytes: count, state });
            return Err(Refused::UnknownFlow);
        }
        if bytes.len() > room {
            parts.say(id, EventKind::OutBeyondRoom { place, bytes: count, room: room as u64 });
            return Err(Refused::NoRoom);
        }
        parts.put_out(place, id, chunk, bytes);
        if place == Stage::Egress {
            parts.lasting.took(bytes.len());
        } else if !parts.pass_on(id, bytes) {
            parts.say(id, EventKind::OutBeyondRoom { place, bytes: count, room: 0 });
            return Err(Refused::NoRoom);
        }
        if chunk.is_final {
            self.half_closed(chunk.flow);
        }
        Ok(())
    }

    fn half_closed(&mut self, flow: FlowId) {
        let flow = self.signalled(flow, OutletEvent::HalfClosed);
        match Self::PLACE {
            Stage::Ingress => self.parts.end_request(flow),
            _ => self.sink_ends(flow),
        }
    }

    fn reset(&mut self, flow: FlowId, cause: Cause) {
        let said = if cause == Cause::Reset { OutletEvent::Reset } else { OutletEvent::Failed };
        let flow = self.signalled(flow, said);
        // The other sides are notified, also if the egress adapter reset it by itself.
        self.sink_ends(flow);
        self.parts.break_off(flow, cause);
    }

    fn closed(&mut self, flow: FlowId) {
        let flow = self.signalled(flow, OutletEvent::Closed);
        self.sink_ends(flow);
    }
}
