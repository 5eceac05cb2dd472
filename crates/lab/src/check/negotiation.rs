// SPDX-License-Identifier: BSD-3-Clause
//! The negotiation of a pair of adapters with the lab, before any run.
//!
//! The lab knows all capabilities. It requires of each adapter the direction in which it is used,
//! and what the caller of the check requires besides. Capabilities that are not claimed are tried
//! as well: scenarios that need them are run in either mode, and must be refused cleanly.

use crate::contract::{
    Capabilities, Capability, Limits, Manifest, Negotiated, NegotiationError, negotiate,
};
use crate::rules::Verdict;
use crate::scenario::{Profile, Scenario};
use crate::trace::Stage;

use super::Options;
use crate::adapters::caught;

/// The agreement with one adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) place: Stage,
    /// Its claims; none if it could not be created.
    pub(crate) claimed: Capabilities,
    pub(crate) result: Result<Negotiated, Disagreement>,
}

/// Why there is no agreement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Disagreement {
    /// See [`NegotiationError`].
    #[error(transparent)]
    Negotiation(#[from] NegotiationError),
    /// It panicked on creation.
    #[error("the adapter panicked before it was used")]
    Panicked,
}

impl Disagreement {
    /// Whether the caller's own requirements are invalid, which is no evidence about the adapters.
    pub(crate) const fn is_of_caller(&self) -> bool {
        matches!(self, Self::Negotiation(NegotiationError::Required(_)))
    }

    pub(crate) const fn verdict(&self) -> Verdict {
        if self.is_of_caller() { Verdict::Inconclusive } else { Verdict::Fail }
    }
}

/// The agreements with both adapters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreements(pub(crate) [Agreement; 2]);

impl Agreements {
    /// Negotiates with adapters that have the limits of the first profile.
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
        // A panic in here is the adapters'.
        let manifests = caught(|| {
            let (ingress, egress) = (options.make)(limits);
            [ingress.manifest(), egress.manifest()]
        });
        let manifests = manifests.ok();
        let of = |place: Stage, way: Capability| {
            let manifest = manifests.as_ref().and_then(|all| all.get(place as usize));
            let Some(Manifest { capabilities, .. }) = manifest else {
                let result = Err(Disagreement::Panicked);
                return Agreement { place, claimed: Capabilities::NONE, result };
            };
            let result = agree(*capabilities, options.require, way);
            Agreement { place, claimed: *capabilities, result: result.map_err(Into::into) }
        };
        Self([
            of(Stage::Ingress, Capability::AdapterIngress),
            of(Stage::Egress, Capability::AdapterEgress),
        ])
    }

    /// Whether a scenario is tried though the mode omits it, because an adapter does not claim what
    /// it needs.
    pub(super) fn tries(&self, scenario: &Scenario) -> bool {
        let Self(all) = self;
        let is_missing = |needed| all.iter().any(|it| !it.claimed.has(needed));
        let has_panicked = all.iter().any(|it| it.result == Err(Disagreement::Panicked));
        !has_panicked && scenario.needs.is_some_and(is_missing)
    }

    /// Why there was no agreement.
    pub(crate) fn disagreement(&self) -> Option<(Stage, &Disagreement)> {
        let Self(all) = self;
        all.iter().find_map(|it| Some((it.place, it.result.as_ref().err()?)))
    }
}

/// Negotiates with an adapter of this direction.
fn agree(
    claimed: Capabilities,
    required: &[&str],
    way: Capability,
) -> Result<Negotiated, NegotiationError> {
    let required =
        Capabilities::parse(required.iter().copied()).map_err(NegotiationError::Required)?;
    // No single adapter is required to carry both directions.
    let required =
        required.without(Capability::AdapterIngress).without(Capability::AdapterEgress).with(way);
    let known = Capability::ALL.map(Capability::name);
    negotiate(known, claimed.iter().map(Capability::name), required.iter().map(Capability::name))
}
