// SPDX-License-Identifier: BSD-3-Clause
//! A hierarchical timing wheel with exact deadlines: neither clock nor thread, only the order.
//!
//! Source: G. Varghese and T. Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 7.
//! Times are nanoseconds from a start that the owner chooses; a tick is 2¹⁶ of them (65 µs). Eight
//! levels of 64 slots cover all of `u64`, so there is no list of timers too far away:
//!
//! ```text
//!               deadline (ns)
//!  ┌──────┬──────┬──────┬──────┬──────┬──────┬──────┬──────┬─────────────────┐
//!  │  L7  │  L6  │  L5  │  L4  │  L3  │  L2  │  L1  │  L0  │ within the tick │
//!  └──────┴──────┴──────┴──────┴──────┴──────┴──────┴──────┴─────────────────┘
//!   6 bits each: the slot                                    16 bits
//! ```
//!
//! A timer lies at the level of the highest digit in which its tick differs from `reached`, in that
//! digit's slot. So all of a level comes before all of the next, and within a level a lower slot
//! before a higher: the earliest timers are in the first slot taken of the lowest level taken,
//! which two bit scans find. When a slot's time has come, `reached` moves into it and its timers
//! are spread over the levels below, or, within the current tick, go to `near`, a binary
//! heap by deadline and number. From there they leave in order, to the nanosecond.
//!
//! Setting and cancelling are O(1) for a timer of the wheel, O(log k) for one of the k that are
//! due within the tick; each timer moves at most once per level. No work is done while time
//! passes: the owner sleeps until [`Wheel::bound`] and then calls [`Wheel::pop`].
//!
//! A slot is an array of its timers' indexes, and a timer knows its position in it. A timer that is
//! cancelled is replaced by the last one of its slot. Not a list through the timers: when a slot is
//! spread, its timers have left the caches, and of a list each is found only by the one before it,
//! one cache miss after another; of an array many are fetched at once. A slot that was spread passes
//! its array on, if it is small, to the next slot that has none: a few timers that are set whenever
//! they have run allocate nothing, in whichever slots they fall.
//!
//! # Invariants
//!
//! 1. A timer's tick is greater than `reached` if it is in a slot; otherwise it is in `near`.
//! 2. The bits above a timer's level agree with `reached`; its slot's number is the tick's digit
//!    of that level.
//! 3. A slot's `earliest` is not later than any of its timers' deadlines, was the deadline of
//!    one, and is exact unless the slot's bit in `vague` is set.
//! 4. Numbers are never reused: the key of a removed timer finds nothing.
//! 5. Of the items in `near` at most half, or 64, belong to cancelled timers.
//! 6. A timer in a slot is in the slot's array, once, at its position.

use std::{cmp::Reverse, collections::BinaryHeap, mem};

use super::slab::Slab;

const TICK_BITS: u32 = 16;
const LEVEL_BITS: u32 = 6;
const LEVELS: usize = 8;
const SLOTS: usize = 1 << LEVEL_BITS;
/// The place of a timer that is in `near`.
const NEAR: usize = LEVELS * SLOTS;
/// Up to this many items, `near` is neither searched for cancelled timers nor shrunk.
const NEAR_KEPT: usize = 64;
/// The largest capacity of an array that an empty slot keeps or passes on, and how many wait for a slot.
const SPARE_CAPACITY: usize = 16;
const SPARES: usize = 64;
/// How many timers are read at once when a slot is spread.
const SPREAD_AT_ONCE: usize = 16;

/// The key of a timer of one wheel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    number: u64,
    index: u32,
}

/// Timers in the order of their deadlines; timers with equal deadlines in the order of their
/// setting.
pub struct Wheel<T> {
    timers: Slab<Timer<T>>,
    slots: Slots,
    near: BinaryHeap<Reverse<Near>>,
    /// Items of `near` whose timers were cancelled.
    near_cancelled: usize,
    /// The tick up to which everything is in `near`.
    reached: u64,
    /// The number of the last timer set.
    number: u64,
}

