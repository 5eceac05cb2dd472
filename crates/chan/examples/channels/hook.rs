// SPDX-License-Identifier: BSD-3-Clause
//! A custom scheduler behind the park hook. Its coroutines are threads here, so that the example
//! is small; a real scheduler suspends the coroutine in `park` and runs another.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Instant;

use becket_chan::park::{Park, Unparker, set_hook};
use becket_chan::rendezvous;
use parking_lot::Mutex;

use crate::Shown;

// ANCHOR: hook
/// The living coroutines, by number. A number is never reused, so that a late unpark finds no
/// coroutine.
static FLOWS: LazyLock<Mutex<HashMap<usize, Thread>>> = LazyLock::new(Mutex::default);
static PARKED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

struct Scheduler;

impl Park for Scheduler {
    fn unparker(&self) -> Unparker {
        Unparker::new(
            |flow| {
                if let Some(thread) = FLOWS.lock().get(&flow) {
                    thread.unpark();
                }
            },
            CURRENT.get(),
        )
    }

    fn park(&self, deadline: Option<Instant>) {
        PARKED.fetch_add(1, Ordering::Relaxed);
        match deadline {
            None => thread::park(),
            Some(at) => thread::park_timeout(at.saturating_duration_since(Instant::now())),
        }
    }
}

fn run_flow(flow: usize, body: impl FnOnce()) {
    FLOWS.lock().insert(flow, thread::current());
    CURRENT.set(flow);
    // From here on a wait on this thread parks the coroutine.
    let before = set_hook(Some(&Scheduler));
    body();
    set_hook(before);
    FLOWS.lock().remove(&flow);
}

pub(crate) fn show() -> Shown {
    let (tx, rx) = rendezvous();
    thread::scope(|scope| {
        scope.spawn(|| run_flow(1, || rx.iter().for_each(|n: u32| assert!(n < 100))));
        scope.spawn(move || run_flow(2, || (0..100).for_each(|n| _ = tx.send(n).wait())));
    });
    assert_eq!(rx.snapshot().matches, 100);
    assert!(PARKED.load(Ordering::Relaxed) > 0, "somebody had to wait");
    Ok(())
}
// ANCHOR_END: hook
