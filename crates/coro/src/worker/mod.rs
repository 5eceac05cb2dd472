// SPDX-License-Identifier: BSD-3-Clause
//! A worker: one thread that runs coroutines, and all state of their scheduling.
//!
//! | file | contents |
//! |---|---|
//! | `ready` | the queue of ready coroutines |
//! | `fresh` | those that have not started |
//! | `remote` | a worker as other threads see it: its inbox, its sleeping flag |
//! | `turn` | the choice of the next coroutine |
//! | `idle` | searching for work, and sleeping |
//! | `crowd` | how long it sleeps while many timers come |
//! | `wait` | how a coroutine suspends: park, yield, timers |
//! | `end` | the end of a coroutine, and of a worker |
//!
//! A coroutine belongs to the worker that it started on, to its end. So the ready queue, the timers
//! and each coroutine's state are the worker's alone, and are touched by no locked instruction:
//!
//! ```text
//!   spawn ─► fresh deque ──(stolen by idle workers)       other threads ─► inbox
//!              │        injector ◄─ spawn from outside                      │
//!              │        pinned   ◄─ spawn for this worker alone             │
//!              ▼           ▼                                                ▼
//!            start: the coroutine is this worker's     unpark ─► lifo slot, ready queue
//!              │                                                       │
//!              └──────────────────►  run  ◄────────────────────────────┘
//!                                     │
//!                     suspends: parked │ yielded (to the end of the ready queue) │ ended
//! ```
//!
//! # Invariants
//!
//! 1. A coroutine is in one place at most: a deque, an injector (the runtime's, or a worker's of
//!    pinned ones), the lifo slot, the ready queue; or
//!    it runs; or it waits and is in none.
//! 2. Everything in a deque or an injector is fresh; everything in the lifo slot and the ready
//!    queue is this worker's.
//! 3. A worker sleeps only when it has nothing to run, after it has announced the sleep and has
//!    checked once more everything that other threads may have brought (see `sleep`).
//! 4. No user code runs on a worker's own stack, except, at the end of a runtime, the drop of
//!    coroutines that never ran.

mod crowd;
mod end;
mod fresh;
mod idle;
mod ready;
mod remote;
mod turn;
mod wait;

use std::{
    cell::{Cell, RefCell},
    ptr,
    sync::Arc,
    sync::atomic::Ordering,
};

use becket_chan::park::{self, Park};
use becket_chan::timer::wheel::Wheel;
use crossbeam_deque::Worker as Deque;

use self::{crowd::Crowd, fresh::Fresh, idle::SpinBudget, ready::Ready};
pub(crate) use self::{
    end::abandon,
    remote::{Remote, WORKERS_MAX},
    wait::{HOOK, has_come, park_current, sleep_current, unpark, yield_current},
};
use crate::{
    context,
    outside::Claimed,
    runtime::{Counters, Shared},
    slot::{self, CoroutineKey, Slot, State},
    stack,
    switch::Control,
};

