// SPDX-License-Identifier: BSD-3-Clause
//! The wheel against an ordered map, and its invariants.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const TICK: u64 = 1 << TICK_BITS;

impl<T> Wheel<T> {
    /// Asserts invariants 1, 2, 3, 5 and 6, and that every timer is in exactly one place.
    fn check(&self) {
        let mut seen = 0;
        for place in 0..NEAR {
            let (level, digit) = (place / SLOTS, place % SLOTS);
            let slot = &self.slots.slots[place];
            let taken = self.slots.levels[level].taken & bit(place) != 0;
            assert_eq!(taken, !slot.timers.is_empty());
            assert!(slot.timers.capacity() <= SPARE_CAPACITY.max(4 * slot.timers.len()));
            assert!(taken || !self.slots.is_vague(place));
            let mut earliest = u64::MAX;
            for (position, index) in slot.timers.iter().enumerate() {
                let timer = self.timers.get(*index).unwrap();
                let tick = timer.deadline >> TICK_BITS;
                assert!(tick > self.reached);
                let at = (timer.place as usize, timer.position as usize);
                assert_eq!(at, (place, position));
                let shift = level as u32 * LEVEL_BITS;
                assert_eq!(tick >> (shift + LEVEL_BITS), self.reached >> (shift + LEVEL_BITS));
                assert_eq!((tick >> shift) as usize % SLOTS, digit);
                earliest = earliest.min(timer.deadline);
                seen += 1;
            }
            if self.slots.is_vague(place) {
                assert!(slot.earliest <= earliest);
            } else if taken {
                assert_eq!(slot.earliest, earliest);
            }
        }
        for level in 0..LEVELS {
            let taken = self.slots.levels[level].taken != 0;
            assert_eq!(self.slots.taken & (1 << level) != 0, taken);
        }
        let mut cancelled = 0;
        for Reverse(near) in &self.near {
            match self.timers.get(near.index).filter(|timer| timer.number == near.number) {
                Some(timer) => {
                    assert_eq!((timer.place as usize, timer.deadline), (NEAR, near.deadline));
                    assert!(timer.deadline >> TICK_BITS <= self.reached);
                    seen += 1;
                }
                None => cancelled += 1,
            }
        }
        assert_eq!(cancelled, self.near_cancelled);
        assert!(cancelled <= NEAR_KEPT.max(self.near.len() / 2));
        assert_eq!(seen, self.len());
    }
}

/// The wheel and its reference, side by side.
struct Pair {
    wheel: Wheel<u64>,
    map: BTreeMap<(u64, u64), Key>,
    gone: Vec<Key>,
    number: u64,
    now: u64,
}

impl Pair {
    fn at(now: u64) -> Self {
        let mut pair =
            Self { wheel: Wheel::new(), map: BTreeMap::new(), gone: Vec::new(), number: 0, now: 0 };
        // Moves `reached` there, as a wheel that has been in use.
        pair.insert(now);
        pair.advance(now);
        pair
    }

    fn insert(&mut self, deadline: u64) {
        self.number += 1;
        let key = self.wheel.insert(deadline, self.number).unwrap();
        self.map.insert((deadline, self.number), key);
    }

    fn remove(&mut self, choice: usize) {
        if let Some((&(deadline, number), &key)) = self.map.iter().nth(choice) {
            self.map.remove(&(deadline, number));
            assert_eq!(self.wheel.remove(key), Some(number));
            self.gone.push(key);
        }
    }

    fn advance(&mut self, now: u64) {
        self.now = now;
        while let Some(&(deadline, number)) = self.map.keys().next()
            && deadline <= now
        {
            assert_eq!(self.wheel.earliest(), Some(deadline));
            assert_eq!(self.wheel.pop(now), Some((deadline, number)));
            self.gone.push(self.map.remove(&(deadline, number)).unwrap());
        }
        assert_eq!(self.wheel.pop(now), None);
    }

    fn check(&mut self) {
        self.wheel.check();
        let first = self.map.keys().next().map(|(deadline, _)| *deadline);
        let bound = self.wheel.bound();
        assert_eq!(bound.is_some(), first.is_some());
        assert!(bound <= first);
        assert_eq!(self.wheel.earliest(), first);
        assert_eq!(self.wheel.bound(), first);
        assert_eq!(self.wheel.len(), self.map.len());
        if let Some(key) = self.gone.last() {
            assert_eq!(self.wheel.remove(*key), None);
        }
        self.wheel.check();
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert { after: u64 },
    InsertBefore { before: u64 },
    Remove { choice: usize },
    Advance { by: u64 },
    AdvanceToFirst,
    Look,
}

/// Durations of every magnitude alike.
fn any_duration() -> impl Strategy<Value = u64> {
    (0..64_u32, any::<u64>()).prop_map(|(shift, bits)| bits >> shift)
}

fn short_duration() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, 0..3 * TICK, 0..200 * TICK]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => short_duration().prop_map(|after| Step::Insert { after }),
        4 => any_duration().prop_map(|after| Step::Insert { after }),
        1 => any_duration().prop_map(|before| Step::InsertBefore { before }),
        4 => (0..20_usize).prop_map(|choice| Step::Remove { choice }),
        2 => short_duration().prop_map(|by| Step::Advance { by }),
        1 => any_duration().prop_map(|by| Step::Advance { by: by >> 8 }),
        3 => Just(Step::AdvanceToFirst),
        2 => Just(Step::Look),
    ]
}

