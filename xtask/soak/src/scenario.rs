// SPDX-License-Identifier: BSD-3-Clause
//! The table of scenarios: which share of the messages, selects and races each of them gets.

use crate::arguments::Amounts;
use crate::check::Report;
use crate::flow::{Flow, Shape, Style};
use crate::race::Race;
use crate::select::Faces;
use crate::spsc::Spsc;

pub(crate) struct Scenario {
    pub(crate) group: &'static str,
    pub(crate) name: String,
    /// Of a thousand of its group's amount.
    share: u64,
    pub(crate) batched: bool,
    pub(crate) work: Work,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    Flow(Flow),
    Spsc(Spsc),
    Select(Faces),
    Race(Race),
}

impl Work {
    pub(crate) fn run(self, amount: u64) -> Report {
        match self {
            Self::Flow(flow) => flow.run(amount),
            Self::Spsc(spsc) => spsc.run(amount),
            Self::Select(faces) => faces.run(amount),
            Self::Race(race) => race.run(amount),
        }
    }
}

impl Scenario {
    pub(crate) fn amount(&self, amounts: &Amounts) -> u64 {
        let all = match self.work {
            Work::Flow(_) | Work::Spsc(_) => amounts.messages,
            Work::Select(_) => amounts.selects,
            Work::Race(_) => amounts.races,
        };
        (all / 1000 * self.share).max(1000)
    }
}

/// Shares, what a channel is, senders and receivers, what drives them, how many at a time.
const FLOWS: &[(u64, Shape, u64, u64, Style, usize)] = &[
    (120, Shape::Bounded(1024), 1, 1, Style::Threads, 64),
    (200, Shape::Bounded(1000), 4, 4, Style::Threads, 100),
    (100, Shape::Unlimited, 2, 2, Style::Threads, 64),
    (50, Shape::Bounded(256), 4, 4, Style::Tasks, 32),
    (50, Shape::Unlimited, 4, 4, Style::Mixed, 32),
    (60, Shape::Bounded(1024), 1, 1, Style::Threads, 1),
    (110, Shape::Bounded(1000), 4, 4, Style::Threads, 1),
    (60, Shape::Unlimited, 2, 2, Style::Threads, 1),
    (50, Shape::Bounded(100), 8, 8, Style::Tasks, 1),
    (10, Shape::Bounded(64), 4, 4, Style::Mixed, 1),
    (25, Shape::Unlimited, 8, 1, Style::Tasks, 1),
    (6, Shape::Conflated, 2, 2, Style::Threads, 1),
    (2, Shape::Conflated, 4, 4, Style::Mixed, 1),
    (4, Shape::DropOldest(16), 2, 2, Style::Threads, 1),
    (2, Shape::DropLatest(16), 2, 2, Style::Mixed, 1),
    (2, Shape::Bounded(1), 2, 2, Style::Threads, 1),
    (1, Shape::Bounded(1), 4, 4, Style::Mixed, 1),
    (2, Shape::Rendezvous, 1, 1, Style::Threads, 1),
    (1, Shape::Rendezvous, 4, 4, Style::Threads, 1),
    (4, Shape::Rendezvous, 4, 4, Style::Tasks, 1),
    (1, Shape::Rendezvous, 4, 4, Style::Mixed, 1),
];

const SPSC: &[(u64, Spsc)] = &[
    (80, Spsc { capacity: 1024, style: Style::Threads, batch: 64 }),
    (40, Spsc { capacity: 4096, style: Style::Threads, batch: 1 }),
    (15, Spsc { capacity: 100, style: Style::Tasks, batch: 1 }),
    (4, Spsc { capacity: 64, style: Style::Mixed, batch: 1 }),
    (1, Spsc { capacity: 1, style: Style::Threads, batch: 1 }),
];

const SELECTS: &[(u64, Faces)] = &[
    (200, Faces { parties: 2, style: Style::Threads, kinds: false, kept: false }),
    (150, Faces { parties: 4, style: Style::Threads, kinds: false, kept: false }),
    (150, Faces { parties: 4, style: Style::Tasks, kinds: false, kept: false }),
    (100, Faces { parties: 4, style: Style::Mixed, kinds: false, kept: false }),
    (100, Faces { parties: 4, style: Style::Threads, kinds: true, kept: false }),
    (100, Faces { parties: 4, style: Style::Mixed, kinds: true, kept: false }),
    (100, Faces { parties: 2, style: Style::Threads, kinds: false, kept: true }),
    (100, Faces { parties: 4, style: Style::Mixed, kinds: true, kept: true }),
];

const RACES: &[(u64, Race)] = &[
    (150, Race { shape: Shape::Rendezvous, style: Style::Threads, receivers: 1 }),
    (150, Race { shape: Shape::Bounded(1), style: Style::Threads, receivers: 2 }),
    (100, Race { shape: Shape::Unlimited, style: Style::Threads, receivers: 2 }),
    (200, Race { shape: Shape::Rendezvous, style: Style::Tasks, receivers: 1 }),
    (100, Race { shape: Shape::Bounded(1), style: Style::Tasks, receivers: 1 }),
    (100, Race { shape: Shape::Bounded(3), style: Style::Tasks, receivers: 3 }),
    (100, Race { shape: Shape::Conflated, style: Style::Mixed, receivers: 2 }),
    (100, Race { shape: Shape::Rendezvous, style: Style::Mixed, receivers: 3 }),
];

pub(crate) fn all() -> Vec<Scenario> {
    let flows = FLOWS.iter().map(|&(share, shape, senders, receivers, style, batch)| {
        let flow = Flow { shape, senders, receivers, style, batch };
        let how = if batch > 1 { format!("batches of {batch}") } else { "one by one".into() };
        Scenario {
            group: "flow",
            name: format!("{shape}, {style}, {senders} to {receivers}, {how}"),
            share,
            batched: batch > 1,
            work: Work::Flow(flow),
        }
    });
    let spsc = SPSC.iter().map(|&(share, spsc)| Scenario {
        group: "flow",
        name: spsc.to_string(),
        share,
        batched: spsc.batch > 1,
        work: Work::Spsc(spsc),
    });
    let selects = SELECTS.iter().map(|&(share, faces)| Scenario {
        group: "select",
        name: faces.to_string(),
        share,
        batched: false,
        work: Work::Select(faces),
    });
    let races = RACES.iter().map(|&(share, race)| Scenario {
        group: "race",
        name: race.to_string(),
        share,
        batched: false,
        work: Work::Race(race),
    });
    flows.chain(spsc).chain(selects).chain(races).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_a_group_are_a_thousand() {
        for group in ["flow", "select", "race"] {
            let of = all().into_iter().filter(|scenario| scenario.group == group);
            assert_eq!(of.map(|scenario| scenario.share).sum::<u64>(), 1000, "{group}");
        }
    }

    #[test]
    fn every_scenario_holds_for_a_few() {
        for scenario in all() {
            let report = scenario.work.run(2000);
            assert!(report.holds(), "{}: {:?}", scenario.name, report.broken());
        }
    }
}
