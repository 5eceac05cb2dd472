// SPDX-License-Identifier: BSD-3-Clause
//! All runs of a small setup, one after another.
//!
//! ```text
//!                 ·            decision 1: which of three goes next
//!              0/ 1│ \2
//!              ·   ·   ·       decision 2, of as many as can go there
//!            0/ \1 …   …
//!            ·   ·             … and beyond `depth_max`, 0 all the way
//! ```
//!
//! Depth first: a run follows a given path and takes the first alternative after its end; then the
//! last decision that has another alternative takes that one. Only the path is kept, because the
//! same path gives the same run (stateless search: Godefroid, 1997).
//!
//! The whole tree is large even for one flow. Two bounds cut it and keep what matters: the depth,
//! and the number of answers in one run that are not 0, which are its deviations from the default
//! schedule (delay bounding: Emmi, Qadeer and Rakamarić, 2011). Most ordering defects need two.
//!
//! # Invariants
//!
//! 1. No two runs take the same path, and a search that ends with [`Coverage::All`] took every
//!    path.
//! 2. A path is asked the same questions as before. If a run asks others, it depends on something
//!    besides its choices, and the search ends with [`Coverage::Diverged`].

use std::ops::ControlFlow;

use strum::IntoStaticStr;

use super::Choices;

/// Bounds of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Maximum number of runs.
    pub runs_max: u64,
    /// Decisions, counted from the start of a run, that are tried in every way. Later ones are 0.
    pub depth_max: u32,
    /// Maximum number of these decisions that are not 0 in one run.
    pub deviations_max: u32,
    /// Also tries whether something happens, and the least and the most of each amount. Without it,
    /// only the order of tasks and flows is tried.
    pub tries_amounts: bool,
}

impl Coverage {
    /// Name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Bounds {
    /// Maximum number of flows of a setup that is searched. With more, no search would finish.
    pub const FLOWS_MAX: usize = 3;

    /// All orders of this many flows with up to three deviations from the default schedule: some
    /// thousand runs per flow. `None`: there are too many flows.
    #[must_use]
    pub const fn of_flows(flows: usize) -> Option<Self> {
        if flows > Self::FLOWS_MAX {
            return None;
        }
        Some(Self { runs_max: 1 << 16, depth_max: 64, deviations_max: 3, tries_amounts: false })
    }

    /// The same bounds with at most this many deviations.
    pub(crate) fn deviating(self, deviations_max: u32) -> Self {
        Self { deviations_max: self.deviations_max.min(deviations_max), ..self }
    }

    /// Everything, up to this many runs.
    #[must_use]
    pub const fn all(runs_max: u64) -> Self {
        let (depth_max, deviations_max) = (u32::MAX, u32::MAX);
        Self { runs_max, depth_max, deviations_max, tries_amounts: false }
    }
}

/// How much of the tree was searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Coverage {
    /// Every path: all orders, and with [`Bounds::tries_amounts`] the least and the most of all
    /// amounts.
    All,
    /// Every path within `depth_max` and `deviations_max`; there are others.
    Bounded,
    /// As many paths as `runs_max` allows; there are others.
    RunsMax,
    /// All paths until the callback stopped the search.
    Stopped,
    /// All paths until a run that did not repeat: it depends on something that is not a choice.
    Diverged,
}

/// The result of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explored<B> {
    /// Number of runs.
    pub runs: u64,
    /// How much of the tree they cover.
    pub coverage: Coverage,
    /// The value with which the callback stopped the search.
    pub found: Option<B>,
}

/// Calls `run` with the choices of one path after another. The choices record: to keep a run, take
/// [`Choices::recorded`] when stopping the search.
pub fn explore<B>(
    bounds: Bounds,
    mut run: impl FnMut(&mut Choices) -> ControlFlow<B>,
) -> Explored<B> {
    let (mut walk, mut runs) = (Walk::new(bounds), 0);
    let mut is_cut = false;
    loop {
        if runs == bounds.runs_max {
            return Explored { runs, coverage: Coverage::RunsMax, found: None };
        }
        runs += 1;
        let mut choices = Choices::walking(walk);
        let flow = run(&mut choices);
        if let ControlFlow::Break(found) = flow {
            return Explored { runs, coverage: Coverage::Stopped, found: Some(found) };
        }
        let super::Source::Walk(walked) = choices.source else {
            // `run` replaced the choices.
            return Explored { runs, coverage: Coverage::Diverged, found: None };
        };
        walk = *walked;
        if walk.is_diverged || walk.at < walk.path.len() {
            return Explored { runs, coverage: Coverage::Diverged, found: None };
        }
        let goes_on = walk.turn();
        // Whether a path was cut is only known when no path is left.
        is_cut |= walk.is_cut;
        if !goes_on {
            let coverage = if is_cut { Coverage::Bounded } else { Coverage::All };
            return Explored { runs, coverage, found: None };
        }
    }
}

