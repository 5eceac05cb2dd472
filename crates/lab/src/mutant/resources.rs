// SPDX-License-Identifier: BSD-3-Clause
//! Resources of a flow are kept after its end.

use std::collections::BTreeMap;

use super::defect::{
    Carries, Defect, Done, FlowCall, Healthy, Took, egress, ingress, poll_through,
};
use super::{Mutant, Witness};
use crate::contract::{
    AdapterError, Cause, Chunk, Context, Descriptor, FlowId, Outlet, Refused, Tick,
};
use crate::source::Source;
use crate::target::Behaviour;

const ONE_BY_ONE: Witness = Witness::new(Source::LateOpen, Behaviour::Echo);

pub(super) const ALL: &[Mutant] = &[
    Mutant::ingress(
        "keeps_flows_for_ever",
        "a flow that was closed is never forgotten, until there is no place for another",
        |limits| ingress(limits, KeepsFlows),
        ONE_BY_ONE.flows_max(2),
    )
    .breaks(&["LIF-01"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Mutant::ingress(
        "keeps_the_bytes_of_reset_flows",
        "what a flow had when it was broken off is held for ever",
        |limits| ingress(limits, KeepsBytes(0)),
        Witness::new(Source::Resetting, Behaviour::Echo),
    )
    .breaks(&["RES-06"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Mutant::egress(
        "keeps_what_it_put_out",
        "a copy of everything that was put out is held for ever",
        |limits| egress(limits, KeepsCopies(0)),
        Witness::new(Source::SmallBurst, Behaviour::FixedResponse),
    )
    .breaks(&["RES-06"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Discard)),
    Mutant::ingress(
        "loses_room_with_every_flow",
        "there is less room for every flow that was closed, until there is none",
        |limits| ingress(limits, LosesRoom { left: limits.buffered_bytes_max }),
        ONE_BY_ONE.flows(8).room(400, 200),
    )
    .breaks(&["LIV-01", "BPR-03"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Mutant::ingress(
        "wears_out",
        "it carries a hundred flows in all, and refuses those behind them, though it carries none",
        |limits| ingress(limits, WearsOut(0)),
        Witness::new(Source::ManyFlows, Behaviour::Discard).flows(120),
    )
    .breaks(&["LIF-01"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Mutant::ingress(
        "keeps_the_timers_of_reset_flows",
        "the time that a flow is given is waited for, also when it was broken off",
        |limits| ingress(limits, KeepsTimers::default()),
        Witness::new(Source::Resetting, Behaviour::Echo),
    )
    .breaks(&["RES-07"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
];

struct KeepsFlows;

impl Defect for KeepsFlows {
    fn close(&mut self, _: &mut FlowCall<'_, '_>) -> Done {
        Ok(())
    }
}

/// Bytes of flows that were reset.
struct KeepsBytes(u64);

impl Defect for KeepsBytes {
    fn reset(&mut self, on: &mut FlowCall<'_, '_>, cause: Cause) -> Done {
        let before = on.buffered_bytes();
        on.reset(cause)?;
        self.0 += before - on.buffered_bytes();
        Ok(())
    }

    fn buffered_bytes(&self, it: &dyn Carries) -> u64 {
        self.0 + it.buffered_bytes()
    }
}

/// Bytes that were put out.
struct KeepsCopies(u64);

impl Defect for KeepsCopies {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(chunk, bytes)?;
        self.0 += bytes.len() as u64;
        Ok(())
    }

    fn buffered_bytes(&self, it: &dyn Carries) -> u64 {
        self.0 + it.buffered_bytes()
    }
}

/// When each flow is given up unless it is closed before.
#[derive(Default)]
struct KeepsTimers(BTreeMap<FlowId, Tick>);

/// How long a flow may last, in milliseconds.
const TIMEOUT_MS: u64 = 2000;

impl Defect for KeepsTimers {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        on.open(descriptor)?;
        self.0.insert(on.flow, on.cx.now().after(TIMEOUT_MS));
        Ok(())
    }

    fn reset(&mut self, on: &mut FlowCall<'_, '_>, cause: Cause) -> Done {
        // A close frees the timer; a reset does not.
        let kept = self.0.remove(&on.flow);
        self.0.extend(kept.map(|at| (FlowId::new(u32::MAX - on.flow.number()), at)));
        on.reset(cause)
    }

    fn close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        self.0.remove(&on.flow);
        on.close()
    }

    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        let now = cx.now();
        self.0.retain(|_, at| *at > now);
        poll_through(self, it, cx, out);
    }

    fn deadline(&self, _: &dyn Carries) -> Option<Tick> {
        self.0.values().min().copied()
    }
}

/// The room that is left.
struct LosesRoom {
    left: u64,
}

impl Defect for LosesRoom {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let room = self.left.saturating_sub(on.buffered_bytes());
        if room >= chunk.bytes {
            return on.take(chunk, bytes);
        }
        let bytes = bytes.get(..room as usize).unwrap_or_default();
        let part = Chunk { bytes: bytes.len() as u64, is_final: false, ..*chunk };
        on.take(&part, bytes)
    }

    fn close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        const LOST_BYTES: u64 = 64;
        self.left = self.left.saturating_sub(LOST_BYTES);
        on.close()
    }
}

/// How many flows it has carried.
struct WearsOut(u32);

impl Defect for WearsOut {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        const FLOWS_MAX: u32 = 100;
        if self.0 == FLOWS_MAX {
            return Err(AdapterError::TooManyFlows(FLOWS_MAX));
        }
        self.0 += 1;
        on.open(descriptor)
    }
}
