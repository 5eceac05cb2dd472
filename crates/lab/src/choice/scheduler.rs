// SPDX-License-Identifier: BSD-3-Clause
//! Which task or flow goes next.

use strum::IntoStaticStr;

/// How the next task or flow is picked. Everything else that a run asks is drawn from its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Scheduler {
    /// Each task in turn; of waiting flows the one that has waited the longest.
    RoundRobin,
    /// All are equally likely.
    #[default]
    Random,
    /// Random priorities; at some points the task that goes falls below all others: PCT,
    /// probabilistic concurrency testing. It finds what random choices hardly ever do: a task that
    /// is overtaken for long.
    Pct {
        /// Number of such points: one less than the number of ordered steps that a defect needs.
        changes: u32,
        /// The points are among this many first questions. After them the scheduler is round robin.
        steps: u32,
    },
}

impl Scheduler {
    /// Name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The state of round robin.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    /// The first id that may go next.
    from: u32,
}

impl RoundRobin {
    /// The position of the next one of `count`. Ids of tasks are ascending.
    pub(super) fn next(&mut self, count: u32, id: impl Fn(u32) -> u32) -> u32 {
        if count == 0 || id(0) >= super::FLOWS {
            // Flows are in the order of their arrival, and go to the back after their turn.
            return 0;
        }
        let at = (0..count).find(|at| id(*at) >= self.from).unwrap_or(0);
        self.from = id(at) + 1;
        at
    }
}

#[cfg(test)]
mod tests {
    use super::super::Choices;
    use super::*;

    #[test]
    fn turns_go_round_whoever_else_can() {
        let mut choices = Choices::scheduled(1, Scheduler::RoundRobin);
        let mut next = |enabled: &[u8]| enabled[choices.schedule(enabled)];
        assert_eq!([(); 4].map(|()| next(&[2, 5, 8])), [2, 5, 8, 2]);
        // A task that was not enabled goes when its turn comes; one that goes alone has had its
        // turn.
        assert_eq!(
            [next(&[1, 2, 3, 8]), next(&[1]), next(&[0, 1, 4]), next(&[4, 7])],
            [3, 1, 4, 7]
        );
        assert_eq!(next(&[0, 7]), 0);
        // Wait queues of flows do not change whose turn it is among tasks.
        assert_eq!(choices.next_flow(3, |at| at as u32), 0);
        assert_eq!(choices.schedule(&[0, 6]), 1);
    }

    #[test]
    fn no_task_waits_for_more_than_one_turn_of_all_others() {
        let mut choices = Choices::scheduled(1, Scheduler::RoundRobin);
        let mut random = super::super::Random::new(7);
        let mut waits = [0; 9];
        for _ in 0..10_000 {
            let enabled: Vec<u8> =
                (0..9).filter(|task| waits[*task as usize] > 0 || random.below(3) == 0).collect();
            let Some(went) = enabled.get(choices.schedule(&enabled)) else { continue };
            for task in &enabled {
                waits[*task as usize] += 1;
            }
            waits[*went as usize] = 0;
            assert!(waits.iter().all(|wait| *wait < 9), "{waits:?}");
        }
    }
}
