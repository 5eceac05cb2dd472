// SPDX-License-Identifier: BSD-3-Clause
//! Something is kept when a flow is over.

use std::collections::BTreeMap;

use super::deviation::{
    Carries, Deviation, Done, Healthy, On, Took, egress, ingress, poll_through,
};
use super::{Saboteur, Witness};
use crate::contract::{
    AdapterError, Cause, Chunk, Context, Descriptor, FlowId, Outlet, Refused, Tick,
};
use crate::source::Source;
use crate::target::Behaviour;

const ONE_BY_ONE: Witness = Witness::new(Source::LateOpen, Behaviour::Echo);

pub(super) const ALL: &[Saboteur] = &[
    Saboteur::ingress(
        "local_adapter_keeps_flows_for_ever",
        "a flow that was closed is never forgotten, until there is no place for another",
        |limits| ingress(limits, KeepsFlows),
        ONE_BY_ONE.flows_max(2),
    )
    .breaks(&["LIF-01"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Saboteur::ingress(
        "local_adapter_keeps_the_bytes_of_reset_flows",
        "what a flow had when it was broken off is held for ever",
        |limits| ingress(limits, KeepsBytes(0)),
        Witness::new(Source::Resetting, Behaviour::Echo),
    )
    .breaks(&["RES-06"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Saboteur::egress(
        "local_adapter_keeps_what_it_put_out",
        "a copy of everything that was put out is held for ever",
        |limits| egress(limits, KeepsCopies(0)),
        Witness::new(Source::SmallBurst, Behaviour::FixedResponse),
    )
    .breaks(&["RES-06"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Discard)),
    Saboteur::ingress(
        "local_adapter_loses_room_with_every_flow",
        "there is less room for every flow that was closed, until there is none",
        |limits| ingress(limits, LosesRoom { left: limits.buffered_bytes_max }),
        ONE_BY_ONE.flows(8).room(400, 200),
    )
    .breaks(&["LIV-01", "BPR-03"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Saboteur::ingress(
        "local_adapter_wears_out",
        "it carries a hundred flows in all, and refuses those behind them, though it carries none",
        |limits| ingress(limits, WearsOut(0)),
        Witness::new(Source::ManyFlows, Behaviour::Discard).flows(120),
    )
    .breaks(&["LIF-01"])
    .spares(Witness::new(Source::SmallBurst, Behaviour::Echo)),
    Saboteur::ingress(
        "local_adapter_keeps_the_timers_of_reset_flows",
        "the time that a flow is given is waited for, also when it was broken off",
        |limits| ingress(limits, KeepsTimers::default()),
        Witness::new(Source::Resetting, Behaviour::Echo),
    )
    .breaks(&["RES-07"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
];

struct KeepsFlows;

impl Deviation for KeepsFlows {
    fn close(&mut self, _: &mut On<'_, '_>) -> Done {
        Ok(())
    }
}

/// Bytes of flows that were broken off.
struct KeepsBytes(u64);

impl Deviation for KeepsBytes {
    fn reset(&mut self, on: &mut On<'_, '_>, cause: Cause) -> Done {
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

impl Deviation for KeepsCopies {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(chunk, bytes)?;
        self.0 += bytes.len() as u64;
        Ok(())
    }

    fn buffered_bytes(&self, it: &dyn Carries) -> u64 {
        self.0 + it.buffered_bytes()
    }
}

/// When flows are given up, unless they were closed before.
#[derive(Default)]
struct KeepsTimers(BTreeMap<FlowId, Tick>);

/// So long a flow may last.
const PATIENCE_MS: u64 = 2000;

impl Deviation for KeepsTimers {
    fn open(&mut self, on: &mut On<'_, '_>, descriptor: &Descriptor) -> Done {
        on.open(descriptor)?;
        self.0.insert(on.flow, on.cx.now().after(PATIENCE_MS));
        Ok(())
    }

    fn reset(&mut self, on: &mut On<'_, '_>, cause: Cause) -> Done {
        // What is forgotten when it is closed is not what was broken off.
        let kept = self.0.remove(&on.flow);
        self.0.extend(kept.map(|at| (FlowId::new(u32::MAX - on.flow.number()), at)));
        on.reset(cause)
    }

    fn close(&mut self, on: &mut On<'_, '_>) -> Done {
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

/// Room that is left.
struct LosesRoom {
    left: u64,
}

impl Deviation for LosesRoom {
    fn take(&mut self, on: &mut On<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let room = self.left.saturating_sub(on.buffered_bytes());
        if room >= chunk.bytes {
            return on.take(chunk, bytes);
        }
        let bytes = bytes.get(..room as usize).unwrap_or_default();
        let part = Chunk { bytes: bytes.len() as u64, is_final: false, ..*chunk };
        on.take(&part, bytes)
    }

    fn close(&mut self, on: &mut On<'_, '_>) -> Done {
        const LOST_BYTES: u64 = 64;
        self.left = self.left.saturating_sub(LOST_BYTES);
        on.close()
    }
}

/// Flows that it carried.
struct WearsOut(u32);

impl Deviation for WearsOut {
    fn open(&mut self, on: &mut On<'_, '_>, descriptor: &Descriptor) -> Done {
        const FLOWS_MAX: u32 = 100;
        if self.0 == FLOWS_MAX {
            return Err(AdapterError::TooManyFlows(FLOWS_MAX));
        }
        self.0 += 1;
        on.open(descriptor)
    }
}
