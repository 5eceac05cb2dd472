// SPDX-License-Identifier: BSD-3-Clause
//! PCT, probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi and Nagarakatti, 2010).
//!
//! ```text
//!   priorities, of n:   ┌── drawn from the seed, all others below ──┐
//!                       │  T3   F1   T7   F2 …                      │  the highest goes
//!                       ├── the one that went at change point i ────┤
//!                       │  i = changes … 2 1                        │
//!                       └───────────────────────────────────────────┘
//!   steps:  0 ──── change ─────── change ──────── steps ──── round robin, without end
//! ```
//!
//! The enabled task with the highest priority goes. Each priority is drawn at random, and at some
//! steps, drawn at random too, the task that goes falls below all those that have not fallen at
//! such a step. A defect that shows when d certain steps come in a certain order is found in a run
//! of k steps of n tasks with d − 1 changes with a chance of at least one in n·k^(d−1), however
//! unlikely the order is under random choices.
//!
//! A step is one question which task or flow goes next. A flow has the same priority in each wait
//! queue.
//!
//! # Invariants
//!
//! 1. A priority depends on the seed and the id alone: a task that arrives later does not change
//!    those of others.
//! 2. After `steps` steps the scheduler is round robin. Priorities can starve a task; a run with a
//!    time limit needs a scheduler that becomes fair.

use super::Random;
use super::scheduler::RoundRobin;

/// Maximum number of change points in a run.
const CHANGES_MAX: u32 = 64;

/// Priorities that change at a few points.
#[derive(Debug)]
pub(super) struct Pct {
    priorities: Random,
    /// Steps at which the task that goes falls; the index among them is its new priority.
    changes: Vec<u32>,
    step: u32,
    steps: u32,
    /// The tasks that fell, each with its new priority.
    fallen: Vec<(u32, usize)>,
    turns: RoundRobin,
}

impl Pct {
    pub(super) fn new(mut random: Random, changes: u32, steps: u32) -> Self {
        let changes = (0..changes.min(CHANGES_MAX)).map(|_| random.below(steps)).collect();
        let turns = RoundRobin::default();
        Self { priorities: random, changes, step: 0, steps, fallen: Vec::new(), turns }
    }

    /// The position of the task with the highest priority, of `count`.
    pub(super) fn next(&mut self, count: u32, id: impl Fn(u32) -> u32) -> u32 {
        if self.step >= self.steps {
            return self.turns.next(count, id);
        }
        // Of two with the same priority, the first.
        let first = (0..count).rev().max_by_key(|at| self.priority(id(*at)));
        let Some(chosen) = first else { return 0 };
        for (rank, at) in self.changes.iter().enumerate() {
            if *at == self.step {
                let id = id(chosen);
                self.fallen.retain(|(fallen, _)| *fallen != id);
                self.fallen.push((id, rank));
            }
        }
        self.step += 1;
        chosen
    }

    /// Tasks that have not fallen are above those that have.
    fn priority(&self, id: u32) -> (bool, u64) {
        match self.fallen.iter().find(|(fallen, _)| *fallen == id) {
            Some((_, rank)) => (false, *rank as u64),
            None => (true, self.priorities.fork(id.into()).next()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Choices, Scheduler};

    /// The tasks that a scheduler picks when all of them are always enabled.
    fn went(seed: u64, tasks: u8, changes: u32, steps: u32, asked: usize) -> Vec<u8> {
        let all: Vec<u8> = (0..tasks).collect();
        let mut choices = Choices::scheduled(seed, Scheduler::Pct { changes, steps });
        (0..asked).map(|_| all[choices.schedule(&all)]).collect()
    }

    #[test]
    fn without_changes_one_goes_all_the_time_and_each_is_the_one_for_some_seed() {
        let mut firsts = [0; 5];
        for seed in 0..1000 {
            let went = went(seed, 5, 0, 50, 50);
            assert!(went.iter().all(|task| *task == went[0]));
            firsts[went[0] as usize] += 1;
        }
        assert!(firsts.iter().all(|count| (140..260).contains(count)), "{firsts:?}");
    }

    #[test]
    fn the_order_changes_at_the_points_and_nowhere_else() {
        let mut counts = [0; 4];
        let mut places = [0; 4];
        for seed in 0..1000 {
            let went = went(seed, 5, 3, 40, 40);
            let changed = (1..40).filter(|at| went[*at] != went[*at - 1]);
            let changed: Vec<_> = changed.collect();
            counts[changed.len()] += 1;
            for at in changed {
                places[at / 10] += 1;
            }
        }
        // Fewer if two points fell on one step, or on the last one.
        assert!(counts[3] > 800 && counts[0] == 0, "{counts:?}");
        assert!(places.iter().all(|count| (600..900).contains(count)), "{places:?}");
    }

    #[test]
    fn a_fallen_task_goes_only_when_no_other_can() {
        for seed in 0..200 {
            let mut choices = Choices::scheduled(seed, Scheduler::Pct { changes: 1, steps: 30 });
            let both: Vec<_> = (0..29).map(|_| choices.schedule(&[4, 9])).collect();
            // The task that fell, and the one that took its place.
            let [first, last] = [both[0], both[28]];
            let at = both.iter().position(|went| *went != first).unwrap_or(29);
            assert!(both[at..].iter().all(|went| *went == last), "{both:?}");
            assert_eq!(choices.schedule(&[[4, 9][first]]), 0);
        }
    }

    #[test]
    fn behind_the_steps_everybody_has_a_turn() {
        let went = went(3, 4, 1, 10, 30);
        assert!(went[10..].windows(4).all(|turn| {
            let mut turn = turn.to_vec();
            turn.sort_unstable();
            turn == [0, 1, 2, 3]
        }));
    }

    /// The paper's guarantee, on its own example: T1 must do its last step before T2's first, with
    /// T2 enabled from the beginning. Random choices do so once in 2²⁰ runs.
    #[test]
    fn an_order_that_is_unlikely_at_random_is_found_in_half_of_the_runs() {
        let is_found = |scheduler: Scheduler, seed: u64| {
            let mut choices = Choices::scheduled(seed, scheduler);
            (0..20).all(|_| choices.schedule(&[1, 2]) == 0)
        };
        let found = |scheduler: Scheduler| (0..1000).filter(|it| is_found(scheduler, *it)).count();
        assert!((400..600).contains(&found(Scheduler::Pct { changes: 0, steps: 20 })));
        assert_eq!(found(Scheduler::Random), 0);
    }
}
