// SPDX-License-Identifier: BSD-3-Clause
//! Faults in the lab's own parts of a run, planted to check that the lab would detect them: see
//! `check::own`.

use std::cell::Cell;

use strum::VariantArray;

/// A part that is made wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, VariantArray)]
pub(crate) enum Planted {
    /// The source skips a chunk number.
    SourceSequence,
    /// The source offers the bytes of another seed.
    SourceSeed,
    /// The source has the plan of another seed.
    SourcePlan,
    /// The session reorders the bytes of a response.
    Session,
    /// The link changes a byte.
    Link,
    /// The queue in front of the egress adapter changes a byte.
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

    /// All parts.
    pub(crate) const ALL: &[Self] = Self::VARIANTS;
}

thread_local! {
    /// The parts that are wrong, one bit each.
    static PLANTED: Cell<u16> = const { Cell::new(0) };
}

/// Runs `work` with one more part wrong, on this thread.
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

/// Whether any part is wrong.
pub(crate) fn is_any() -> bool {
    PLANTED.get() != 0
}

/// Whether this part is wrong.
#[inline]
pub(crate) fn is(planted: Planted) -> bool {
    PLANTED.get() & planted.bit() != 0
}
