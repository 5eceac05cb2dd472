// SPDX-License-Identifier: BSD-3-Clause
//! Faults in the parts of a run that are the lab's own, planted so that a check sees whether it would see
//! them: see `check::own`.

use std::cell::Cell;

/// A part that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Planted {
    /// The source's chunks have the next number but one.
    SourceSequence,
    /// The source offers the bytes of another seed.
    SourceSeed,
    /// The source's plan is that of another seed.
    SourcePlan,
    /// The session puts the bytes of an answer in another order.
    Session,
    /// The carrier changes a byte.
    Carrier,
    /// What waits for the egress adapter is changed.
    Boundary,
    /// The sink is off by one.
    SinkOffset,
    /// The sink compares nothing.
    SinkComparison,
    /// The trace loses an event.
    Trace,
}

impl Planted {
    const fn bit(self) -> u16 {
        1 << self as u16
    }

    /// All of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::SourceSequence,
        Self::SourceSeed,
        Self::SourcePlan,
        Self::Session,
        Self::Carrier,
        Self::Boundary,
        Self::SinkOffset,
        Self::SinkComparison,
        Self::Trace,
    ];
}

thread_local! {
    /// Those that are wrong, a bit each.
    static PLANTED: Cell<u16> = const { Cell::new(0) };
}

/// Does something with one part wrong, besides those that are, in runs of this thread.
pub(crate) fn with<T>(planted: Planted, work: impl FnOnce() -> T) -> T {
    struct Healed(u16);
    impl Drop for Healed {
        fn drop(&mut self) {
            PLANTED.set(self.0);
        }
    }
    let before = PLANTED.get();
    let _healed = Healed(before);
    PLANTED.set(before | planted.bit());
    work()
}

/// Whether this part is wrong.
#[inline]
pub(crate) fn is(planted: Planted) -> bool {
    PLANTED.get() & planted.bit() != 0
}
