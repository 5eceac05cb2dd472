// SPDX-License-Identifier: BSD-3-Clause
//! The workload of the two processes in a row, and its expected result.
//!
//! ```text
//!   round trip   ─ 0 ─▶ ◀─ 0 ─ ─ 1 ─▶ ◀─ 1 ─ …     one at a time
//!   window       ─ 0 ─ 1 ─ … ─ 63 ─▶               so many under way; each answer makes room
//!                ◀─ 0 ─ 1 ─ … ─
//!   one way      ─ 0 ─ 1 ─ 2 ─ … ─▶                no answers; the other one counts
//!   asleep       a round trip of which each half is timed by itself, since before each the
//!                sender makes sure that the receiver sleeps
//! ```

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::asleep::Threads;
use super::shared::Shared;
use super::way::Way;
use crate::error::{BenchError, check};

/// A row's work; how many bytes a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// One message there and back.
    RoundTrip(usize),
    /// So many messages under way.
    Window(usize, u64),
    /// Messages in one direction.
    OneWay(usize),
    /// A round trip between two that sleep.
    Asleep(usize),
    /// Messages on so many streams of one session.
    Streams(usize, u64),
    /// The other process waits until it is killed.
    Death,
}

/// Nanoseconds of a clock that both processes read.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// What the answering process has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Served {
    /// Of the numbers.
    pub(crate) sum: u64,
    /// When the last one was there.
    pub(crate) end_ns: u64,
}

impl Work {
    /// Bytes of a message.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::RoundTrip(bytes)
            | Self::Window(bytes, _)
            | Self::Streams(bytes, _)
            | Self::OneWay(bytes)
            | Self::Asleep(bytes) => bytes,
            Self::Death => 64,
        }
    }

    /// How many messages may be under way, or on how many streams.
    pub(crate) fn depth(self) -> usize {
        match self {
            Self::RoundTrip(_) | Self::Asleep(_) | Self::Death => 2,
            Self::Window(_, depth) | Self::Streams(_, depth) => depth as usize,
            // Not more memory than a cache holds, where the messages are large.
            Self::OneWay(bytes) => ((4 << 20) / bytes.max(1)).clamp(4, 64),
        }
    }

    /// As an argument.
    pub(crate) fn line(self) -> String {
        let (name, depth) = match self {
            Self::RoundTrip(_) => ("round-trip", 0),
            Self::Window(_, depth) => ("window", depth),
            Self::OneWay(_) => ("one-way", 0),
            Self::Asleep(_) => ("asleep", 0),
            Self::Streams(_, count) => ("streams", count),
            Self::Death => ("death", 0),
        };
        format!("{name}:{}:{depth}", self.bytes())
    }

    /// From an argument.
    pub(crate) fn named(line: &str) -> Option<Self> {
        let mut words = line.split(':');
        let (name, bytes, depth) = (words.next()?, words.next()?, words.next()?);
        let (bytes, depth) = (bytes.parse().ok()?, depth.parse().ok()?);
        Some(match name {
            "round-trip" => Self::RoundTrip(bytes),
            "window" => Self::Window(bytes, depth),
            "one-way" => Self::OneWay(bytes),
            "asleep" => Self::Asleep(bytes),
            "streams" => Self::Streams(bytes, depth),
            "death" => Self::Death,
            _ => return None,
        })
    }

    /// The asking process's part; how long it took, or when it began: see [`Asked`].
    pub(crate) fn ask(
        self,
        peer: &'static str,
        way: &mut impl Way,
        other: &Other,
        n: u64,
    ) -> Result<Asked, BenchError> {
        match self {
            Self::RoundTrip(_) => round_trips(peer, way, n),
            Self::Window(_, depth) => window(peer, way, depth, n),
            Self::OneWay(_) => {
                let begin_ns = now_ns();
                (0..n).try_for_each(|number| way.put(number))?;
                way.flush()?;
                Ok(Asked::Since(begin_ns))
            }
            Self::Asleep(_) => asleep(peer, way, other, n),
            Self::Streams(..) | Self::Death => Err(BenchError::Worker),
        }
    }

    /// The answering process's part.
    pub(crate) fn serve(
        self,
        way: &mut impl Way,
        other: &Other,
        n: u64,
    ) -> Result<Served, BenchError> {
        let mut sum = 0_u64;
        for _ in 0..n {
            let number = way.take()?;
            sum = sum.wrapping_add(number);
            match self {
                Self::OneWay(_) => {}
                Self::Asleep(_) => {
                    other.arrived()?;
                    other.threads.wait_until_asleep()?;
                    other.leaves()?;
                    way.put(number)?;
                    way.flush()?;
                }
                _ => way.put(number)?,
            }
        }
        let end_ns = now_ns();
        way.flush()?;
        Ok(Served { sum, end_ns })
    }
}

