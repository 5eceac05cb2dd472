// SPDX-License-Identifier: BSD-3-Clause
//! Wrong bytes are put out, or correct bytes with wrong numbers.

use std::collections::BTreeMap;

use super::defect::{Defect, Done, FlowCall, Took, egress, ingress};
use super::numbers::Numbers;
use super::{Mutant, Witness};
use crate::contract::{Chunk, Descriptor, FlowId, Outlet, Refused};
use crate::link::Link;
use crate::source::Source;
use crate::target::Behaviour;
use crate::trace::FaultKind;

pub(super) const ALL: &[Mutant] = &[
    Mutant::egress(
        "drops_final_chunk",
        "the last chunk of a flow is lost, and the end is reported as if it had arrived",
        |limits| egress(limits, LastHeld { numbers: Numbers::default(), held: BTreeMap::new() }),
        Witness::new(Source::SmallBurst, Behaviour::ChunkedResponse),
    )
    .breaks(&["INT-05", "INT-07"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Discard)),
    Mutant::ingress(
        "duplicates_chunk",
        "the first chunk of a flow is put out twice",
        |limits| ingress(limits, FirstTwice(Numbers::default())),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["INT-01", "INT-04", "INT-08"]),
    Mutant::egress(
        "swaps_chunks",
        "the second chunk of a flow is put out before the first",
        |limits| egress(limits, SecondFirst::default()),
        Witness::new(Source::SlowDrip, Behaviour::Echo),
    )
    .breaks(&["INT-01"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Discard)),
    Mutant::ingress(
        "flips_a_bit",
        "one bit of the forty-first byte of a flow is another",
        |limits| ingress(limits, Flips),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["INT-01", "INT-08"]),
    Mutant::egress(
        "loses_a_byte",
        "the hundredth byte of a flow is left out, and those behind it close the gap",
        |limits| egress(limits, Loses { numbers: Numbers::default(), seen: BTreeMap::new() }),
        Witness::new(Source::SmallBurst, Behaviour::FixedResponse),
    )
    .breaks(&["INT-01", "INT-05"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::egress(
        "cuts_long_flows",
        "a flow ends after 512 bytes, whatever its length",
        |limits| egress(limits, Cuts(Numbers::default())),
        // The link loses envelopes, and repairs the loss.
        Witness::new(Source::SmallBurst, Behaviour::FixedResponse)
            .link(Link::LossyReordered)
            .fault(FaultKind::Drop),
    )
    .breaks(&["INT-05", "ROB-02"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::egress(
        "adds_a_line_feed",
        "a line feed is put behind the last byte of a flow",
        |limits| egress(limits, Adds(Numbers::default())),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["INT-04"]),
    Mutant::ingress(
        "numbers_every_chunk_one",
        "every chunk has the number one",
        |limits| ingress(limits, AlwaysOne),
        Witness::new(Source::SlowDrip, Behaviour::Echo),
    )
    .breaks(&["INT-02"]),
    Mutant::egress(
        "counts_offsets_from_one",
        "the offset of every chunk is one too large",
        |limits| egress(limits, OneOff),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["INT-03"]),
    Mutant::ingress(
        "wrong_flow_stream_mapping",
        "what belongs to the first flow is put out on the second, and the other way round",
        |limits| ingress(limits, Crossed::default()),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["INT-01", "INT-08"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Mutant::ingress(
        "fixed_mapping",
        "whatever flow bytes belong to, they are put out on the first one",
        |limits| ingress(limits, OneFlow::default()),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["INT-04", "LIV-01"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Mutant::ingress(
        "says_it_took_all",
        "it says that it took a whole chunk when it had room for a part, and the rest is lost",
        |limits| ingress(limits, TookAll::default()),
        Witness::new(Source::LargeObject, Behaviour::Echo).room(20_000, 5_000),
    )
    .breaks(&["INT-05", "INT-06"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::ingress(
        "puts_out_empty_chunks",
        "before every chunk one without bytes is put out",
        |limits| ingress(limits, Empties(Numbers::default())),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["INT-09"]),
    Mutant::egress(
        "padding_only_diversity",
        "whatever comes for a flow, a chunk of zeros is put out, of which the length alone varies",
        |limits| egress(limits, Padding::default()),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["INT-01", "INT-07"]),
    Mutant::ingress(
        "counts_chunks_in_a_byte",
        "the number of a chunk is kept in eight bits: behind 255 comes 0",
        |limits| ingress(limits, InAByte),
        Witness::new(Source::OneByteDrip, Behaviour::Discard),
    )
    .breaks(&["INT-02"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Mutant::ingress(
        "goes_on_with_the_offsets_of_a_number",
        "a flow that takes over the number of another goes on with the offset at which that ended",
        |limits| ingress(limits, GoesOn::default()),
        Witness::new(Source::ManyFlows, Behaviour::Echo).flows(40),
    )
    .breaks(&["INT-03"])
    .spares(Witness::new(Source::MixedFlow, Behaviour::Echo)),
];

struct Empties(Numbers);

impl Defect for Empties {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        self.0.put(out, chunk.flow, &[], false)?;
        self.0.put(out, chunk.flow, bytes, chunk.is_final)
    }
}

/// Each chunk is held back until the next one arrives; the last one is never put out.
struct LastHeld {
    numbers: Numbers,
    held: BTreeMap<FlowId, Vec<u8>>,
}

impl Defect for LastHeld {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        let before = self.held.remove(&chunk.flow).unwrap_or_default();
        if chunk.is_final {
            return self.numbers.put_or_end(out, chunk.flow, &before, true);
        }
        self.held.insert(chunk.flow, bytes.to_vec());
        self.numbers.put_or_end(out, chunk.flow, &before, false)
    }
}

struct FirstTwice(Numbers);

impl Defect for FirstTwice {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        let is_first = chunk.offset == 0;
        if is_first && out.room(chunk.flow) >= 2 * bytes.len() {
            self.0.put(out, chunk.flow, bytes, false)?;
        }
        self.0.put(out, chunk.flow, bytes, chunk.is_final)
    }
}

/// The first chunk of a flow is held back until the second one has been put out.
#[derive(Default)]
struct SecondFirst {
    numbers: Numbers,
    first: BTreeMap<FlowId, Vec<u8>>,
}

impl Defect for SecondFirst {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        let flow = chunk.flow;
        if chunk.offset == 0 && !chunk.is_final {
            self.first.insert(flow, bytes.to_vec());
            return Ok(());
        }
        let Some(first) = self.first.remove(&flow) else {
            return self.numbers.put(out, flow, bytes, chunk.is_final);
        };
        self.numbers.put(out, flow, bytes, false)?;
        self.numbers.put(out, flow, &first, chunk.is_final)
    }

    fn says_half_closed(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        let first = self.first.remove(&flow).unwrap_or_default();
        // The sink has room, unless the flow is over.
        let _over = self.numbers.put_or_end(out, flow, &first, true);
    }
}

struct Flips;

impl Defect for Flips {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        const AT: u64 = 40;
        let mut bytes = bytes.to_vec();
        let at = AT.checked_sub(chunk.offset).and_then(|at| bytes.get_mut(at as usize));
        if let Some(byte) = at {
            *byte ^= 0x10;
        }
        out.data(chunk, &bytes)
    }
}

struct Loses {
    numbers: Numbers,
    seen: BTreeMap<FlowId, u64>,
}

impl Defect for Loses {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        const AT: u64 = 99;
        let seen = self.seen.entry(chunk.flow).or_default();
        let mut kept = bytes.to_vec();
        if let Some(at) = AT.checked_sub(*seen).filter(|at| *at < bytes.len() as u64) {
            kept.remove(at as usize);
        }
        self.numbers.put_or_end(out, chunk.flow, &kept, chunk.is_final)?;
        *seen += bytes.len() as u64;
        Ok(())
    }
}

struct Cuts(Numbers);

impl Defect for Cuts {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        const AT: u64 = 512;
        let left = AT.saturating_sub(self.0.offset(chunk.flow)).min(bytes.len() as u64);
        let bytes = bytes.get(..left as usize).unwrap_or_default();
        self.0.put_or_end(out, chunk.flow, bytes, chunk.is_final)
    }
}

struct Adds(Numbers);

impl Defect for Adds {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        let mut bytes = bytes.to_vec();
        if chunk.is_final && out.room(chunk.flow) > bytes.len() {
            bytes.push(b'\n');
        }
        self.0.put(out, chunk.flow, &bytes, chunk.is_final)
    }

    fn says_half_closed(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        if self.0.put(out, flow, b"\n", true).is_err() {
            out.half_closed(flow);
        }
    }
}

struct AlwaysOne;

impl Defect for AlwaysOne {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(&Chunk { sequence: 1, ..*chunk }, bytes)
    }
}

struct OneOff;

impl Defect for OneOff {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(&Chunk { offset: chunk.offset + 1, ..*chunk }, bytes)
    }
}

/// The first two flows, if both exist when the first byte is put out.
#[derive(Default)]
struct Crossed {
    opened: u32,
    is_crossed: Option<bool>,
}

impl Crossed {
    fn other(&self, flow: FlowId) -> FlowId {
        match flow.number() {
            1 if self.is_crossed == Some(true) => FlowId::new(2),
            2 if self.is_crossed == Some(true) => FlowId::new(1),
            _ => flow,
        }
    }
}

impl Defect for Crossed {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        self.opened += u32::from(on.flow.number() <= 2);
        on.open(descriptor)
    }

    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        out.room(self.other(flow))
    }

    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        let both = self.opened == 2;
        if chunk.flow.number() <= 2 {
            self.is_crossed.get_or_insert(both);
        }
        let flow = self.other(chunk.flow);
        out.data(&Chunk { flow, ..*chunk }, bytes)
    }

    fn says_half_closed(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        out.half_closed(self.other(flow));
    }
}

