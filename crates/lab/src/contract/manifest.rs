// SPDX-License-Identifier: BSD-3-Clause
//! The claims of an adapter, and the negotiation of two sides.
//!
//! A manifest is honest in both directions: what it claims must work, and what it does not claim
//! must be refused cleanly. The names are sorted and hashed, so that two reports can be compared
//! for equal claims.

use std::fmt;

use sha2::{Digest as _, Sha256};
use strum::{IntoStaticStr, VariantArray};

use crate::all;

/// A capability of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
#[repr(u16)]
pub enum Capability {
    /// Carries flows out of the runtime.
    AdapterEgress = 1,
    /// Carries flows into the runtime.
    AdapterIngress = 1 << 1,
    /// Takes no more than it has room for, and puts out no more than there is room for.
    FlowBackpressure = 1 << 2,
    /// One direction of a flow can end before the other one.
    FlowHalfClose = 1 << 3,
    /// Flows are opened and closed one by one.
    FlowLifecycle = 1 << 4,
    /// Its texts about flows contain only numbers and classes.
    FlowMetadataOnly = 1 << 5,
    /// Interactive flows go before bulk flows.
    FlowPriority = 1 << 6,
    /// Flows can be reset.
    FlowReset = 1 << 7,
    /// Each flow has its own stream.
    RuntimeStreamMapping = 1 << 8,
    /// Its summary and its errors contain no payload.
    TraceSafeAdapterSummary = 1 << 9,
}

impl Capability {
    /// All capabilities, sorted by name.
    pub const ALL: [Self; Self::VARIANTS.len()] = all(Self::VARIANTS);

    /// Name in manifests and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The capability with this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.name() == name)
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Capabilities(u16);

impl Capabilities {
    /// The empty set.
    pub const NONE: Self = Self(0);
    /// All capabilities.
    pub const ALL: Self = Self((1 << Capability::ALL.len()) - 1);

    /// The set with this capability added.
    #[must_use]
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | capability as u16)
    }

    /// The set without this capability.
    #[must_use]
    pub const fn without(self, capability: Capability) -> Self {
        Self(self.0 & !(capability as u16))
    }

    /// Whether the set contains this capability.
    #[must_use]
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & capability as u16 != 0
    }

    /// The intersection.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The capabilities, sorted by name.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |capability| self.has(*capability))
    }

    /// Parses names, in any order.
    ///
    /// # Errors
    ///
    /// An unknown name, or one that is listed twice.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, ManifestError> {
        names.into_iter().try_fold(Self::NONE, |known, name| match Capability::of_name(name) {
            None => Err(ManifestError::Unknown(name.chars().take(NAME_CHARS_MAX).collect())),
            Some(capability) if known.has(capability) => {
                Err(ManifestError::Twice(capability.name()))
            }
            Some(capability) => Ok(known.with(capability)),
        })
    }

    /// The SHA-256 of the sorted names, each followed by a line feed.
    #[must_use]
    pub fn hash(self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for capability in self.iter() {
            hash.update(capability.name());
            hash.update(b"\n");
        }
        hash.finalize().into()
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Capability::name)).finish()
    }
}

/// Maximum number of characters of an unknown name that a message repeats.
const NAME_CHARS_MAX: usize = 40;

/// Limits of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Flows that may be open at once.
    pub flows_max: u32,
    /// Bytes that it may hold, of all flows together.
    pub buffered_bytes_max: u64,
    /// Bytes that it may hold of one flow.
    pub flow_buffered_bytes_max: u64,
}

/// The claims of an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Name in reports.
    pub name: String,
    /// Claimed capabilities.
    pub capabilities: Capabilities,
    /// Claimed limits.
    pub limits: Limits,
}

/// An invalid manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// No capability has this name.
    #[error("there is no capability {0:?}")]
    Unknown(String),
    /// A capability is listed twice.
    #[error("the capability {0} is named twice")]
    Twice(&'static str),
}

/// Two sides that do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// The required names are invalid.
    #[error("what is required cannot be read")]
    Required(#[source] ManifestError),
    /// The offered names are invalid.
    #[error("what is offered cannot be read")]
    Offered(#[source] ManifestError),
    /// A capability that is required and not offered.
    #[error("the capability {0} is required, and not offered")]
    Missing(&'static str),
}

/// The result of a negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// Capabilities of both sides.
    pub capabilities: Capabilities,
    /// Their [`Capabilities::hash`].
    pub hash: [u8; 32],
}

/// Intersects what both sides know.
///
/// # Errors
///
/// A name that is unknown or listed twice, on either side; one of `required` that is not offered.
pub fn negotiate<'a>(
    known: impl IntoIterator<Item = &'a str>,
    offered: impl IntoIterator<Item = &'a str>,
    required: impl IntoIterator<Item = &'a str>,
) -> Result<Negotiated, NegotiationError> {
    let known = Capabilities::parse(known).map_err(NegotiationError::Required)?;
    let required = Capabilities::parse(required).map_err(NegotiationError::Required)?;
    let offered = Capabilities::parse(offered).map_err(NegotiationError::Offered)?;
    let capabilities = known.and(offered);
    if let Some(missing) = required.iter().find(|required| !capabilities.has(*required)) {
        return Err(NegotiationError::Missing(missing.name()));
    }
    Ok(Negotiated { capabilities, hash: capabilities.hash() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_are_sorted_and_their_own() {
        let names = Capability::ALL.map(Capability::name);
        assert!(names.is_sorted());
        for capability in Capability::ALL {
            assert_eq!(Capability::of_name(capability.name()), Some(capability));
            assert!(Capabilities::ALL.has(capability));
        }
        assert_eq!(Capabilities::parse(names).unwrap(), Capabilities::ALL);
        assert_eq!(Capabilities::ALL.iter().count(), 10);
    }

    #[test]
    fn the_hash_is_of_the_names() {
        let some = Capabilities::parse(["flow_reset", "adapter_ingress"]).unwrap();
        let expected: [u8; 32] = Sha256::digest(b"adapter_ingress\nflow_reset\n").into();
        assert_eq!(some.hash(), expected);
        assert_ne!(some.hash(), Capabilities::ALL.hash());
    }

    #[test]
    fn what_is_required_must_be_there_known_and_once() {
        let all = Capability::ALL.map(Capability::name);
        let agreed = negotiate(all, ["flow_reset", "adapter_egress"], ["flow_reset"]).unwrap();
        assert_eq!(agreed.capabilities.iter().count(), 2);
        assert_eq!(agreed.hash, agreed.capabilities.hash());

        let missing = negotiate(all, ["adapter_egress"], ["flow_reset"]);
        assert_eq!(missing, Err(NegotiationError::Missing("flow_reset")));
        // Offered, but unknown to this side.
        let unknown_here = negotiate(["adapter_egress"], all, ["flow_reset"]);
        assert_eq!(unknown_here, Err(NegotiationError::Missing("flow_reset")));
        let twice = negotiate(all, all, ["flow_reset", "flow_reset"]);
        let named_twice = ManifestError::Twice("flow_reset");
        assert_eq!(twice, Err(NegotiationError::Required(named_twice)));
        let unknown = negotiate(all, ["flow_rest"], []);
        let said = ManifestError::Unknown("flow_rest".into());
        assert_eq!(unknown, Err(NegotiationError::Offered(said)));
    }
}
