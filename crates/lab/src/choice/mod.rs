// SPDX-License-Identifier: BSD-3-Clause
//! Every decision of a run.
//!
//! ```text
//!   seed ──► Random ──► Choices::below(n) ──► the run          (recorded, if somebody asks)
//!   recording ────────► Choices::below(n) ──► the same run
//! ```
//!
//! A run asks for all that is not decided by its inputs: who goes next, how much is taken, whether a
//! fault strikes. The answers are a list of small numbers, of which 0 is always the plainest: the
//! first in line, all of it, no fault. So a failure is made small by making the list short and its
//! numbers small, as in Hypothesis (MacIver and Donaldson, 2020), whatever the run does with them;
//! and a recording outlives changes of the generator that made it.
//!
//! # Invariants
//!
//! 1. The same source of choices and the same inputs give the same run.
//! 2. A recording that is too short goes on with zeros, and a number that is too large is taken
//!    modulo: every list of numbers is a run.

mod random;

pub use random::Random;

/// Where the answers come from.
#[derive(Debug)]
enum Source {
    Seed(Random),
    Recording { answers: Vec<u32>, at: usize },
}

/// The decisions of one run.
#[derive(Debug)]
pub struct Choices {
    source: Source,
    recorded: Option<Vec<u32>>,
    asked: u64,
}

impl Choices {
    /// Drawn from a seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self { source: Source::Seed(Random::new(seed)), recorded: None, asked: 0 }
    }

    /// As recorded.
    #[must_use]
    pub const fn replayed(answers: Vec<u32>) -> Self {
        Self { source: Source::Recording { answers, at: 0 }, recorded: None, asked: 0 }
    }

    /// The same, recording what is answered.
    #[must_use]
    pub fn recording(mut self) -> Self {
        self.recorded = Some(Vec::new());
        self
    }

    /// A number below `bound`; 0 if the bound is 0 or 1, without a decision.
    #[inline]
    pub fn below(&mut self, bound: u32) -> u32 {
        if bound <= 1 {
            return 0;
        }
        self.asked += 1;
        let answer = match &mut self.source {
            Source::Seed(random) => random.below(bound),
            Source::Recording { answers, at } => {
                let answer = answers.get(*at).copied().unwrap_or(0);
                *at += 1;
                answer % bound
            }
        };
        if let Some(recorded) = &mut self.recorded {
            recorded.push(answer);
        }
        answer
    }

    /// Whether something happens that does so `times` in `of`. 0 is no.
    #[inline]
    pub fn happens(&mut self, times: u32, of: u32) -> bool {
        times > 0 && self.below(of) > of.saturating_sub(times.saturating_add(1))
    }

    /// How many decisions there were.
    #[must_use]
    pub const fn asked(&self) -> u64 {
        self.asked
    }

    /// What was answered, without zeros at the end, which need not be said.
    #[must_use]
    pub fn into_recording(self) -> Vec<u32> {
        let mut recorded = self.recorded.unwrap_or_default();
        let used = recorded.iter().rposition(|answer| *answer != 0).map_or(0, |last| last + 1);
        recorded.truncate(used);
        recorded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(choices: &mut Choices) -> Vec<u32> {
        (0..200).map(|at| choices.below(1 + at % 17)).collect()
    }

    #[test]
    fn a_seed_decides_and_a_recording_repeats() {
        let mut first = Choices::seeded(9).recording();
        let drawn = draw(&mut first);
        assert_eq!(draw(&mut Choices::seeded(9)), drawn);
        assert_ne!(draw(&mut Choices::seeded(10)), drawn);
        assert_eq!(draw(&mut Choices::replayed(first.into_recording())), drawn);
    }

    #[test]
    fn every_list_is_a_run() {
        let mut short = Choices::replayed(vec![5, 1000]);
        assert_eq!([short.below(4), short.below(7), short.below(9)], [1, 6, 0]);
    }

    #[test]
    fn chances_are_as_said_and_zero_is_no() {
        assert!(!Choices::replayed(vec![]).happens(99, 100));
        let mut choices = Choices::seeded(1);
        let happened = (0..100_000).filter(|_| choices.happens(3, 10)).count();
        assert!((29_000..31_000).contains(&happened), "{happened}");
        assert!((0..100).all(|_| !choices.happens(0, 10)));
    }
}