/// The flow that opened first.
#[derive(Default)]
struct OneFlow {
    numbers: Numbers,
    first: Option<FlowId>,
}

impl OneFlow {
    fn flow(&self, flow: FlowId) -> FlowId {
        self.first.unwrap_or(flow)
    }
}

impl Defect for OneFlow {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        self.first.get_or_insert(on.flow);
        on.open(descriptor)
    }

    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        out.room(self.flow(flow))
    }

    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        let flow = self.flow(chunk.flow);
        self.numbers.put(out, flow, bytes, chunk.is_final && chunk.flow == flow)
    }

    fn says_half_closed(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        if self.flow(flow) == flow {
            out.half_closed(flow);
        }
    }
}

/// Bytes of each flow that the healthy adapter took. The adapter reports more.
#[derive(Default)]
struct TookAll(BTreeMap<FlowId, u64>);

impl Defect for TookAll {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let taken = self.0.entry(chunk.flow).or_default();
        let count = on.take(&Chunk { offset: *taken, ..*chunk }, bytes)?;
        *taken += count as u64;
        if chunk.is_final && count < bytes.len() {
            on.of(chunk.flow).half_close()?;
        }
        Ok(bytes.len())
    }
}

/// Number of zeros that are put out in place of each flow's bytes.
#[derive(Default)]
struct Padding(BTreeMap<FlowId, u32>);

