// SPDX-License-Identifier: BSD-3-Clause
//! What is rare was not thought of.

use std::collections::BTreeSet;

use super::deviation::{Deviation, Done, Healthy, On, Took, egress, ingress, poll_through};
use super::numbers::Numbers;
use super::{Saboteur, Witness};
use crate::contract::{
    AdapterError, Cause, Chunk, Context, Descriptor, FlowId, Outlet, Refused, Tick,
};
use crate::source::Source;
use crate::target::Behaviour;
use crate::trace::FaultKind;

pub(super) const ALL: &[Saboteur] = &[
    Saboteur::ingress(
        "local_adapter_repeats_itself_at_an_idle_poll",
        "polled with nothing to put out it puts the last chunk out again",
        |limits| ingress(limits, Repeats::default()),
        Witness::new(Source::SlowDrip, Behaviour::Echo),
    )
    .breaks(&["INT-04", "INT-01"]),
    Saboteur::egress(
        "local_adapter_overlooks_an_empty_final_chunk",
        "a final chunk without a byte is overlooked, and with it the end",
        |limits| egress(limits, Overlooks),
        Witness::new(Source::SmallBurst, Behaviour::Discard),
    )
    .breaks(&["LIV-05"]),
    Saboteur::egress(
        "local_adapter_refuses_the_end_of_a_flow_without_bytes",
        "a flow that ends without ever having had a byte is told to have failed",
        |limits| egress(limits, Hasty(Numbers::default())),
        Witness::new(Source::SmallBurst, Behaviour::Discard),
    )
    .breaks(&["ERR-04"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Saboteur::ingress(
        "local_adapter_splits_nothing",
        "a chunk is put out whole or not at all, and waits for ever when the window is smaller",
        |limits| ingress(limits, Whole),
        Witness::new(Source::LargeObject, Behaviour::Echo).window(1_000),
    )
    .breaks(&["LIV-01"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Saboteur::ingress(
        "local_adapter_loses_what_finds_no_room",
        "a chunk is put out as far as there is room, and the rest of it is lost",
        |limits| ingress(limits, LosesRest(Numbers::default())),
        Witness::new(Source::SmallBurst, Behaviour::Echo).fault(FaultKind::BufferShrink).seed(4),
    )
    .breaks(&["INT-05"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Saboteur::egress(
        "local_adapter_never_tells_its_sink_of_a_reset",
        "a flow that was given up is forgotten, and its sink never hears of it",
        |limits| egress(limits, NeverTells),
        Witness::new(Source::SmallBurst, Behaviour::DripResponse).fault(FaultKind::Cancel),
    )
    .breaks(&["LIV-02", "ROB-03"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Saboteur::ingress(
        "local_adapter_begins_at_tick_zero_only",
        "what is made when the run has begun carries nothing",
        |limits| ingress(limits, AtZero(None)),
        Witness::new(Source::LateOpen, Behaviour::Echo).flows(8).fault(FaultKind::Crash),
    )
    .breaks(&["ROB-04", "ERR-07"])
    .spares(Witness::new(Source::LateOpen, Behaviour::Echo)),
    Saboteur::egress(
        "local_adapter_gives_up_when_time_jumps",
        "all flows are told to have failed when it was not polled for a tenth of a second",
        |limits| egress(limits, Jumps::default()),
        Witness::new(Source::SlowDrip, Behaviour::DripResponse).fault(FaultKind::ClockJump),
    )
    .breaks(&["ROB-01", "ERR-04"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::DripResponse)),
    Saboteur::ingress(
        "local_adapter_forgets_a_request_without_bytes",
        "a request that ends without ever having had a byte is taken, and its end never told",
        |limits| ingress(limits, Forgets::default()),
        Witness::new(Source::ZeroLength, Behaviour::Echo),
    )
    .breaks(&["LIV-05", "LIV-01"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
];

/// The room has no bound, and what is too much is dropped.
struct LosesRest(Numbers);

impl Deviation for LosesRest {
    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        if out.room(flow) == 0 { 0 } else { usize::MAX }
    }

    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        let fits = bytes.len().min(out.room(chunk.flow));
        let bytes = bytes.get(..fits).unwrap_or_default();
        self.0.put_or_end(out, chunk.flow, bytes, chunk.is_final)
    }
}

struct NeverTells;

impl Deviation for NeverTells {
    fn says_reset(&mut self, out: &mut Outlet<'_>, flow: FlowId, cause: Cause) {
        if cause == Cause::Error {
            out.reset(flow, cause);
        }
    }
}

/// When it was called first.
struct AtZero(Option<Tick>);

impl Deviation for AtZero {
    fn open(&mut self, on: &mut On<'_, '_>, descriptor: &Descriptor) -> Done {
        self.0.get_or_insert(on.cx.now());
        on.open(descriptor)
    }

    fn take(&mut self, on: &mut On<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        if self.0 == Some(Tick(0)) {
            return on.take(chunk, bytes);
        }
        Err(AdapterError::Failed { flow: chunk.flow, what: "it was not set up".into() })
    }
}

/// When it was polled last, and which flows are open.
#[derive(Default)]
struct Jumps {
    last: Tick,
    open: BTreeSet<FlowId>,
}

impl Deviation for Jumps {
    fn open(&mut self, on: &mut On<'_, '_>, descriptor: &Descriptor) -> Done {
        self.open.insert(on.flow);
        on.open(descriptor)
    }

    fn close(&mut self, on: &mut On<'_, '_>) -> Done {
        self.open.remove(&on.flow);
        on.close()
    }

    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        const PATIENCE_MS: u64 = 100;
        let before = std::mem::replace(&mut self.last, cx.now());
        if cx.now() >= before.after(PATIENCE_MS) {
            self.open.iter().for_each(|flow| out.reset(*flow, Cause::Error));
            self.open.clear();
        }
        poll_through(self, it, cx, out);
    }
}

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

    fn close(&mut self, on: &mut On<'_, '_>) -> Done {
        self.last.take_if(|(last, _)| *last == on.flow);
        on.close()
    }
}

struct Overlooks;

impl Deviation for Overlooks {
    fn take(&mut self, on: &mut On<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        if bytes.is_empty() { Ok(0) } else { on.take(chunk, bytes) }
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

/// Flows that have had a byte.
#[derive(Default)]
struct Forgets(BTreeSet<FlowId>);

impl Deviation for Forgets {
    fn take(&mut self, on: &mut On<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        if !bytes.is_empty() {
            self.0.insert(chunk.flow);
        }
        if self.0.contains(&chunk.flow) { on.take(chunk, bytes) } else { Ok(0) }
    }

    fn close(&mut self, on: &mut On<'_, '_>) -> Done {
        self.0.remove(&on.flow);
        on.close()
    }
}
