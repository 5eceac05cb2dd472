// SPDX-License-Identifier: BSD-3-Clause
//! Many at once: wakes by the million, spawns and joins in storms, runtimes that come and go.
//!
//! What is checked is that everything ends and adds up; what goes wrong here hangs or crashes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::common::{Counted, Dice, Tally, in_virtual_time, or_long, runtime, times};
use becket_chan::{bounded, rendezvous, select, unlimited};
use becket_coro::{
    Clock, Id, JoinError, Runtime, Spawn, State, VirtualClock, current, park, park_deadline, sleep,
    spawn, yield_now,
};

use crate::common;

#[test]
fn wakes_of_threads_and_parks_of_coroutines_by_the_million() {
    // Each wake follows a write, each park a check. A lost wake hangs the test.
    let rt = runtime(2);
    let rounds = times(300_000) as u64;
    let pairs: Vec<_> = (0..4)
        .map(|_| {
            let turns = Arc::new(AtomicU64::new(0));
            let inner = turns.clone();
            let waits = rt.spawn(move || {
                for round in 1..=rounds {
                    while inner.load(Ordering::Relaxed) < round {
                        park();
                    }
                }
            });
            (waits, turns)
        })
        .collect();
    let ids: Vec<Id> = pairs.iter().map(|(waits, _)| waits.id()).collect();
    let all: Vec<Arc<AtomicU64>> = pairs.iter().map(|(_, turns)| turns.clone()).collect();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (ids, all) = (ids.clone(), all.clone());
            thread::spawn(move || {
                for _ in 0..rounds.div_ceil(2) {
                    for (id, turns) in ids.iter().zip(&all) {
                        turns.fetch_add(1, Ordering::Relaxed);
                        id.unpark();
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    pairs.into_iter().for_each(|(waits, _)| waits.join().unwrap());
}

#[test]
fn two_that_wake_each_other_take_turns_on_every_pair_of_workers() {
    let rounds = or_long(times(800), times(3_000)) as u64;
    for workers in [1, 2, 4] {
        let rt = runtime(workers);
        let pairs: Vec<_> = (0..8)
            .flat_map(|_| {
                let turn = Arc::new(AtomicU64::new(0));
                let (give, given) = rendezvous::<[Id; 2]>();
                let both = [0, 1].map(|number| {
                    let (turn, given) = (turn.clone(), given.clone());
                    rt.spawn(move || {
                        let other = given.recv().wait().unwrap()[1 - number];
                        for round in 0..rounds {
                            while turn.load(Ordering::Relaxed) != 2 * round + number as u64 {
                                park();
                            }
                            turn.fetch_add(1, Ordering::Relaxed);
                            other.unpark();
                        }
                    })
                });
                let names = [both[0].id(), both[1].id()];
                (0..2).for_each(|_| give.send(names).wait().unwrap());
                both
            })
            .collect();
        pairs.into_iter().for_each(|one| one.join().unwrap());
    }
}

#[test]
fn keys_kept_beyond_the_end_wake_no_other_coroutine() {
    let rt = runtime(2);
    let stop = Arc::new(AtomicBool::new(false));
    let (tx, rx) = unlimited::<Id>();
    let thread = {
        let stop = stop.clone();
        thread::spawn(move || {
            let mut ids = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                while let Ok(id) = rx.try_recv() {
                    ids.push(id);
                }
                // All coroutines so far, most of which have ended.
                ids.iter().rev().take(500).for_each(|id: &Id| id.unpark());
                thread::yield_now();
            }
            ids.extend(std::iter::from_fn(|| rx.try_recv().ok()));
            ids.iter().for_each(|id| id.unpark());
            ids.len()
        })
    };
    let rounds = times(20_000);
    for round in 0..rounds {
        let one = rt.spawn(move || {
            yield_now();
            round
        });
        tx.try_send(one.id()).unwrap();
        if round % 4 != 0 {
            assert_eq!(one.join().unwrap(), round);
        }
    }
    assert!(rt.handle().wait_idle(None));
    stop.store(true, Ordering::Relaxed);
    assert_eq!(thread.join().unwrap(), rounds);
    // Late wakes have reached no other coroutine: all slots work.
    let (tx, rx) = rendezvous::<usize>();
    let crew: Vec<_> = (0..200)
        .map(|_| {
            let rx = rx.clone();
            rt.spawn(move || rx.recv().wait().unwrap())
        })
        .collect();
    (0..200).for_each(|n| tx.send(n).wait().unwrap());
    assert_eq!(crew.into_iter().map(|one| one.join().unwrap()).sum::<usize>(), 199 * 100);
}

#[test]
fn storms_of_spawns_and_joins_from_inside_and_outside() {
    fn tree(depth: u32, tally: &Tally) -> usize {
        let _counted = tally.item();
        if depth == 0 {
            return 1;
        }
        let children: Vec<_> = (0..3)
            .map(|_| {
                let tally = tally.clone();
                spawn(move || tree(depth - 1, &tally))
            })
            .collect();
        children.into_iter().map(|child| child.join().unwrap()).sum()
    }
    let depth = if cfg!(miri) { 2 } else { 7 };
    for workers in [1, 2, 4] {
        let rt = runtime(workers);
        let tally = Tally::default();
        let outside: Vec<_> = (0..3)
            .map(|_| {
                let (handle, tally) = (rt.handle().clone(), tally.clone());
                thread::spawn(move || {
                    for _ in 0..times(2_000) {
                        let counted = tally.item();
                        let one = handle.spawn(move || drop(counted));
                        one.join().unwrap();
                    }
                    // And those that are not joined.
                    for _ in 0..times(2_000) {
                        let counted = tally.item();
                        handle.spawn(move || drop(counted));
                    }
                })
            })
            .collect();
        let inner = tally.clone();
        let inside = rt.spawn(move || tree(depth, &inner));
        outside.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(inside.join().unwrap(), 3_usize.pow(depth));
        assert!(rt.handle().wait_idle(None));
        assert_eq!(tally.alive(), 0);
        let stats = rt.handle().stats();
        assert_eq!((stats.live(), stats.spawned), (0, stats.finished));
    }
}

/// Waits in one of the ways there are.
fn wait_somehow(way: u64, rx: &becket_chan::Receiver<u8>, tx: &becket_chan::Sender<u8>) {
    match way % 8 {
        0 => drop(rx.recv().wait()),
        1 => loop {
            park();
        },
        2 => sleep(Duration::from_secs(3600)),
        3 => drop(spawn(|| sleep(Duration::from_secs(3600))).join()),
        4 => {
            select! {
                wait;
                _ = rx.recv() => (),
                _ = tx.send(1) => (),
                timeout(Duration::from_secs(3600)) => (),
            }
        }
        5 => loop {
            yield_now();
        },
        6 => loop {
            park_deadline(becket_coro::now() + Duration::from_micros(50));
        },
        _ => becket_coro::block_on(std::future::pending()),
    }
}

#[test]
fn runtimes_come_and_go_with_coroutines_that_wait_while_threads_wake_them() {
    let (names, given) = unlimited::<Id>();
    let stop = Arc::new(AtomicBool::new(false));
    let wakers: Vec<_> = (0..2)
        .map(|_| {
            let (given, stop) = (given.clone(), stop.clone());
            thread::spawn(move || {
                let mut ids = std::collections::VecDeque::new();
                while !stop.load(Ordering::Relaxed) {
                    while let Ok(id) = given.try_recv() {
                        ids.push_front(id);
                    }
                    ids.truncate(80);
                    ids.iter().for_each(|id: &Id| id.unpark());
                    thread::yield_now();
                }
            })
        })
        .collect();
    let tally = Tally::default();
    let mut dice = Dice::new(11);
    for round in 0..or_long(times(12), times(60)) {
        let rt = runtime([1, 2, 4][round % 3]);
        let (tx, rx) = rendezvous::<u8>();
        let waiting: Vec<_> = (0..40)
            .map(|_| {
                let (tx, rx, counted, way) = (tx.clone(), rx.clone(), tally.item(), dice.next());
                let one = rt.spawn(move || {
                    let _counted: Counted = counted;
                    wait_somehow(way, &rx, &tx);
                });
                names.try_send(one.id()).unwrap();
                one
            })
            .collect();
        for _ in 0..dice.below(200) {
            thread::yield_now();
        }
        if dice.below(2) == 0 {
            drop(rt);
        } else {
            // From one of its own coroutines.
            let handle = rt.handle().clone();
            let last = handle.spawn(move || drop(rt));
            last.join().unwrap();
        }
        for one in waiting {
            match one.join() {
                Ok(()) | Err(JoinError::Cancelled) => {}
                Err(error) => panic!("{error}"),
            }
        }
        // A coroutine that never started is dropped after its joiner was woken.
        common::until(|| tally.alive() == 0);
    }
    stop.store(true, Ordering::Relaxed);
    wakers.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn listings_are_taken_while_everything_changes() {
    let rt = Runtime::builder().workers(2).name("listed").build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let lister = {
        let (handle, stop) = (rt.handle().clone(), stop.clone());
        thread::spawn(move || {
            let mut rows = 0;
            while !stop.load(Ordering::Relaxed) {
                for row in handle.dump() {
                    assert!(row.stack_size >= 16 * 1024);
                    assert!(row.site.file().ends_with("stress.rs"));
                    if let Some(name) = &row.name {
                        assert!(name.starts_with("one of "), "{name}");
                    }
                    assert!(!row.to_string().is_empty());
                    rows += usize::from(row.state != State::Fresh);
                }
                let stats = handle.stats();
                assert!(stats.finished <= stats.spawned);
            }
            rows
        })
    };
    let (tx, rx) = bounded::<usize>(3);
    for round in 0..times(300) {
        let crew: Vec<_> = (0..20)
            .map(|number| {
                let (tx, rx) = (tx.clone(), rx.clone());
                let builder = if number % 2 == 0 {
                    Spawn::new().name(format!("one of {round}"))
                } else {
                    Spawn::new().stack_size(32 * 1024)
                };
                builder
                    .on(rt.handle())
                    .spawn(move || {
                        tx.send(number).wait().unwrap();
                        sleep(Duration::from_nanos(number as u64));
                        rx.recv().wait().unwrap()
                    })
                    .unwrap()
            })
            .collect();
        assert_eq!(crew.into_iter().map(|one| one.join().unwrap()).sum::<usize>(), 190);
    }
    stop.store(true, Ordering::Relaxed);
    lister.join().unwrap();
}

#[test]
fn virtual_time_with_several_workers_and_much_to_do() {
    for workers in [1, 2, 4] {
        let rt = in_virtual_time(workers);
        let (tx, rx) = bounded::<u64>(4);
        let senders: Vec<_> = (0..20_u64)
            .map(|number| {
                let tx = tx.clone();
                rt.spawn(move || {
                    let mut dice = Dice::new(number + 1);
                    for _ in 0..times(200) {
                        sleep(Duration::from_millis(dice.below(10_000)));
                        tx.send(1).wait().unwrap();
                    }
                })
            })
            .collect();
        drop(tx);
        let counter = rt.spawn(move || {
            let mut sum = 0;
            loop {
                match rx.recv().timeout(Duration::from_millis(1500)).wait() {
                    Ok(one) => sum += one,
                    Err(becket_chan::RecvError::TimedOut) => {}
                    Err(_) => return sum,
                }
            }
        });
        senders.into_iter().for_each(|one| one.join().unwrap());
        assert_eq!(counter.join().unwrap(), 20 * times(200) as u64);
    }
}

#[test]
fn a_clock_is_moved_by_hand_from_everywhere() {
    let clock = VirtualClock::manual();
    let rt = Runtime::builder().workers(2).clock(Clock::Virtual(clock.clone())).build().unwrap();
    let awake = Arc::new(AtomicUsize::new(0));
    let crew: Vec<_> = (0..10_u64)
        .map(|number| {
            let awake = awake.clone();
            rt.spawn(move || {
                for _ in 0..times(200) {
                    sleep(Duration::from_millis(1 + number));
                    awake.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let ended = Arc::new(AtomicBool::new(false));
    let movers: Vec<_> = (0..2)
        .map(|_| {
            let (clock, ended) = (clock.clone(), ended.clone());
            thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    clock.advance(Duration::from_micros(300));
                    thread::yield_now();
                }
            })
        })
        .collect();
    crew.into_iter().for_each(|one| one.join().unwrap());
    ended.store(true, Ordering::Relaxed);
    movers.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(awake.load(Ordering::Relaxed), 10 * times(200));
}

#[test]
fn a_limit_is_kept_exactly_and_its_places_are_used_again() {
    let max = 50;
    let rt = Runtime::builder().workers(2).coroutines_max(max).build().unwrap();
    let handle = rt.handle().clone();
    for _ in 0..times(40) {
        let (go, gone) = rendezvous::<()>();
        // Four threads want more coroutines than the limit allows.
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (handle, gone) = (handle.clone(), gone.clone());
                thread::spawn(move || {
                    (0..30)
                        .filter_map(|_| {
                            let gone = gone.clone();
                            Spawn::new().on(&handle).spawn(move || gone.recv().wait()).ok()
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let made: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(made.len(), max, "neither more nor fewer");
        assert_eq!(handle.stats().live(), max as u64);
        go.close();
        made.into_iter().for_each(|one| assert!(one.join().unwrap().is_err()));
        // A coroutine counts until it has ended, which is after its joiner was woken.
        assert!(handle.wait_idle(None));
    }
}

#[test]
fn a_coroutine_knows_itself_among_many() {
    let rt = runtime(4);
    let crew: Vec<_> = (0..times(500))
        .map(|number| {
            Spawn::new()
                .name(format!("number {number}"))
                .on(rt.handle())
                .spawn(move || {
                    let me = current().unwrap();
                    for _ in 0..20 {
                        yield_now();
                        assert_eq!(current().unwrap().id(), me.id());
                        assert_eq!(me.name().as_deref(), Some(&*format!("number {number}")));
                    }
                    me.id()
                })
                .unwrap()
        })
        .collect();
    for one in crew {
        let id = one.id();
        assert_eq!(one.join().unwrap(), id);
    }
}