impl Padding {
    fn end(&mut self, out: &mut Outlet<'_>, flow: FlowId) -> Result<(), Refused> {
        let zeros = vec![0; self.0.get(&flow).map_or(0, |length| *length as usize)];
        Numbers::default().put(out, flow, &zeros, true)
    }
}

impl Defect for Padding {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        self.0.insert(on.flow, 16 + on.cx.random(32));
        on.open(descriptor)
    }

    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, _: &[u8]) -> Result<(), Refused> {
        if chunk.is_final { self.end(out, chunk.flow) } else { Ok(()) }
    }

    fn says_half_closed(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        // The sink has room, unless the flow is over.
        let _over = self.end(out, flow);
    }
}

struct InAByte;

impl Defect for InAByte {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(&Chunk { sequence: chunk.sequence & 0xff, ..*chunk }, bytes)
    }
}

/// For each flow number, the bytes of all earlier flows with that number and of the current one.
#[derive(Default)]
struct GoesOn(BTreeMap<FlowId, [u64; 2]>);

impl Defect for GoesOn {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        let [before, own] = self.0.entry(on.flow).or_default();
        *before += std::mem::take(own);
        on.open(descriptor)
    }

    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        let [before, own] = self.0.entry(chunk.flow).or_default();
        out.data(&Chunk { offset: chunk.offset + *before, ..*chunk }, bytes)?;
        *own += chunk.bytes;
        Ok(())
    }
}
