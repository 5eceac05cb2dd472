// SPDX-License-Identifier: BSD-3-Clause
//! The workload of a row, the same for all participants: its name and its expected result.

use std::time::{Duration, Instant};

pub(crate) use crate::channels::channel::sum_below;
use crate::machine::switches;

/// How long a coroutine waits that is woken before that.
pub(crate) const FAR: Duration = Duration::from_secs(3600);
/// Values that go through a pair's channel in one operation.
pub(crate) const BURST: u64 = 16;
/// Senders, and receivers, of one channel.
pub(crate) const MANY: u64 = 4;
/// How many sleepers may wake too late in all, because another process had the CPU.
pub(crate) const LATE_MAX: u64 = 8;
/// No block is near this long.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// The work of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Spawn one, join it; n times.
    SpawnJoin,
    /// Spawn so many, join them all; n times.
    Batch(u64),
    /// So many, and the one that measures, yield n times each.
    Yield(u64),
    /// One waits, another wakes it and yields; n times. So many others wait for a far time.
    Wake(u64),
    /// The same; the wait has a timeout that does not come.
    WakeTimed(u64),
    /// What the timeout costs: the time that the second of these takes more than the first.
    Timer,
    /// So many wait; each is woken, runs, and waits again; n rounds.
    WakeEach(u64),
    /// So many sleep, for times between these; n rounds. What counts is the CPU time from when all
    /// of them sleep until all have ended.
    Fire(u64),
    /// The same; what counts is the CPU time of it all: spawn, sleep, end, join.
    Sleep(u64),
    /// n values from one to another, by a channel without room.
    Rendezvous,
    /// So many pairs, each with a channel without room; n times [`BURST`] values through each.
    Pairs(u64),
    /// n values from each of four to four others by one channel with room for 1024.
    FourToFour,
}

impl Work {
    /// In how many equal parts an operation is counted.
    pub(crate) fn parts(self) -> u64 {
        match self {
            Self::SpawnJoin
            | Self::Wake(_)
            | Self::WakeTimed(_)
            | Self::Timer
            | Self::Rendezvous => 1,
            Self::Yield(count) => count + 1,
            Self::Batch(count) | Self::WakeEach(count) | Self::Fire(count) | Self::Sleep(count) => {
                count
            }
            Self::Pairs(count) => count * BURST,
            Self::FourToFour => MANY,
        }
    }

    /// What the sum of it all must be after n operations.
    pub(crate) fn expected(self, n: u64) -> u64 {
        match self {
            Self::SpawnJoin | Self::Rendezvous => sum_below(n),
            Self::Batch(count) => n.wrapping_mul(sum_below(count)),
            Self::Yield(count) | Self::WakeEach(count) => n * count,
            Self::Wake(_) | Self::WakeTimed(_) | Self::Timer => n,
            Self::Fire(count) | Self::Sleep(count) => n * count,
            Self::Pairs(count) => sum_below(n * BURST).wrapping_mul(count),
            Self::FourToFour => sum_below(MANY * n),
        }
    }

    /// What it is called in errors, and between processes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SpawnJoin => "spawn-join",
            Self::Batch(_) => "batch",
            Self::Yield(_) => "yield",
            Self::Wake(_) => "wake",
            Self::WakeTimed(_) => "wake-timed",
            Self::Timer => "timer",
            Self::WakeEach(_) => "wake-each",
            Self::Fire(_) => "fire",
            Self::Sleep(_) => "sleep",
            Self::Rendezvous => "rendezvous",
            Self::Pairs(_) => "pairs",
            Self::FourToFour => "four-to-four",
        }
    }

    /// How many coroutines it is about, or 0.
    pub(crate) fn count(self) -> u64 {
        match self {
            Self::SpawnJoin | Self::Timer | Self::Rendezvous | Self::FourToFour => 0,
            Self::Batch(count)
            | Self::Yield(count)
            | Self::Wake(count)
            | Self::WakeTimed(count)
            | Self::WakeEach(count)
            | Self::Fire(count)
            | Self::Sleep(count)
            | Self::Pairs(count) => count,
        }
    }

    /// The work of this name.
    pub(crate) fn named(name: &str, count: u64) -> Option<Self> {
        let all = [
            Self::SpawnJoin,
            Self::Batch(count),
            Self::Yield(count),
            Self::Wake(count),
            Self::WakeTimed(count),
            Self::Timer,
            Self::WakeEach(count),
            Self::Fire(count),
            Self::Sleep(count),
            Self::Rendezvous,
            Self::Pairs(count),
            Self::FourToFour,
        ];
        all.into_iter().find(|work| work.name() == name)
    }
}

/// How long the sleeper of this number sleeps: a second, in which all of them can be spawned, and
/// up to a tenth of one more, in no order.
pub(crate) fn sleep_time(number: u64) -> Duration {
    let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    Duration::from_micros(1_000_000 + ((scattered * 100_000) >> 32))
}

/// What a block came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    /// How long it took.
    pub(crate) taken: Duration,
    /// Whether the kernel gave the worker's CPU to another process.
    pub(crate) disturbed: bool,
    /// The sum of what came out.
    pub(crate) sum: u64,
}

impl Answer {
    /// What this one took more than another.
    pub(crate) fn less(self, other: Self) -> Self {
        let taken = self.taken.saturating_sub(other.taken);
        Self { taken, disturbed: self.disturbed || other.disturbed, sum: self.sum }
    }
}

/// Takes the time of a block, on the worker that begins it.
pub(crate) struct Watch {
    switches: Option<u64>,
    begin: Instant,
}

impl Watch {
    /// Begins.
    pub(crate) fn start() -> Self {
        Self { switches: switches(), begin: Instant::now() }
    }

    /// Ends.
    pub(crate) fn stop(&self, sum: u64) -> Answer {
        let taken = self.begin.elapsed();
        Answer { taken, disturbed: switches() != self.switches, sum }
    }
}

/// The CPU time of this process so far.
pub(crate) fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_work_is_found_by_its_name() {
        for work in [Work::SpawnJoin, Work::Batch(7), Work::Fire(7), Work::FourToFour] {
            assert_eq!(Work::named(work.name(), work.count()), Some(work));
        }
        assert_eq!(Work::named("nothing", 1), None);
    }

    #[test]
    fn sleepers_are_spread_over_a_tenth_of_a_second() {
        let (first, last) = (Duration::from_millis(1000), Duration::from_millis(1100));
        let times: Vec<_> = (0..1000).map(sleep_time).collect();
        assert!(times.iter().all(|time| (first..last).contains(time)));
        let early = times.iter().filter(|&&time| time < Duration::from_millis(1050)).count();
        assert!((400..600).contains(&early));
    }
}
