// SPDX-License-Identifier: BSD-3-Clause
//! Impairments, by the test's own clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use becket_ipc::transport::{Link, LinkError, memory};
use proptest::prelude::*;

use super::factory::{BODY_BYTES_MAX, LinkFactory, Pair};
use crate::impaired_link::{Impaired, ImpairedClock, Impairments};
use becket_ipc::transport::conformance::waiting::{numbers, put, take};

/// Without impairments an impaired link is a link like any other.
pub(crate) struct Calm;

impl LinkFactory for Calm {
    fn pair() -> Pair {
        let (one, other) = memory::pair(50, BODY_BYTES_MAX + 24);
        let calm = Impairments { held_frames_max: 5, ..Impairments::default() };
        let [one, other] = [one, other].map(|link| Impaired::new(link, calm, 1, Instant::now()).0);
        (Box::new(one), Box::new(other))
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A sender, and a receiver with these impairments.
fn pair(
    impairments: Impairments,
    seed: u64,
    now: Instant,
) -> (impl Link, impl Link, ImpairedClock) {
    let (from, to) = memory::pair(10_000, 1 << 20);
    let (to, clock) = Impaired::new(to, impairments, seed, now);
    (from, to, clock)
}

#[test]
fn a_frame_arrives_when_it_is_due() {
    let start = Instant::now();
    let latency = Impairments { latency: ms(10), ..Impairments::default() };
    let (mut from, mut to, clock) = pair(latency, 1, start);
    put(&mut from, 1, 5).unwrap();
    from.flush().unwrap();
    assert!(to.prepare_wait(), "the inner link has a frame");
    assert_eq!(take(&mut to, 9).unwrap().len(), 0);
    assert!(!to.prepare_wait());
    assert_eq!(clock.deadline(), Some(start + ms(10)));

    let woken = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&woken);
    to.on_ready(Arc::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    }));
    clock.advance(start + ms(9));
    assert_eq!((woken.load(Ordering::SeqCst), take(&mut to, 9).unwrap().len()), (0, 0));
    clock.advance(start + ms(10));
    assert_eq!(woken.load(Ordering::SeqCst), 1);
    assert!(to.prepare_wait());
    assert_eq!(numbers(&take(&mut to, 9).unwrap()), [1]);
    assert_eq!(clock.deadline(), None);
}

#[test]
fn the_end_is_as_late_as_frames_are() {
    let start = Instant::now();
    let late = Impairments { latency: ms(10), jitter: ms(5), ..Impairments::default() };
    let (mut from, mut to, clock) = pair(late, 1, start);
    for number in 0..10 {
        put(&mut from, number, 5).unwrap();
    }
    from.flush().unwrap();
    drop(from);
    assert_eq!(take(&mut to, 99).unwrap().len(), 0);
    let mut came = Vec::new();
    let error = loop {
        clock.advance(clock.deadline().unwrap());
        match take(&mut to, 3) {
            Ok(some) => came.extend(numbers(&some)),
            Err(error) => break error,
        }
    };
    assert_eq!(came, Vec::from_iter(0..10));
    assert_eq!(error, LinkError::Closed);
}

/// The arrivals of 300 frames, sent a millisecond apart.
fn story(impairments: Impairments, seed: u64) -> (Vec<(u64, Duration)>, [u64; 3]) {
    let start = Instant::now();
    let (mut from, mut to, clock) = pair(impairments, seed, start);
    let mut arrivals = Vec::new();
    for number in 0..2_000 {
        let now = start + ms(number);
        clock.advance(now);
        if number < 300 {
            put(&mut from, number, 3).unwrap();
            from.flush().unwrap();
        }
        arrivals.extend(take(&mut to, 99).unwrap().iter().map(|came| (came.number, now - start)));
    }
    let damage = clock.damage();
    (arrivals, [damage.dropped, damage.duplicated, damage.reordered])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn only_the_requested_impairments_happen(
        seed: u64,
        [drop, twice, reorder] in prop::array::uniform3(prop_oneof![Just(0), 0..=1_000_000_u32]),
        [latency, jitter, by] in prop::array::uniform3(0..50_u64),
    ) {
        let impairments = Impairments {
            latency: ms(latency),
            jitter: ms(jitter),
            drop_per_million: drop,
            duplicate_per_million: twice,
            reorder_per_million: reorder,
            reorder_by: ms(by),
            ..Impairments::default()
        };
        let (arrivals, damage) = story(impairments, seed);
        prop_assert_eq!(story(impairments, seed), (arrivals.clone(), damage), "deterministic");

        let [dropped, duplicated, reordered] = damage;
        let mut seen = vec![0; 300];
        for (number, at) in &arrivals {
            seen[*number as usize] += 1;
            prop_assert!(*at >= ms(number + latency), "none is early");
        }
        prop_assert_eq!(seen.iter().filter(|count| **count == 0).count() as u64, dropped);
        prop_assert_eq!(seen.iter().filter(|count| **count == 2).count() as u64, duplicated);
        prop_assert!(seen.iter().all(|count| *count <= 2));
        prop_assert!(drop > 0 || dropped == 0);
        prop_assert!(twice > 0 || duplicated == 0);
        prop_assert!(reorder > 0 || reordered == 0);
        if reordered == 0 {
            prop_assert!(arrivals.is_sorted_by_key(|(number, _)| *number), "in order");
        }
    }
}

#[test]
fn all_of_them_happen() {
    let bad = Impairments {
        latency: ms(3),
        jitter: ms(3),
        drop_per_million: 200_000,
        duplicate_per_million: 200_000,
        reorder_per_million: 200_000,
        reorder_by: ms(10),
        ..Impairments::default()
    };
    let (arrivals, damage) = story(bad, 7);
    assert!(damage.iter().all(|count| (30..120).contains(count)), "{damage:?}");
    assert!(!arrivals.is_sorted_by_key(|(number, _)| *number));
    assert_ne!(story(bad, 8).0, arrivals);
}

#[test]
fn a_full_link_gives_the_sender_backpressure() {
    let start = Instant::now();
    let slow = Impairments { latency: ms(10), held_frames_max: 4, ..Impairments::default() };
    let (mut from, to) = memory::pair(8, 1 << 20);
    let (mut to, clock) = Impaired::new(to, slow, 1, start);
    let mut sent = 0;
    for _ in 0..5 {
        while put(&mut from, sent, 0).is_ok() {
            sent += 1;
        }
        from.flush().unwrap();
        assert_eq!(take(&mut to, 99).unwrap().len(), 0);
    }
    assert_eq!(sent, 8 + 4);
    assert!(!to.prepare_wait(), "there is nothing to do before the next is due");
    let mut came = Vec::new();
    while let Some(due) = clock.deadline() {
        clock.advance(due);
        came.extend(numbers(&take(&mut to, 99).unwrap()));
        take(&mut to, 0).unwrap();
    }
    assert_eq!(came, Vec::from_iter(0..sent));
}

#[test]
fn the_end_alone_is_late_too() {
    let start = Instant::now();
    let late = Impairments { latency: ms(10), ..Impairments::default() };
    let (from, mut to, clock) = pair(late, 1, start);
    drop(from);
    assert_eq!(to.take(1, &mut |_, _| {}), Ok(0));
    assert_eq!(clock.deadline(), Some(start + ms(10)));
    clock.advance(start + ms(10));
    assert_eq!(to.take(1, &mut |_, _| {}), Err(LinkError::Closed));
}
