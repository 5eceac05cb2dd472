// SPDX-License-Identifier: BSD-3-Clause
//! The rows of the group `coroutines_scaling`: the same work with one, ten, … coroutines.

use super::peer::Case;
use super::rows::{case, everybody, with_channels, with_timers};
use super::work::Work;
use crate::harness::Pace;

/// All rows.
pub(crate) fn rows() -> Vec<Case> {
    let mut rows = Vec::new();
    for (count, text) in COUNTS {
        let name = format!("spawn {text}, join them");
        rows.push(case(name, None, Pace::Long, Work::Batch(count), 1, everybody));
    }
    for (count, text) in COUNTS {
        let name = format!("{text} yield in turns");
        rows.push(case(name, None, Pace::Long, Work::Yield(count), 1, everybody));
    }
    for (count, text) in COUNTS {
        let name = format!("{text} wait, each is woken and waits again");
        rows.push(case(name, None, Pace::Long, Work::WakeEach(count), 1, everybody));
    }
    for (count, text) in COUNTS {
        let name = format!("{text} wait with a timeout, one more does and is woken");
        rows.push(case(name, None, Pace::Long, Work::WakeTimed(count), 1, with_timers));
    }
    // A hundred thousand pairs are the most that is asked for.
    for (count, text) in COUNTS.into_iter().filter(|(count, _)| *count <= 100_000) {
        let name = format!("rendezvous, pairs: {text}");
        rows.push(case(name, None, Pace::Long, Work::Pairs(count), 1, with_channels));
    }
    rows
}

const COUNTS: [(u64, &str); 7] = [
    (1, "1"),
    (10, "10"),
    (100, "100"),
    (1_000, "1 000"),
    (10_000, "10 000"),
    (100_000, "100 000"),
    (1_000_000, "1 000 000"),
];
