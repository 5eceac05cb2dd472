// SPDX-License-Identifier: BSD-3-Clause
//! What an adapter and the lab agreed on.

use serde::Serialize;

use crate::check::Agreement;
use crate::contract::Capability;
use crate::trace::Place;

/// What was agreed on with one adapter, before anything was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgreementReport {
    /// ingress or egress.
    pub place: &'static str,
    /// What it claims, by name.
    pub claims: Vec<&'static str>,
    /// What it does not claim: all of that was tried that can be.
    pub claims_not: Vec<&'static str>,
    /// The SHA-256 of what was agreed on; empty: nothing was.
    pub hash: String,
    /// Why nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl AgreementReport {
    pub(crate) fn of(agreement: &Agreement) -> Self {
        let claimed = agreement.claimed;
        let hash = agreement.result.as_ref().map(|agreed| agreed.hash);
        let hex = |hash: [u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            place: if agreement.place == Place::Egress { "egress" } else { "ingress" },
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
