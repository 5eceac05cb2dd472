// SPDX-License-Identifier: BSD-3-Clause
//! Failures are reported as something else, or offers are refused wrongly.

use super::defect::{Defect, Done, FlowCall, Took, both, egress, ingress};
use super::{Mutant, Witness};
use crate::contract::{AdapterError, Cause, Chunk, Descriptor, FlowId, Outlet, Refused};
use crate::source::Source;
use crate::target::Behaviour;

const FAILING: Witness = Witness::new(Source::SmallBurst, Behaviour::ErrorResponse);
const PLAIN: Witness = Witness::new(Source::SmallBurst, Behaviour::Echo);

pub(super) const ALL: &[Mutant] = &[
    Mutant::egress(
        "tells_an_error_as_a_reset",
        "a flow that failed is reported as reset",
        |limits| egress(limits, Tells(|_| Some(Cause::Reset))),
        FAILING,
    )
    .breaks(&["ERR-05"])
    .spares(PLAIN),
    Mutant::egress(
        "tells_a_reset_as_an_error",
        "a flow that was reset is reported as failed",
        |limits| egress(limits, Tells(|_| Some(Cause::Error))),
        Witness::new(Source::SmallBurst, Behaviour::ResetMidstream),
    )
    .breaks(&["ERR-05"])
    .spares(PLAIN),
    Mutant::egress(
        "tells_an_error_as_an_end",
        "a flow that failed is reported as ended in order",
        |limits| egress(limits, Tells(|_| None)),
        FAILING,
    )
    .breaks(&["ERR-06"])
    .spares(PLAIN),
    Mutant::ingress(
        "fixed_reset",
        "no reset and no failure is reported on either side, but an end in order",
        |limits| both(limits, Tells(|_| None), Tells(|_| None)),
        Witness::new(Source::Resetting, Behaviour::Echo),
    )
    .breaks(&["ERR-06"])
    .spares(PLAIN),
    Mutant::egress(
        "swallows_an_error",
        "a flow that failed is dropped, and its sink receives no notification",
        |limits| egress(limits, Swallows),
        FAILING,
    )
    .breaks(&["LIV-02", "LIV-06"])
    .spares(PLAIN),
    Mutant::ingress(
        "fails_without_a_reason",
        "a flow is reported as failed after its sixty-fourth byte",
        |limits| ingress(limits, Fails),
        PLAIN,
    )
    .breaks(&["ERR-04"]),
    Mutant::ingress(
        "calls_too_many_flows_a_failure",
        "a flow beyond the limit is refused by another error than the one that says so",
        |limits| ingress(limits, WrongClass),
        Witness::new(Source::SmallBurst, Behaviour::Echo).flows_max(2),
    )
    .breaks(&["LIF-01"])
    .spares(PLAIN),
    Mutant::ingress(
        "takes_malformed_chunks",
        "a chunk that has a gap before it is taken, and thrown away",
        |limits| ingress(limits, TakesMalformed),
        Witness::new(Source::Malformed, Behaviour::Echo),
    )
    .breaks(&["ERR-08"])
    .spares(PLAIN),
    Mutant::ingress(
        "calls_a_malformed_chunk_late",
        "a chunk that has a gap before it is refused as if the flow were closed",
        |limits| ingress(limits, CallsLate),
        Witness::new(Source::Malformed, Behaviour::Echo),
    )
    .breaks(&["ERR-08"])
    .spares(PLAIN),
    Mutant::ingress(
        "refuses_long_chunks",
        "a chunk of more than 16 KiB is refused as malformed",
        |limits| ingress(limits, RefusesLong),
        Witness::new(Source::LargeObject, Behaviour::Echo),
    )
    .breaks(&["ERR-07"])
    .spares(PLAIN),
    Mutant::ingress(
        "resets_what_it_has_ended",
        "a flow whose request has ended is broken off before its target can answer",
        |limits| ingress(limits, Behind(Cause::Reset)),
        FAILING,
    )
    .breaks(&["ERR-01", "ERR-04"]),
    Mutant::ingress(
        "fails_what_it_has_ended",
        "a flow whose request has ended is reported as failed before its target can answer",
        |limits| ingress(limits, Behind(Cause::Error)),
        Witness::new(Source::SmallBurst, Behaviour::ResetMidstream),
    )
    .breaks(&["ERR-02", "ERR-04"]),
    Mutant::ingress(
        "refuses_what_fits_exactly",
        "a chunk that is exactly as long as the room of a flow is refused as malformed",
        |limits| ingress(limits, RefusesExact(limits.flow_buffered_bytes_max)),
        Witness::new(Source::ExactLimit, Behaviour::Discard).room(512 << 10, 64 << 10),
    )
    .breaks(&["ERR-07"])
    .spares(Witness::new(Source::LargeObject, Behaviour::Discard)),
];

/// The cause that is reported after the end of a flow.
struct Behind(Cause);

impl Defect for Behind {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(chunk, bytes)?;
        if chunk.is_final {
            out.reset(chunk.flow, self.0);
        }
        Ok(())
    }

    fn says_half_closed(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        out.half_closed(flow);
        out.reset(flow, self.0);
    }
}

/// The cause that is reported in place of the real one; `None` reports an end in order.
struct Tells(fn(Cause) -> Option<Cause>);

impl Defect for Tells {
    fn says_reset(&mut self, out: &mut Outlet<'_>, flow: FlowId, cause: Cause) {
        match (self.0)(cause) {
            Some(cause) => out.reset(flow, cause),
            None => out.half_closed(flow),
        }
    }
}

struct Swallows;

impl Defect for Swallows {
    fn says_reset(&mut self, _: &mut Outlet<'_>, _: FlowId, _: Cause) {}
}

struct Fails;

impl Defect for Fails {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        const AT: u64 = 64;
        out.data(&Chunk { is_final: false, ..*chunk }, bytes)?;
        if chunk.offset + chunk.bytes >= AT {
            out.reset(chunk.flow, Cause::Error);
        } else if chunk.is_final {
            out.half_closed(chunk.flow);
        }
        Ok(())
    }
}

struct WrongClass;

impl Defect for WrongClass {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        let flow = on.flow;
        on.open(descriptor).map_err(|error| match error {
            AdapterError::TooManyFlows(_) => {
                AdapterError::Failed { flow, what: "it could not be opened".into() }
            }
            other => other,
        })
    }
}

struct TakesMalformed;

impl Defect for TakesMalformed {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        match on.take(chunk, bytes) {
            Err(AdapterError::Malformed { .. }) => Ok(bytes.len()),
            other => other,
        }
    }
}

struct CallsLate;

impl Defect for CallsLate {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        on.take(chunk, bytes).map_err(|error| match error {
            AdapterError::Malformed { flow, .. } => AdapterError::Closed(flow),
            other => other,
        })
    }
}

struct RefusesLong;

impl Defect for RefusesLong {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        const BYTES_MAX: usize = 16 << 10;
        if bytes.len() > BYTES_MAX {
            let rule = "it is no longer than 16 KiB";
            return Err(AdapterError::Malformed { flow: chunk.flow, rule });
        }
        on.take(chunk, bytes)
    }
}

/// The room of a flow: a chunk of exactly this length is refused.
struct RefusesExact(u64);

impl Defect for RefusesExact {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        if chunk.bytes == self.0 {
            let rule = "it is shorter than the room of its flow";
            return Err(AdapterError::Malformed { flow: chunk.flow, rule });
        }
        on.take(chunk, bytes)
    }
}
