// SPDX-License-Identifier: BSD-3-Clause
//! An adapter takes or puts out more than it may.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::defect::{
    Carries, Defect, Done, FlowCall, Healthy, Took, egress, ingress, ingress_of, poll_through,
};
use super::{Mutant, Witness};
use crate::adapters::MemoryIngressAdapter;
use crate::contract::{Chunk, Context, FlowId, Limits, Manifest, Outlet};
use crate::source::Source;
use crate::target::Behaviour;

const NARROW: Witness =
    Witness::new(Source::LargeObject, Behaviour::Discard).room(20_000, 5_000).window(4_000);

pub(super) const ALL: &[Mutant] = &[
    Mutant::ingress(
        "ignores_source_backpressure",
        "everything that a source offers is taken at once, however much it is",
        |limits| boundless(limits, u64::MAX, u64::MAX),
        NARROW,
    )
    .breaks(&["RES-01", "RES-02", "RES-03"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::ingress(
        "fixed_backpressure",
        "every offer is taken whole, whatever the limits and the budget of the call",
        |limits| {
            let wide = wide(limits, u64::MAX, u64::MAX);
            ingress_of(Box::new(MemoryIngressAdapter::new(wide)), limits, TakesWhole(limits))
        },
        NARROW,
    )
    .breaks(&["RES-01", "RES-02", "RES-03"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::ingress(
        "ignores_the_limit_of_a_flow",
        "one flow takes all the room that is there for all of them",
        |limits| boundless(limits, limits.buffered_bytes_max, u64::MAX),
        Witness { behaviour: Behaviour::Echo, ..NARROW },
    )
    .breaks(&["RES-02", "BPR-04"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::ingress(
        "ignores_the_limit_of_all_flows",
        "each flow keeps to its limit, and all together hold more than theirs",
        |limits| boundless(limits, u64::MAX, limits.flow_buffered_bytes_max),
        Witness::new(Source::SmallBurst, Behaviour::Discard).flows(8).room(150, 100).window(10),
    )
    .breaks(&["RES-03"]),
    Mutant::ingress(
        "puts_out_more_than_there_is_room_for",
        "one byte more is put out than there is room for, whenever the room does not suffice",
        |limits| ingress(limits, OneMore(Cell::new(true))),
        NARROW,
    )
    .breaks(&["BPR-01"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::ingress(
        "takes_more_than_it_is_offered",
        "it says that it took one byte more than it was offered",
        |limits| ingress(limits, TakesOneMore),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["BPR-02"]),
    Mutant::egress(
        "hides_what_it_holds",
        "it says that it holds nothing, whatever it holds",
        |limits| egress(limits, Hides),
        Witness::new(Source::SmallBurst, Behaviour::FixedResponse),
    )
    .breaks(&["RES-04"]),
    Mutant::ingress(
        "waits_for_the_whole_flow",
        "nothing of a flow is put out before all of it has come, for which there is no room",
        |limits| ingress(limits, Whole::default()),
        Witness::new(Source::LargeObject, Behaviour::Echo).room(20_000, 5_000),
    )
    .breaks(&["BPR-03", "LIV-01"]),
    Mutant::ingress(
        "takes_nothing_at_first",
        "the first offer to each flow is turned away, though there is room",
        |limits| ingress(limits, NotAtFirst::default()),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["BPR-05"]),
    Mutant::ingress(
        "puts_out_byte_by_byte",
        "every byte is put out as a chunk of its own",
        |limits| ingress(limits, ByteByByte),
        Witness::new(Source::LargeObject, Behaviour::Echo),
    )
    .breaks(&["LIV-03"]),
];

/// Flows whose offers were refused. [`Context::has_room`] is called for them in the next poll.
#[derive(Default)]
struct NotAtFirst {
    known: BTreeSet<FlowId>,
    waiting: Vec<FlowId>,
}

impl Defect for NotAtFirst {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        if !self.known.insert(chunk.flow) {
            return on.take(chunk, bytes);
        }
        self.waiting.push(chunk.flow);
        on.cx.wants_poll();
        Ok(0)
    }

    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        poll_through(self, it, cx, out);
        self.waiting.drain(..).for_each(|flow| cx.has_room(flow));
    }
}

struct ByteByByte;

impl Defect for ByteByByte {
    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        out.room(flow).min(1)
    }
}

/// An ingress adapter whose real limits differ from those in its manifest.
fn boundless(
    limits: Limits,
    buffered_bytes_max: u64,
    flow_buffered_bytes_max: u64,
) -> crate::adapters::Pair {
    let wide = wide(limits, buffered_bytes_max, flow_buffered_bytes_max);
    ingress_of(Box::new(MemoryIngressAdapter::new(wide)), limits, Claims(limits))
}

const fn wide(limits: Limits, buffered_bytes_max: u64, flow_buffered_bytes_max: u64) -> Limits {
    Limits { buffered_bytes_max, flow_buffered_bytes_max, ..limits }
}

/// The limits in the manifest, beyond which it takes.
struct TakesWhole(Limits);

impl Defect for TakesWhole {
    fn manifest(&self, it: &dyn Carries) -> Manifest {
        Manifest { limits: self.0, ..it.manifest() }
    }

    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let mut taken = on.take(chunk, bytes)?;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let (offset, bytes) = (chunk.offset + taken as u64, rest.len() as u64);
            match on.take(&Chunk { offset, bytes, ..*chunk }, rest)? {
                0 => break,
                more => taken += more,
            }
        }
        Ok(taken)
    }
}

/// The limits in the manifest.
struct Claims(Limits);

impl Defect for Claims {
    fn manifest(&self, it: &dyn Carries) -> Manifest {
        Manifest { limits: self.0, ..it.manifest() }
    }
}

/// Whether the next call exceeds the room. It alternates, so that the flow still makes progress.
struct OneMore(Cell<bool>);

impl Defect for OneMore {
    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        let room = out.room(flow);
        if room > 0 && self.0.replace(!self.0.get()) { room + 1 } else { room }
    }
}

struct TakesOneMore;

impl Defect for TakesOneMore {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let taken = on.take(chunk, bytes)?;
        Ok(if taken == bytes.len() { taken + 1 } else { taken })
    }
}

struct Hides;

impl Defect for Hides {
    fn buffered_bytes(&self, _: &dyn Carries) -> u64 {
        0
    }
}

/// For each flow, whether its request has arrived completely.
#[derive(Default)]
struct Whole(BTreeMap<FlowId, bool>);

impl Defect for Whole {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let taken = on.take(chunk, bytes)?;
        self.0.insert(chunk.flow, chunk.is_final && taken == bytes.len());
        Ok(taken)
    }

    fn half_close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        self.0.insert(on.flow, true);
        on.half_close()
    }

    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        if self.0.get(&flow) == Some(&true) { out.room(flow) } else { 0 }
    }
}
