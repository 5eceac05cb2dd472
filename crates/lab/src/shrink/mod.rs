// SPDX-License-Identifier: BSD-3-Clause
//! A failure, made small.
//!
//! ```text
//!   case + recording that fail ──► try something simpler ──► fails still: keep it
//!             ▲                                          └─► does not: drop it
//!             └──────────── again, until a whole round keeps nothing ────────────┘
//! ```
//!
//! What is made simpler is the input of a run, never its seed: the answers that were recorded, cut,
//! deleted in blocks, set to zero and made small (Hypothesis: MacIver and Donaldson, 2020; blocks that
//! halve: Zeller and Hildebrandt, 2002), and what the run is made of: fewer flows, fewer and shorter
//! chunks, everything at once, a plainer target, no faults. Each try is a run. Whether it "fails still"
//! is for the caller to say: as a rule, that the same rule is broken.
//!
//! | file | holds |
//! |---|---|
//! | `answers` | simpler recordings |
//! | `setup` | simpler cases |
//! | `size` | which of two failures is the smaller one, and how much it takes to see it |
//!
//! A failure that *is* too many events (rule LIV-03) has as many as the limit allows however small it
//! gets: lowering the limit would make everybody fail. What gets small is what is put in, see
//! [`Candidate::inputs`].
//!
//! # Invariants
//!
//! 1. What comes out fails, and is no larger than what went in. What is kept is smaller than what was
//!    kept before, in one order of all failures: so it ends, also without a bound.
//! 2. The same input and the same answers of the caller give the same result.
//! 3. There are no more tries than the caller allows; who learns from them that they are expensive may
//!    allow fewer while they are made.

mod answers;
mod setup;
mod size;

pub use size::Size;

use std::cell::Cell;

use crate::choice::trim;
use crate::replay::Case;

/// A run that is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What it is made of.
    pub case: Case,
    /// The answers to what it asks.
    pub recording: Vec<u32>,
}

/// How a run went that fails still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// The events of its trace.
    pub events: usize,
    /// What it asked: [`Choices::asked`](crate::choice::Choices::asked). Answers behind them are waste.
    pub asked: u64,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Runs until here.
    pub tries: u32,
    /// Runs that there may be.
    pub tries_max: u32,
    /// How many of them were kept.
    pub kept: u32,
    /// The size of what was kept last.
    pub size: Size,
    /// What is tried.
    pub step: &'static str,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrunk {
    /// The smallest run that fails.
    pub candidate: Candidate,
    /// Its size.
    pub size: Size,
    /// The size of what it was made from.
    pub before: Size,
    /// Runs that it took.
    pub tries: u32,
    /// Nothing simpler was left to try; if not, the tries were used up.
    pub is_minimal: bool,
}

/// Makes a failure small with no more than `tries_max` runs.
///
/// `fails` runs a candidate and says whether it fails still. `progress` hears of each run. `None`: the
/// failure itself did not fail when it was run again, or there may be no run.
pub fn shrink(
    failure: Candidate,
    tries_max: u32,
    fails: impl FnMut(&Candidate) -> Option<Failed>,
    progress: impl FnMut(&Progress),
) -> Option<Shrunk> {
    shrink_within(failure, &Cell::new(tries_max), fails, progress)
}

/// As [`shrink`], with a bound that `fails` may change.
pub(crate) fn shrink_within(
    failure: Candidate,
    tries_max: &Cell<u32>,
    fails: impl FnMut(&Candidate) -> Option<Failed>,
    progress: impl FnMut(&Progress),
) -> Option<Shrunk> {
    let mut shrinker = Shrinker::new(failure, tries_max, fails, progress)?;
    let before = shrinker.size;
    shrinker.leap();
    let is_minimal = loop {
        let kept = shrinker.kept;
        shrinker.setup();
        shrinker.answers();
        if shrinker.is_spent() {
            break false;
        }
        if shrinker.kept == kept {
            break true;
        }
    };
    let Shrinker { best: candidate, size, tries, .. } = shrinker;
    Some(Shrunk { candidate, size, before, tries, is_minimal })
}

struct Shrinker<'a, F, P> {
    best: Candidate,
    size: Size,
    fails: F,
    progress: P,
    tries: u32,
    tries_max: &'a Cell<u32>,
    kept: u32,
    step: &'static str,
}

impl<'a, F, P> Shrinker<'a, F, P>
where
    F: FnMut(&Candidate) -> Option<Failed>,
    P: FnMut(&Progress),
{
    fn new(
        mut best: Candidate,
        tries_max: &'a Cell<u32>,
        mut fails: F,
        progress: P,
    ) -> Option<Self> {
        if tries_max.get() == 0 {
            return None;
        }
        let failed = fails(&best)?;
        normalise(&mut best.recording, failed.asked);
        let size = Size::of(&best, failed.events);
        let (tries, kept, step) = (1, 0, "the failure itself");
        let mut shrinker = Self { best, size, fails, progress, tries, tries_max, kept, step };
        shrinker.tell();
        Some(shrinker)
    }

    fn tell(&mut self) {
        let Self { tries, kept, size, step, .. } = *self;
        let tries_max = self.tries_max.get();
        (self.progress)(&Progress { tries, tries_max, kept, size, step });
    }

    const fn is_spent(&self) -> bool {
        self.tries >= self.tries_max.get()
    }

    /// Runs the candidate, unless it is the best one. True: it fails, is smaller, and is the best.
    fn try_it(&mut self, mut candidate: Candidate) -> bool {
        trim(&mut candidate.recording);
        if self.is_spent() || candidate == self.best {
            return false;
        }
        self.tries += 1;
        let failed = (self.fails)(&candidate);
        let is_kept = failed.is_some_and(|failed| {
            normalise(&mut candidate.recording, failed.asked);
            let size = Size::of(&candidate, failed.events);
            if size >= self.size {
                return false;
            }
            (self.best, self.size) = (candidate, size);
            self.kept += 1;
            true
        });
        self.tell();
        is_kept
    }

    fn try_recording(&mut self, recording: Vec<u32>) -> bool {
        self.try_it(Candidate { case: self.best.case.clone(), recording })
    }

    /// A simpler case: with the answers as they are, or with none, since they may fit it no more.
    fn try_case(&mut self, case: Case) -> bool {
        if case == self.best.case {
            return false;
        }
        let recording = self.best.recording.clone();
        self.try_it(Candidate { case: case.clone(), recording })
            || !self.best.recording.is_empty()
                && self.try_it(Candidate { case, recording: Vec::new() })
    }

    /// The plainest run of the case, if it fails, makes all that follows quick.
    fn leap(&mut self) {
        self.step = "no choices";
        self.try_recording(Vec::new());
    }
}

/// Answers that nobody asked for say nothing, nor do zeros at the end.
fn normalise(recording: &mut Vec<u32>, asked: u64) {
    recording.truncate(usize::try_from(asked).unwrap_or(usize::MAX));
    trim(recording);
}

/// The least number of `0..=most` for which `keeps` says yes, if it does for all above it; `most` is
/// known to do. Asks some times more than 2 · log₂ `most` at most.
fn least(most: u64, mut keeps: impl FnMut(u64) -> bool) {
    // From the bottom, in doubling steps, since small is what is hoped for; then between.
    let (mut low, mut high) = (0, most);
    let mut step = 1;
    while low < high {
        let at = (low + step - 1).min(low + (high - low) / 2);
        if keeps(at) {
            high = at;
            step = 1;
        } else {
            low = at + 1;
            step *= 2;
        }
    }
}

#[cfg(test)]
mod tests;
