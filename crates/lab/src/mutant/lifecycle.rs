// SPDX-License-Identifier: BSD-3-Clause
//! Flows begin or end wrongly.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::defect::{Defect, Done, FlowCall, Healthy, Took, both, egress, ingress, poll_through};
use super::numbers::Numbers;
use super::{Mutant, Witness};
use crate::contract::{AdapterError, Cause, Chunk, Context, Descriptor, FlowId, Outlet, Refused};
use crate::source::Source;
use crate::target::Behaviour;
use crate::trace::FaultKind;

pub(super) const ALL: &[Mutant] = &[
    Mutant::ingress(
        "accepts_post_close_write",
        "what is offered behind the final chunk is taken, and thrown away",
        |limits| ingress(limits, TakesLate),
        Witness::new(Source::LateWrite, Behaviour::Echo),
    )
    .breaks(&["LIF-07"])
    .spares(Witness::new(Source::MixedFlow, Behaviour::Echo)),
    Mutant::egress(
        "says_the_end_twice",
        "that nothing more comes out of a flow is said twice",
        |limits| egress(limits, EndsTwice),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["LIF-05"]),
    Mutant::egress(
        "ends_before_the_last_chunk",
        "the end of a flow is reported before its last chunk",
        |limits| egress(limits, EndsFirst::default()),
        Witness::new(Source::SmallBurst, Behaviour::FixedResponse),
    )
    .breaks(&["LIF-04", "INT-05"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Discard)),
    Mutant::ingress(
        "goes_on_behind_a_reset",
        "a reset is reported, and what the flow had is put out after it",
        |limits| ingress(limits, GoesOn::default()),
        Witness::new(Source::Resetting, Behaviour::Echo),
    )
    .breaks(&["LIF-03"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::ingress(
        "ends_a_reset_flow_in_order",
        "a flow that its source reset is reported as ended in order",
        |limits| ingress(limits, ResetIsEnd),
        Witness::new(Source::Resetting, Behaviour::Echo),
    )
    .breaks(&["ERR-06", "ERR-03"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::egress(
        "resets_at_the_end",
        "a flow that ended in order is reported as reset",
        |limits| egress(limits, EndIsReset),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["ERR-04"]),
    Mutant::ingress(
        "ignores_half_close",
        "a half-close is taken, and never reported",
        |limits| ingress(limits, IgnoresHalfClose),
        Witness::new(Source::HalfClose, Behaviour::Echo),
    )
    .breaks(&["LIV-05"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::ingress(
        "half_close_closes_both_ways",
        "a flow of which one direction was closed is broken off in both",
        |limits| ingress(limits, ClosesBoth::default()),
        Witness::new(Source::HalfClose, Behaviour::Echo),
    )
    .breaks(&["LIF-09", "ERR-04"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::egress(
        "never_ends",
        "everything comes out of a flow but its end",
        |limits| egress(limits, NeverEnds),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["LIV-05"]),
    Mutant::ingress(
        "swallows_a_reset",
        "a reset is taken, and never reported",
        |limits| ingress(limits, SwallowsReset),
        Witness::new(Source::Resetting, Behaviour::Echo),
    )
    .breaks(&["LIV-06"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::ingress(
        "ends_after_the_first_chunk",
        "the end of a flow is reported after its first chunk, whatever follows",
        |limits| ingress(limits, EndsEarly::default()),
        Witness::new(Source::SlowDrip, Behaviour::Echo),
    )
    .breaks(&["LIF-06", "INT-06"]),
    Mutant::ingress(
        "refuses_to_close",
        "a flow is closed, and the call answered by an error",
        |limits| ingress(limits, RefusesToClose),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["LIF-08"]),
    Mutant::egress(
        "says_that_a_flow_is_over_when_it_opens",
        "a flow is reported as over as soon as it was opened",
        |limits| egress(limits, OverAtOnce::default()),
        Witness::new(Source::SmallBurst, Behaviour::Echo).fault(FaultKind::HalfClose),
    )
    .breaks(&["LIF-02", "LIF-06"]),
    Mutant::ingress(
        "ends_the_request_with_the_answer",
        "what a request has left when its answer has ended is taken, and thrown away",
        |limits| {
            let answered = Answered::default();
            both(limits, EndsWithAnswer::of(&answered), TellsAnswered(answered))
        },
        Witness::new(Source::Bidirectional, Behaviour::UnpromptedResponse).flows(2),
    )
    .breaks(&["INT-05", "INT-06"])
    .spares(Witness::new(Source::Bidirectional, Behaviour::DripResponse)),
    Mutant::ingress(
        "repeats_itself_behind_the_end",
        "the last chunk of a flow is put out once more behind the end",
        |limits| ingress(limits, RepeatsLast),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["LIF-04"]),
];

struct RefusesToClose;

impl Defect for RefusesToClose {
    fn close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        on.close()?;
        Err(AdapterError::Closed(on.flow))
    }
}

/// Flows that were opened and not yet reported as over.
#[derive(Default)]
struct OverAtOnce(Vec<FlowId>);

impl Defect for OverAtOnce {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        self.0.push(on.flow);
        on.cx.wants_poll();
        on.open(descriptor)
    }

    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        self.0.drain(..).for_each(|flow| out.closed(flow));
        poll_through(self, it, cx, out);
    }
}

struct TakesLate;

impl Defect for TakesLate {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        match on.take(chunk, bytes) {
            Err(AdapterError::Closed(_) | AdapterError::UnknownFlow(_)) => Ok(bytes.len()),
            other => other,
        }
    }
}

struct EndsTwice;

impl Defect for EndsTwice {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(chunk, bytes)?;
        if chunk.is_final {
            out.half_closed(chunk.flow);
        }
        Ok(())
    }

    fn says_half_closed(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        out.half_closed(flow);
        out.half_closed(flow);
    }
}

/// Each chunk is held back until the next one arrives; the last one is put out after the end.
#[derive(Default)]
struct EndsFirst {
    numbers: Numbers,
    held: BTreeMap<FlowId, Vec<u8>>,
}

impl Defect for EndsFirst {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        let flow = chunk.flow;
        let before = self.held.insert(flow, bytes.to_vec()).unwrap_or_default();
        self.numbers.put_or_end(out, flow, &before, false)?;
        if chunk.is_final {
            self.says_half_closed(out, flow);
        }
        Ok(())
    }

    fn says_half_closed(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        out.half_closed(flow);
        if let Some(last) = self.held.remove(&flow) {
            // The outlet refuses it, as it must.
            let _refused = self.numbers.put(out, flow, &last, true);
        }
    }
}

/// The last chunk that was offered of each flow.
#[derive(Default)]
struct GoesOn(BTreeMap<FlowId, (Chunk, Vec<u8>)>);

impl Defect for GoesOn {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        self.0.insert(chunk.flow, (*chunk, bytes.to_vec()));
        on.take(chunk, bytes)
    }

    fn says_reset(&mut self, out: &mut Outlet<'_>, flow: FlowId, cause: Cause) {
        out.reset(flow, cause);
        if let Some((chunk, bytes)) = self.0.remove(&flow) {
            // The outlet refuses it, as it must.
            let _refused = out.data(&chunk, &bytes);
        }
    }
}

struct ResetIsEnd;

impl Defect for ResetIsEnd {
    fn says_reset(&mut self, out: &mut Outlet<'_>, flow: FlowId, _: Cause) {
        out.half_closed(flow);
    }
}

struct EndIsReset;

impl Defect for EndIsReset {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(&Chunk { is_final: false, ..*chunk }, bytes)?;
        if chunk.is_final {
            out.reset(chunk.flow, Cause::Reset);
        }
        Ok(())
    }

    fn says_half_closed(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        out.reset(flow, Cause::Reset);
    }
}

struct IgnoresHalfClose;

impl Defect for IgnoresHalfClose {
    fn half_close(&mut self, _: &mut FlowCall<'_, '_>) -> Done {
        Ok(())
    }
}

#[derive(Default)]
struct ClosesBoth(BTreeSet<FlowId>);

impl Defect for ClosesBoth {
    fn half_close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        self.0.insert(on.flow);
        on.half_close()
    }

    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(chunk, bytes)?;
        if chunk.is_final && self.0.remove(&chunk.flow) {
            out.reset(chunk.flow, Cause::Reset);
        }
        Ok(())
    }

    fn says_half_closed(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        out.half_closed(flow);
        if self.0.remove(&flow) {
            out.reset(flow, Cause::Reset);
        }
    }
}

