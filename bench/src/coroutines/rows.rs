// SPDX-License-Identifier: BSD-3-Clause
//! The rows of the group `coroutines`, with their goals and participants.

use super::child;
use super::peer::Case;
use super::peers::{becket, executor, go, tokio};
use super::raw;
use super::work::Work;
use crate::error::BenchError;
use crate::harness::{Contestant, Pace};

/// How many sleep at once.
const SLEEPERS: u64 = 100_000;
/// may's stacks take two mappings each, and the kernel gives a process 65 530 of them.
const MAY_MAX: u64 = 10_000;

/// Makes the sides of a row.
pub(crate) type Sides = fn(Work, usize) -> Result<Vec<Contestant>, BenchError>;

/// All rows.
pub(crate) fn rows() -> Vec<Case> {
    let one = |name, goal, work| case(name, goal, Pace::Threads, work, 1, everybody);
    let two = |name, goal, work| case(name, goal, Pace::Threads, work, 2, everybody);
    let timed = |name, goal, work| case(name, goal, Pace::Threads, work, 1, with_timers);
    let long = |name, goal, work| case(name, goal, Pace::Long, work, 1, with_timers);
    vec![
        raw("by hand: resume and suspend, two switches", None, raw::switch),
        raw("by hand: create, run and drop, pooled stack", Some(60.0), raw::make),
        one("spawn and join, one by one, one worker", Some(90.0), Work::SpawnJoin),
        one("spawn 1 000, join them, one worker", None, Work::Batch(1000)),
        two("spawn 1 000, join them, two workers", Some(200.0), Work::Batch(1000)),
        one("yield between two, one worker", Some(20.0), Work::Yield(1)),
        one("wait, woken by another, one worker", None, Work::Wake(0)),
        timed("the same with a timeout, which does not come", None, Work::WakeTimed(0)),
        timed("the timeout alone: set and cancel a timer", Some(60.0), Work::Timer),
        long("100 000 sleep, CPU per timer fired", Some(500.0), Work::Fire(SLEEPERS)),
        long("100 000 sleep, CPU from spawn to join, each", None, Work::Sleep(SLEEPERS)),
        channels("rendezvous, two coroutines, one worker", Some(22.0), Work::Rendezvous, 1),
        channels("rendezvous, two coroutines, two workers", Some(80.0), Work::Rendezvous, 2),
        channels("4 to 4, bounded(1024), two workers", Some(25.0), Work::FourToFour, 2),
    ]
}

/// Peers that can spawn and wait.
pub(crate) fn everybody(work: Work, workers: usize) -> Result<Vec<Contestant>, BenchError> {
    let mut sides = with_timers(work, workers)?;
    sides.push(executor::side(work, workers)?);
    Ok(sides)
}

/// Peers with timers.
pub(crate) fn with_timers(work: Work, workers: usize) -> Result<Vec<Contestant>, BenchError> {
    let mut sides = with_channels(work, workers)?;
    sides.push(tokio::side(work, workers)?);
    Ok(sides)
}

/// Peers with their own channels.
pub(crate) fn with_channels(work: Work, workers: usize) -> Result<Vec<Contestant>, BenchError> {
    let mut sides = vec![becket::side(work, workers)?, child::side(go::NAME, work, workers)?];
    if work.count() <= MAY_MAX {
        sides.push(child::side("may", work, workers)?);
    }
    Ok(sides)
}

fn channels(name: &'static str, goal: Option<f64>, work: Work, workers: usize) -> Case {
    case(name, goal, Pace::Threads, work, workers, with_channels)
}

fn raw(
    name: &'static str,
    goal: Option<f64>,
    sides: fn() -> Result<Vec<Contestant>, BenchError>,
) -> Case {
    let (name, workers) = (name.to_owned(), 1);
    Case { name, goal, pace: Pace::Alone, parts: 1, workers, sides: Box::new(sides) }
}

/// A row of a work.
pub(crate) fn case(
    name: impl Into<String>,
    goal: Option<f64>,
    pace: Pace,
    work: Work,
    workers: usize,
    sides: Sides,
) -> Case {
    let (name, parts) = (name.into(), work.parts());
    Case { name, goal, pace, parts, workers, sides: Box::new(move || sides(work, workers)) }
}
