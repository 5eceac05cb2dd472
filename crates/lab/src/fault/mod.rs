// SPDX-License-Identifier: BSD-3-Clause
//! Faults that the lab injects into a run.
//!
//! A [plan](FaultPlan) gives the kinds, a total number and a period. After it the faults are
//! cleared, which is recorded, and each flow must end within [`CLEARED_MS_MAX`].
//!
//! | kind | effect | required result |
//! |---|---|---|
//! | delay, stall | bytes arrive later | none |
//! | partial read | a source, or the runtime, offers a part of what there is | none |
//! | partial write, would-block | there is less room than asked for, or none, once | none |
//! | duplicate, drop, reorder, corrupt, truncate | applied to an envelope on the network | repaired by a link that can; else the session and all of its flows end by an error |
//! | reset, cancel | a flow is reset, by its source, its target or the runtime | that flow is over |
//! | half-close | a source ends early, or a target does | that direction is shorter, the other one goes on |
//! | spurious wake | an adapter is polled without a reason | none |
//! | crash | an adapter is dropped and created anew | flows that were open fail, others do not |
//! | clock jump | virtual time jumps | none |
//! | buffer shrink | until the faults are cleared there is room for a few bytes at a time | none |
//! | slow consumer | until the faults are cleared the sink takes a few bytes per tick | none |
//! | greedy consumer | the sink has more room than chunks may be long, and asks all the time | none |
//! | blocked consumer | the sink takes nothing of one flow until all others have ended, or for [`BLOCKED_MS_MAX`] | none: the others end meanwhile, and that flow afterwards |
//!
//! # Invariants
//!
//! 1. Each fault is recorded before its effect, as `EventKind::Fault`, for its flow if it concerns
//!    one.
//! 2. A plan without kinds asks for no choice: the run equals one without the plan.
//! 3. The choice 0 is no fault.

mod injector;

pub(crate) use injector::Injector;

use strum::VariantArray as _;

use crate::all;
use crate::contract::Tick;
use crate::trace::FaultKind;

/// Time within which every flow must end after the faults are cleared, in ticks.
pub const CLEARED_MS_MAX: u64 = 20_000;
/// Longest time for which the sink takes nothing of a flow, in ticks. As long as a run without
/// faults gives its flows to end.
pub const BLOCKED_MS_MAX: u64 = CLEARED_MS_MAX;

/// The required result of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultClass {
    /// Flows end as if there had been no fault, except a flow that was reset or cut short.
    MustSurvive,
    /// The affected flows end by an error.
    MustReport,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; Self::VARIANTS.len()] = all(Self::VARIANTS);

    /// Name in scenarios and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The required result, on a link that repairs or on one that does not.
    #[must_use]
    pub const fn class(self, repairs: bool) -> FaultClass {
        match self {
            Self::Crash => FaultClass::MustReport,
            _ if self.breaks_network() && !repairs => FaultClass::MustReport,
            _ => FaultClass::MustSurvive,
        }
    }

    /// Whether it makes the network lose, change or reorder bytes.
    #[must_use]
    pub const fn breaks_network(self) -> bool {
        FaultKinds::NETWORK.has(self)
    }
}

/// A set of fault kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FaultKinds(u32);

impl FaultKinds {
    /// The empty set.
    pub const NONE: Self = Self(0);
    /// All kinds.
    pub const ALL: Self = Self((1 << FaultKind::ALL.len()) - 1);

    /// Kinds that change what the network carries.
    pub const NETWORK: Self = Self::of(&[
        FaultKind::Duplicate,
        FaultKind::Drop,
        FaultKind::Reorder,
        FaultKind::Corrupt,
        FaultKind::Truncate,
    ]);
    /// Kinds that reset a flow.
    pub const BREAKS: Self = Self::of(&[FaultKind::Reset, FaultKind::Cancel]);

    /// The set of these kinds.
    #[must_use]
    pub const fn of(kinds: &[FaultKind]) -> Self {
        let (mut all, mut rest) = (Self::NONE, kinds);
        while let [kind, others @ ..] = rest {
            all = all.with(*kind);
            rest = others;
        }
        all
    }

    /// The set of this kind.
    #[must_use]
    pub const fn only(kind: FaultKind) -> Self {
        Self::NONE.with(kind)
    }

    /// The set with this kind added.
    #[must_use]
    pub const fn with(self, kind: FaultKind) -> Self {
        Self(self.0 | 1 << kind as u32)
    }

    /// The set without this kind.
    #[must_use]
    pub const fn without(self, kind: FaultKind) -> Self {
        Self(self.0 & !(1 << kind as u32))
    }

    /// The union of both sets.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether the sets have a kind in common.
    #[must_use]
    pub const fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Whether the set contains this kind.
    #[must_use]
    pub const fn has(self, kind: FaultKind) -> bool {
        self.0 & 1 << kind as u32 != 0
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds of the set.
    pub fn iter(self) -> impl Iterator<Item = FaultKind> {
        FaultKind::ALL.into_iter().filter(move |kind| self.has(*kind))
    }
}

/// Which faults may be injected into a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultPlan {
    /// The kinds. If empty, the run has no faults, and `FaultsCleared` is never recorded.
    pub kinds: FaultKinds,
    /// Total number of faults, at most.
    pub budget: u32,
    /// First tick of the period.
    pub from: Tick,
    /// Last tick of the period, at most 100 000 ticks after `from`.
    pub until: Tick,
}

impl FaultPlan {
    /// No faults.
    pub const NONE: Self =
        Self { kinds: FaultKinds::NONE, budget: 0, from: Tick(0), until: Tick(0) };

    /// At most `budget` faults of these kinds, up to tick `until`.
    #[must_use]
    pub const fn new(kinds: FaultKinds, budget: u32, until: Tick) -> Self {
        Self { kinds, budget, from: Tick(0), until }
    }

    /// Whether there are no faults.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Whether the network may lose, change or reorder bytes.
    #[must_use]
    pub const fn breaks_network(&self) -> bool {
        self.kinds.has_any(FaultKinds::NETWORK)
    }
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_their_own() {
        for kind in FaultKind::ALL {
            assert!(FaultKinds::ALL.has(kind) && !FaultKinds::ALL.without(kind).has(kind));
            assert_eq!(FaultKinds::only(kind).iter().collect::<Vec<_>>(), [kind]);
        }
        let names: std::collections::BTreeSet<_> = FaultKind::ALL.map(FaultKind::name).into();
        assert_eq!(names.len(), FaultKind::ALL.len());
        assert!(FaultPlan::default().is_none() && FaultKinds::NONE.is_empty());
    }

    #[test]
    fn links_that_repair_survive_what_others_report() {
        let reports = |repairs| {
            let must = |kind: &FaultKind| kind.class(repairs) == FaultClass::MustReport;
            FaultKind::ALL.into_iter().filter(must).count()
        };
        assert_eq!((reports(true), reports(false)), (1, 6));
    }
}
