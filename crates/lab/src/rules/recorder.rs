// SPDX-License-Identifier: BSD-3-Clause
//! Which rules had occasion, and which were violated: one bit each.

use std::fmt;

use super::catalogue::{CATALOGUE, Id};
use super::{Finding, Outcome};
use crate::contract::{FlowId, Tick};
use crate::replay;
use crate::trace::{Event, Stage};

/// Sets of rules, one bit each in the order of the catalogue. Those of several runs can be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RuleSets {
    /// The adapters claim what the rule is about.
    pub applicable: u128,
    /// It could have been violated.
    pub exercised: u128,
    /// It was violated.
    pub broken: u128,
}

impl RuleSets {
    /// The unions of both.
    #[must_use]
    pub const fn join(self, other: Self) -> Self {
        Self {
            applicable: self.applicable | other.applicable,
            exercised: self.exercised | other.exercised,
            broken: self.broken | other.broken,
        }
    }
}

/// Position of an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) flow: FlowId,
    pub(super) tick: Tick,
    pub(super) event: usize,
}

impl Default for Mark {
    fn default() -> Self {
        Self { flow: FlowId::new(0), tick: Tick(0), event: 0 }
    }
}

/// The actual or the expected value of a violation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Is(u64),
    AtMost(u64),
    AtLeast(u64),
    Named(&'static str),
    /// A text that contains this, in this encoding.
    Leak(&'static str, &'static str),
    /// A state that may follow this one.
    After(&'static str),
    /// An event. `None`: the end of the run.
    Event(Option<Event>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(number) => write!(f, "{number}"),
            Self::AtMost(number) => write!(f, "at most {number}"),
            Self::AtLeast(number) => write!(f, "at least {number}"),
            Self::Named(name) => f.write_str(name),
            Self::Leak(name, encoding) => write!(f, "with {name} in it ({encoding})"),
            Self::Event(Some(event)) => write!(f, "`{}`", replay::said(event)),
            Self::Event(None) => f.write_str("the end"),
            Self::After(name) => write!(f, "one that can come after {name}"),
        }
    }
}

/// What is wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Violation {
    pub(super) place: Option<Stage>,
    pub(super) offset: Option<u64>,
    /// The subject of the sentence: it *is* one value, and *has to be* another one.
    pub(super) what: &'static str,
    pub(super) found: Value,
    pub(super) expected: Value,
}

impl Violation {
    pub(super) const fn new(what: &'static str, found: Value, expected: Value) -> Self {
        Self { place: None, offset: None, what, found, expected }
    }

    pub(super) const fn by(mut self, place: Stage) -> Self {
        self.place = Some(place);
        self
    }

    pub(super) const fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(Stage::Ingress) => f.write_str("ingress adapter: ")?,
            Some(Stage::Egress) => f.write_str("egress adapter: ")?,
            Some(Stage::Network) | None => {}
        }
        write!(f, "{} is {}, and has to be {}", self.what, self.found, self.expected)
    }
}

/// The rule sets of one run, and its findings.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) rule_sets: RuleSets,
    /// Position of the current event.
    pub(super) mark: Mark,
    found: Vec<(Id, Mark, Violation)>,
}

impl Recorder {
    /// Resets it for the next run.
    pub(super) fn clear(&mut self, applicable: u128) {
        self.rule_sets = RuleSets { applicable, ..RuleSets::default() };
        self.mark = Mark::default();
        self.found.clear();
    }

    /// Records an occasion to violate a rule; it is violated unless `holds`. A closure that
    /// captures values, not references, costs nothing while the rule holds: the values stay in
    /// registers.
    #[inline]
    pub(super) fn check(&mut self, id: Id, holds: bool, violation: impl FnOnce() -> Violation) {
        self.holds(id);
        if !holds {
            self.broken(id, violation);
        }
    }

    /// Out of line, with the construction of the violation, to keep the common path short.
    #[cold]
    #[inline(never)]
    fn broken(&mut self, id: Id, violation: impl FnOnce() -> Violation) {
        self.breaks(id, violation());
    }

    /// Records an occasion at which the rule was not violated.
    #[inline]
    pub(super) const fn holds(&mut self, id: Id) {
        // Checked first: most bits are set already, and writes would serialise the events.
        if self.rule_sets.exercised & id.bit() == 0 {
            self.rule_sets.exercised |= id.bit();
        }
    }

    #[cold]
    pub(super) fn breaks(&mut self, id: Id, violation: Violation) {
        self.rule_sets.exercised |= id.bit();
        if self.rule_sets.broken & id.bit() == 0 {
            self.rule_sets.broken |= id.bit();
            self.found.push((id, self.mark, violation));
        }
    }

    /// The outcome of the rule at this index of the catalogue.
    pub(super) fn outcome(&self, at: usize) -> Outcome {
        let bit = 1_u128 << at;
        if self.rule_sets.broken & bit != 0 {
            let found = self.found.iter().find(|(id, ..)| *id as usize == at);
            let rule = CATALOGUE.get(at).map_or("", |rule| rule.id);
            let finding = found.map(|(_, mark, violation)| Finding {
                rule,
                flow: mark.flow,
                offset: violation.offset,
                tick: mark.tick,
                event: mark.event,
                said: violation.to_string(),
            });
            return finding.map_or(Outcome::NotExercised, Outcome::Violated);
        }
        match () {
            () if self.rule_sets.exercised & bit != 0 => Outcome::Held,
            () if self.rule_sets.applicable & bit != 0 => Outcome::NotExercised,
            () => Outcome::NotApplicable,
        }
    }
}
