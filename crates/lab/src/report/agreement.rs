// SPDX-License-Identifier: BSD-3-Clause
//! The result of the negotiation with an adapter.

use serde::Serialize;

use crate::check::Agreement;
use crate::contract::Capability;
use crate::trace::Stage;

/// The result of the negotiation with one adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgreementReport {
    /// `ingress` or `egress`.
    pub place: &'static str,
    /// Claimed capabilities.
    pub claims: Vec<&'static str>,
    /// Capabilities that it does not claim; those that can be tried were tried.
    pub claims_not: Vec<&'static str>,
    /// The SHA-256 of the agreed capabilities; empty if the negotiation failed.
    pub hash: String,
    /// Why the negotiation failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl AgreementReport {
    pub(crate) fn of(agreement: &Agreement) -> Self {
        let claimed = agreement.claimed;
        let hash = agreement.result.as_ref().map(|agreed| agreed.hash);
        let hex = |hash: [u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            place: if agreement.place == Stage::Egress { "egress" } else { "ingress" },
            claims: claimed.iter().map(Capability::name).collect(),
            claims_not: Capability::ALL
                .into_iter()
                .filter(|capability| !claimed.has(*capability))
                .map(Capability::name)
                .collect(),
            hash: hash.map_or_else(|_| String::new(), hex),
            error: agreement.result.as_ref().err().map(ToString::to_string),
        }
    }
}
