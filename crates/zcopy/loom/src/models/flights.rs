// SPDX-License-Identifier: BSD-3-Clause
//! Flights of a region that leaves.

use std::sync::Arc;

use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
};

use crate::state::{FlightCount, Refusal, RegionState};

/// A slot of the table, as `region::table` uses it.
struct Slot {
    state: RegionState,
    counts: [AtomicU64; 3],
    /// True: the region is there. Loom finds an access to it that races with its end.
    memory: UnsafeCell<bool>,
    finished: AtomicUsize,
}

impl Slot {
    fn with_region() -> Arc<Self> {
        let slot = Self {
            state: RegionState::new(),
            counts: Default::default(),
            memory: UnsafeCell::new(true),
            finished: AtomicUsize::new(0),
        };
        slot.state.begin(1);
        Arc::new(slot)
    }

    fn own(&self, thread: usize) -> FlightCount<'_> {
        FlightCount { word: &self.counts[thread], is_own: true }
    }

    fn common(&self) -> FlightCount<'_> {
        FlightCount { word: &self.counts[2], is_own: false }
    }

    fn depart(&self, generation: u64, count: FlightCount<'_>) -> Result<(), Refusal> {
        self.state.depart(generation, count).inspect_err(|_| self.settle())
    }

    fn arrive(&self, count: FlightCount<'_>) {
        // SAFETY: in flight.
        self.memory.with(|memory| assert!(unsafe { *memory }));
        if self.state.arrive(count) {
            self.settle();
        }
    }

    /// A flight from begin to end, if it is not refused.
    fn fly(&self, from: FlightCount<'_>, to: FlightCount<'_>) {
        match self.depart(1, from) {
            Ok(()) => self.arrive(to),
            Err(refusal) => {
                let gone = [Refusal::Leaving, Refusal::Unknown, Refusal::Stale];
                assert!(gone.contains(&refusal), "{refusal:?}");
            }
        }
    }

    fn leave(&self, generation: u64) {
        if self.state.leave(generation) {
            self.settle();
        }
    }

    fn settle(&self) {
        let sum = || {
            let counts = self.counts.iter().map(|count| count.load(Ordering::Acquire));
            counts.fold(0, u64::wrapping_add)
        };
        if let Some(generation) = self.state.settle(sum) {
            self.finish(generation);
        }
    }

    fn finish(&self, generation: u64) {
        // SAFETY: the only owner.
        self.memory.with_mut(|memory| assert!(std::mem::take(unsafe { &mut *memory })));
        self.finished.fetch_add(1, Ordering::Relaxed);
        self.state.end(generation + 1);
    }

    fn was_finished(&self) {
        assert_eq!(self.finished.load(Ordering::Relaxed), 1);
        assert_eq!(self.state.check(1), Err(Refusal::Stale));
    }
}

/// A flight begins and ends while the region leaves.
#[test]
fn a_flight_meets_a_leave() {
    loom::model(|| {
        let slot = Slot::with_region();
        let other = slot.clone();
        let flies = thread::spawn(move || other.fly(other.own(0), other.own(0)));
        slot.leave(1);
        flies.join().unwrap();
        slot.was_finished();
    });
}

/// Of two flights that another thread began, each ends on a thread of its own while the region
/// leaves: the last one finishes it.
#[test]
fn the_last_of_two_arrivals_finishes_the_region() {
    loom::model(|| {
        let slot = Slot::with_region();
        assert!(slot.depart(1, slot.own(0)).is_ok() && slot.depart(1, slot.own(0)).is_ok());
        let others = [slot.clone(), slot.clone()];
        let [first, second] = others;
        let first = thread::spawn(move || first.arrive(first.own(1)));
        let second = thread::spawn(move || second.arrive(second.common()));
        slot.leave(1);
        first.join().unwrap();
        second.join().unwrap();
        slot.was_finished();
    });
}

/// One flight ends and another one begins, on counts of different kinds, while the region leaves.
#[test]
fn a_departure_does_not_hide_an_arrival() {
    loom::model(|| {
        let slot = Slot::with_region();
        assert!(slot.depart(1, slot.own(0)).is_ok());
        let others = [slot.clone(), slot.clone()];
        let [lands, flies] = others;
        let lands = thread::spawn(move || lands.arrive(lands.common()));
        let flies = thread::spawn(move || flies.fly(flies.common(), flies.own(1)));
        slot.leave(1);
        lands.join().unwrap();
        flies.join().unwrap();
        slot.was_finished();
    });
}

/// A pin and a flight keep the region, whichever ends last.
#[test]
fn a_pin_and_a_flight_keep_the_region() {
    loom::model(|| {
        let slot = Slot::with_region();
        assert!(slot.depart(1, slot.own(0)).is_ok());
        assert!(slot.state.take(1).is_ok());
        let other = slot.clone();
        let lands = thread::spawn(move || other.arrive(other.own(1)));
        let other = slot.clone();
        let unpins = thread::spawn(move || {
            if other.state.release() {
                other.finish(1);
            }
        });
        slot.leave(1);
        lands.join().unwrap();
        unpins.join().unwrap();
        slot.was_finished();
    });
}

/// A stale descriptor is refused by the next region in the slot, which leaves all the same.
#[test]
fn a_stale_departure_does_not_keep_the_next_region() {
    loom::model(|| {
        let slot = Slot::with_region();
        slot.leave(1);
        slot.was_finished();
        // SAFETY: the slot is free.
        slot.memory.with_mut(|memory| unsafe { *memory = true });
        slot.state.begin(2);
        let other = slot.clone();
        let stale = thread::spawn(move || assert!(other.depart(1, other.own(0)).is_err()));
        slot.leave(2);
        stale.join().unwrap();
        assert_eq!(slot.finished.load(Ordering::Relaxed), 2);
    });
}
