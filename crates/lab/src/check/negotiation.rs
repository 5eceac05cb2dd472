// SPDX-License-Identifier: BSD-3-Clause
//! What a pair of adapters and the lab agree on, before anything is run.
//!
//! The lab knows all capabilities. Of each adapter is required the way in which it is used, and what
//! the caller of the check requires besides. What is not claimed is tried nevertheless: scenarios
//! that need it are run in either mode, and it has to be refused cleanly.

use crate::contract::{
    Capabilities, Capability, Limits, Manifest, Negotiated, NegotiationError, negotiate,
};
use crate::rules::Verdict;
use crate::scenario::{Profile, Scenario};
use crate::trace::Place;

use super::Options;
use crate::adapters::caught;

/// What was agreed on with one adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) place: Place,
    /// What it claims; nothing if it could not be made.
    pub(crate) claimed: Capabilities,
    pub(crate) result: Result<Negotiated, Disagreement>,
}

/// Why nothing was agreed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Disagreement {
    /// See there.
    #[error(transparent)]
    Negotiation(#[from] NegotiationError),
    /// It panicked when it was made.
    #[error("the adapter panicked before it was used")]
    Panicked,
}

impl Disagreement {
    /// What the caller requires cannot be read: that says nothing of the adapters.
    pub(crate) const fn is_of_caller(&self) -> bool {
        matches!(self, Self::Negotiation(NegotiationError::Required(_)))
    }

    pub(crate) const fn verdict(&self) -> Verdict {
        if self.is_of_caller() { Verdict::Inconclusive } else { Verdict::Fail }
    }
}

/// What was agreed on with both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreements(pub(crate) [Agreement; 2]);

impl Agreements {
    /// Negotiates with adapters as the first profile has them.
    pub(super) fn of(options: &Options<'_>, profiles: &[Profile]) -> Self {
        let drawn;
        let profile = match profiles.first() {
            Some(first) => first,
            None => {
                drawn = Profile::draw(options.start_seed);
                &drawn
            }
        };
        let limits = Limits {
            flows_max: profile.config.max_flows,
            buffered_bytes_max: profile.config.max_buffered_bytes,
            flow_buffered_bytes_max: profile.flow_bytes_max,
        };
        // All of it is the adapters'.
        let manifests = caught(|| {
            let (ingress, egress) = (options.make)(limits);
            [ingress.manifest(), egress.manifest()]
        });
        let manifests = manifests.ok();
        let of = |place: Place, way: Capability| {
            let manifest = manifests.as_ref().and_then(|all| all.get(place as usize));
            let Some(Manifest { capabilities, .. }) = manifest else {
                let result = Err(Disagreement::Panicked);
                return Agreement { place, claimed: Capabilities::NONE, result };
            };
            let result = agree(*capabilities, options.require, way);
            Agreement { place, claimed: *capabilities, result: result.map_err(Into::into) }
        };
        Self([
            of(Place::Ingress, Capability::AdapterIngress),
            of(Place::Egress, Capability::AdapterEgress),
        ])
    }

    /// Whether a scenario is tried though the mode has it not: somebody does not claim what it needs.
    pub(super) fn tries(&self, scenario: &Scenario) -> bool {
        let Self(all) = self;
        let is_missing = |needed| all.iter().any(|it| !it.claimed.has(needed));
        let has_panicked = all.iter().any(|it| it.result == Err(Disagreement::Panicked));
        !has_panicked && scenario.needs.is_some_and(is_missing)
    }

    /// Why there was no agreement.
    pub(crate) fn disagreement(&self) -> Option<(Place, &Disagreement)> {
        let Self(all) = self;
        all.iter().find_map(|it| Some((it.place, it.result.as_ref().err()?)))
    }
}

/// Agrees with an adapter of this way.
fn agree(
    claimed: Capabilities,
    required: &[&str],
    way: Capability,
) -> Result<Negotiated, NegotiationError> {
    let required =
        Capabilities::parse(required.iter().copied()).map_err(NegotiationError::Required)?;
    // Of one adapter both ways are required of nobody.
    let required =
        required.without(Capability::AdapterIngress).without(Capability::AdapterEgress).with(way);
    let known = Capability::ALL.map(Capability::name);
    negotiate(known, claimed.iter().map(Capability::name), required.iter().map(Capability::name))
}
