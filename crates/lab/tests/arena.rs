// SPDX-License-Identifier: BSD-3-Clause
//! Runs that share memory: a trace does not depend on the runs before it, and a run allocates
//! nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use becket_lab::adapters::{HEALTHY, MemoryEgressAdapter, MemoryIngressAdapter};
use becket_lab::choice::{Choices, Random, Scheduler};
use becket_lab::config::Config;
use becket_lab::contract::{Adapter, Limits, Tick};
use becket_lab::fault::{FaultKinds, FaultPlan};
use becket_lab::link::Link;
use becket_lab::replay::Case;
use becket_lab::rules::{Examined, Examiner};
use becket_lab::source::{FlowPlan, Source};
use becket_lab::target::Behaviour;
use becket_lab::trace::{FaultKind, Trace};
use becket_lab::world::{self, Arena};
use proptest::prelude::*;

const WINDOW_BYTES: u64 = 64 << 10;

/// A run of any kind, decided by a seed.
struct Drawn {
    config: Config,
    plans: Vec<FlowPlan>,
    behaviour: Behaviour,
    window_bytes: u64,
    link: Link,
    faults: FaultPlan,
    limits: Limits,
    scheduler: Scheduler,
    pair: usize,
}

fn one_of<T: Copy>(random: &mut Random, all: &[T]) -> T {
    all[random.below(all.len() as u32) as usize]
}

impl Drawn {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let max_chunk_bytes = one_of(&mut random, &[1, 300, 5000, 64 << 10]);
        let max_flows = one_of(&mut random, &[2, 16]);
        let config = Config {
            deterministic_seed: seed,
            max_chunk_bytes,
            max_flows,
            max_events: 2000,
            ..Config::default()
        };
        let source = one_of(&mut random, &Source::ALL);
        let flows = one_of(&mut random, &[1, 2, 4, 9, 70]);
        let budget = one_of(&mut random, &[0, 0, 5, 40]);
        // Without those that break the network there is nothing between the sessions but a line.
        let alone = [FaultKind::Delay, FaultKind::Stall, FaultKind::WouldBlock];
        let kinds = match budget {
            0 => FaultKinds::NONE,
            5 => FaultKinds::only(one_of(&mut random, &alone)),
            _ => FaultKinds::ALL,
        };
        let flow_buffered_bytes_max = one_of(&mut random, &[200, 64 << 10]);
        Self {
            plans: source.plan(&config, flows),
            config,
            behaviour: one_of(&mut random, &Behaviour::ALL),
            window_bytes: one_of(&mut random, &[500, WINDOW_BYTES]),
            link: one_of(&mut random, &Link::ALL),
            faults: FaultPlan::new(kinds, budget, Tick(100)),
            limits: Limits {
                flows_max: one_of(&mut random, &[3, 16]),
                buffered_bytes_max: 4 * flow_buffered_bytes_max,
                flow_buffered_bytes_max,
            },
            scheduler: one_of(
                &mut random,
                &[
                    Scheduler::Random,
                    Scheduler::RoundRobin,
                    Scheduler::Pct { changes: 2, steps: 200 },
                ],
            ),
            pair: random.below(HEALTHY.len() as u32) as usize,
        }
    }

    fn run(&self, arena: &mut Arena) -> Trace {
        self.run_in(Some(arena))
    }

    /// In an arena, or in the thread's.
    fn run_in(&self, arena: Option<&mut Arena>) -> Trace {
        let case = Case {
            config: self.config.clone(),
            plans: self.plans.clone(),
            behaviour: self.behaviour,
            window_bytes: self.window_bytes,
            link: self.link,
            faults: self.faults,
        };
        let mut trace = Trace::new(self.config.max_events);
        let mut choices = Choices::scheduled(self.config.deterministic_seed, self.scheduler);
        let factory = || (HEALTHY[self.pair].make)(self.limits);
        match arena {
            Some(arena) => arena.run_with(&case, &factory, &mut choices, &mut trace),
            None => world::run_with(&case, &factory, &mut choices, &mut trace),
        }
        trace
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_trace_does_not_depend_on_the_runs_before(
        seeds in proptest::collection::vec(any::<u64>(), 1..16),
    ) {
        let mut arena = Arena::new();
        for seed in seeds {
            let drawn = Drawn::new(seed);
            let fresh = drawn.run(&mut Arena::new());
            for shared in [drawn.run(&mut arena), drawn.run_in(None)] {
                prop_assert_eq!(fresh.events(), shared.events());
            }
        }
    }
}

/// An adapter that panics when it is made anew breaks its run off wherever that stands.
#[test]
fn nothing_of_a_run_that_was_broken_off_is_seen_in_the_next() {
    let (mut arena, mut broken_off) = (Arena::new(), 0);
    for seed in 0..200 {
        let crashes = FaultPlan::new(FaultKinds::only(FaultKind::Crash), 3, Tick(100));
        let crashing = Drawn { faults: crashes, ..Drawn::new(seed) };
        let made = Cell::new(false);
        let factory = || {
            assert!(!made.replace(true), "a second pair");
            (HEALTHY[crashing.pair].make)(crashing.limits)
        };
        let case = Case {
            config: crashing.config.clone(),
            plans: crashing.plans.clone(),
            behaviour: crashing.behaviour,
            window_bytes: crashing.window_bytes,
            link: crashing.link,
            faults: crashing.faults,
        };
        let run = || {
            let (mut choices, mut trace) = (Choices::seeded(seed), Trace::new(2000));
            arena.run_with(&case, &factory, &mut choices, &mut trace);
        };
        broken_off += u32::from(catch_unwind(AssertUnwindSafe(run)).is_err());
        let drawn = Drawn::new(1000 + seed);
        assert_eq!(drawn.run(&mut Arena::new()).events(), drawn.run(&mut arena).events());
    }
    assert!(broken_off > 50, "{broken_off}");
}

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: the system's allocator, with a count beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises, unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises, unchanged.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_run_and_its_examination_allocate_nothing_in_the_long_run() {
    let limits =
        Limits { flows_max: 16, buffered_bytes_max: 1 << 20, flow_buffered_bytes_max: 64 << 10 };
    let mut adapters = (MemoryIngressAdapter::new(limits), MemoryEgressAdapter::new(limits));
    let manifests = [adapters.0.manifest(), adapters.1.manifest()];
    let (mut arena, mut examiner) = (Arena::new(), Examiner::new());
    let mut trace = Trace::new(4096);
    for behaviour in [Behaviour::Echo, Behaviour::Discard] {
        let mut allocated = 0;
        for seed in 0..400 {
            let config = Config { deterministic_seed: seed, ..Config::default() };
            let case = Case {
                plans: Source::SmallBurst.plan(&config, 4),
                config,
                behaviour,
                window_bytes: WINDOW_BYTES,
                link: Link::Stream,
                faults: FaultPlan::NONE,
            };
            let mut choices = Choices::seeded(seed);
            let before = ALLOCATIONS.get();
            trace.clear();
            adapters.0.renew();
            adapters.1.renew();
            arena.run(&case, (&mut adapters.0, &mut adapters.1), &mut choices, &mut trace);
            let examined = Examined::new(&trace, &case, manifests.each_ref());
            assert_eq!(examiner.examine(&examined).broken, 0);
            // At first everything grows to the length that it needs.
            if seed >= 300 {
                allocated += ALLOCATIONS.get() - before;
            }
        }
        assert_eq!(allocated, 0, "{behaviour:?}");
    }
}
