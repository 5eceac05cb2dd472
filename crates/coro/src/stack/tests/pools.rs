// SPDX-License-Identifier: BSD-3-Clause
//! Allocation and free of stacks, and their memory. Each test has a pool of its own, or a size that
//! no other test uses.

use std::collections::HashSet;

use super::super::pool::{Pool, Slot};
use super::super::sys::Guards;
use super::*;

/// Fresh stacks, `count` of them, in the order of their addresses.
fn carve(pool: &Pool, class: Class, count: usize) -> Vec<Slot> {
    let mut slots = Vec::new();
    while slots.len() < count {
        let mut run = pool.reserve(class, true).unwrap();
        let mut out = vec![Slot::NONE; count - slots.len()];
        let carved = pool.carve(class, &mut run, &mut out).unwrap();
        slots.extend_from_slice(&out[..carved]);
        pool.unreserve(class, run);
    }
    slots
}

fn take(pool: &Pool, class: Class, count: usize) -> Vec<Slot> {
    let mut out = vec![Slot::NONE; count];
    let taken = pool.take(class, &mut out);
    out.truncate(taken);
    out
}

#[test]
fn no_address_is_in_two_stacks() {
    let pool = Pool::new(None);
    let class = Class::of(16 * 1024).unwrap();
    let slots = carve(&pool, class, 3000);
    let bases: HashSet<_> = slots.iter().map(|slot| slot.0.get()).collect();
    assert_eq!(bases.len(), slots.len());
    for slot in slots {
        let base = slot.0.get();
        assert!(!faults(base - 1) && !faults(base - class.size_bytes()));
        assert!(faults(base - class.size_bytes() - 1));
    }
}

#[test]
fn the_last_to_come_back_is_the_first_to_go_out() {
    let pool = Pool::new(None);
    let class = Class::of(64 * 1024).unwrap();
    let slots = carve(&pool, class, 5);
    pool.put(class, &slots);
    assert_eq!(take(&pool, class, 1), [slots[4]]);
    // In a batch the warmest is the last, so that it lies on top of a cache.
    assert_eq!(take(&pool, class, 2), [slots[2], slots[3]]);
    pool.put(class, &[slots[4]]);
    assert_eq!(take(&pool, class, 9), [slots[0], slots[1], slots[4]]);
    assert_eq!(take(&pool, class, 9), []);
}

#[test]
fn of_warm_stacks_beyond_the_limit_the_oldest_lose_their_memory() {
    let pool = Pool::new(None);
    let class = Class::of(1 << 20).unwrap();
    let warm_max = (256 << 20) / class.size_bytes();
    let beyond = 40;
    let slots = carve(&pool, class, warm_max + beyond);
    let deep = class.size_bytes() / 2;
    for slot in &slots {
        poke(slot.0.get() - 1);
        poke(slot.0.get() - deep);
    }
    pool.put(class, &slots);
    for (index, slot) in slots.iter().enumerate() {
        let base = slot.0.get();
        assert_eq!(resident(base - 1), index >= beyond);
        assert_eq!(resident(base - deep), index >= beyond);
    }
    // Warm stacks are taken first, then those without memory, which work as well.
    let again = take(&pool, class, slots.len());
    assert_eq!(again.len(), slots.len());
    let cold = &again[..beyond];
    for slot in cold {
        let base = slot.0.get();
        assert!(slots[..beyond].contains(slot));
        poke(base - deep);
        assert!(faults(base - class.size_bytes() - 1));
    }
}

#[test]
fn what_is_left_of_a_run_goes_on() {
    let pool = Pool::new(None);
    let class = Class::of(64 * 1024).unwrap();
    let mut run = pool.reserve(class, true).unwrap();
    let mut first = [Slot::NONE; 1];
    assert_eq!(pool.carve(class, &mut run, &mut first), Ok(1));
    pool.unreserve(class, run);
    let mut run = pool.reserve(class, false).unwrap();
    let mut second = [Slot::NONE; 2];
    assert_eq!(pool.carve(class, &mut run, &mut second), Ok(1));
    assert_eq!(second[0].0.get(), first[0].0.get() + class.stride_bytes());
    assert!(run.is_empty());
    assert_eq!(pool.carve(class, &mut run, &mut second), Ok(0));
}