struct Timer<T> {
    deadline: u64,
    number: u64,
    place: u32,
    /// In the slot's array; of no meaning in `near`.
    position: u32,
    task: T,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Near {
    deadline: u64,
    number: u64,
    index: u32,
}

impl<T> Wheel<T> {
    /// An empty wheel at time 0.
    pub const fn new() -> Self {
        Self {
            timers: Slab::new(),
            slots: Slots::new(),
            near: BinaryHeap::new(),
            near_cancelled: 0,
            reached: 0,
            number: 0,
        }
    }

    /// The number of timers that are set.
    pub const fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether no timer is set.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets a timer; one in the past is due at once.
    ///
    /// # Errors
    ///
    /// The task, if nearly 2³² timers are set already.
    pub fn insert(&mut self, deadline: u64, task: T) -> Result<Key, T> {
        self.number += 1;
        let number = self.number;
        let place = self.place_of(deadline);
        let position = self.slots.next_position(place);
        let timer = Timer { deadline, number, place: place as u32, position, task };
        let index = self.timers.insert(timer).map_err(|timer| timer.task)?;
        self.put(Near { deadline, number, index }, place);
        Ok(Key { number, index })
    }

    /// Removes a timer and returns its task; `None` if it was popped or removed before.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.timers.get(key.index).filter(|timer| timer.number == key.number)?;
        let timer = self.timers.remove(key.index)?;
        if timer.place as usize == NEAR {
            self.near_cancelled += 1;
            self.tidy_near();
        } else if let Some(moved) = self.slots.remove(&timer)
            && let Some(moved) = self.timers.get_mut(moved)
        {
            moved.position = timer.position;
        }
        Some(timer.task)
    }

    /// The next timer whose deadline is not after `now`, with that deadline.
    pub fn pop(&mut self, now: u64) -> Option<(u64, T)> {
        loop {
            // Everything in `near` comes before everything in a slot (invariant 1).
            if let Some(first) = self.first_near() {
                if first.deadline > now {
                    return None;
                }
                self.near.pop();
                self.tidy_near();
                let timer = self.timers.remove(first.index)?;
                return Some((timer.deadline, timer.task));
            }
            let place = self.slots.first()?;
            if self.slots.earliest(place)? > now {
                return None;
            }
            self.spread(place, now);
        }
    }

    /// No timer is due before this; `None` if there is none. It is the earliest deadline unless
    /// that timer was cancelled: then a [`Wheel::pop`] at this time finds the next bound.
    pub fn bound(&mut self) -> Option<u64> {
        match self.first_near() {
            Some(first) => Some(first.deadline),
            None => self.slots.earliest(self.slots.first()?),
        }
    }

    /// The earliest deadline. After the earliest timer was cancelled, this searches the timers of
    /// one slot, once.
    pub fn earliest(&mut self) -> Option<u64> {
        if let Some(first) = self.first_near() {
            return Some(first.deadline);
        }
        let place = self.slots.first()?;
        if self.slots.is_vague(place) {
            let deadlines = self
                .slots
                .timers(place)
                .iter()
                .filter_map(|index| self.timers.get(*index).map(|timer| timer.deadline));
            let earliest = deadlines.min().unwrap_or(u64::MAX);
            self.slots.set_earliest(place, earliest);
        }
        self.slots.earliest(place)
    }

    /// Where a timer with this deadline belongs (invariants 1 and 2).
    fn place_of(&self, deadline: u64) -> usize {
        let tick = deadline >> TICK_BITS;
        if tick <= self.reached {
            return NEAR;
        }
        let level = (tick ^ self.reached).ilog2() / LEVEL_BITS;
        let digit = (tick >> (level * LEVEL_BITS)) as usize % SLOTS;
        level as usize * SLOTS + digit
    }

