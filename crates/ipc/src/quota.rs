// SPDX-License-Identifier: BSD-3-Clause
//! The memory that clients may fill: the slots of the channels that they create, and the elements
//! that they send.
//!
//! ```text
//!   Channels (all clients) ◄── client ◄── channel: its slots, until it is removed and not used
//!                          ◄── client ◄── element: its bytes, until its last clone is dropped
//! ```
//!
//! # Invariants
//!
//! 1. A charge counts in its quota and in the one above it, and each of them stays at or below its
//!    limit: a charge that does not fit into both is refused, and counts in neither.
//! 2. What a client left behind stays charged to its quota: channels and elements outlive a client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::element::Element;

/// The default limit of all clients together, in bytes.
pub(crate) const ALL_BYTES_MAX: u64 = 1 << 30;
/// The default limit of one client, in bytes.
pub(crate) const CLIENT_BYTES_MAX: u64 = 256 << 20;

/// The charge for an element beside its length: its allocations, and its slot in an unlimited
/// channel.
const ELEMENT_BYTES: u64 = 192;

/// A limit, and the bytes in use.
#[derive(Debug)]
pub(crate) struct Quota {
    bytes_max: u64,
    used: AtomicU64,
    above: Option<Arc<Self>>,
}

/// Bytes of a quota, until it is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    quota: Arc<Quota>,
    bytes: u64,
}

impl Quota {
    pub(crate) fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { bytes_max, used: AtomicU64::new(0), above: None })
    }

    /// One whose charges count in this one too.
    pub(crate) fn below(self: &Arc<Self>, bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { bytes_max, used: AtomicU64::new(0), above: Some(self.clone()) })
    }

    /// `None`: a limit is reached.
    pub(crate) fn charge(self: &Arc<Self>, bytes: u64) -> Option<Charge> {
        self.add(bytes).then(|| Charge { quota: self.clone(), bytes })
    }

    /// An element that is a copy of these bytes. `None`: a limit is reached.
    pub(crate) fn element(self: &Arc<Self>, bytes: &[u8]) -> Option<Element> {
        let charge = self.charge((bytes.len() as u64).saturating_add(ELEMENT_BYTES))?;
        let charged = Charged { bytes: bytes.into(), _charge: charge };
        Some(Element::from(Bytes::from_owner(charged)))
    }

    fn add(&self, bytes: u64) -> bool {
        let fits = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.bytes_max);
        if self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            return false;
        }
        let fits_above = self.above.as_ref().is_none_or(|above| above.add(bytes));
        if !fits_above {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits_above
    }

    fn remove(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(above) = &self.above {
            above.remove(bytes);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.quota.remove(self.bytes);
    }
}

/// The bytes of an element, and their charge.
struct Charged {
    bytes: Box<[u8]>,
    _charge: Charge,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn used(quota: &Quota) -> u64 {
        quota.used.load(Ordering::Relaxed)
    }

    #[test]
    fn a_charge_fits_into_both_or_counts_in_neither() {
        let all = Quota::new(100);
        let (one, other) = (all.below(80), all.below(80));
        assert!(one.charge(81).is_none() && one.charge(u64::MAX).is_none());
        let held = one.charge(80).unwrap();
        assert_eq!((used(&one), used(&all)), (80, 80));
        assert!(one.charge(1).is_none(), "its own limit");
        assert!(other.charge(21).is_none(), "the limit of all");
        assert_eq!((used(&other), used(&all)), (0, 80));
        let rest = other.charge(20).unwrap();
        drop(held);
        assert_eq!((used(&one), used(&all)), (0, 20));
        drop(rest);
        assert_eq!(used(&all), 0);
    }

    #[test]
    fn an_element_is_charged_until_its_last_clone_is_dropped() {
        let quota = Quota::new(4 + ELEMENT_BYTES);
        let element = quota.element(b"abcd").unwrap();
        assert!(quota.element(b"").is_none());
        let clone = element.clone();
        drop(element);
        assert_eq!(clone.as_slice(), b"abcd");
        assert!(quota.element(b"").is_none());
        // Also as bytes that have left the channel.
        let bytes = clone.into_bytes();
        assert!(quota.element(b"").is_none());
        drop(bytes);
        assert!(quota.element(b"abcd").is_some());
        assert_eq!(used(&quota), 0);
    }
}
