// SPDX-License-Identifier: BSD-3-Clause
//! Every decision of a run.
//!
//! ```text
//!                    which goes next      how much, whether
//!   seed, scheduler ──► schedule(tasks) ──┬── below(n), happens(…) ──► the run, recorded if asked
//!                       next_flow(line) ──┘
//!   recording ────────► the same questions ─────────────────────────► the same run
//! ```
//!
//! A run asks for every decision that its inputs leave open: which task goes next, how much is
//! taken, whether a fault is injected. The answers are a list of small numbers, in which 0 is
//! always the simplest choice: the first in line, all of it, no fault. So a failure is shrunk by
//! making the list short and its numbers small, as in Hypothesis (MacIver and Donaldson, 2020),
//! whatever the run does with them; and a recording remains valid when the generator that made it
//! changes.
//!
//! | file | holds |
//! |---|---|
//! | `random` | numbers from a seed |
//! | `scheduler` | which task or flow goes next: round robin, random, or by `pct` |
//! | `pct` | priorities that change at a few points |
//! | `exhaustive` | all runs of a small setup, one after another |
//!
//! # Invariants
//!
//! 1. The same source of choices and the same inputs give the same run.
//! 2. A recording that is too short continues with zeros, and a number that is too large is taken
//!    modulo: every list of numbers is a run.
//! 3. For the question which task goes next, the recording holds the position among the enabled
//!    ones, whatever scheduler decided it. So a recording repeats the run without that scheduler.

mod exhaustive;
mod pct;
mod random;
mod scheduler;

pub use exhaustive::{Bounds, Coverage, Explored, explore};
pub use random::Random;
pub use scheduler::Scheduler;

use self::exhaustive::Walk;
use self::pct::Pct;
use self::scheduler::RoundRobin;

/// Where the answers come from.
#[derive(Debug)]
enum Source {
    /// All of them from a seed.
    Seed(Random),
    /// Round robin; the rest from a seed.
    RoundRobin(Random, RoundRobin),
    /// Priorities; the rest from a seed.
    Pct(Random, Box<Pct>),
    /// A recording.
    Recording { answers: Vec<u32>, at: usize },
    /// A path in the tree of all decisions.
    Walk(Box<Walk>),
}

/// The decisions of one run.
#[derive(Debug)]
pub struct Choices {
    source: Source,
    recorded: Option<Vec<u32>>,
    asked: u64,
    /// All answers come from a seed and none is recorded, as in most runs.
    is_plain: bool,
}

impl Choices {
    /// All answers drawn from a seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self::of(Source::Seed(Random::new(seed)))
    }

    /// The scheduler decides which task goes next; the rest is drawn from a seed.
    #[must_use]
    pub fn scheduled(seed: u64, scheduler: Scheduler) -> Self {
        let random = Random::new(seed);
        Self::of(match scheduler {
            Scheduler::Random => Source::Seed(random),
            Scheduler::RoundRobin => Source::RoundRobin(random, RoundRobin::default()),
            Scheduler::Pct { changes, steps } => {
                let pct = Pct::new(random.fork(PCT), changes, steps);
                Source::Pct(random, Box::new(pct))
            }
        })
    }

    /// Answers from a recording.
    #[must_use]
    pub const fn replayed(answers: Vec<u32>) -> Self {
        Self::of(Source::Recording { answers, at: 0 })
    }

    fn walking(walk: Walk) -> Self {
        Self::of(Source::Walk(Box::new(walk))).recording()
    }

    const fn of(source: Source) -> Self {
        let is_plain = matches!(source, Source::Seed(_));
        Self { source, recorded: None, asked: 0, is_plain }
    }

    /// The same choices, with all answers recorded.
    #[must_use]
    pub fn recording(mut self) -> Self {
        self.recorded = Some(Vec::new());
        self.is_plain = false;
        self
    }

    /// Picks the next task: a position in `enabled`, whose numbers are ascending. With at most one
    /// task it is 0, without a decision.
    #[inline]
    pub fn schedule(&mut self, enabled: &[u8]) -> usize {
        let task = move |at: u32| enabled.get(at as usize).copied().unwrap_or(0);
        self.pick(enabled.len() as u32, move |at| task(at).into()) as usize
    }

    /// Picks the next flow of a wait queue of `count` flows; `number` gives the flow at a position.
    /// The first one has waited the longest.
    #[inline]
    pub fn next_flow(&mut self, count: usize, number: impl Fn(usize) -> u32) -> usize {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.pick(count, move |at| FLOWS | number(at as usize)) as usize
    }

    #[inline]
    fn pick(&mut self, count: u32, id: impl Fn(u32) -> u32) -> u32 {
        match &mut self.source {
            Source::Seed(random) if self.is_plain => {
                self.asked += u64::from(count > 1);
                random.below_if_any(count)
            }
            _ => self.pick_other(count, id),
        }
    }

    #[inline(never)]
    fn pick_other(&mut self, count: u32, id: impl Fn(u32) -> u32) -> u32 {
        let decided = match &mut self.source {
            Source::RoundRobin(_, turns) => turns.next(count, id),
            Source::Pct(_, pct) => pct.next(count, id),
            Source::Walk(walk) if count > 1 => walk.next(count),
            Source::Seed(_) | Source::Recording { .. } | Source::Walk(_) => {
                return self.below(count);
            }
        };
        if count > 1 {
            self.answered(decided);
        }
        decided
    }

    /// A number below `bound`. If the bound is 0 or 1, it is 0 without a decision.
    #[inline]
    pub fn below(&mut self, bound: u32) -> u32 {
        if bound <= 1 {
            return 0;
        }
        match &mut self.source {
            Source::Seed(random) if self.is_plain => {
                self.asked += 1;
                random.below(bound)
            }
            _ => self.other_below(bound),
        }
    }

    #[inline(never)]
    fn other_below(&mut self, bound: u32) -> u32 {
        let answer = match &mut self.source {
            Source::Seed(random) | Source::RoundRobin(random, _) | Source::Pct(random, _) => {
                random.below(bound)
            }
            Source::Recording { answers, at } => {
                let answer = answers.get(*at).copied().unwrap_or(0);
                *at += 1;
                answer % bound
            }
            Source::Walk(walk) => walk.amount(bound),
        };
        self.answered(answer);
        answer
    }

    /// Whether an event with a chance of `times` in `of` happens. 0 is no.
    #[inline]
    pub fn happens(&mut self, times: u32, of: u32) -> bool {
        if times == 0 {
            return false;
        }
        if let Source::Walk(_) = self.source
            && of > 1
        {
            return self.happens_by_walk(of);
        }
        self.below(of) > of.saturating_sub(times.saturating_add(1))
    }

    #[inline(never)]
    fn happens_by_walk(&mut self, of: u32) -> bool {
        let Source::Walk(walk) = &mut self.source else { return false };
        let answer = walk.chance(of);
        self.answered(answer);
        answer > 0
    }

    fn answered(&mut self, answer: u32) {
        self.asked += 1;
        if let Some(recorded) = &mut self.recorded {
            recorded.push(answer);
        }
    }

    /// Number of decisions so far.
    #[must_use]
    pub const fn asked(&self) -> u64 {
        self.asked
    }

    /// The answers, without trailing zeros.
    #[must_use]
    pub fn into_recording(self) -> Vec<u32> {
        let mut recorded = self.recorded.unwrap_or_default();
        trim(&mut recorded);
        recorded
    }

    /// The answers so far.
    #[must_use]
    pub fn recorded(&self) -> &[u32] {
        self.recorded.as_deref().unwrap_or_default()
    }
}

