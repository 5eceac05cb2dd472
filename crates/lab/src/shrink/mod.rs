// SPDX-License-Identifier: BSD-3-Clause
//! Shrinks a failure.
//!
//! ```text
//!   case + recording that fail ──► try something simpler ──► fails still: keep it
//!             ▲                                          └─► does not: drop it
//!             └──────────── again, until a whole round keeps nothing ────────────┘
//! ```
//!
//! The input of a run is shrunk, never its seed: the recorded answers are cut, deleted in blocks,
//! set to zero and reduced (Hypothesis: MacIver and Donaldson, 2020; blocks that halve: Zeller and
//! Hildebrandt, 2002), and the case is simplified: fewer flows, fewer and shorter chunks,
//! everything at once, a simpler target, no faults. Each try is a run. The caller decides whether
//! it "fails still": as a rule, if the same rule is violated.
//!
//! | file | holds |
//! |---|---|
//! | `answers` | simpler recordings |
//! | `setup` | simpler cases |
//! | `size` | the order of failures by size, and the number of inputs |
//!
//! A failure that *is* too many events (rule LIV-03) has as many as the limit allows, however much
//! it is shrunk: with a lower limit every run would fail. Its inputs are shrunk, see
//! [`Candidate::inputs`].
//!
//! # Invariants
//!
//! 1. The result fails, and is no larger than the original. Each kept candidate is smaller than the
//!    one before, in a total order of failures: so it terminates, even without a bound.
//! 2. The same input and the same answers of the caller give the same result.
//! 3. There are at most as many tries as the caller allows; it may lower the bound during the
//!    search when tries turn out to be expensive.

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
    /// The case.
    pub case: Case,
    /// The answers.
    pub recording: Vec<u32>,
}

/// A run that still fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// Number of events of its trace.
    pub events: usize,
    /// Number of questions: [`Choices::asked`](crate::choice::Choices::asked). Further answers are
    /// unused.
    pub asked: u64,
}

/// The progress of shrinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Runs so far.
    pub tries: u32,
    /// Maximum number of runs.
    pub tries_max: u32,
    /// Number of candidates that were kept.
    pub kept: u32,
    /// Size of the best candidate.
    pub size: Size,
    /// The current step.
    pub step: &'static str,
}

/// The result of shrinking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrunk {
    /// The smallest run that fails.
    pub candidate: Candidate,
    /// Its size.
    pub size: Size,
    /// Size of the original failure.
    pub before: Size,
    /// Number of runs.
    pub tries: u32,
    /// No simpler candidate was left to try; if false, the tries were used up.
    pub is_minimal: bool,
}

/// Shrinks a failure with at most `tries_max` runs.
///
/// `fails` runs a candidate and returns whether it still fails. `progress` is called after each
/// run. `None`: the original failure did not fail when it was repeated, or no run is allowed.
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

    /// Runs the candidate, unless it equals the best one. True: it fails, is smaller, and is the
    /// new best.
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

    /// Tries a simpler case: with the same answers, or with none, since they may not fit it any
    /// more.
    fn try_case(&mut self, case: Case) -> bool {
        if case == self.best.case {
            return false;
        }
        let recording = self.best.recording.clone();
        self.try_it(Candidate { case: case.clone(), recording })
            || !self.best.recording.is_empty()
                && self.try_it(Candidate { case, recording: Vec::new() })
    }

    /// If the default run of the case fails, it shortens everything that follows.
    fn leap(&mut self) {
        self.step = "no choices";
        self.try_recording(Vec::new());
    }
}

/// Removes answers to questions that were not asked, and trailing zeros.
fn normalise(recording: &mut Vec<u32>, asked: u64) {
    recording.truncate(usize::try_from(asked).unwrap_or(usize::MAX));
    trim(recording);
}

/// Finds the least number of `0..=most` for which `keeps` is true, and calls `keeps` with it unless
/// it is `most`. Requires that `keeps` is true for all larger numbers, and for `most`. Calls
/// `keeps` little more than 2 · log₂ `most` times.
fn least(most: u64, mut keeps: impl FnMut(u64) -> bool) {
    // From the bottom in doubling steps, since small numbers are likely; then by bisection.
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
