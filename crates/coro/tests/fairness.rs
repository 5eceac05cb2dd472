// SPDX-License-Identifier: BSD-3-Clause
//! A runnable coroutine waits no longer than promised, whatever else is runnable.
//!
//! Floods of three kinds, on one worker and on each of two: coroutines that only yield, pairs that
//! wake each other (through the lifo slot), coroutines that spawn others of their kind. Meanwhile a
//! timer becomes due, another thread spawns, another thread wakes. The bounds are dispatches of the
//! worker, counted from a moment at which every worker is held, so that the speed of the machine
//! does not matter.
#![cfg(not(any(miri, feature = "threads")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{
    sync::{
        Arc, Barrier, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use becket_chan::bounded;
use becket_coro::{
    Clock, Handle, Id, Runtime, State, VirtualClock, current, park, sleep_until, spawn, yield_now,
};
use common::{or_long, runtime, until_parked};

/// The bounds that `becket_coro` documents (see its `worker::turn`).
const STREAK: u64 = 16;
const FRESH: u64 = 2 * 56;
const CLOCK: u64 = 8;

/// The bound, in dispatches, of a coroutine that is ready behind `before` others.
fn in_line(before: u64) -> u64 {
    (STREAK + 1) * (before + 1)
}

/// The index of the calling worker in its runtime, from the name of its thread.
fn here() -> usize {
    let name = thread::current().name().unwrap().to_owned();
    name.rsplit('-').next().unwrap().parse().unwrap()
}

fn dispatches(handle: &Handle) -> u64 {
    handle.stats().workers[here()].dispatches
}

/// Runs `act` on a thread outside of the runtime, while the calling worker is held.
fn from_outside<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    thread::spawn(act).join().unwrap()
}

#[derive(Debug, Clone, Copy)]
enum Flood {
    Yielders,
    Pairs,
    Spawners,
}

const FLOODS: [Flood; 3] = [Flood::Yielders, Flood::Pairs, Flood::Spawners];
/// Coroutines of a flood, on each worker.
const CROWD: u64 = 20;

impl Flood {
    /// Starts the flood on the calling coroutine's worker.
    fn begin(self, stop: &Arc<AtomicBool>) {
        for _ in 0..CROWD / 2 {
            match self {
                Self::Yielders => (0..2).for_each(|_| {
                    let stop = stop.clone();
                    spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            yield_now();
                        }
                    });
                }),
                Self::Pairs => pair(stop),
                Self::Spawners => (0..2).for_each(|_| spawner(stop.clone())),
            }
        }
    }
}

fn spawner(stop: Arc<AtomicBool>) {
    spawn(move || {
        if !stop.load(Ordering::Relaxed) {
            spawner(stop);
        }
    });
}

fn pair(stop: &Arc<AtomicBool>) {
    let ids: Arc<[OnceLock<Id>; 2]> = Arc::default();
    for number in 0..2 {
        let (stop, ids) = (stop.clone(), ids.clone());
        spawn(move || {
            ids[number].set(current().unwrap().id()).unwrap();
            let other = loop {
                match ids[1 - number].get() {
                    Some(other) => break other,
                    None => yield_now(),
                }
            };
            while !stop.load(Ordering::Relaxed) {
                other.unpark();
                park();
            }
            other.unpark();
        });
    }
}

/// Records when and on which worker an awaited coroutine ran.
#[derive(Default)]
struct Report {
    worker: AtomicUsize,
    at: AtomicU64,
    came: AtomicBool,
}

impl Report {
    /// Called by the awaited coroutine when it runs.
    fn here(&self, handle: &Handle, driver: Id) {
        self.worker.store(here(), Ordering::SeqCst);
        self.at.store(dispatches(handle), Ordering::SeqCst);
        self.came.store(true, Ordering::SeqCst);
        driver.unpark();
    }
}

/// The state shared by the drivers, of which each worker runs one.
struct Stage {
    handle: Handle,
    clock: VirtualClock,
    barrier: Barrier,
    bases: Vec<AtomicU64>,
    /// The number of rounds that have ended, of all drivers.
    rounds: AtomicUsize,
}

impl Stage {
    /// Calls `act` while every worker is held. Its argument is true for one driver, the leader.
    fn still<T>(&self, act: impl FnOnce(bool) -> T) -> T {
        self.barrier.wait();
        self.bases[here()].store(dispatches(&self.handle), Ordering::SeqCst);
        let leads = self.barrier.wait().is_leader();
        let result = act(leads);
        self.barrier.wait();
        result
    }

    /// Waits for all reports, and checks that each came within `bound` dispatches of its worker.
    fn came(&self, reports: &[Arc<Report>], bound: u64) {
        for report in reports {
            while !report.came.load(Ordering::SeqCst) {
                park();
            }
            let base = self.bases[report.worker.load(Ordering::SeqCst)].load(Ordering::SeqCst);
            let took = report.at.load(Ordering::SeqCst) - base;
            assert!(took <= bound, "{took} dispatches instead of {bound}");
        }
    }
}