/// Removes trailing zeros, which a recording does not need.
pub(crate) fn trim(answers: &mut Vec<u32>) {
    let used = answers.iter().rposition(|answer| *answer != 0).map_or(0, |last| last + 1);
    answers.truncate(used);
}

/// Ids from here on are flows; those below are tasks.
const FLOWS: u32 = 1 << 31;
/// The stream of random numbers that PCT draws from.
const PCT: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(choices: &mut Choices) -> Vec<u32> {
        let ask = |at: u32| match at % 3 {
            0 => choices.below(1 + at % 17),
            1 => choices.schedule(&[1, 2, 4, 7][..(at % 5) as usize]) as u32,
            _ => choices.next_flow((at % 4) as usize, |place| 9 - place as u32) as u32,
        };
        (0..300).map(ask).collect()
    }

    fn all(seed: u64) -> [Choices; 4] {
        let pct = |changes| Scheduler::Pct { changes, steps: 150 };
        [Scheduler::Random, Scheduler::RoundRobin, pct(0), pct(3)]
            .map(|scheduler| Choices::scheduled(seed, scheduler))
    }

    #[test]
    fn a_seed_decides_and_a_recording_repeats() {
        for seed in 0..50 {
            for (at, choices) in all(seed).into_iter().enumerate() {
                let mut choices = choices.recording();
                let drawn = draw(&mut choices);
                let [mut same, mut other] = [seed, seed + 1].map(all);
                assert_eq!(draw(&mut same[at]), drawn);
                assert_ne!(draw(&mut other[at]), drawn);
                let (asked, recording) = (choices.asked(), choices.into_recording());
                let mut again = Choices::replayed(recording.clone()).recording();
                assert_eq!(draw(&mut again), drawn);
                assert_eq!((again.asked(), again.into_recording()), (asked, recording));
            }
        }
        assert_eq!(draw(&mut Choices::seeded(9)), draw(&mut all(9)[0]));
    }

    #[test]
    fn every_list_is_a_run() {
        let mut short = Choices::replayed(vec![5, 1000]);
        assert_eq!([short.below(4), short.below(7), short.below(9)], [1, 6, 0]);
        let mut choices = Choices::replayed(vec![5, 1000]);
        assert_eq!(choices.schedule(&[3, 4, 8]), 2);
        assert_eq!(choices.next_flow(7, |_| 1), 6);
        assert_eq!(choices.schedule(&[3, 4]), 0);
    }

    #[test]
    fn a_single_task_is_no_decision() {
        for choices in all(3) {
            let mut choices = choices.recording();
            assert_eq!((choices.schedule(&[]), choices.schedule(&[6])), (0, 0));
            assert_eq!((choices.next_flow(0, |_| 0), choices.next_flow(1, |_| 4)), (0, 0));
            assert_eq!((choices.asked(), choices.recorded()), (0, &[][..]));
        }
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
