// SPDX-License-Identifier: BSD-3-Clause
//! Which rules had occasion, and which were broken: a bit each.

use std::fmt;

use super::catalogue::{CATALOGUE, Id};
use super::{Finding, Outcome};
use crate::contract::{FlowId, Tick};
use crate::replay;
use crate::trace::{Event, Place};

/// Rules, a bit each, in the order of the catalogue. Those of many runs are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Marks {
    /// The adapters claim what it is about.
    pub applicable: u128,
    /// It could have been broken.
    pub exercised: u128,
    /// It was.
    pub broken: u128,
}

impl Marks {
    /// Those of both.
    #[must_use]
    pub const fn join(self, other: Self) -> Self {
        Self {
            applicable: self.applicable | other.applicable,
            exercised: self.exercised | other.exercised,
            broken: self.broken | other.broken,
        }
    }
}

/// Where an event stands.
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

/// Something that was found, or has to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Is(u64),
    AtMost(u64),
    AtLeast(u64),
    Named(&'static str),
    /// A text that tells this, in this disguise.
    Leak(&'static str, &'static str),
    /// A state that can come after this one.
    After(&'static str),
    /// What happened. `None`: the run has ended.
    Event(Option<Event>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(number) => write!(f, "{number}"),
            Self::AtMost(number) => write!(f, "at most {number}"),
            Self::AtLeast(number) => write!(f, "at least {number}"),
            Self::Named(name) => f.write_str(name),
            Self::Leak(name, disguise) => write!(f, "with {name} in it ({disguise})"),
            Self::Event(Some(event)) => write!(f, "`{}`", replay::said(event)),
            Self::Event(None) => f.write_str("the end"),
            Self::After(name) => write!(f, "one that can come after {name}"),
        }
    }
}

/// What is wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fact {
    pub(super) place: Option<Place>,
    pub(super) offset: Option<u64>,
    /// What is looked at: it *is* something, and *has to be* something else.
    pub(super) what: &'static str,
    pub(super) found: Value,
    pub(super) expected: Value,
}

impl Fact {
    pub(super) const fn new(what: &'static str, found: Value, expected: Value) -> Self {
        Self { place: None, offset: None, what, found, expected }
    }

    pub(super) const fn by(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    pub(super) const fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(Place::Ingress) => f.write_str("ingress adapter: ")?,
            Some(Place::Egress) => f.write_str("egress adapter: ")?,
            Some(Place::Network) | None => {}
        }
        write!(f, "{} is {}, and has to be {}", self.what, self.found, self.expected)
    }
}

/// The marks of one run, and what was found.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) marks: Marks,
    /// Where the event stands that is looked at.
    pub(super) mark: Mark,
    found: Vec<(Id, Mark, Fact)>,
}

impl Tally {
    /// Begins anew.
    pub(super) fn clear(&mut self, applicable: u128) {
        self.marks = Marks { applicable, ..Marks::default() };
        self.mark = Mark::default();
        self.found.clear();
    }

    /// A rule could have been broken here; it is, if not `holds`. A `fact` that holds what it tells of,
    /// not where that is, costs nothing while the rule holds: values stay in registers.
    #[inline]
    pub(super) fn check(&mut self, id: Id, holds: bool, fact: impl FnOnce() -> Fact) {
        self.holds(id);
        if !holds {
            self.broken(id, fact);
        }
    }

    /// With what is made of the fact, out of the way of those that hold.
    #[cold]
    #[inline(never)]
    fn broken(&mut self, id: Id, fact: impl FnOnce() -> Fact) {
        self.breaks(id, fact());
    }

    /// A rule could have been broken here, and was not.
    #[inline]
    pub(super) const fn holds(&mut self, id: Id) {
        // Looked at first: most have been marked, and events would wait for one another's marks.
        if self.marks.exercised & id.bit() == 0 {
            self.marks.exercised |= id.bit();
        }
    }

    #[cold]
    pub(super) fn breaks(&mut self, id: Id, fact: Fact) {
        self.marks.exercised |= id.bit();
        if self.marks.broken & id.bit() == 0 {
            self.marks.broken |= id.bit();
            self.found.push((id, self.mark, fact));
        }
    }

    /// What is said of the rule at this place of the catalogue.
    pub(super) fn outcome(&self, at: usize) -> Outcome {
        let bit = 1_u128 << at;
        if self.marks.broken & bit != 0 {
            let found = self.found.iter().find(|(id, ..)| *id as usize == at);
            let rule = CATALOGUE.get(at).map_or("", |rule| rule.id);
            let finding = found.map(|(_, mark, fact)| Finding {
                rule,
                flow: mark.flow,
                offset: fact.offset,
                tick: mark.tick,
                event: mark.event,
                said: fact.to_string(),
            });
            return finding.map_or(Outcome::NotExercised, Outcome::Broken);
        }
        match () {
            () if self.marks.exercised & bit != 0 => Outcome::Held,
            () if self.marks.applicable & bit != 0 => Outcome::NotExercised,
            () => Outcome::NotApplicable,
        }
    }
}