fn reports(count: u64) -> Vec<Arc<Report>> {
    (0..count).map(|_| Arc::default()).collect()
}

/// Runs `round` some times on each worker of a flooded runtime, with one worker and with two.
fn under_every_flood(round: impl Fn(&Stage) + Send + Sync + 'static) {
    let round = Arc::new(round);
    for (workers, flood) in [1, 2].into_iter().flat_map(|n| FLOODS.map(|flood| (n, flood))) {
        eprintln!("{flood:?}, workers: {workers}");
        let clock = VirtualClock::manual();
        let rt = Runtime::builder()
            .workers(workers)
            .clock(Clock::Virtual(clock.clone()))
            .build()
            .unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stage = Arc::new(Stage {
            handle: rt.handle().clone(),
            clock,
            barrier: Barrier::new(workers),
            bases: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            rounds: AtomicUsize::new(0),
        });
        let drivers: Vec<_> = (0..workers)
            .map(|_| {
                let (stage, stop, round) = (stage.clone(), stop.clone(), round.clone());
                rt.spawn(move || {
                    // Each driver holds its worker here, so that every worker has one.
                    stage.barrier.wait();
                    flood.begin(&stop);
                    (0..200).for_each(|_| yield_now());
                    for number in 1..=20 {
                        round(&stage);
                        // Yields and does not block: a coroutine that is waited for may be here.
                        stage.rounds.fetch_add(1, Ordering::SeqCst);
                        while stage.rounds.load(Ordering::SeqCst) < number * workers {
                            yield_now();
                        }
                    }
                    stop.store(true, Ordering::SeqCst);
                })
            })
            .collect();
        drivers.into_iter().for_each(|one| one.join().unwrap());
        assert!(rt.handle().wait_idle(None));
    }
}

/// The most coroutines in a worker's queue: both floods, the drivers, and those of a round.
const LINE: u64 = 2 * CROWD + 2 + 2 * COUNT;
/// Coroutines of a round, per worker.
const COUNT: u64 = 10;

#[test]
fn due_timers_keep_their_bound() {
    under_every_flood(|stage| {
        let driver = current().unwrap().id();
        let due = stage.handle.now() + Duration::from_secs(1);
        let asleep = Arc::new(AtomicU64::new(0));
        let reports = reports(COUNT);
        for report in &reports {
            let (handle, report) = (stage.handle.clone(), report.clone());
            let asleep = asleep.clone();
            spawn(move || {
                asleep.fetch_add(1, Ordering::SeqCst);
                sleep_until(due);
                report.here(&handle, driver);
            });
        }
        while asleep.load(Ordering::SeqCst) < COUNT {
            yield_now();
        }
        stage.still(|leads| {
            if leads {
                stage.clock.advance(Duration::from_secs(1));
            }
        });
        stage.came(&reports, CLOCK + in_line(LINE));
    });
}

#[test]
fn one_from_outside_keeps_its_bound() {
    under_every_flood(|stage| {
        let driver = current().unwrap().id();
        let reports = stage.still(|leads| {
            let reports = reports(u64::from(leads));
            for report in &reports {
                let (handle, report) = (stage.handle.clone(), report.clone());
                from_outside(move || {
                    let inner = handle.clone();
                    handle.spawn(move || report.here(&inner, driver));
                });
            }
            reports
        });
        stage.came(&reports, FRESH);
    });
}

#[test]
fn many_from_outside_keep_their_bound() {
    under_every_flood(|stage| {
        let driver = current().unwrap().id();
        let reports = stage.still(|_| {
            let reports = reports(COUNT);
            for report in &reports {
                let (handle, report) = (stage.handle.clone(), report.clone());
                from_outside(move || {
                    let inner = handle.clone();
                    handle.spawn(move || report.here(&inner, driver));
                });
            }
            reports
        });
        // All others may be ahead of each, and, in a deque, all of the floods.
        stage.came(&reports, FRESH * LINE);
    });
}

#[test]
fn those_woken_from_outside_keep_their_bound() {
    under_every_flood(|stage| {
        let driver = current().unwrap().id();
        let reports = reports(COUNT);
        let parked: Vec<_> = reports
            .iter()
            .map(|report| {
                let (handle, report) = (stage.handle.clone(), report.clone());
                let go = Arc::new(AtomicBool::new(false));
                let inner = go.clone();
                let id = spawn(move || {
                    while !inner.load(Ordering::SeqCst) {
                        park();
                    }
                    report.here(&handle, driver);
                })
                .id();
                (id, go)
            })
            .collect();
        let ids: Vec<_> = parked.iter().map(|(id, _)| *id).collect();
        let is_parked = |id| common::row(&stage.handle, id).unwrap().state == State::Parked;
        while !ids.iter().all(|id| is_parked(*id)) {
            yield_now();
        }
        stage.still(|_| {
            parked.iter().for_each(|(_, go)| go.store(true, Ordering::SeqCst));
            from_outside(move || ids.into_iter().for_each(Id::unpark));
        });
        stage.came(&reports, 1 + in_line(LINE));
    });
}