/// More in the long form, for which `BECKET_TEST_LONG` asks.
fn cases() -> u32 {
    match std::env::var_os("BECKET_TEST_LONG") {
        _ if cfg!(miri) => 4,
        Some(_) => 512,
        None => 128,
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn it_is_an_ordered_map(
        start in any_duration(),
        steps in prop::collection::vec(any_step(), 0..120),
    ) {
        let mut pair = Pair::at(start >> 1);
        for step in steps {
            match step {
                Step::Insert { after } => pair.insert(pair.now.saturating_add(after)),
                Step::InsertBefore { before } => pair.insert(pair.now.saturating_sub(before)),
                Step::Remove { choice } => pair.remove(choice),
                Step::Advance { by } => pair.advance(pair.now.saturating_add(by)),
                Step::AdvanceToFirst => {
                    let first = pair.map.keys().next().map(|(deadline, _)| *deadline);
                    pair.advance(first.map_or(pair.now, |first| first.max(pair.now)));
                }
                Step::Look => pair.check(),
            }
            pair.wheel.check();
        }
        pair.check();
        pair.advance(u64::MAX);
        prop_assert!(pair.wheel.is_empty());
    }
}

#[test]
fn all_deadlines_have_a_place() {
    let mut wheel = Wheel::new();
    for shift in 0..64 {
        wheel.insert(1 << shift, shift).unwrap();
    }
    wheel.insert(u64::MAX, 64).unwrap();
    wheel.check();
    for expected in 0..=64 {
        let at = wheel.earliest().unwrap();
        assert_eq!(at.checked_sub(1).and_then(|early| wheel.pop(early)), None);
        assert_eq!(wheel.pop(at), Some((at, expected)));
    }
    assert_eq!(wheel.bound(), None);
}

#[test]
fn a_cancelled_first_costs_one_search_and_no_tick() {
    let mut wheel = Wheel::new();
    let hour = 3_600_000_000_000;
    let first = wheel.insert(hour, ()).unwrap();
    wheel.insert(hour + TICK, ()).unwrap();
    assert_eq!(wheel.remove(first), Some(()));
    assert_eq!(wheel.bound(), Some(hour), "not later than the earliest");
    assert_eq!(wheel.pop(hour), None);
    assert_eq!(wheel.bound(), Some(hour + TICK), "and exact after one look");
}

#[test]
fn timers_that_come_and_go_within_the_tick_leave_nothing_behind() {
    let mut wheel = Wheel::new();
    let stays = wheel.insert(5, 0).unwrap();
    for round in 1..10_000 {
        let key = wheel.insert(7, round).unwrap();
        assert_eq!(wheel.remove(key), Some(round));
    }
    wheel.check();
    assert!(wheel.near.capacity() <= 4 * NEAR_KEPT);
    assert_eq!(wheel.remove(stays), Some(0));
    assert_eq!(wheel.pop(u64::MAX), None);
}

#[test]
fn a_timer_that_is_set_whenever_it_has_run_uses_two_arrays_in_whichever_slots() {
    let mut wheel = Wheel::new();
    for round in 1..2_000 {
        let deadline = round * 10_000_000;
        wheel.insert(deadline, round).unwrap();
        assert_eq!(wheel.pop(deadline), Some((deadline, round)));
        wheel.check();
    }
    let slots = wheel.slots.slots.iter().map(|slot| &slot.timers);
    let arrays = slots.chain(&wheel.slots.spares).filter(|timers| timers.capacity() > 0).count();
    assert!((1..=2).contains(&arrays), "{arrays} arrays");
}

#[test]
fn memory_is_freed() {
    let mut wheel = Wheel::new();
    let count = if cfg!(miri) { 1_000 } else { 100_000 };
    for number in 0..count {
        wheel.insert(TICK + number % TICK, number).unwrap();
    }
    assert!(wheel.pop(2 * TICK).is_some());
    assert!(wheel.near.capacity() as u64 >= count - 1);
    let mut popped = 1;
    while wheel.pop(2 * TICK).is_some() {
        popped += 1;
    }
    assert_eq!(popped, count);
    assert!(wheel.near.capacity() <= 4 * NEAR_KEPT, "{}", wheel.near.capacity());
    assert!(wheel.timers.places() <= 256);
}
