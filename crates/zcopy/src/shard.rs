// SPDX-License-Identifier: BSD-3-Clause
//! The calling thread's shard of the counters that threads keep apart.
//!
//! The first [`OWN_SHARDS`] threads that count at the same time have a number of their own, and
//! change what they keep under it by a plain load and store: a locked addition would cost as much as
//! half of the transfer that it counts. Further threads share the remaining numbers, and add by a
//! locked instruction.
//!
//! # Invariant
//!
//! A number below `OWN_SHARDS` belongs to one thread at a time. A thread returns its number when it
//! ends, under the lock under which the next thread takes it: so that thread's loads find all that
//! the previous one has stored.

use std::cell::Cell;

use parking_lot::Mutex;

/// Shards that one thread each uses.
pub(crate) const OWN_SHARDS: usize = 8;
/// Shards that any number of threads use.
const COMMON_SHARDS: usize = 4;
/// All of them.
pub(crate) const SHARDS: usize = OWN_SHARDS + COMMON_SHARDS;

thread_local! {
    /// The calling thread's shard. Without a destructor, so that an access is one instruction.
    static SHARD: Cell<usize> = const { Cell::new(NONE) };
    /// Returns the number of a thread's own shard when the thread ends.
    static OWN: OwnNumber = const { OwnNumber(Cell::new(OWN_SHARDS)) };
}

/// No number yet.
const NONE: usize = usize::MAX;

struct OwnNumber(Cell<usize>);

/// The numbers that no thread has.
static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { own: (1 << OWN_SHARDS) - 1, common: 0 });

struct Numbers {
    /// A bit for each shard of one thread.
    own: u32,
    /// The shared shard of the next thread that finds no other.
    common: usize,
}

/// The calling thread's shard, if it is its own. `None`: it shares one, or has none yet.
#[inline]
pub(crate) fn own() -> Option<usize> {
    let number = SHARD.get();
    (number < OWN_SHARDS).then_some(number)
}

/// The calling thread's shard, and whether it is its own. Gives a thread that has none its shard:
/// one of its own, if there is one that no thread has.
pub(crate) fn any() -> (usize, bool) {
    let mut number = SHARD.get();
    if number == NONE {
        // A thread whose locals are being destroyed could not return the number.
        number = OWN.try_with(OwnNumber::take).unwrap_or(OWN_SHARDS);
        SHARD.set(number);
    }
    (number, number < OWN_SHARDS)
}

impl OwnNumber {
    fn take(&self) -> usize {
        let mut numbers = NUMBERS.lock();
        let free = numbers.own.trailing_zeros() as usize;
        if free < OWN_SHARDS {
            numbers.own &= !(1 << free);
            self.0.set(free);
            return free;
        }
        numbers.common += 1;
        OWN_SHARDS + numbers.common % COMMON_SHARDS
    }
}

impl Drop for OwnNumber {
    /// From here on the thread counts in a shard that it shares.
    fn drop(&mut self) {
        let number = self.0.get();
        if number < OWN_SHARDS {
            SHARD.set(OWN_SHARDS);
            NUMBERS.lock().own |= 1 << number;
        }
    }
}
