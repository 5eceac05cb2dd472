// SPDX-License-Identifier: BSD-3-Clause
//! Faults: what the lab does to those whom it examines.
//!
//! A [plan](FaultPlan) says which kinds may strike, how often in all, and from when until when. Then
//! the run is calm, which is written down, and each flow has to end within [`CALM_MS`].
//!
//! | kind | what happens | what must come of it |
//! |---|---|---|
//! | delay, stall | bytes arrive later | nothing |
//! | partial read | a source, or the runtime, offers a part of what there is | nothing |
//! | partial write, would-block | there is less room than asked for, or none, once | nothing |
//! | duplicate, drop, reorder, corrupt, truncate | to an envelope on the network | repaired by a carrier that can, else the session ends by an error, and all flows with it |
//! | reset, cancel | a flow is broken off, by its source, its target or the runtime | that flow is over |
//! | half-close | a source ends early, or a target does | that direction is shorter, the other goes on |
//! | spurious wake | an adapter is polled without a reason | nothing |
//! | crash | an adapter is thrown away and made anew | flows that were open fail, others do not |
//! | clock jump | time makes a jump | nothing |
//! | buffer shrink | until it is calm there is room for a few bytes at a time | nothing |
//! | slow consumer | until it is calm the sink takes a few bytes a tick | nothing |
//! | greedy consumer | the sink has more room than chunks may be long, and asks all the time | nothing |
//! | blocked consumer | the sink takes nothing of one flow until all others have ended, or for [`BLOCKED_MS_MAX`] | nothing: the others end meanwhile, and then it does |
//!
//! # Invariants
//!
//! 1. Each strike is written down before its effect, as `What::Fault`: to a flow, if it concerns one.
//! 2. A plan without kinds decides nothing: it asks for no choice, and the run is as without it.
//! 3. The choice 0 is no fault.

mod strikes;

pub(crate) use strikes::Strikes;

use crate::contract::Tick;
use crate::trace::FaultKind;

/// From when a run is calm until every flow is over: so many ticks at most.
pub const CALM_MS: u64 = 20_000;
/// The sink takes nothing of a flow for so many ticks at most. Others have had as long to end as a calm
/// run gives them.
pub const BLOCKED_MS_MAX: u64 = CALM_MS;

/// What must come of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultClass {
    /// Flows go on, and end as if nothing had been, but for the flow that was broken off or cut short.
    MustSurvive,
    /// The flows that it hits end by an error.
    MustReport,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Delay,
        Self::Stall,
        Self::PartialRead,
        Self::PartialWrite,
        Self::WouldBlock,
        Self::Duplicate,
        Self::Drop,
        Self::Reorder,
        Self::Corrupt,
        Self::Truncate,
        Self::Reset,
        Self::HalfClose,
        Self::SpuriousWake,
        Self::Cancel,
        Self::Crash,
        Self::ClockJump,
        Self::BufferShrink,
        Self::SlowConsumer,
        Self::GreedyConsumer,
        Self::BlockedConsumer,
    ];

    /// Its name, in scenarios and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Stall => "stall",
            Self::PartialRead => "partial_read",
            Self::PartialWrite => "partial_write",
            Self::WouldBlock => "would_block",
            Self::Duplicate => "duplicate",
            Self::Drop => "drop",
            Self::Reorder => "reorder",
            Self::Corrupt => "corrupt",
            Self::Truncate => "truncate",
            Self::Reset => "reset",
            Self::HalfClose => "half_close",
            Self::SpuriousWake => "spurious_wake",
            Self::Cancel => "cancel",
            Self::Crash => "crash",
            Self::ClockJump => "clock_jump",
            Self::BufferShrink => "buffer_shrink",
            Self::SlowConsumer => "slow_consumer",
            Self::GreedyConsumer => "greedy_consumer",
            Self::BlockedConsumer => "blocked_consumer",
        }
    }

    /// What must come of it, on a carrier that repairs or on one that does not.
    #[must_use]
    pub const fn class(self, repairs: bool) -> FaultClass {
        match self {
            Self::Crash => FaultClass::MustReport,
            _ if self.breaks_network() && !repairs => FaultClass::MustReport,
            _ => FaultClass::MustSurvive,
        }
    }

    /// Whether it makes the network another than one that keeps order and loses nothing.
    #[must_use]
    pub const fn breaks_network(self) -> bool {
        FaultKinds::NETWORK.has(self)
    }
}

/// Some kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FaultKinds(u32);

impl FaultKinds {
    /// None.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self((1 << FaultKind::ALL.len()) - 1);

    /// They break what the network carries.
    pub const NETWORK: Self = Self::of(&[
        FaultKind::Duplicate,
        FaultKind::Drop,
        FaultKind::Reorder,
        FaultKind::Corrupt,
        FaultKind::Truncate,
    ]);
    /// They break a flow off.
    pub const BREAKS: Self = Self::of(&[FaultKind::Reset, FaultKind::Cancel]);

    /// These.
    #[must_use]
    pub const fn of(kinds: &[FaultKind]) -> Self {
        let (mut all, mut rest) = (Self::NONE, kinds);
        while let [kind, others @ ..] = rest {
            all = all.with(*kind);
            rest = others;
        }
        all
    }

    /// Only this one.
    #[must_use]
    pub const fn only(kind: FaultKind) -> Self {
        Self::NONE.with(kind)
    }

    /// Those and this one.
    #[must_use]
    pub const fn with(self, kind: FaultKind) -> Self {
        Self(self.0 | 1 << kind as u32)
    }

    /// Those without this one.
    #[must_use]
    pub const fn without(self, kind: FaultKind) -> Self {
        Self(self.0 & !(1 << kind as u32))
    }

    /// Those and the others.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether any of these is among them.
    #[must_use]
    pub const fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Whether this one is among them.
    #[must_use]
    pub const fn has(self, kind: FaultKind) -> bool {
        self.0 & 1 << kind as u32 != 0
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = FaultKind> {
        FaultKind::ALL.into_iter().filter(move |kind| self.has(*kind))
    }
}

/// Which faults may strike in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultPlan {
    /// Of which kinds. None: the run is without faults, and is never said to be calm.
    pub kinds: FaultKinds,
    /// So many at most.
    pub budget: u32,
    /// Not before.
    pub from: Tick,
    /// Not after; and not more than 100 000 ticks after `from`.
    pub until: Tick,
}

impl FaultPlan {
    /// No faults.
    pub const NONE: Self =
        Self { kinds: FaultKinds::NONE, budget: 0, from: Tick(0), until: Tick(0) };

    /// So many strikes of these kinds, in the first so many ticks.
    #[must_use]
    pub const fn new(kinds: FaultKinds, budget: u32, until: Tick) -> Self {
        Self { kinds, budget, from: Tick(0), until }
    }

    /// Whether there are no faults.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Whether the network may be another than one that keeps order and loses nothing.
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
    fn who_repairs_survives_what_others_report() {
        let reports = |repairs| {
            let must = |kind: &FaultKind| kind.class(repairs) == FaultClass::MustReport;
            FaultKind::ALL.into_iter().filter(must).count()
        };
        assert_eq!((reports(true), reports(false)), (1, 6));
    }
}
