// SPDX-License-Identifier: BSD-3-Clause
//! Failures are told as something else, and refusals are wrong.

use super::deviation::{Deviation, Done, On, Took, egress, ingress};
use super::{Saboteur, Witness};
use crate::contract::{AdapterError, Cause, Chunk, Descriptor, FlowId, Outlet, Refused};
use crate::source::Source;
use crate::target::Behaviour;

const FAILING: Witness = Witness::new(Source::SmallBurst, Behaviour::ErrorResponse);
const PLAIN: Witness = Witness::new(Source::SmallBurst, Behaviour::Echo);

pub(super) const ALL: &[Saboteur] = &[
    Saboteur::egress(
        "local_adapter_tells_an_error_as_a_reset",
        "a flow that failed is told to have been broken off by somebody",
        |limits| egress(limits, Tells(|_| Some(Cause::Reset))),
        FAILING,
    )
    .breaks(&["ERR-05"])
    .spares(PLAIN),
    Saboteur::egress(
        "local_adapter_tells_a_reset_as_an_error",
        "a flow that somebody broke off is told to have failed",
        |limits| egress(limits, Tells(|_| Some(Cause::Error))),
        Witness::new(Source::SmallBurst, Behaviour::ResetMidstream),
    )
    .breaks(&["ERR-05"])
    .spares(PLAIN),
    Saboteur::egress(
        "local_adapter_tells_an_error_as_an_end",
        "a flow that failed is told to have ended in order",
        |limits| egress(limits, Tells(|_| None)),
        FAILING,
    )
    .breaks(&["ERR-06"])
    .spares(PLAIN),
    Saboteur::egress(
        "local_adapter_swallows_an_error",
        "a flow that failed is forgotten, and its sink never hears of it",
        |limits| egress(limits, Swallows),
        FAILING,
    )
    .breaks(&["LIV-02", "LIV-06"])
    .spares(PLAIN),
    Saboteur::ingress(
        "local_adapter_fails_without_a_reason",
        "a flow is told to have failed behind its sixty-fourth byte",
        |limits| ingress(limits, Fails),
        PLAIN,
    )
    .breaks(&["ERR-04"]),
    Saboteur::ingress(
        "local_adapter_calls_too_many_flows_a_failure",
        "a flow beyond the limit is refused by another error than the one that says so",
        |limits| ingress(limits, WrongClass),
        Witness::new(Source::SmallBurst, Behaviour::Echo).flows_max(2),
    )
    .breaks(&["LIF-01"])
    .spares(PLAIN),
    Saboteur::ingress(
        "local_adapter_takes_malformed_chunks",
        "a chunk that has a gap before it is taken, and thrown away",
        |limits| ingress(limits, TakesMalformed),
        Witness::new(Source::Malformed, Behaviour::Echo),
    )
    .breaks(&["ERR-08"])
    .spares(PLAIN),
    Saboteur::ingress(
        "local_adapter_calls_a_malformed_chunk_late",
        "a chunk that has a gap before it is refused as if the flow were closed",
        |limits| ingress(limits, CallsLate),
        Witness::new(Source::Malformed, Behaviour::Echo),
    )
    .breaks(&["ERR-08"])
    .spares(PLAIN),
    Saboteur::ingress(
        "local_adapter_refuses_long_chunks",
        "a chunk of more than 16 KiB is refused as malformed",
        |limits| ingress(limits, RefusesLong),
        Witness::new(Source::LargeObject, Behaviour::Echo),
    )
    .breaks(&["ERR-07"])
    .spares(PLAIN),
    Saboteur::ingress(
        "local_adapter_resets_what_it_has_ended",
        "a flow whose request has ended is broken off before its target can answer",
        |limits| ingress(limits, Behind(Cause::Reset)),
        FAILING,
    )
    .breaks(&["ERR-01", "ERR-04"]),
    Saboteur::ingress(
        "local_adapter_fails_what_it_has_ended",
        "a flow whose request has ended is told to have failed before its target can answer",
        |limits| ingress(limits, Behind(Cause::Error)),
        Witness::new(Source::SmallBurst, Behaviour::ResetMidstream),
    )
    .breaks(&["ERR-02", "ERR-04"]),
    Saboteur::ingress(
        "local_adapter_refuses_what_fits_exactly",
        "a chunk that is exactly as long as the room of a flow is refused as malformed",
        |limits| ingress(limits, RefusesExact(limits.flow_buffered_bytes_max)),
        Witness::new(Source::ExactLimit, Behaviour::Discard).room(512 << 10, 64 << 10),
    )
    .breaks(&["ERR-07"])
    .spares(Witness::new(Source::LargeObject, Behaviour::Discard)),
];

/// What is told behind the end of a flow.
struct Behind(Cause);

impl Deviation for Behind {
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

/// What is told instead of the cause; nothing is the end.
struct Tells(fn(Cause) -> Option<Cause>);

impl Deviation for Tells {
    fn says_reset(&mut self, out: &mut Outlet<'_>, flow: FlowId, cause: Cause) {
        match (self.0)(cause) {
            Some(cause) => out.reset(flow, cause),
            None => out.half_closed(flow),
        }
    }
}

struct Swallows;

impl Deviation for Swallows {
    fn says_reset(&mut self, _: &mut Outlet<'_>, _: FlowId, _: Cause) {}
}

struct Fails;

impl Deviation for Fails {
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

impl Deviation for WrongClass {
    fn open(&mut self, on: &mut On<'_, '_>, descriptor: &Descriptor) -> Done {
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

impl Deviation for TakesMalformed {
    fn take(&mut self, on: &mut On<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        match on.take(chunk, bytes) {
            Err(AdapterError::Malformed { .. }) => Ok(bytes.len()),
            other => other,
        }
    }
}

struct CallsLate;

impl Deviation for CallsLate {
    fn take(&mut self, on: &mut On<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        on.take(chunk, bytes).map_err(|error| match error {
            AdapterError::Malformed { flow, .. } => AdapterError::Closed(flow),
            other => other,
        })
    }
}

struct RefusesLong;

impl Deviation for RefusesLong {
    fn take(&mut self, on: &mut On<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        const BYTES_MAX: usize = 16 << 10;
        if bytes.len() > BYTES_MAX {
            let rule = "it is no longer than 16 KiB";
            return Err(AdapterError::Malformed { flow: chunk.flow, rule });
        }
        on.take(chunk, bytes)
    }
}

/// The room of a flow.
struct RefusesExact(u64);

impl Deviation for RefusesExact {
    fn take(&mut self, on: &mut On<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        if chunk.bytes == self.0 {
            let rule = "it is shorter than the room of its flow";
            return Err(AdapterError::Malformed { flow: chunk.flow, rule });
        }
        on.take(chunk, bytes)
    }
}
