// SPDX-License-Identifier: BSD-3-Clause
//! The manifest claims a capability that does not work, or omits one that does.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::defect::{Carries, Defect, Done, FlowCall, Healthy, ingress, poll_through};
use super::{Mutant, Shows, Witness};
use crate::contract::{
    AdapterError, Capability, Cause, Chunk, Class, Context, Descriptor, FlowId, Manifest, Outlet,
    Refused,
};
use crate::source::Source;
use crate::target::Behaviour;

const PLAIN: Witness = Witness::new(Source::SmallBurst, Behaviour::Echo);
const HALF_CLOSE: Witness = Witness::new(Source::HalfClose, Behaviour::Echo);
const RESETTING: Witness = Witness::new(Source::Resetting, Behaviour::Echo);

pub(super) const ALL: &[Mutant] = &[
    Mutant::ingress(
        "claims_half_close_and_refuses_it",
        "its manifest names half-close, and every one is refused as unsupported",
        |limits| ingress(limits, RefusesHalfClose),
        HALF_CLOSE,
    )
    .breaks(&["CAP-03"])
    .spares(PLAIN),
    Mutant::ingress(
        "claims_reset_and_refuses_it",
        "its manifest names reset, and every one is refused as unsupported",
        |limits| ingress(limits, RefusesReset),
        RESETTING,
    )
    .breaks(&["CAP-04"])
    .spares(PLAIN),
    Mutant::ingress(
        "half_closes_without_a_claim",
        "its manifest does not name half-close, and half-closes are taken",
        |limits| ingress(limits, Without(Capability::FlowHalfClose)),
        HALF_CLOSE,
    )
    .breaks(&["CAP-01"])
    .shows(Shows::InManifest),
    Mutant::ingress(
        "resets_without_a_claim",
        "its manifest does not name reset, and resets are taken",
        |limits| ingress(limits, Without(Capability::FlowReset)),
        RESETTING,
    )
    .breaks(&["CAP-02"])
    .shows(Shows::InManifest),
    Mutant::ingress(
        "carries_without_a_claim",
        "its manifest does not say that it carries flows into the runtime, and it does",
        |limits| ingress(limits, Without(Capability::AdapterIngress)),
        PLAIN,
    )
    .breaks(&["CAP-06"])
    .shows(Shows::InManifest),
    Mutant::ingress(
        "changes_its_manifest",
        "its manifest names reset at every second call only",
        |limits| ingress(limits, Changes(Cell::new(false))),
        PLAIN,
    )
    .breaks(&["CAP-07"])
    .shows(Shows::InManifest),
    Mutant::ingress(
        "puts_bulk_before_interactive",
        "its manifest names priority, and bulk flows go before interactive ones",
        |limits| ingress(limits, BulkFirst),
        Witness::new(Source::MixedFlow, Behaviour::Echo),
    )
    .breaks(&["CAP-05"])
    .spares(PLAIN),
    Mutant::ingress(
        "claims_more_flows_than_it_carries",
        "its manifest claims more flows than two, and the third is refused",
        |limits| ingress(limits, CarriesTwo::default()),
        PLAIN,
    )
    .breaks(&["LIF-01"])
    .spares(Witness::new(Source::SlowDrip, Behaviour::Echo)),
    Mutant::ingress(
        "carries_more_flows_than_it_claims",
        "its manifest claims one flow, and it carries as many as are opened",
        |limits| ingress(limits, ClaimsOne),
        PLAIN,
    )
    .breaks(&["RES-05"])
    .shows(Shows::InManifest),
    Mutant::ingress(
        "refuses_at_the_cost_of_others",
        "a half-close, which its manifest does not name, is refused, and all flows are broken off",
        |limits| ingress(limits, Costly::default()),
        HALF_CLOSE,
    )
    .breaks(&["ISO-02", "ERR-04"])
    .spares(PLAIN),
    Mutant::ingress(
        "finishes_bulk_that_it_began",
        "its manifest names priority, and while a bulk flow lasts no other is put out",
        |limits| ingress(limits, Finishes::default()),
        Witness::new(Source::PriorityInversion, Behaviour::Discard).window(1 << 20),
    )
    .breaks(&["CAP-05"])
    .spares(PLAIN),
];

