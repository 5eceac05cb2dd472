// SPDX-License-Identifier: BSD-3-Clause
//! Which of several workers gets a call, and which one has it.
//!
//! A call goes to the live worker with the least in hand, or, with a sticky key, to the one that rendezvous
//! hashing gives: of the workers that live the one with the highest hash of key and number, so that an end moves
//! only the keys of the worker that ended, and moves them back when it is there again.

use std::sync::atomic::{AtomicU64, Ordering};

use becket_host::{RemoteCall, Sticky};

/// Workers of one plugin.
pub const WORKERS_MAX: u32 = 64;

/// The hash of a call's sticky key; `None`: it has none.
pub(crate) fn key(sticky: &Sticky, call: &RemoteCall<'_>) -> Option<u64> {
    let metadata = call.metadata?;
    sticky.key(metadata.path(), metadata.headers())
}

/// The rank of a worker for a key.
pub(crate) fn rank(key: u64, worker: u32) -> u64 {
    mix(key ^ mix(u64::from(worker) + 1))
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, 2014).
fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// The workers of recent calls, without a lock: one that is not found here is asked of each worker.
///
/// ```text
///   sid × odd number = tag 52 bits │ place 12 bits        an entry = tag 52 bits │ 1 + worker 12 bits
/// ```
///
/// The product is a bijection, so that an entry is never another call's.
pub(crate) struct Placed(Box<[AtomicU64]>);

const PLACE_BITS: u32 = 12;
const PLACE_MASK: u64 = (1 << PLACE_BITS) - 1;

impl Placed {
    pub(crate) fn new() -> Self {
        Self((0..=PLACE_MASK).map(|_| AtomicU64::new(0)).collect())
    }

    fn entry(&self, sid: u64) -> Option<(&AtomicU64, u64)> {
        let mixed = sid.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let place = usize::try_from(mixed & PLACE_MASK).ok()?;
        Some((self.0.get(place)?, mixed & !PLACE_MASK))
    }

    pub(crate) fn put(&self, sid: u64, worker: u32) {
        if let Some((entry, tag)) = self.entry(sid) {
            entry.store(tag | u64::from(worker + 1), Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self, sid: u64) -> Option<u32> {
        let (entry, tag) = self.entry(sid)?;
        let found = entry.load(Ordering::Relaxed);
        let worker = (found & !PLACE_MASK == tag).then_some((found & PLACE_MASK) as u32)?;
        worker.checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(key: u64, live: impl Iterator<Item = u32>) -> u32 {
        live.max_by_key(|worker| rank(key, *worker)).unwrap()
    }

    #[test]
    fn an_end_moves_only_the_keys_of_the_worker_that_ended() {
        let mut counts = [0_u32; 8];
        for key in 0..8000 {
            let before = chosen(key, 0..8);
            counts[before as usize] += 1;
            let after = chosen(key, (0..8).filter(|worker| *worker != 3));
            assert!(before == 3 || before == after);
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_call_is_found_or_not_known_but_never_anothers() {
        let placed = Placed::new();
        let sids: Vec<u64> = (0..10_000).map(|i| (i << 40) | (i * 7)).collect();
        for (sid, worker) in sids.iter().zip((0..WORKERS_MAX).cycle()) {
            placed.put(*sid, worker);
            assert_eq!(placed.get(*sid), Some(worker));
        }
        for (sid, worker) in sids.iter().zip((0..WORKERS_MAX).cycle()) {
            assert!(placed.get(*sid).is_none_or(|found| found == worker));
        }
        assert_eq!(placed.get(u64::MAX), None);
    }
}