/// What the asking process found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked {
    /// It was all over after this time.
    Took(Duration),
    /// It began then, and ends when the other process says.
    Since(u64),
}

fn round_trips(peer: &'static str, way: &mut impl Way, n: u64) -> Result<Asked, BenchError> {
    let begin = now_ns();
    for number in 0..n {
        way.put(number)?;
        check(peer, "an answer", number, way.take()?)?;
    }
    Ok(Asked::Took(Duration::from_nanos(now_ns() - begin)))
}

fn window(peer: &'static str, way: &mut impl Way, depth: u64, n: u64) -> Result<Asked, BenchError> {
    let begin = now_ns();
    let (mut sent, mut answered) = (0, 0);
    while answered < n {
        while sent < n && sent - answered < depth {
            way.put(sent)?;
            sent += 1;
        }
        check(peer, "an answer", answered, way.take()?)?;
        answered += 1;
        while answered < sent
            && let Some(number) = way.take_now()?
        {
            check(peer, "an answer", answered, number)?;
            answered += 1;
        }
    }
    Ok(Asked::Took(Duration::from_nanos(now_ns() - begin)))
}

fn asleep(
    peer: &'static str,
    way: &mut impl Way,
    other: &Other,
    n: u64,
) -> Result<Asked, BenchError> {
    for number in 0..n {
        other.threads.wait_until_asleep()?;
        other.leaves()?;
        way.put(number)?;
        check(peer, "an answer", number, way.take()?)?;
        other.arrived()?;
    }
    Ok(Asked::Took(Duration::from_nanos(other.under_way()?)))
}

/// The process at the other end, and when messages left and arrived.
#[derive(Debug)]
pub(crate) struct Other {
    threads: Threads,
    times: Shared,
}

/// When the last message left.
const LEFT: usize = 0;
/// How long messages were under way, all together.
const UNDER_WAY: usize = 8;

impl Other {
    /// Bytes of its memory.
    pub(crate) const BYTES: usize = 4096;

    /// This process, and memory that it shares with this one.
    pub(crate) fn new(process: u32, times: Shared) -> Result<Self, BenchError> {
        Ok(Self { threads: Threads::of(process)?, times })
    }

    /// Looks again which threads there are, and forgets what was measured.
    pub(crate) fn begin(&mut self, process: u32) -> Result<(), BenchError> {
        self.threads = Threads::of(process)?;
        self.times.word(UNDER_WAY)?.store(0, Relaxed);
        Ok(())
    }

    fn leaves(&self) -> Result<(), BenchError> {
        self.times.word(LEFT)?.store(now_ns(), Relaxed);
        Ok(())
    }

    // The way itself orders the two: a receiver sees stores made before the send.
    fn arrived(&self) -> Result<(), BenchError> {
        let taken = now_ns().saturating_sub(self.times.word(LEFT)?.load(Relaxed));
        self.times.word(UNDER_WAY)?.fetch_add(taken, Relaxed);
        Ok(())
    }

    fn under_way(&self) -> Result<u64, BenchError> {
        Ok(self.times.word(UNDER_WAY)?.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_work_is_the_same_after_it_was_an_argument() {
        for work in [
            Work::RoundTrip(64),
            Work::Window(64, 64),
            Work::OneWay(1 << 20),
            Work::Asleep(64),
            Work::Streams(64, 10),
        ] {
            assert_eq!(Work::named(&work.line()), Some(work));
        }
        assert_eq!(Work::named("sleep:1:2"), None);
    }
}
