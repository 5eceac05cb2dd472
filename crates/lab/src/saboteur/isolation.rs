// SPDX-License-Identifier: BSD-3-Clause
//! What happens to one flow happens to another.

use std::collections::BTreeSet;

use super::deviation::{Deviation, Healthy, egress, ingress};
use super::numbers::Numbers;
use super::{Saboteur, Witness};
use crate::contract::{AdapterError, Cause, Chunk, Context, Descriptor, FlowId, Outlet, Refused};
use crate::source::Source;
use crate::target::Behaviour;

pub(super) const ALL: &[Saboteur] = &[
    Saboteur::ingress(
        "local_adapter_resets_all_for_one",
        "when one flow is broken off, so are all others",
        |limits| ingress(limits, AllForOne::default()),
        Witness::new(Source::Resetting, Behaviour::Echo),
    )
    .breaks(&["ISO-02"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Saboteur::egress(
        "local_adapter_fails_the_next_flow_too",
        "when a flow fails, the one behind it is told to have failed",
        |limits| egress(limits, NextToo),
        Witness::new(Source::Malformed, Behaviour::Echo),
    )
    .breaks(&["ISO-02", "ERR-04"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Saboteur::ingress(
        "local_adapter_numbers_chunks_of_all_flows_together",
        "chunks are numbered in the order in which they are put out, whosever they are",
        |limits| ingress(limits, Together(0)),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["INT-02"]),
    Saboteur::egress(
        "local_adapter_loses_a_chunk_of_another_flow",
        "when a flow is closed, the next chunk of another flow is lost",
        |limits| egress(limits, Costs::default()),
        Witness::new(Source::MixedFlow, Behaviour::ChunkedResponse).seed(2),
    )
    .breaks(&["INT-05", "ISO-04"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Saboteur::ingress(
        "local_adapter_half_closes_all_for_one",
        "when one flow is half-closed, so are all others",
        |limits| ingress(limits, HalfForOne::default()),
        Witness::new(Source::HalfClose, Behaviour::Echo),
    )
    .breaks(&["LIF-06"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Saboteur::ingress(
        "local_adapter_puts_a_byte_of_another_flow_first",
        "the first byte of a chunk is the last that another flow put out",
        |limits| ingress(limits, Dirty::default()),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["INT-01", "INT-08"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Saboteur::ingress(
        "local_adapter_blocks_all_behind_one",
        "a flow puts nothing out while one with a lower number has not ended",
        |limits| ingress(limits, InTurn::default()),
        Witness::new(Source::MixedFlow, Behaviour::Echo).window(500),
    )
    .breaks(&["CAP-05"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Saboteur::ingress(
        "local_adapter_stops_all_flows_when_one_is_full",
        "when the source of a flow had to be turned away, no flow puts anything out any more",
        |limits| ingress(limits, StopsAll(false)),
        Witness::new(Source::MixedFlow, Behaviour::Echo).room(40_000, 8_000),
    )
    .breaks(&["ISO-03", "BPR-03"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
];

/// Whether a source was turned away.
struct StopsAll(bool);

impl Deviation for StopsAll {
    fn take(
        &mut self,
        it: Healthy<'_>,
        cx: &mut Context<'_>,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError> {
        let taken = it.take(cx, chunk, bytes)?;
        self.0 |= taken < bytes.len();
        Ok(taken)
    }

    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        if self.0 { 0 } else { out.room(flow) }
    }
}

#[derive(Default)]
struct AllForOne(BTreeSet<FlowId>);

impl Deviation for AllForOne {
    fn open(
        &mut self,
        it: Healthy<'_>,
        cx: &mut Context<'_>,
        flow: FlowId,
        descriptor: &Descriptor,
    ) -> Result<(), AdapterError> {
        self.0.insert(flow);
        it.open(cx, flow, descriptor)
    }

    fn reset(
        &mut self,
        it: Healthy<'_>,
        cx: &mut Context<'_>,
        _: FlowId,
        cause: Cause,
    ) -> Result<(), AdapterError> {
        self.0.iter().try_for_each(|flow| it.reset(cx, *flow, cause))
    }
}

struct NextToo;

impl Deviation for NextToo {
    fn says_reset(&mut self, out: &mut Outlet<'_>, flow: FlowId, cause: Cause) {
        out.reset(flow, cause);
        if cause == Cause::Error {
            out.reset(FlowId::new(flow.number() + 1), cause);
        }
    }
}

struct Together(u64);

impl Deviation for Together {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(&Chunk { sequence: self.0 + 1, ..*chunk }, bytes)?;
        self.0 += 1;
        Ok(())
    }
}

/// The flow that was closed, until it has cost another one a chunk.
#[derive(Default)]
struct Costs {
    numbers: Numbers,
    closed: Option<FlowId>,
}

impl Deviation for Costs {
    fn close(
        &mut self,
        it: Healthy<'_>,
        cx: &mut Context<'_>,
        flow: FlowId,
    ) -> Result<(), AdapterError> {
        self.closed = Some(flow);
        it.close(cx, flow)
    }

    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        let is_lost = self.closed.take_if(|closed| *closed != chunk.flow).is_some();
        let bytes = if is_lost { &[] } else { bytes };
        self.numbers.put_or_end(out, chunk.flow, bytes, chunk.is_final)
    }
}

#[derive(Default)]
struct HalfForOne(BTreeSet<FlowId>);

impl Deviation for HalfForOne {
    fn open(
        &mut self,
        it: Healthy<'_>,
        cx: &mut Context<'_>,
        flow: FlowId,
        descriptor: &Descriptor,
    ) -> Result<(), AdapterError> {
        self.0.insert(flow);
        it.open(cx, flow, descriptor)
    }

    fn half_close(
        &mut self,
        it: Healthy<'_>,
        cx: &mut Context<'_>,
        flow: FlowId,
    ) -> Result<(), AdapterError> {
        for other in self.0.iter().filter(|other| **other != flow) {
            // Some have ended.
            let _ended = it.half_close(cx, *other);
        }
        it.half_close(cx, flow)
    }
}

/// The last byte that was put out, and whose it was.
#[derive(Default)]
struct Dirty(Option<(FlowId, u8)>);

impl Deviation for Dirty {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        let mut dirty = bytes.to_vec();
        if let Some((_, left)) = self.0.filter(|(flow, _)| *flow != chunk.flow)
            && let Some(first) = dirty.first_mut()
        {
            *first = left;
        }
        out.data(chunk, &dirty)?;
        self.0 = bytes.last().map(|last| (chunk.flow, *last));
        Ok(())
    }
}

/// Flows that have not ended.
#[derive(Default)]
struct InTurn(BTreeSet<FlowId>);

impl InTurn {
    fn has_turn(&self, flow: FlowId) -> bool {
        self.0.first().is_none_or(|first| *first >= flow)
    }
}

impl Deviation for InTurn {
    fn open(
        &mut self,
        it: Healthy<'_>,
        cx: &mut Context<'_>,
        flow: FlowId,
        descriptor: &Descriptor,
    ) -> Result<(), AdapterError> {
        self.0.insert(flow);
        it.open(cx, flow, descriptor)
    }

    fn close(
        &mut self,
        it: Healthy<'_>,
        cx: &mut Context<'_>,
        flow: FlowId,
    ) -> Result<(), AdapterError> {
        self.0.remove(&flow);
        // Whose turn it is has something, perhaps.
        cx.wants_poll();
        it.close(cx, flow)
    }

    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        if self.has_turn(flow) { out.room(flow) } else { 0 }
    }
}
