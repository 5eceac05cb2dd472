// SPDX-License-Identifier: BSD-3-Clause
//! How long to spin before sleeping: adaptive, bounded, and never at the expense of the peer.
//!
//! If both sides sleep, on different CPUs, each direction costs 20 µs, so spinning is worthwhile if
//! the answer arrives within that time. But a peer that last ran on this CPU cannot answer while
//! this side spins. So each side publishes the CPU on which it last began to wait, in whichever way. While the two
//! differ, a side spins; while they are the same, it yields to the peer a few times
//! (`sched_yield`), which costs half of a sleep and a wake on one CPU.
//!
//! Both budgets are adaptive: they grow when they succeeded, or would have within the bound; they
//! halve when they failed, down to zero. An idle connection therefore costs no CPU, and one that
//! answers quickly never sleeps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::segment::{OwnSegment, PeerSegment};
use super::validate::CPU;

/// Polls between two reads of the clock and of the CPUs.
const POLLS: u32 = 64;
/// The maximum number of yields before a sleep.
const YIELDS_MAX: u32 = 8;
/// What a short sleep adds to the budget of a side that had stopped spinning.
const GAIN: Duration = Duration::from_micros(4);
/// A smaller budget is not worth starting.
const LEAST: Duration = Duration::from_micros(1);

/// How long a side spins before it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpinLimits {
    /// The maximum. Zero: neither spin nor yield.
    pub spin_max: Duration,
}

impl Default for SpinLimits {
    /// 50 µs: the cost of a sleep and a wake, in both directions.
    fn default() -> Self {
        Self { spin_max: Duration::from_micros(50) }
    }
}

#[derive(Debug)]
pub(super) struct Spin {
    own: Arc<OwnSegment>,
    peer: Arc<PeerSegment>,
    limits: SpinLimits,
    budget: Duration,
    yields: u32,
    shown: u64,
    pub(super) won: u64,
    pub(super) lost: u64,
}

impl Spin {
    pub(super) fn new(own: Arc<OwnSegment>, peer: Arc<PeerSegment>, limits: SpinLimits) -> Self {
        Self {
            own,
            peer,
            limits,
            budget: limits.spin_max,
            yields: YIELDS_MAX,
            shown: 0,
            won: 0,
            lost: 0,
        }
    }

    /// Publishes the CPU of this side, and returns whether the peer was last on another one.
    pub(super) fn peer_is_elsewhere(&mut self) -> bool {
        let here = self.publish_cpu();
        self.peer_is_not_on(here)
    }

    /// Publishes the CPU of this side, and returns its number plus one, or 0 if it is unknown.
    #[allow(
        unsafe_code,
        reason = "rustix's makes a system call in a program that is linked statically"
    )]
    pub(super) fn publish_cpu(&mut self) -> u64 {
        // SAFETY: it reads a number.
        let here = u64::try_from(unsafe { libc::sched_getcpu() } + 1).unwrap_or(0);
        if here != self.shown && self.own.memory.publish(CPU, here).is_ok() {
            self.shown = here;
        }
        here
    }

    #[inline]
    fn peer_is_not_on(&self, here: u64) -> bool {
        let there = self.peer.memory.load(CPU).unwrap_or(0);
        there != 0 && there != here
    }

    /// Spins until `found`, for as long as it is worthwhile.
    #[inline]
    pub(super) fn spin(&mut self, mut found: impl FnMut() -> bool) -> bool {
        // The CPU published last is accurate enough for the first polls, and costs nothing.
        let elsewhere = self.shown != 0 && self.peer_is_not_on(self.shown);
        if elsewhere && self.budget >= LEAST && poll_some(&mut found) {
            self.won += 1;
            return true;
        }
        self.spin_slow(found)
    }

    #[cold]
    fn spin_slow(&mut self, mut found: impl FnMut() -> bool) -> bool {
        if !self.peer_is_elsewhere() {
            return self.yield_to_peer(found);
        }
        if self.budget < LEAST {
            return found();
        }
        let began = Instant::now();
        loop {
            if poll_some(&mut found) {
                self.won += 1;
                self.budget = (self.budget + self.budget / 8).min(self.limits.spin_max);
                return true;
            }
            if began.elapsed() >= self.budget || !self.peer_is_elsewhere() {
                self.lost += 1;
                self.budget /= 2;
                return found();
            }
        }
    }

    /// Yields to the peer, if it can run on this CPU.
    fn yield_to_peer(&mut self, mut found: impl FnMut() -> bool) -> bool {
        for _ in 0..self.yields {
            if found() {
                self.won += 1;
                return true;
            }
            rustix::thread::sched_yield();
        }
        if self.yields > 0 {
            self.lost += 1;
            self.yields /= 2;
        }
        found()
    }

    /// Reports the duration of a sleep that ended with news.
    pub(super) fn slept(&mut self, long: Duration) {
        if long < self.limits.spin_max {
            self.budget = (self.budget * 2 + GAIN).min(self.limits.spin_max);
            self.yields = (self.yields * 2 + 1).min(YIELDS_MAX);
        }
    }
}

#[inline]
fn poll_some(found: &mut impl FnMut() -> bool) -> bool {
    for _ in 0..POLLS {
        if found() {
            return true;
        }
        std::hint::spin_loop();
    }
    false
}