struct NeverEnds;

impl Defect for NeverEnds {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(&Chunk { is_final: false, ..*chunk }, bytes)
    }

    fn says_half_closed(&mut self, _: &mut Outlet<'_>, _: FlowId) {}
}

struct SwallowsReset;

impl Defect for SwallowsReset {
    fn says_reset(&mut self, _: &mut Outlet<'_>, _: FlowId, _: Cause) {}
}

#[derive(Default)]
struct EndsEarly(BTreeSet<FlowId>);

impl Defect for EndsEarly {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        if self.0.insert(chunk.flow) {
            return out.data(&Chunk { is_final: true, ..*chunk }, bytes);
        }
        // What follows is dropped.
        Ok(())
    }

    fn says_half_closed(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        if self.0.insert(flow) {
            out.half_closed(flow);
        }
    }

    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        if self.0.contains(&flow) { usize::MAX } else { out.room(flow) }
    }
}

/// Flows whose response has ended, shared by both adapters of the pair.
type Answered = Rc<RefCell<BTreeSet<FlowId>>>;

/// Flows whose request has not ended.
struct EndsWithAnswer {
    asking: BTreeSet<FlowId>,
    answered: Answered,
}

impl EndsWithAnswer {
    fn of(answered: &Answered) -> Self {
        Self { asking: BTreeSet::new(), answered: Rc::clone(answered) }
    }
}

impl Defect for EndsWithAnswer {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        self.asking.insert(on.flow);
        self.answered.borrow_mut().remove(&on.flow);
        on.open(descriptor)
    }

    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let is_left = self.asking.contains(&chunk.flow);
        if !is_left || !self.answered.borrow().contains(&chunk.flow) {
            let taken = on.take(chunk, bytes)?;
            if chunk.is_final && taken == bytes.len() {
                self.asking.remove(&chunk.flow);
            }
            return Ok(taken);
        }
        if chunk.is_final {
            self.asking.remove(&chunk.flow);
            on.half_close()?;
        }
        Ok(bytes.len())
    }

    fn half_close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        self.asking.remove(&on.flow);
        on.half_close()
    }
}

struct TellsAnswered(Answered);

impl Defect for TellsAnswered {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(chunk, bytes)?;
        if chunk.is_final {
            self.0.borrow_mut().insert(chunk.flow);
        }
        Ok(())
    }

    fn says_half_closed(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        self.0.borrow_mut().insert(flow);
        out.half_closed(flow);
    }
}

struct RepeatsLast;

impl Defect for RepeatsLast {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(chunk, bytes)?;
        if chunk.is_final {
            // The outlet refuses it, as it must.
            let _refused = out.data(chunk, bytes);
        }
        Ok(())
    }
}
