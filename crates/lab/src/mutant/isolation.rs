// SPDX-License-Identifier: BSD-3-Clause
//! An event of one flow changes another flow.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};

use super::defect::{Defect, Done, FlowCall, Healthy, Took, egress, ingress, poll_through};
use super::numbers::Numbers;
use super::{Mutant, Witness};
use crate::contract::{Cause, Chunk, Context, Descriptor, FlowId, Outlet, Refused};
use crate::source::Source;
use crate::target::Behaviour;
use crate::trace::FaultKind;

/// The sink takes nothing of a long flow until the small ones have come and gone.
const BLOCKED: Witness = Witness::new(Source::ElephantAndMice, Behaviour::Echo)
    .fault(FaultKind::BlockedConsumer)
    .room(64_000, 16_000);

pub(super) const ALL: &[Mutant] = &[
    Mutant::ingress(
        "resets_all_for_one",
        "when one flow is broken off, so are all others",
        |limits| ingress(limits, AllForOne::default()),
        Witness::new(Source::Resetting, Behaviour::Echo),
    )
    .breaks(&["ISO-02"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::egress(
        "fails_the_next_flow_too",
        "when a flow fails, the next flow is reported as failed too",
        |limits| egress(limits, NextToo),
        Witness::new(Source::Malformed, Behaviour::Echo),
    )
    .breaks(&["ISO-02", "ERR-04"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::ingress(
        "numbers_chunks_of_all_flows_together",
        "chunks are numbered in the order in which they are put out, whosever they are",
        |limits| ingress(limits, Together(0)),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["INT-02"]),
    Mutant::egress(
        "loses_a_chunk_of_another_flow",
        "when a flow is closed, the next chunk of another flow is lost",
        |limits| egress(limits, Costs::default()),
        Witness::new(Source::MixedFlow, Behaviour::ChunkedResponse).seed(2),
    )
    .breaks(&["INT-05", "ISO-04"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Mutant::ingress(
        "half_closes_all_for_one",
        "when one flow is half-closed, so are all others",
        |limits| ingress(limits, HalfForOne::default()),
        Witness::new(Source::HalfClose, Behaviour::Echo),
    )
    .breaks(&["LIF-06"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::ingress(
        "puts_a_byte_of_another_flow_first",
        "the first byte of a chunk is the last that another flow put out",
        |limits| ingress(limits, Dirty::default()),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["INT-01", "INT-08"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Mutant::ingress(
        "blocks_all_behind_one",
        "a flow puts nothing out while one with a lower number has not ended",
        |limits| ingress(limits, InTurn::default()),
        Witness::new(Source::MixedFlow, Behaviour::Echo).window(500),
    )
    .breaks(&["CAP-05"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Mutant::ingress(
        "stops_all_flows_when_one_is_full",
        "when the source of a flow had to be turned away, no flow puts anything out any more",
        |limits| ingress(limits, StopsAll(false)),
        Witness::new(Source::MixedFlow, Behaviour::Echo).room(40_000, 8_000),
    )
    .breaks(&["ISO-03", "BPR-03"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::egress(
        "has_one_queue_for_all_flows",
        "bytes of all flows are put out in the order of arrival, whichever flow has room",
        |limits| egress(limits, OneQueue::default()),
        BLOCKED,
    )
    .breaks(&["ISO-03"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Mutant::egress(
        "gives_up_a_flow_that_found_no_room",
        "of a flow whose sink had no room nothing more is put out, though it takes again",
        |limits| egress(limits, GivesUp::default()),
        BLOCKED,
    )
    .breaks(&["LIV-01", "LIV-07", "ROB-01"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Mutant::ingress(
        "says_more_among_others",
        "behind the end of a flow that it is over is said too, but only while there are others",
        |limits| ingress(limits, SaysMore::default()),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["ISO-04"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Mutant::ingress(
        "cuts_a_flow_that_is_overtaken",
        "if of two flows the second to open gives its only chunk first, and the first does before anything \
         is put out, the first loses its last byte",
        |limits| ingress(limits, Overtaken::default()),
        Witness::new(Source::SmallBurst, Behaviour::Echo).flows(2).seed(4),
    )
    .breaks(&["INT-05", "ISO-04"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
];

/// Runs of bytes that arrived and were not put out: the flow, and how many bytes. Adjacent runs of
/// one flow are merged.
#[derive(Default)]
struct OneQueue(VecDeque<(FlowId, usize)>);

impl OneQueue {
    fn forget(&mut self, on: &mut FlowCall<'_, '_>) {
        let before = self.0.len();
        self.0.retain(|(flow, _)| *flow != on.flow);
        self.goes_on(on.cx, before);
    }

    /// The flow that is now at the head of the queue may have room.
    fn goes_on(&self, cx: &mut Context<'_>, before: usize) {
        if !self.0.is_empty() && self.0.len() < before {
            cx.wants_poll();
        }
    }
}

impl Defect for OneQueue {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let taken = on.take(chunk, bytes)?;
        match self.0.back_mut() {
            Some((last, bytes)) if *last == chunk.flow => *bytes += taken,
            _ if taken > 0 => self.0.push_back((chunk.flow, taken)),
            _ => {}
        }
        Ok(taken)
    }

    fn reset(&mut self, on: &mut FlowCall<'_, '_>, cause: Cause) -> Done {
        self.forget(on);
        on.reset(cause)
    }

    fn close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        self.forget(on);
        on.close()
    }

    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        let before = self.0.len();
        poll_through(self, it, cx, out);
        self.goes_on(cx, before);
    }

    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        let first = self.0.front().filter(|(first, _)| *first == flow);
        first.map_or(0, |(_, bytes)| out.room(flow).min(*bytes))
    }

    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(chunk, bytes)?;
        if let Some((_, left)) = self.0.front_mut() {
            *left = left.saturating_sub(bytes.len());
        }
        self.0.pop_front_if(|(_, left)| *left == 0);
        Ok(())
    }
}

/// Flows for which there was no room.
#[derive(Default)]
struct GivesUp(RefCell<BTreeSet<FlowId>>);

impl Defect for GivesUp {
    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        let (room, mut given_up) = (out.room(flow), self.0.borrow_mut());
        if room == 0 {
            given_up.insert(flow);
        }
        if given_up.contains(&flow) { 0 } else { room }
    }
}

/// Whether an offer was refused.
struct StopsAll(bool);

impl Defect for StopsAll {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let taken = on.take(chunk, bytes)?;
        self.0 |= taken < bytes.len();
        Ok(taken)
    }

    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        if self.0 { 0 } else { out.room(flow) }
    }
}

#[derive(Default)]
struct AllForOne(BTreeSet<FlowId>);

impl Defect for AllForOne {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        self.0.insert(on.flow);
        on.open(descriptor)
    }

    fn reset(&mut self, on: &mut FlowCall<'_, '_>, cause: Cause) -> Done {
        self.0.iter().try_for_each(|flow| on.of(*flow).reset(cause))
    }
}

struct NextToo;

impl Defect for NextToo {
    fn says_reset(&mut self, out: &mut Outlet<'_>, flow: FlowId, cause: Cause) {
        out.reset(flow, cause);
        if cause == Cause::Error {
            out.reset(FlowId::new(flow.number() + 1), cause);
        }
    }
}

struct Together(u64);

impl Defect for Together {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(&Chunk { sequence: self.0 + 1, ..*chunk }, bytes)?;
        self.0 += 1;
        Ok(())
    }
}

/// The flow that was closed, until its close has cost another flow a chunk.
#[derive(Default)]
struct Costs {
    numbers: Numbers,
    closed: Option<FlowId>,
}

impl Defect for Costs {
    fn close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        self.closed = Some(on.flow);
        on.close()
    }

    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        let is_lost = self.closed.take_if(|closed| *closed != chunk.flow).is_some();
        let bytes = if is_lost { &[] } else { bytes };
        self.numbers.put_or_end(out, chunk.flow, bytes, chunk.is_final)
    }
}

#[derive(Default)]
struct HalfForOne(BTreeSet<FlowId>);

impl Defect for HalfForOne {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        self.0.insert(on.flow);
        on.open(descriptor)
    }

    fn half_close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        let flow = on.flow;
        for other in self.0.iter().filter(|other| **other != flow) {
            // Some of them have already ended.
            let _ended = on.of(*other).half_close();
        }
        on.half_close()
    }
}

/// The last byte that was put out, with its flow.
#[derive(Default)]
struct Dirty(Option<(FlowId, u8)>);

impl Defect for Dirty {
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

impl Defect for InTurn {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        self.0.insert(on.flow);
        on.open(descriptor)
    }

    fn close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        self.0.remove(&on.flow);
        // The next flow may have bytes to put out.
        on.cx.wants_poll();
        on.close()
    }

    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        if self.has_turn(flow) { out.room(flow) } else { 0 }
    }
}

/// Open flows.
#[derive(Default)]
struct SaysMore(BTreeSet<FlowId>);

impl SaysMore {
    fn says_more(&self, out: &mut Outlet<'_>, flow: FlowId) {
        if self.0.len() > 1 {
            out.closed(flow);
        }
    }
}

impl Defect for SaysMore {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        self.0.insert(on.flow);
        on.open(descriptor)
    }

    fn close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        self.0.remove(&on.flow);
        on.close()
    }

    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(chunk, bytes)?;
        if chunk.is_final {
            self.says_more(out, chunk.flow);
        }
        Ok(())
    }

    fn says_half_closed(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        out.half_closed(flow);
        self.says_more(out, flow);
    }
}

/// Flows in the order in which they opened; those whose only chunk was taken since the last poll,
/// in the order of the offers; and the flow that was overtaken.
#[derive(Default)]
struct Overtaken {
    opened: Vec<FlowId>,
    whole: Vec<FlowId>,
    overtaken: Option<FlowId>,
}

impl Defect for Overtaken {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        self.opened.push(on.flow);
        on.open(descriptor)
    }

    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let taken = on.take(chunk, bytes)?;
        if chunk.is_final && chunk.sequence == 1 && taken == bytes.len() {
            self.whole.push(chunk.flow);
        }
        Ok(taken)
    }

    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        if let [first, second] = self.opened[..]
            && self.whole == [second, first]
        {
            self.overtaken = Some(first);
        }
        self.whole.clear();
        poll_through(self, it, cx, out);
    }

    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        let is_cut = chunk.is_final && self.overtaken == Some(chunk.flow);
        let kept = bytes.split_last().filter(|_| is_cut).map_or(bytes, |(_, kept)| kept);
        out.data(&Chunk { bytes: kept.len() as u64, ..*chunk }, kept)
    }
}
