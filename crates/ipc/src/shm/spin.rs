// SPDX-License-Identifier: BSD-3-Clause
//! How long to look before sleeping: learnt, bounded, and never in the way of the peer.
//!
//! Two CPUs that both sleep cost 20 µs each way, so looking for a while is worth it if the answer
//! comes within it. But a peer that has last run on this CPU cannot answer while this side looks. So
//! each side shows the CPU on which it last began to wait. While the two differ, a side looks; while
//! they are the same, it gives way to the peer a few times (`sched_yield`), which costs half of what
//! sleeping and being woken does on one CPU.
//!
//! Both are learnt: they grow when they succeeded, or would have within the bound; they halve when
//! in vain, down to none. An idle connection therefore costs no CPU, and one that answers quickly
//! never sleeps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::segment::{OwnSegment, PeerSegment};
use super::validate::CPU;

/// Looks between two looks at the clock and at the CPUs.
const LOOKS: u32 = 64;
/// Times that a side gives way before it sleeps, at most.
const YIELDS_MAX: u32 = 8;
/// What a sleep that was too short gives back to who had stopped looking.
const GAIN: Duration = Duration::from_micros(4);
/// Looking for less is not worth its beginning.
const LEAST: Duration = Duration::from_micros(1);

/// How long a side looks before it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpinLimits {
    /// At most so long. Zero: neither look nor give way.
    pub spin_max: Duration,
}

impl Default for SpinLimits {
    /// 50 µs: what it costs to sleep and be woken, both ways.
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

    /// Shows on which CPU this side is, and says whether the peer was last on another one.
    pub(super) fn peer_is_elsewhere(&mut self) -> bool {
        let here = rustix::thread::sched_getcpu() as u64 + 1;
        if here != self.shown && self.own.memory.publish(CPU, here).is_ok() {
            self.shown = here;
        }
        self.peer_is_not_on(here)
    }

    #[inline]
    fn peer_is_not_on(&self, here: u64) -> bool {
        let there = self.peer.memory.load(CPU).unwrap_or(0);
        there != 0 && there != here
    }

    /// Looks until `found`, as long as it is worth it.
    #[inline]
    pub(super) fn look(&mut self, mut found: impl FnMut() -> bool) -> bool {
        // What this side showed last is good enough for the first looks, and costs nothing.
        let elsewhere = self.shown != 0 && self.peer_is_not_on(self.shown);
        if elsewhere && self.budget >= LEAST && look_some(&mut found) {
            self.won += 1;
            return true;
        }
        self.look_long(found)
    }

    #[cold]
    fn look_long(&mut self, mut found: impl FnMut() -> bool) -> bool {
        if !self.peer_is_elsewhere() {
            return self.give_way(found);
        }
        if self.budget < LEAST {
            return found();
        }
        let began = Instant::now();
        loop {
            if look_some(&mut found) {
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

    /// Lets the peer run on this CPU, if it can.
    fn give_way(&mut self, mut found: impl FnMut() -> bool) -> bool {
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

    /// This side slept so long, and there was something.
    pub(super) fn slept(&mut self, long: Duration) {
        if long < self.limits.spin_max {
            self.budget = (self.budget * 2 + GAIN).min(self.limits.spin_max);
            self.yields = (self.yields * 2 + 1).min(YIELDS_MAX);
        }
    }
}

#[inline]
fn look_some(found: &mut impl FnMut() -> bool) -> bool {
    for _ in 0..LOOKS {
        if found() {
            return true;
        }
        std::hint::spin_loop();
    }
    false
}