    /// Puts a timer that knows it into this place, at the end of a slot.
    fn put(&mut self, near: Near, place: usize) {
        if place == NEAR {
            self.near.push(Reverse(near));
        } else {
            self.slots.push(place, near.index, near.deadline);
        }
    }

    /// Moves `reached` into the first slot, whose time has come, as far as `now`, and puts the
    /// slot's timers into their new places. All other timers stay in place: they differ from the
    /// new `reached` first in the digit in which they differed from the old.
    fn spread(&mut self, place: usize, now: u64) {
        let shift = (place / SLOTS) as u32 * LEVEL_BITS;
        let above = (self.reached >> shift) & !(SLOTS as u64 - 1);
        let start = (above | (place % SLOTS) as u64) << shift;
        let last = start | ((1 << shift) - 1);
        self.reached = last.min(now >> TICK_BITS);
        let indexes = self.slots.take(place);
        for indexes in indexes.chunks(SPREAD_AT_ONCE) {
            // Nothing here waits for what a timer contains, so that the cache misses overlap.
            let mut read = [None; SPREAD_AT_ONCE];
            for (read, index) in read.iter_mut().zip(indexes) {
                *read = self.timers.get(*index).map(|timer| Near {
                    deadline: timer.deadline,
                    number: timer.number,
                    index: *index,
                });
            }
            for near in read.into_iter().flatten() {
                let place = self.place_of(near.deadline);
                let position = self.slots.next_position(place);
                if let Some(timer) = self.timers.get_mut(near.index) {
                    (timer.place, timer.position) = (place as u32, position);
                }
                self.put(near, place);
            }
        }
        self.slots.spare(indexes);
    }

    fn first_near(&mut self) -> Option<Near> {
        while let Some(Reverse(near)) = self.near.peek().copied() {
            if self.timers.get(near.index).is_some_and(|timer| timer.number == near.number) {
                return Some(near);
            }
            self.near.pop();
            self.near_cancelled -= 1;
        }
        None
    }

    /// Keeps invariant 5, and frees memory.
    fn tidy_near(&mut self) {
        if self.near_cancelled > NEAR_KEPT && self.near_cancelled > self.near.len() / 2 {
            let timers = &self.timers;
            self.near.retain(|Reverse(near)| {
                timers.get(near.index).is_some_and(|timer| timer.number == near.number)
            });
            self.near_cancelled = 0;
        }
        if self.near.capacity() > 4 * NEAR_KEPT && self.near.len() < self.near.capacity() / 4 {
            self.near.shrink_to(self.near.capacity() / 2);
        }
    }
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The slots of all levels, by place: level · 64 + digit.
struct Slots {
    slots: [Slot; LEVELS * SLOTS],
    levels: [Level; LEVELS],
    /// One bit per level, set if it has a timer.
    taken: u32,
    /// Empty arrays for slots, those below `spare_count`.
    spares: [Vec<u32>; SPARES],
    spare_count: usize,
}

struct Slot {
    earliest: u64,
    /// The indexes of its timers, in no order.
    timers: Vec<u32>,
}

/// One bit per slot.
#[derive(Clone, Copy)]
struct Level {
    taken: u64,
    /// Set if the slot's earliest timer was cancelled: its `earliest` is only a lower bound.
    vague: u64,
}

impl Slots {
    const fn new() -> Self {
        Self {
            slots: [const { Slot { earliest: 0, timers: Vec::new() } }; LEVELS * SLOTS],
            levels: [Level { taken: 0, vague: 0 }; LEVELS],
            taken: 0,
            spares: [const { Vec::new() }; SPARES],
            spare_count: 0,
        }
    }

    /// The place of the earliest timers.
    fn first(&self) -> Option<usize> {
        let level = self.taken.trailing_zeros() as usize;
        let slots = self.levels.get(level)?.taken;
        Some(level * SLOTS + slots.trailing_zeros() as usize)
    }

    fn earliest(&self, place: usize) -> Option<u64> {
        self.slots.get(place).map(|slot| slot.earliest)
    }