/// All state of one worker's thread.
pub(crate) struct Worker {
    /// Its number in the process: the owner of its coroutines.
    pub(crate) number: u16,
    /// Its index among the runtime's workers.
    index: usize,
    pub(crate) shared: Arc<Shared>,
    remote: &'static Remote,
    counters: &'static Counters,
    /// Coroutines that have not started; idle workers may steal them.
    fresh: Fresh,
    ready: Ready,
    /// The coroutine that was woken last is dispatched first: its data is in the cache.
    lifo: Cell<*const Slot>,
    lifo_streak: Cell<u32>,
    timers: RefCell<Box<Wheel<CoroutineKey>>>,
    crowd: Crowd,
    /// The runtime's time at the last read of the clock.
    now: Cell<u64>,
    /// The number of coroutines chosen so far. Wraps.
    tick: Cell<u32>,
    /// The coroutine dispatched last has yielded, while there may have been one that has not started.
    gave_way: Cell<bool>,
    /// The deque may have something. False: it has nothing, except what a steal moved into it.
    has_fresh: Cell<bool>,
    /// The last coroutine that was started out of order came from this worker's deque; the next
    /// comes from outside.
    fresh_turn: Cell<bool>,
    /// The last one from outside was for this worker alone, if there was such a one.
    pinned_turn: Cell<bool>,
    /// Coroutines that this worker owns, including those that ended with a wake in flight.
    owned: Cell<usize>,
    /// The runtime ends: waiting coroutines are unwound.
    stopping: Cell<bool>,
    searching: Cell<bool>,
    spin_budget: SpinBudget,
    /// The sources that it keeps claimed while it runs something.
    claimed: Cell<Option<Claimed>>,
    /// The thread's floating-point control state, which no coroutine changes permanently.
    control: Control,
    pub(crate) stacks: stack::Cache,
    pub(crate) slots: slot::Cache,
}

impl Worker {
    /// Runs coroutines on the calling thread until the runtime ends.
    pub(crate) fn run(shared: Arc<Shared>, index: usize, fresh: Deque<&'static Slot>) {
        let Some(remote) = shared.remote(index) else { return };
        let Some(counters) = shared.counters(index) else { return };
        stack::overflow::prepare_thread();
        let worker = Self {
            number: remote.number,
            index,
            remote,
            counters,
            fresh: Fresh::new(fresh, shared.workers() == 1),
            ready: Ready::new(),
            lifo: Cell::new(ptr::null()),
            lifo_streak: Cell::new(0),
            timers: RefCell::new(Box::default()),
            crowd: Crowd::new(),
            now: Cell::new(shared.clock.now()),
            tick: Cell::new(0),
            gave_way: Cell::new(false),
            has_fresh: Cell::new(false),
            fresh_turn: Cell::new(false),
            pinned_turn: Cell::new(false),
            owned: Cell::new(0),
            stopping: Cell::new(false),
            searching: Cell::new(false),
            spin_budget: SpinBudget::new(),
            claimed: Cell::new(None),
            control: Control::read(),
            stacks: stack::Cache::new(shared.stack_size),
            slots: slot::Cache::new(),
            shared,
        };
        let hook: &'static dyn Park = &HOOK;
        park::set_hook(Some(hook));
        context::set_worker(&raw const worker);
        worker.turns();
        context::set_worker(ptr::null());
        park::set_hook(None);
    }

    /// Puts a new coroutine where it will be started.
    #[inline]
    pub(crate) fn push_fresh(&self, slot: &'static Slot) {
        // Before another worker can have run it to its end.
        Counters::add(&self.counters.spawned, 1);
        self.fresh.push(slot);
        self.has_fresh.set(true);
        if self.shared.workers() > 1 {
            // Pairs with the heavy fence of a worker that is about to sleep.
            becket_chan::fence::light();
            self.shared.call_helper();
        }
    }

    /// Lets one coroutine run until it suspends.
    #[inline(always)]
    fn resume(&self, slot: &'static Slot) {
        if self.searching.get() {
            // It was woken to help, and has work of its own.
            self.found_work();
        }
        Counters::add(&self.counters.dispatches, 1);
        slot.set_state_at(State::Running, self.now.get());
        context::set_slot(slot);
        // SAFETY: it is this worker's (invariant 1), and it does not run.
        let finished = unsafe { slot.switch().resume_from(&self.control) };
        context::set_slot(ptr::null());
        if finished || slot.state() == State::Abandoned {
            self.finish(slot);
        }
    }

    /// Its index among the runtime's workers.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The time at the last read of the clock.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// Reads the clock.
    fn read_clock(&self) -> u64 {
        let now = self.shared.clock.now();
        self.now.set(now);
        now
    }

    fn is_stopped(&self) -> bool {
        self.shared.stop.load(Ordering::SeqCst)
    }
}