/// A decision on a path.
#[derive(Debug, Clone, Copy)]
struct Fork {
    taken: u32,
    alternatives: u32,
}

/// One path.
#[derive(Debug)]
pub(super) struct Walk {
    bounds: Bounds,
    path: Vec<Fork>,
    /// Decisions so far.
    at: usize,
    /// Decisions of the path that are not 0.
    deviations: u32,
    /// An alternative was not tried.
    is_cut: bool,
    is_diverged: bool,
}

impl Walk {
    const fn new(bounds: Bounds) -> Self {
        let (is_cut, is_diverged) = (false, false);
        Self { bounds, path: Vec::new(), at: 0, deviations: 0, is_cut, is_diverged }
    }

    /// One of `alternatives`, of which there are at least two.
    pub(super) fn next(&mut self, alternatives: u32) -> u32 {
        if self.at >= self.bounds.depth_max as usize {
            self.is_cut = true;
            return 0;
        }
        let taken = match self.path.get(self.at) {
            Some(fork) => {
                self.is_diverged |= fork.alternatives != alternatives;
                fork.taken.min(alternatives - 1)
            }
            None => {
                self.path.push(Fork { taken: 0, alternatives });
                0
            }
        };
        self.at += 1;
        taken
    }

    /// A number below a bound of at least 2: the least or the most.
    pub(super) fn amount(&mut self, bound: u32) -> u32 {
        if self.bounds.tries_amounts { self.next(2) * (bound - 1) } else { 0 }
    }

    /// The answer that makes an event with a chance of one in `of` not happen, or happen.
    pub(super) fn chance(&mut self, of: u32) -> u32 {
        if self.bounds.tries_amounts { self.next(2) * of.saturating_sub(1) } else { 0 }
    }

