// SPDX-License-Identifier: BSD-3-Clause
//! Every decision of a run.
//!
//! ```text
//!                    who goes next        how much, whether
//!   seed, scheduler ──► schedule(tasks) ──┬── below(n), happens(…) ──► the run, recorded if asked
//!                       next_flow(line) ──┘
//!   recording ────────► the same questions ─────────────────────────► the same run
//! ```
//!
//! A run asks for all that is not decided by its inputs: who goes next, how much is taken, whether a
//! fault strikes. The answers are a list of small numbers, of which 0 is always the plainest: the
//! first in line, all of it, no fault. So a failure is made small by making the list short and its
//! numbers small, as in Hypothesis (MacIver and Donaldson, 2020), whatever the run does with them;
//! and a recording outlives changes of the generator that made it.
//!
//! | file | holds |
//! |---|---|
//! | `random` | numbers from a seed |
//! | `scheduler` | who goes next: by turns, at random, or as `pct` says |
//! | `pct` | priorities that change at a few points |
//! | `exhaustive` | all runs of a small setup, one after the other |
//!
//! # Invariants
//!
//! 1. The same source of choices and the same inputs give the same run.
//! 2. A recording that is too short goes on with zeros, and a number that is too large is taken
//!    modulo: every list of numbers is a run.
//! 3. Whoever decided it, what is recorded of "who goes next" is the place among those who could.
//!    So a recording repeats the run without the scheduler that made it.

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
    /// Turns; the rest from a seed.
    RoundRobin(Random, RoundRobin),
    /// Priorities; the rest from a seed.
    Pct(Random, Box<Pct>),
    /// As recorded.
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
    /// All of them from a seed, and nothing is recorded: as most are.
    is_plain: bool,
}

impl Choices {
    /// Drawn from a seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self::of(Source::Seed(Random::new(seed)))
    }

    /// Who goes next is decided by a scheduler, the rest drawn from a seed.
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

    /// As recorded.
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

    /// The same, recording what is answered.
    #[must_use]
    pub fn recording(mut self) -> Self {
        self.recorded = Some(Vec::new());
        self.is_plain = false;
        self
    }

    /// Who goes next of the tasks for which there is something to do: a place in `enabled`, 0 if it
    /// has one task or none, without a decision. The numbers in it are ascending.
    #[inline]
    pub fn schedule(&mut self, enabled: &[u8]) -> usize {
        let task = move |at: u32| enabled.get(at as usize).copied().unwrap_or(0);
        self.who(enabled.len() as u32, move |at| task(at).into()) as usize
    }

    /// Who goes next of the flows in a line of so many, of which `number` says which stands at a
    /// place. The first has waited the longest.
    #[inline]
    pub fn next_flow(&mut self, count: usize, number: impl Fn(usize) -> u32) -> usize {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.who(count, move |at| FLOWS | number(at as usize)) as usize
    }

    #[inline]
    fn who(&mut self, count: u32, id: impl Fn(u32) -> u32) -> u32 {
        match &mut self.source {
            Source::Seed(random) if self.is_plain => {
                self.asked += u64::from(count > 1);
                random.below_if_any(count)
            }
            _ => self.other_who(count, id),
        }
    }

    #[inline(never)]
    fn other_who(&mut self, count: u32, id: impl Fn(u32) -> u32) -> u32 {
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

    /// A number below `bound`; 0 if the bound is 0 or 1, without a decision.
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

    /// Whether something happens that does so `times` in `of`. 0 is no.
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

    /// How many decisions there were.
    #[must_use]
    pub const fn asked(&self) -> u64 {
        self.asked
    }

    /// What was answered, without zeros at the end, which need not be said.
    #[must_use]
    pub fn into_recording(self) -> Vec<u32> {
        let mut recorded = self.recorded.unwrap_or_default();
        trim(&mut recorded);
        recorded
    }

    /// What was answered until here.
    #[must_use]
    pub fn recorded(&self) -> &[u32] {
        self.recorded.as_deref().unwrap_or_default()
    }
}

/// Takes the zeros at the end away, which need not be said.
pub(crate) fn trim(answers: &mut Vec<u32>) {
    let used = answers.iter().rposition(|answer| *answer != 0).map_or(0, |last| last + 1);
    answers.truncate(used);
}

/// Ids of flows begin here; those below are tasks.
const FLOWS: u32 = 1 << 31;
/// What PCT draws from.
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
        let mut who = Choices::replayed(vec![5, 1000]);
        assert_eq!(who.schedule(&[3, 4, 8]), 2);
        assert_eq!(who.next_flow(7, |_| 1), 6);
        assert_eq!(who.schedule(&[3, 4]), 0);
    }

    #[test]
    fn who_is_alone_is_no_decision() {
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
