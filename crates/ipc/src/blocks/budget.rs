// SPDX-License-Identifier: BSD-3-Clause
//! The budget for mapping peers' memory into this process.

use std::sync::atomic::{AtomicU64, Ordering};

use super::MAPPED_BYTES_IN_ALL_MAX;

/// Mapped bytes, over all connections.
static MAPPED: AtomicU64 = AtomicU64::new(0);

/// A part of the budget, until it is dropped.
#[derive(Debug)]
pub(super) struct BudgetShare(u64);

impl BudgetShare {
    /// `None`: it exceeds the budget.
    pub(super) fn take(bytes: u64) -> Option<Self> {
        let fits = |mapped: u64| {
            mapped.checked_add(bytes).filter(|mapped| *mapped <= MAPPED_BYTES_IN_ALL_MAX)
        };
        MAPPED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Self(bytes))
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.0
    }
}

impl Drop for BudgetShare {
    fn drop(&mut self) {
        MAPPED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_never_exceeded() {
        assert!(BudgetShare::take(MAPPED_BYTES_IN_ALL_MAX + 1).is_none());
        assert!(BudgetShare::take(u64::MAX).is_none());
        let most = BudgetShare::take(MAPPED_BYTES_IN_ALL_MAX / 2 + 1).map(|share| share.bytes());
        assert_eq!(most, Some(MAPPED_BYTES_IN_ALL_MAX / 2 + 1), "freed when it was dropped");
        let held = BudgetShare::take(MAPPED_BYTES_IN_ALL_MAX / 2 + 1);
        assert!(held.is_some() && BudgetShare::take(MAPPED_BYTES_IN_ALL_MAX / 2).is_none());
        drop(held);
        assert!(BudgetShare::take(MAPPED_BYTES_IN_ALL_MAX / 2).is_some());
    }
}