    /// Goes to the next path; returns false if there is none.
    fn turn(&mut self) -> bool {
        self.at = 0;
        while let Some(fork) = self.path.pop() {
            if fork.taken + 1 < fork.alternatives {
                if fork.taken > 0 || self.deviations < self.bounds.deviations_max {
                    self.deviations += u32::from(fork.taken == 0);
                    self.path.push(Fork { taken: fork.taken + 1, ..fork });
                    return true;
                }
                self.is_cut = true;
            }
            self.deviations -= u32::from(fork.taken > 0);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Two tasks of some steps each. Every order of their steps is a path.
    fn orders(steps: [u8; 2], bounds: Bounds) -> (BTreeSet<Vec<u8>>, Explored<()>) {
        let mut seen = BTreeSet::new();
        let explored = explore(bounds, |choices| {
            let (mut left, mut order) = (steps, Vec::new());
            loop {
                let can: Vec<u8> = (0..2).filter(|task| left[*task as usize] > 0).collect();
                let Some(task) = can.get(choices.schedule(&can)) else { break };
                left[*task as usize] -= 1;
                order.push(*task);
            }
            let again = choices.recorded().to_vec();
            assert!(seen.insert(order), "twice: {again:?}");
            ControlFlow::Continue(())
        });
        assert_eq!(explored.runs, seen.len() as u64);
        (seen, explored)
    }

    #[test]
    fn every_order_is_taken_once() {
        // 7 over 3.
        let (seen, explored) = orders([3, 4], Bounds::all(1000));
        assert_eq!((seen.len(), explored.coverage), (35, Coverage::All));
        let (seen, explored) = orders([3, 4], Bounds::all(34));
        assert_eq!((seen.len(), explored.coverage), (34, Coverage::RunsMax));
        let (_, explored) = orders([3, 4], Bounds::all(35));
        assert_eq!(explored.coverage, Coverage::All);
    }

    #[test]
    fn bounds_cut_the_tree_and_say_so() {
        let two = Bounds { depth_max: 2, ..Bounds::all(1000) };
        let (seen, explored) = orders([3, 4], two);
        assert_eq!((seen.len(), explored.coverage), (4, Coverage::Bounded));
        // No deviation: the default schedule. One: that, and one more for each decision on its way.
        let least = Bounds { deviations_max: 0, ..Bounds::all(1000) };
        assert_eq!(orders([3, 4], least).0.len(), 1);
        let one = Bounds { deviations_max: 1, ..Bounds::all(1000) };
        let (seen, explored) = orders([3, 4], one);
        assert_eq!((seen.len(), explored.coverage), (4, Coverage::Bounded));
        // A bound as high as the number of decisions has no effect.
        let six = Bounds { deviations_max: 6, ..Bounds::all(1000) };
        assert_eq!(orders([3, 4], six).1.coverage, Coverage::All);
    }

    /// The runs taken are exactly the orders, enumerated one by one, that are within the bounds.
    #[test]
    fn what_is_taken_is_what_the_bounds_allow() {
        let (all, _) = orders([3, 4], Bounds::all(1000));
        // Positions at which the task was not the first of those that could run, among the choices.
        let deviations = |order: &Vec<u8>| {
            let (mut left, mut at, mut deviations) = ([3, 4], 0, Vec::new());
            for task in order {
                if left.iter().all(|left| *left > 0) {
                    deviations.extend((*task != 0).then_some(at));
                    at += 1;
                }
                left[usize::from(*task)] -= 1;
            }
            deviations
        };
        for deviations_max in 0..7 {
            for depth_max in 0..7 {
                let bounds = Bounds { depth_max, deviations_max, ..Bounds::all(1000) };
                let (seen, explored) = orders([3, 4], bounds);
                let is_within = |order: &&Vec<u8>| {
                    let deviations = deviations(order);
                    deviations.len() <= deviations_max as usize
                        && deviations.last().is_none_or(|last| *last < depth_max)
                };
                let expected: BTreeSet<_> = all.iter().filter(is_within).cloned().collect();
                assert_eq!(seen, expected, "{bounds:?}");
                let is_all = seen.len() == all.len();
                assert_eq!(explored.coverage == Coverage::All, is_all, "{bounds:?}");
            }
        }
    }

    #[test]
    fn amounts_are_the_least_and_the_most_if_they_are_tried() {
        let seen = |tries_amounts| {
            let mut seen = BTreeSet::new();
            let bounds = Bounds { tries_amounts, ..Bounds::all(100) };
            let explored = explore(bounds, |choices| {
                let drawn = (choices.below(10), choices.happens(1, 4), choices.below(1));
                let mut again = Choices::replayed(choices.recorded().to_vec());
                assert_eq!(drawn, (again.below(10), again.happens(1, 4), again.below(1)));
                seen.insert(drawn);
                ControlFlow::<()>::Continue(())
            });
            (seen, explored.coverage)
        };
        let all = BTreeSet::from([(0, false, 0), (9, false, 0), (0, true, 0), (9, true, 0)]);
        assert_eq!(seen(true), (all, Coverage::All));
        assert_eq!(seen(false), (BTreeSet::from([(0, false, 0)]), Coverage::All));
    }

    #[test]
    fn a_search_is_stopped_with_what_it_found() {
        let explored = explore(Bounds::all(100), |choices| {
            let order = [choices.schedule(&[1, 2, 3]), choices.schedule(&[1, 2])];
            if order == [1, 1] {
                ControlFlow::Break(choices.recorded().to_vec())
            } else {
                ControlFlow::Continue(())
            }
        });
        let found = Some(vec![1, 1]);
        assert_eq!(explored, Explored { runs: 4, coverage: Coverage::Stopped, found });
    }

    #[test]
    fn what_does_not_repeat_is_found_out() {
        let mut runs = 0;
        let explored = explore(Bounds::all(100), |choices| {
            runs += 1;
            let all = [1, 2, 3];
            choices.schedule(&all[..3 - runs % 2]);
            choices.schedule(&all);
            ControlFlow::<()>::Continue(())
        });
        assert_eq!((explored.runs, explored.coverage), (2, Coverage::Diverged));
        let mut runs = 0;
        let explored = explore(Bounds::all(100), |choices| {
            runs += 1;
            for _ in 0..(4 - runs) {
                choices.schedule(&[1, 2]);
            }
            ControlFlow::<()>::Continue(())
        });
        assert_eq!((explored.runs, explored.coverage), (2, Coverage::Diverged));
    }
}
