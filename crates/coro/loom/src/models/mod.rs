// SPDX-License-Identifier: BSD-3-Clause
//! Small programs, each run by loom under every interleaving of its threads in which at most
//! `LOOM_MAX_PREEMPTIONS` of them (2 by default) are preempted, with every value that each load may
//! see.

mod done;
mod wake_state;
mod sleep;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use loom::thread::{self, JoinHandle};

const PREEMPTIONS: usize = 2;

/// Runs a model under every interleaving.
fn model(run: impl Fn() + Send + Sync + 'static) {
    explore(0, run);
}

/// As [`model`], with one preemption less, for more threads.
fn large_model(run: impl Fn() + Send + Sync + 'static) {
    explore(1, run);
}

fn explore(fewer: usize, run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    let preemptions = builder.preemption_bound.unwrap_or(PREEMPTIONS);
    builder.preemption_bound = Some(preemptions.saturating_sub(fewer));
    builder.max_branches = 5_000;
    let runs = Arc::new(AtomicUsize::new(0));
    let count = runs.clone();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        run();
    });
    let name = std::thread::current().name().map(str::to_owned).unwrap_or_default();
    println!("{name}: {} runs", runs.load(Ordering::Relaxed));
}

fn spawn<R: 'static>(run: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    thread::spawn(run)
}

fn join<R>(thread: JoinHandle<R>) -> R {
    thread.join().unwrap()
}
