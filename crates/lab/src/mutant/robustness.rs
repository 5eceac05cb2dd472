// SPDX-License-Identifier: BSD-3-Clause
//! Rare events are handled wrongly.

use std::collections::BTreeSet;

use super::defect::{Defect, Done, FlowCall, Healthy, Took, egress, ingress, poll_through};
use super::numbers::Numbers;
use super::{Mutant, Witness};
use crate::contract::{
    AdapterError, Cause, Chunk, Context, Descriptor, FlowId, Outlet, Refused, Tick,
};
use crate::source::Source;
use crate::target::Behaviour;
use crate::trace::FaultKind;

pub(super) const ALL: &[Mutant] = &[
    Mutant::ingress(
        "repeats_itself_at_an_idle_poll",
        "polled with nothing to put out it puts the last chunk out again",
        |limits| ingress(limits, Repeats::default()),
        Witness::new(Source::SlowDrip, Behaviour::Echo),
    )
    .breaks(&["INT-04", "INT-01"]),
    Mutant::egress(
        "overlooks_an_empty_final_chunk",
        "a final chunk without a byte is overlooked, and with it the end",
        |limits| egress(limits, Overlooks),
        Witness::new(Source::SmallBurst, Behaviour::Discard),
    )
    .breaks(&["LIV-05"]),
    Mutant::egress(
        "refuses_the_end_of_a_flow_without_bytes",
        "a flow that ends without ever having had a byte is reported as failed",
        |limits| egress(limits, Hasty(Numbers::default())),
        Witness::new(Source::SmallBurst, Behaviour::Discard),
    )
    .breaks(&["ERR-04"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::ingress(
        "splits_nothing",
        "a chunk is put out whole or not at all, and waits for ever when the window is smaller",
        |limits| ingress(limits, Whole),
        Witness::new(Source::LargeObject, Behaviour::Echo).window(1_000),
    )
    .breaks(&["LIV-01"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::ingress(
        "loses_what_finds_no_room",
        "a chunk is put out as far as there is room, and the rest of it is lost",
        |limits| ingress(limits, LosesRest(Numbers::default())),
        Witness::new(Source::SmallBurst, Behaviour::Echo).fault(FaultKind::BufferShrink).seed(4),
    )
    .breaks(&["INT-05"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::egress(
        "never_tells_its_sink_of_a_reset",
        "a flow that was cancelled is dropped, and its sink receives no notification",
        |limits| egress(limits, NeverTells),
        Witness::new(Source::SmallBurst, Behaviour::DripResponse).fault(FaultKind::Cancel),
    )
    .breaks(&["LIV-02", "ROB-03"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::ingress(
        "begins_at_tick_zero_only",
        "what is made when the run has begun carries nothing",
        |limits| ingress(limits, AtZero(None)),
        Witness::new(Source::LateOpen, Behaviour::Echo).flows(8).fault(FaultKind::Crash),
    )
    .breaks(&["ROB-04", "ERR-07"])
    .spares(Witness::new(Source::LateOpen, Behaviour::Echo)),
    Mutant::egress(
        "gives_up_when_time_jumps",
        "all flows are reported as failed after a tenth of a second without a poll",
        |limits| egress(limits, Jumps::default()),
        Witness::new(Source::SlowDrip, Behaviour::DripResponse).fault(FaultKind::ClockJump),
    )
    .breaks(&["ROB-01", "ERR-04"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::DripResponse)),
    Mutant::ingress(
        "forgets_a_request_without_bytes",
        "a request that ends without ever having had a byte is taken, and its end never reported",
        |limits| ingress(limits, Forgets::default()),
        Witness::new(Source::ZeroLength, Behaviour::Echo),
    )
    .breaks(&["LIV-05", "LIV-01"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
];

/// The room is treated as unbounded, and the excess is dropped.
struct LosesRest(Numbers);

impl Defect for LosesRest {
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

impl Defect for NeverTells {
    fn says_reset(&mut self, out: &mut Outlet<'_>, flow: FlowId, cause: Cause) {
        if cause == Cause::Error {
            out.reset(flow, cause);
        }
    }
}

/// When the first call came.
struct AtZero(Option<Tick>);

impl Defect for AtZero {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        self.0.get_or_insert(on.cx.now());
        on.open(descriptor)
    }

    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        if self.0 == Some(Tick(0)) {
            return on.take(chunk, bytes);
        }
        Err(AdapterError::Failed { flow: chunk.flow, what: "it was not set up".into() })
    }
}

/// When the last poll was, and which flows are open.
#[derive(Default)]
struct Jumps {
    last: Tick,
    open: BTreeSet<FlowId>,
}

impl Defect for Jumps {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        self.open.insert(on.flow);
        on.open(descriptor)
    }

    fn close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        self.open.remove(&on.flow);
        on.close()
    }

    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        const TIMEOUT_MS: u64 = 100;
        let before = std::mem::replace(&mut self.last, cx.now());
        if cx.now() >= before.after(TIMEOUT_MS) {
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

impl Defect for Repeats {
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

    fn close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        self.last.take_if(|(last, _)| *last == on.flow);
        on.close()
    }
}

struct Overlooks;

impl Defect for Overlooks {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        if bytes.is_empty() { Ok(0) } else { on.take(chunk, bytes) }
    }
}

struct Hasty(Numbers);

impl Defect for Hasty {
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

/// The room is reported as zero or as unbounded, so that no chunk is split.
struct Whole;

impl Defect for Whole {
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

impl Defect for Forgets {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        if !bytes.is_empty() {
            self.0.insert(chunk.flow);
        }
        if self.0.contains(&chunk.flow) { on.take(chunk, bytes) } else { Ok(0) }
    }

    fn close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        self.0.remove(&on.flow);
        on.close()
    }
}