struct RefusesHalfClose;

impl Defect for RefusesHalfClose {
    fn half_close(&mut self, _: &mut FlowCall<'_, '_>) -> Done {
        Err(AdapterError::Unsupported(Capability::FlowHalfClose.name()))
    }
}

struct RefusesReset;

impl Defect for RefusesReset {
    fn reset(&mut self, on: &mut FlowCall<'_, '_>, _: Cause) -> Done {
        on.close()?;
        Err(AdapterError::Unsupported(Capability::FlowReset.name()))
    }
}

/// The capability that the manifest omits.
struct Without(Capability);

fn without(it: &dyn Carries, capability: Capability) -> Manifest {
    let manifest = it.manifest();
    Manifest { capabilities: manifest.capabilities.without(capability), ..manifest }
}

impl Defect for Without {
    fn manifest(&self, it: &dyn Carries) -> Manifest {
        without(it, self.0)
    }
}

/// Whether the next manifest claims reset.
struct Changes(Cell<bool>);

impl Defect for Changes {
    fn manifest(&self, it: &dyn Carries) -> Manifest {
        if self.0.replace(!self.0.get()) {
            it.manifest()
        } else {
            without(it, Capability::FlowReset)
        }
    }
}

struct BulkFirst;

impl Defect for BulkFirst {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        let class = match descriptor.class {
            Class::Interactive => Class::Bulk,
            Class::Normal => Class::Normal,
            Class::Bulk => Class::Interactive,
        };
        on.open(&Descriptor::of(class))
    }
}

/// Open flows.
#[derive(Default)]
struct CarriesTwo(BTreeSet<FlowId>);

impl Defect for CarriesTwo {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        const FLOWS_MAX: u32 = 2;
        if self.0.len() >= FLOWS_MAX as usize {
            return Err(AdapterError::TooManyFlows(FLOWS_MAX));
        }
        on.open(descriptor)?;
        self.0.insert(on.flow);
        Ok(())
    }

    fn close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        self.0.remove(&on.flow);
        on.close()
    }
}

struct ClaimsOne;

impl Defect for ClaimsOne {
    fn manifest(&self, it: &dyn Carries) -> Manifest {
        let mut manifest = it.manifest();
        manifest.limits.flows_max = 1;
        manifest
    }
}

/// Flows that were opened.
#[derive(Default)]
struct Costly(BTreeSet<FlowId>);

impl Defect for Costly {
    fn manifest(&self, it: &dyn Carries) -> Manifest {
        without(it, Capability::FlowHalfClose)
    }

    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        self.0.insert(on.flow);
        on.open(descriptor)
    }

    fn half_close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        self.0.iter().try_for_each(|flow| on.of(*flow).reset(Cause::Error))?;
        Err(AdapterError::Unsupported(Capability::FlowHalfClose.name()))
    }
}

/// Bulk flows; the one that has started; and whether a flow has ended in this poll.
#[derive(Default)]
struct Finishes {
    bulk: BTreeSet<FlowId>,
    begun: Option<FlowId>,
    has_ended: bool,
}

impl Finishes {
    fn ends(&mut self, flow: FlowId) {
        self.has_ended |= self.begun.take_if(|begun| *begun == flow).is_some();
    }
}

impl Defect for Finishes {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        if descriptor.class == Class::Bulk {
            self.bulk.insert(on.flow);
        }
        on.open(descriptor)
    }

    fn close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        self.bulk.remove(&on.flow);
        if self.begun == Some(on.flow) {
            // Other flows may have bytes to put out.
            on.cx.wants_poll();
        }
        self.ends(on.flow);
        on.close()
    }

    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        poll_through(self, it, cx, out);
        while std::mem::take(&mut self.has_ended) {
            poll_through(self, it, cx, out);
        }
    }

    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        if self.begun.is_none_or(|begun| begun == flow) { out.room(flow) } else { 0 }
    }

    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(chunk, bytes)?;
        if self.bulk.contains(&chunk.flow) {
            self.begun = Some(chunk.flow);
        }
        if chunk.is_final {
            self.ends(chunk.flow);
        }
        Ok(())
    }

    fn says_half_closed(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        out.half_closed(flow);
        self.ends(flow);
    }
}