    fn set_earliest(&mut self, place: usize, earliest: u64) {
        if let Some(slot) = self.slots.get_mut(place) {
            slot.earliest = earliest;
        }
        if let Some(level) = self.levels.get_mut(place / SLOTS) {
            level.vague &= !bit(place);
        }
    }

    fn is_vague(&self, place: usize) -> bool {
        self.levels.get(place / SLOTS).is_some_and(|level| level.vague & bit(place) != 0)
    }

    fn timers(&self, place: usize) -> &[u32] {
        self.slots.get(place).map_or(&[], |slot| &slot.timers)
    }

    /// The position of the timer that is pushed next.
    fn next_position(&self, place: usize) -> u32 {
        self.timers(place).len() as u32
    }

    fn push(&mut self, place: usize, index: u32, deadline: u64) {
        let Some(slot) = self.slots.get_mut(place) else { return };
        if slot.timers.capacity() == 0 {
            slot.timers = next_spare(&mut self.spares, &mut self.spare_count);
        }
        slot.timers.push(index);
        if slot.timers.len() == 1 {
            slot.earliest = deadline;
            if let Some(level) = self.levels.get_mut(place / SLOTS) {
                level.taken |= bit(place);
                self.taken |= 1 << (place / SLOTS);
            }
        } else if deadline <= slot.earliest {
            self.set_earliest(place, deadline);
        }
    }

    /// Removes a timer that is in a slot. Returns the index of the one that is in its position from
    /// now on, if there is one.
    fn remove<T>(&mut self, timer: &Timer<T>) -> Option<u32> {
        let (place, position) = (timer.place as usize, timer.position as usize);
        let slot = self.slots.get_mut(place)?;
        if position < slot.timers.len() {
            slot.timers.swap_remove(position);
        }
        let moved = slot.timers.get(position).copied();
        let (len, capacity) = (slot.timers.len(), slot.timers.capacity());
        if capacity > SPARE_CAPACITY && len < capacity / 4 {
            slot.timers.shrink_to(capacity / 2);
        }
        if len == 0 {
            self.emptied(place);
        } else {
            self.cancelled(place, timer.deadline);
        }
        moved
    }

    /// Empties a slot; returns its timers.
    fn take(&mut self, place: usize) -> Vec<u32> {
        let timers = self.slots.get_mut(place).map(|slot| mem::take(&mut slot.timers));
        self.emptied(place);
        timers.unwrap_or_default()
    }

    /// Keeps an array for the next slot, unless it is large or there are enough.
    fn spare(&mut self, mut timers: Vec<u32>) {
        if timers.capacity() <= SPARE_CAPACITY
            && let Some(spare) = self.spares.get_mut(self.spare_count)
        {
            timers.clear();
            *spare = timers;
            self.spare_count += 1;
        }
    }

    /// Records that a slot is empty.
    fn emptied(&mut self, place: usize) {
        if let Some(level) = self.levels.get_mut(place / SLOTS) {
            level.taken &= !bit(place);
            level.vague &= !bit(place);
            if level.taken == 0 {
                self.taken &= !(1 << (place / SLOTS));
            }
        }
    }

    /// Records that a timer with this deadline was removed from a slot that has others.
    fn cancelled(&mut self, place: usize, deadline: u64) {
        if self.earliest(place) == Some(deadline)
            && let Some(level) = self.levels.get_mut(place / SLOTS)
        {
            level.vague |= bit(place);
        }
    }
}

#[cold]
fn next_spare(spares: &mut [Vec<u32>], count: &mut usize) -> Vec<u32> {
    let Some(last) = count.checked_sub(1) else { return Vec::new() };
    *count = last;
    spares.get_mut(last).map(mem::take).unwrap_or_default()
}

const fn bit(place: usize) -> u64 {
    1 << (place % SLOTS)
}

#[cfg(test)]
#[cfg(not(feature = "loom"))]
#[path = "wheel_tests.rs"]
mod tests;
