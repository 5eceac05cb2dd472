// SPDX-License-Identifier: BSD-3-Clause
//! What a channel counts beside what `becket_chan` knows: failures by cause, descriptors and their
//! bytes, and when the first and the last operation happened.
//!
//! Values accepted and received are not counted here: the channel's own positions say how many.
//!
//! # Times
//!
//! Reading the clock costs several times what an operation costs. So an operation reads the coarse
//! clock, which the kernel moves at each of its ticks, and the exact one only when that has moved,
//! for the first 64 operations of a shard, and for each 64th: the time of the last operation is
//! never later than the truth, and earlier by less than a tick (some milliseconds) and less than 64
//! operations of a thread. Whatever comes after a pause of a tick, and the first one, are exact.
//!
//! A thread has one of four shards, so that threads do not write to one cache line.

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use libc::c_int;

use crate::clock;
use crate::errno;

const SHARDS: usize = 4;
/// Operations between two exact times.
const SAMPLE: u32 = 64;

#[derive(Default)]
pub(crate) struct Tally {
    shards: [Shard; SHARDS],
    first_ns: AtomicI64,
    pub(crate) send: Failures,
    pub(crate) recv: Failures,
    pub(crate) zref: Zref,
    /// What an out-of-tree backend moved past the channel.
    pub(crate) apart: Apart,
}

#[derive(Default)]
#[repr(align(64))]
struct Shard {
    /// A hint: several threads of one shard may lose some.
    operations: AtomicU32,
    tick_ns: AtomicI64,
    last_ns: AtomicI64,
    descriptors_sent: AtomicU64,
    descriptor_bytes_sent: AtomicU64,
    descriptors_received: AtomicU64,
    descriptor_bytes_received: AtomicU64,
}

/// Failed operations of one side.
#[derive(Default)]
pub(crate) struct Failures {
    pub(crate) would_block: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) closed: AtomicU64,
    pub(crate) cancelled: AtomicU64,
}

impl Failures {
    /// Counts a failure, and hands it on.
    #[cold]
    pub(crate) fn count(&self, code: c_int) -> c_int {
        self.note(code);
        code
    }

    /// Counts a failure.
    #[cold]
    pub(crate) fn note(&self, code: c_int) {
        let counter = match code {
            errno::EAGAIN => &self.would_block,
            errno::ETIME => &self.timed_out,
            errno::EPIPE => &self.closed,
            errno::ECANCELED => &self.cancelled,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// `struct kc_chan_zstats`, as counters.
#[derive(Default)]
pub(crate) struct Zref {
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) fallback_small: AtomicU64,
    pub(crate) fallback_capacity: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) aborted_close: AtomicU64,
}

#[derive(Default)]
pub(crate) struct Apart {
    pub(crate) sends: AtomicU64,
    pub(crate) receives: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
}

/// The descriptors that went through a channel.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Descriptors {
    pub(crate) sent: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) received: u64,
    pub(crate) bytes_received: u64,
}

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

impl Tally {
    #[inline]
    fn shard(&self) -> &Shard {
        let mut index = SHARD.try_with(Cell::get).unwrap_or(0);
        if index == usize::MAX {
            index = next_shard();
        }
        let [first, ..] = &self.shards;
        self.shards.get(index % SHARDS).unwrap_or(first)
    }

    /// An operation happened.
    #[inline]
    pub(crate) fn happened(&self) {
        self.happened_on(self.shard());
    }

    #[inline]
    fn happened_on(&self, shard: &Shard) {
        let operations = shard.operations.load(Ordering::Relaxed);
        shard.operations.store(operations.wrapping_add(1), Ordering::Relaxed);
        let tick = clock::coarse_ns();
        if operations <= SAMPLE
            || operations.is_multiple_of(SAMPLE)
            || tick != shard.tick_ns.load(Ordering::Relaxed)
        {
            self.read_clock(shard, tick);
        }
    }

    #[cold]
    fn read_clock(&self, shard: &Shard, tick: i64) {
        let now = clock::now_ns();
        shard.tick_ns.store(tick, Ordering::Relaxed);
        shard.last_ns.fetch_max(now, Ordering::Relaxed);
        if self.first_ns.load(Ordering::Relaxed) == 0 {
            let _earlier =
                self.first_ns.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// A descriptor was accepted.
    #[inline]
    pub(crate) fn descriptor_sent(&self, len: usize) {
        let shard = self.shard();
        shard.descriptors_sent.fetch_add(1, Ordering::Relaxed);
        shard.descriptor_bytes_sent.fetch_add(len as u64, Ordering::Relaxed);
        self.happened_on(shard);
    }

    /// A descriptor was received.
    #[inline]
    pub(crate) fn descriptor_received(&self, len: usize) {
        let shard = self.shard();
        shard.descriptors_received.fetch_add(1, Ordering::Relaxed);
        shard.descriptor_bytes_received.fetch_add(len as u64, Ordering::Relaxed);
        self.happened_on(shard);
    }

    pub(crate) fn descriptors(&self) -> Descriptors {
        let mut sum = Descriptors::default();
        for shard in &self.shards {
            sum.sent += shard.descriptors_sent.load(Ordering::Relaxed);
            sum.bytes_sent += shard.descriptor_bytes_sent.load(Ordering::Relaxed);
            sum.received += shard.descriptors_received.load(Ordering::Relaxed);
            sum.bytes_received += shard.descriptor_bytes_received.load(Ordering::Relaxed);
        }
        sum
    }

    /// When the first and the last operation happened; zeros if none did.
    pub(crate) fn times_ns(&self) -> (i64, i64) {
        let first = self.first_ns.load(Ordering::Relaxed);
        let last = self.shards.iter().map(|shard| shard.last_ns.load(Ordering::Relaxed)).max();
        (first, last.unwrap_or(0).max(first))
    }
}

#[cold]
fn next_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let index = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    // A thread that is being torn down has none of its own.
    let _ = SHARD.try_with(|shard| shard.set(index));
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_the_clock_s_and_in_order() {
        let tally = Tally::default();
        assert_eq!(tally.times_ns(), (0, 0));
        let before = clock::now_ns();
        tally.happened();
        let after = clock::now_ns();
        let (first, last) = tally.times_ns();
        assert!(before <= first && first == last && last <= after);
        for _ in 0..1000 {
            tally.happened();
        }
        let (same, last) = tally.times_ns();
        assert!(same == first && after <= last && last <= clock::now_ns());
    }
}