#[test]
fn guards_by_protection_do_as_well() {
    let pool = Pool::new(Some(Guards::Protect));
    let class = Class::of(64 * 1024).unwrap();
    let slots = carve(&pool, class, 10);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    for slot in &slots {
        let low = slot.0.get() - class.size_bytes();
        assert!(faults(low - 1) && faults(low - page_bytes()));
        assert!(!faults(low));
        poke(low);
        let guard = format!("{:x}-{:x} ---p", low - page_bytes(), low);
        assert!(maps.lines().any(|line| line.starts_with(&guard)));
        assert!(guard_of(low - 1).is_some());
    }
}

#[test]
fn a_hundred_thousand_stacks_are_few_mappings() {
    if Guards::of_this_kernel() == Guards::Protect {
        return eprintln!("skipped: guards are mappings on this kernel");
    }
    fn mappings() -> usize {
        std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
    }
    let before = mappings();
    let cache = Cache::new(64 * 1024);
    let stacks: Vec<_> = (0..100_000).map(|_| cache.get().unwrap()).collect();
    // Other tests map memory meanwhile.
    assert!(mappings() < before + 500, "{before} grew to {}", mappings());
    let bases: HashSet<_> = stacks.iter().map(|stack| stack.base()).collect();
    assert_eq!(bases.len(), stacks.len());
}

#[test]
fn a_cache_gives_back_the_one_it_was_given_last() {
    let cache = Cache::new(2 << 20);
    let (one, two) = (cache.get().unwrap(), cache.get().unwrap());
    let (first, second) = (one.base(), two.base());
    cache.put(one);
    cache.put(two);
    assert_eq!(cache.get().unwrap().base(), second);
    // The stack was dropped: it is in the pool.
    let next = cache.get().unwrap();
    assert_eq!(next.base(), first);
}

#[test]
fn stacks_go_from_cache_to_cache_through_the_pool() {
    let size = 4 << 20;
    let giver = Cache::new(size);
    let stacks: Vec<_> = (0..100).map(|_| giver.get().unwrap()).collect();
    let bases: HashSet<_> = stacks.iter().map(|stack| stack.base()).collect();
    assert_eq!(bases.len(), 100);
    for stack in stacks {
        giver.put(stack);
    }
    // When it was full, it gave its oldest stacks to the pool; dropped, it gives the rest.
    let taker = Cache::new(size);
    assert!(bases.contains(&taker.get().unwrap().base()));
    drop(giver);
    let again: Vec<_> = (0..100).map(|_| taker.get().unwrap()).collect();
    let known = again.iter().filter(|stack| bases.contains(&stack.base())).count();
    // Up to a batch of other stacks that the first cache held may be taken in place of some.
    assert!(known > 100 - 32, "{known}");
}

#[test]
fn a_stack_of_another_size_passes_a_cache_by() {
    let cache = Cache::new(8 << 20);
    let other = acquire(16 << 20).unwrap();
    let base = other.base();
    cache.put(other);
    assert_eq!(acquire(16 << 20).unwrap().base(), base);
    assert_eq!(cache.get().unwrap().size_bytes(), 8 << 20);
}

#[test]
fn threads_that_pass_stacks_on_never_share_one() {
    let size = 128 * 1024;
    let (to, from) = std::sync::mpsc::sync_channel::<Stack>(100);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let cache = Cache::new(size);
            for _ in 0..20_000 {
                let stack = cache.get().unwrap();
                touch(&stack, 1);
                to.send(stack).unwrap();
            }
        });
        scope.spawn(move || {
            let cache = Cache::new(size);
            let mut held = HashSet::new();
            let mut stacks = std::collections::VecDeque::new();
            for stack in from {
                assert!(held.insert(stack.base()), "a stack that is held came again");
                stacks.push_back(stack);
                if stacks.len() > 50 {
                    let oldest = stacks.pop_front().unwrap();
                    held.remove(&oldest.base());
                    cache.put(oldest);
                }
            }
        });
    });
}
