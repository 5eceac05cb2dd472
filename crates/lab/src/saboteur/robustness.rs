// SPDX-License-Identifier: BSD-3-Clause
//! What is rare was not thought of.

use super::deviation::{Deviation, Healthy, egress, ingress, poll_through};
use super::numbers::Numbers;
use super::{Saboteur, Witness};
use crate::contract::{AdapterError, Cause, Chunk, Context, FlowId, Outlet, Refused};
use crate::source::Source;
use crate::target::Behaviour;

pub(super) const ALL: &[Saboteur] = &[
    Saboteur::ingress(
        "local_adapter_repeats_itself_at_an_idle_poll",
        "polled with nothing to put out it puts the last chunk out again",
        |limits| ingress(limits, Repeats::default()),
        Witness::new(Source::SlowDrip, Behaviour::Echo),
    ),
    Saboteur::egress(
        "local_adapter_overlooks_an_empty_final_chunk",
        "a final chunk without a byte is overlooked, and with it the end",
        |limits| egress(limits, Overlooks),
        Witness::new(Source::SmallBurst, Behaviour::Discard),
    ),
    Saboteur::egress(
        "local_adapter_refuses_the_end_of_a_flow_without_bytes",
        "a flow that ends without ever having had a byte is told to have failed",
        |limits| egress(limits, Hasty(Numbers::default())),
        Witness::new(Source::SmallBurst, Behaviour::Discard),
    )
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Saboteur::ingress(
        "local_adapter_splits_nothing",
        "a chunk is put out whole or not at all, and waits for ever when the window is smaller",
        |limits| ingress(limits, Whole),
        Witness::new(Source::LargeObject, Behaviour::Echo).window(1_000),
    )
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
];

/// The last chunk that was put out, until its flow is over.
#[derive(Default)]
struct Repeats {
    numbers: Numbers,
    last: Option<(FlowId, Vec<u8>)>,
    is_idle: bool,
}

impl Deviation for Repeats {
    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        self.is_idle = true;
        poll_through(self, it, cx, out);
        if self.is_idle
            && let Some((flow, bytes)) =
                self.last.take_if(|(flow, bytes)| out.room(*flow) >= bytes.len())
        {
            // There is room.
            let _full = self.numbers.put(out, flow, &bytes, false);
        }
    }

    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        self.is_idle = false;
        self.last = (!chunk.is_final).then(|| (chunk.flow, bytes.to_vec()));
        self.numbers.put(out, chunk.flow, bytes, chunk.is_final)
    }

    fn says_half_closed(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        self.is_idle = false;
        self.last.take_if(|(last, _)| *last == flow);
        out.half_closed(flow);
    }

    fn says_reset(&mut self, out: &mut Outlet<'_>, flow: FlowId, cause: Cause) {
        self.is_idle = false;
        self.last.take_if(|(last, _)| *last == flow);
        out.reset(flow, cause);
    }

    fn close(
        &mut self,
        it: Healthy<'_>,
        cx: &mut Context<'_>,
        flow: FlowId,
    ) -> Result<(), AdapterError> {
        self.last.take_if(|(last, _)| *last == flow);
        it.close(cx, flow)
    }
}

struct Overlooks;

impl Deviation for Overlooks {
    fn take(
        &mut self,
        it: Healthy<'_>,
        cx: &mut Context<'_>,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError> {
        if bytes.is_empty() { Ok(0) } else { it.take(cx, chunk, bytes) }
    }
}

struct Hasty(Numbers);

impl Deviation for Hasty {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        self.0.put(out, chunk.flow, bytes, chunk.is_final)
    }

    fn says_half_closed(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        if self.0.offset(flow) == 0 {
            out.reset(flow, Cause::Error);
        } else {
            out.half_closed(flow);
        }
    }
}

/// The room is nothing or without a bound, so that nothing is cut.
struct Whole;

impl Deviation for Whole {
    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        if out.room(flow) == 0 { 0 } else { usize::MAX }
    }

    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        if out.room(chunk.flow) < bytes.len() {
            return Err(Refused::NoRoom);
        }
        out.data(chunk, bytes)
    }
}
