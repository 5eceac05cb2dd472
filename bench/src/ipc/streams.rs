// SPDX-License-Identifier: BSD-3-Clause
//! Many streams on one session: the cost of a message, and whether all streams get their share.

use std::time::Duration;

use super::columns::COLUMNS;
use super::contest::Pair;
use super::ours::{COLUMN, streams};
use super::place::Place;
use super::watchdog::Watchdog;
use super::way::Way;
use super::work::{Work, now_ns};
use crate::error::{BenchError, check};
use crate::harness::{Figures, Plan};
use crate::machine::{FIRST_CPU, cpus, pin, set};
use crate::report::{Goal, Row};

const BYTES: usize = 64;
/// Elements of each stream in a block, on average; of few streams, more.
const EACH: u64 = 100;
/// The same for the row of shares: so many that a window more or less, where the block is cut, does
/// not matter.
const EACH_SHARE: u64 = 400;
const LEAST: u64 = 100_000;
const REPETITIONS: usize = 9;
/// The row of shares.
const MANY: (u64, &str) = (10_000, "10 000");
const SHARE: f64 = 1.2;

const COUNTS: [(u64, &str); 5] = [
    (1, "1 stream"),
    (10, "10 streams"),
    (100, "100 streams"),
    (1_000, "1 000 streams"),
    (10_000, "10 000 streams"),
];

/// The curve.
pub(crate) fn curve(plan: Plan<'_>) -> Result<Vec<Row>, BenchError> {
    let mut rows = Vec::new();
    for (count, text) in COUNTS {
        let name = format!("{text} on one session, 64 B: ns per message");
        if plan.wants(&name) {
            let (times, _) = measured(plan, count, EACH)?;
            rows.push(Row::of(&COLUMNS, name, None, [(COLUMN, times)]));
        }
    }
    Ok(rows)
}

/// How much more the stream with the most gets than the one with the least.
pub(crate) fn shares(plan: Plan<'_>) -> Result<Vec<Row>, BenchError> {
    let name = format!("{} streams on one session: most ÷ least share", MANY.1);
    if !plan.wants(&name) {
        return Ok(Vec::new());
    }
    let (_, shares) = measured(plan, MANY.0, EACH_SHARE)?;
    let goal = Some(Goal::Figure(SHARE));
    Ok(vec![Row { digits: 3, ..Row::of(&COLUMNS, name, goal, [(COLUMN, shares)]) }])
}

fn measured(plan: Plan<'_>, count: u64, each: u64) -> Result<(Figures, Figures), BenchError> {
    let cpus = cpus()?;
    pin(FIRST_CPU)?;
    let work = Work::Streams(BYTES, count);
    let mut pair = Pair::<streams::Streams>::start(Place::Apart, work)?;
    let n = (count * each).max(LEAST);
    let (mut times, mut shares) = (Vec::new(), Vec::new());
    // The first is not counted: it begins with empty windows.
    for _ in 0..=if plan.is_quick { 2 } else { REPETITIONS } {
        let (taken, counts) = block(&mut pair, n)?;
        times.push(taken.as_nanos() as f64 / n as f64);
        let (most, least) = (counts.iter().max(), counts.iter().min());
        let (most, least) = (most.copied().unwrap_or(0), least.copied().unwrap_or(0));
        shares.push(most as f64 / least as f64);
    }
    set(&cpus)?;
    times.remove(0);
    shares.remove(0);
    Ok((Figures::new(times), Figures::new(shares)))
}

fn block(pair: &mut Pair<streams::Streams>, n: u64) -> Result<(Duration, Vec<u64>), BenchError> {
    let _watchdog = Watchdog::set(COLUMN, "elements of many streams");
    pair.meet(1)?;
    let begin = now_ns();
    let counts = pair.way.count(n)?;
    let taken = Duration::from_nanos(now_ns() - begin);
    pair.way.put(0)?;
    check(COLUMN, "the end of a block", 0, pair.way.take()?)?;
    pair.child.served()?;
    check(COLUMN, "elements that came", n, counts.iter().sum())?;
    Ok((taken, counts))
}