#[test]
fn those_that_are_ready_keep_their_bound() {
    under_every_flood(|stage| {
        let driver = current().unwrap().id();
        let reports = reports(COUNT);
        let begun = Arc::new(AtomicU64::new(0));
        let go = Arc::new(AtomicBool::new(false));
        for report in &reports {
            let (handle, report) = (stage.handle.clone(), report.clone());
            let (begun, go) = (begun.clone(), go.clone());
            spawn(move || {
                begun.fetch_add(1, Ordering::SeqCst);
                while !go.load(Ordering::SeqCst) {
                    yield_now();
                }
                report.here(&handle, driver);
            });
        }
        while begun.load(Ordering::SeqCst) < COUNT {
            yield_now();
        }
        stage.still(|_| go.store(true, Ordering::SeqCst));
        stage.came(&reports, in_line(LINE));
    });
}

#[test]
fn those_just_spawned_keep_their_bound() {
    under_every_flood(|stage| {
        let driver = current().unwrap().id();
        let reports = stage.still(|_| {
            let reports = reports(COUNT);
            for report in &reports {
                let (handle, report) = (stage.handle.clone(), report.clone());
                spawn(move || report.here(&handle, driver));
            }
            reports
        });
        stage.came(&reports, FRESH * LINE);
    });
}

#[test]
fn a_free_worker_takes_what_a_held_one_has_spawned() {
    // The spawner keeps its worker busy until another worker has run its coroutine: a wake that is
    // lost between the two hangs the test.
    let rt = runtime(2);
    let steals = |rt: &Runtime| rt.handle().stats().workers.iter().map(|w| w.steals).sum::<u64>();
    let before = steals(&rt);
    let rounds = or_long(5_000, 20_000);
    rt.spawn(move || {
        for round in 0..rounds {
            let (done, end) = mpsc::channel();
            spawn(move || done.send(round).unwrap());
            if round % 3 == 0 {
                // In some rounds the other worker has gone to sleep by then.
                for step in 0..round % 1000 {
                    std::hint::black_box(step);
                }
            }
            assert_eq!(end.recv(), Ok(round));
        }
    })
    .join()
    .unwrap();
    assert!(steals(&rt) - before >= rounds);
}

#[test]
fn a_worker_with_work_of_its_own_keeps_no_other_from_being_called() {
    // A thread wakes a coroutine and spawns another. The first holds its worker until the second
    // has run: whichever worker is woken for the first, another one must be woken too.
    for workers in [2, 3] {
        let rt = runtime(workers);
        let (wake, woken) = bounded::<mpsc::Receiver<()>>(1);
        let held = Arc::new(AtomicUsize::new(0));
        let inner = held.clone();
        let holder = rt.spawn(move || {
            for end in woken.iter() {
                end.recv().unwrap();
                inner.fetch_add(1, Ordering::SeqCst);
            }
        });
        for round in 0..or_long(250, 1_000) {
            common::until(|| held.load(Ordering::SeqCst) == round);
            until_parked(rt.handle(), holder.id());
            let (done, end) = mpsc::channel();
            wake.try_send(end).unwrap();
            rt.spawn(move || done.send(()).unwrap());
        }
        drop(wake);
        holder.join().unwrap();
    }
}

#[test]
fn every_spawn_from_outside_finds_a_worker_awake_or_wakes_one() {
    for workers in [1, 2] {
        let rt = runtime(workers);
        for round in 0..10_000_u32 {
            assert_eq!(rt.spawn(move || round).join().unwrap(), round);
        }
    }
}

#[test]
fn a_line_of_coroutines_takes_turns() {
    // Each runs at most twice between two turns of any other.
    let rt = runtime(1);
    let turns: Arc<Vec<AtomicU64>> = Arc::new((0..50).map(|_| AtomicU64::new(0)).collect());
    let go = Arc::new(AtomicBool::new(false));
    let crew: Vec<_> = (0..50)
        .map(|number| {
            let (turns, go) = (turns.clone(), go.clone());
            rt.spawn(move || {
                while !go.load(Ordering::SeqCst) {
                    yield_now();
                }
                for turn in 1..=500 {
                    turns[number].store(turn, Ordering::SeqCst);
                    yield_now();
                    for other in turns.iter() {
                        let other = other.load(Ordering::SeqCst);
                        assert!(other.abs_diff(turn) <= 2, "{other} turns, {turn} turns");
                    }
                }
            })
        })
        .collect();
    until_all_ready(rt.handle(), 50);
    go.store(true, Ordering::SeqCst);
    crew.into_iter().for_each(|one| one.join().unwrap());
}

fn until_all_ready(handle: &Handle, count: usize) {
    common::until(|| handle.dump().iter().filter(|row| row.state != State::Fresh).count() == count);
}
