// SPDX-License-Identifier: BSD-3-Clause
//! Counters of a channel beside those of `becket_chan`: failures by cause, descriptors and their
//! bytes, and the times of the first and the last operation.
//!
//! Values accepted and received are not counted here: the channel's own positions give their
//! number.
//!
//! # Times
//!
//! Reading a clock costs more than an operation. A side whose operations are far apart reads it each
//! time. One that has had [`DENSE`] operations within [`DENSE_NS`] asks for ticks (`tick`), and reads
//! the clock once a tick: an operation has the time of the first one of its tick. The last time is
//! never later than the truth, and earlier by less than a tick.
//!
//! Each side has its own cache line, to which it writes once a tick. Operations of several threads on
//! one side may lose each other's count towards [`DENSE`]: then ticks start a little later.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use libc::c_int;

use crate::errno;
use crate::{clock, tick};

/// So many operations of a side...
const DENSE: u32 = 64;
/// ...within so many nanoseconds are too many to read the clock each time.
const DENSE_NS: i64 = 1_000_000;

#[derive(Default)]
pub(crate) struct ChannelCounters {
    pub(crate) sent: Moved,
    pub(crate) received: Moved,
    pub(crate) send: Failures,
    pub(crate) recv: Failures,
    pub(crate) zref: Zref,
    /// What an out-of-tree backend moved past the channel.
    pub(crate) apart: Apart,
}

/// The counters of one side.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct Moved {
    /// The operations since `since_ns` that have read the clock.
    dense: AtomicU32,
    since_ns: AtomicI64,
    /// The last tick that had an operation.
    tick_ns: AtomicI64,
    first_ns: AtomicI64,
    last_ns: AtomicI64,
    descriptors: AtomicU64,
    descriptor_bytes: AtomicU64,
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
    /// Counts a failure, and returns it.
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

impl Moved {
    /// Counts an operation.
    #[inline]
    pub(crate) fn happened(&self) {
        let tick = tick::last();
        if tick == tick::RESTS || tick != self.tick_ns.load(Ordering::Relaxed) {
            self.read_clock(tick);
        }
    }

    #[cold]
    fn read_clock(&self, tick: i64) {
        let now = clock::now_ns();
        self.tick_ns.store(tick, Ordering::Relaxed);
        self.last_ns.fetch_max(now, Ordering::Relaxed);
        if self.first_ns.load(Ordering::Relaxed) == 0 {
            let _earlier =
                self.first_ns.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        }
        if tick == tick::RESTS {
            self.count_dense(now);
        }
    }

    fn count_dense(&self, now: i64) {
        let is_late = now - self.since_ns.load(Ordering::Relaxed) > DENSE_NS;
        let dense = if is_late { 0 } else { self.dense.load(Ordering::Relaxed) + 1 };
        self.dense.store(dense % DENSE, Ordering::Relaxed);
        if is_late {
            self.since_ns.store(now, Ordering::Relaxed);
        } else if dense == DENSE {
            tick::run();
        }
    }

    /// Counts a descriptor on a lane of elements.
    pub(crate) fn descriptor_among_elements(&self, len: usize) {
        self.descriptors.fetch_add(1, Ordering::Relaxed);
        self.descriptor(len);
    }

    /// Counts a descriptor on a lane of descriptors.
    #[inline]
    pub(crate) fn descriptor(&self, len: usize) {
        self.descriptor_bytes.fetch_add(len as u64, Ordering::Relaxed);
        self.happened();
    }

    /// Descriptors that travelled among elements.
    pub(crate) fn descriptors_among_elements(&self) -> u64 {
        self.descriptors.load(Ordering::Relaxed)
    }

    /// Bytes of all descriptors.
    pub(crate) fn descriptor_bytes(&self) -> u64 {
        self.descriptor_bytes.load(Ordering::Relaxed)
    }
}

impl ChannelCounters {
    /// The times of the first and the last operation; zeros without one.
    pub(crate) fn times_ns(&self) -> (i64, i64) {
        let sides = [&self.sent, &self.received];
        let first = sides.map(|side| side.first_ns.load(Ordering::Relaxed));
        let first = first.into_iter().filter(|&ns| ns != 0).min().unwrap_or(0);
        let last = sides.map(|side| side.last_ns.load(Ordering::Relaxed));
        (first, last.into_iter().max().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_the_clock_s_and_in_order() {
        let counters = ChannelCounters::default();
        assert_eq!(counters.times_ns(), (0, 0));
        let before = clock::now_ns();
        counters.sent.happened();
        let after = clock::now_ns();
        let (first, last) = counters.times_ns();
        assert!(before <= first && first == last && last <= after);
        for _ in 0..100 * DENSE {
            counters.sent.happened();
        }
        let (same, last) = counters.times_ns();
        assert!(same == first && after <= last && last <= clock::now_ns());
        let after = clock::now_ns();
        counters.received.happened();
        let end = clock::now_ns();
        let (same, last) = counters.times_ns();
        assert!(same == first && after <= last && last <= end);
    }
}
