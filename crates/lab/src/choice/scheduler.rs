// SPDX-License-Identifier: BSD-3-Clause
//! Who goes next.

/// How it is decided who goes next. What else a run asks is drawn from its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Scheduler {
    /// Each task in turn, and of flows that wait the one that has waited the longest.
    RoundRobin,
    /// Each as likely as the others.
    #[default]
    Random,
    /// Each has a priority, drawn at random, and at some points whoever goes falls behind all others:
    /// PCT, probabilistic concurrency testing. It finds what random choices hardly ever do: somebody
    /// who is overtaken for long.
    Pct {
        /// At how many points; as many as the order of a defect less one.
        changes: u32,
        /// In the first how many questions of who goes next; behind them, turns.
        steps: u32,
    },
}

impl Scheduler {
    /// Its name, in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::Pct { .. } => "pct",
        }
    }
}

/// Turns.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    /// Whose turn it is: the first from here on.
    from: u32,
}

impl RoundRobin {
    /// The place of the one whose turn it is, of so many, whose ids are ascending if they are tasks.
    pub(super) fn next(&mut self, count: u32, id: impl Fn(u32) -> u32) -> u32 {
        if count == 0 || id(0) >= super::FLOWS {
            // Flows stand in the order in which they came, and go behind the others when they went.
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
        // One that could not goes when its turn is, one that goes alone has had its turn.
        assert_eq!(
            [next(&[1, 2, 3, 8]), next(&[1]), next(&[0, 1, 4]), next(&[4, 7])],
            [3, 1, 4, 7]
        );
        assert_eq!(next(&[0, 7]), 0);
        // Lines do not touch it.
        assert_eq!(choices.next_flow(3, |at| at as u32), 0);
        assert_eq!(choices.schedule(&[0, 6]), 1);
    }

    #[test]
    fn nobody_waits_for_more_than_all_others_once() {
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
