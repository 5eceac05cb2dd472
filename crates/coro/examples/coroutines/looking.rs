// SPDX-License-Identifier: BSD-3-Clause
//! Inspecting what runs: listings, counters, the watchdog.

use std::{
    hint,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use becket_chan::{bounded, rendezvous};
use becket_coro::{Handle, Runtime, Spawn, Stalled, State};

use crate::Shown;

pub(crate) fn show() -> Shown {
    listing()?;
    watching()
}

// ANCHOR: dump
fn listing() -> Shown {
    let runtime = Runtime::builder().workers(1).build()?;
    let rows = runtime.spawn(|| {
        let (ready, here) = bounded(1);
        let (_jobs, inbox) = rendezvous::<u32>();
        Spawn::new().name("reader").spawn(move || {
            ready.send(()).wait().ok();
            inbox.recv().wait().ok()
        })?;
        here.recv().wait().ok();
        Handle::current().map(|runtime| runtime.dump())
    });
    let rows = rows.join()??;
    for row in &rows {
        println!("{row}");
    }
    let reader = rows.iter().find(|row| row.name.as_deref() == Some("reader"));
    assert!(reader.is_some_and(|row| {
        row.state == State::Parked && row.site.file().ends_with("looking.rs")
    }));
    Ok(())
}
// ANCHOR_END: dump

// ANCHOR: watchdog
static REPORTED: AtomicBool = AtomicBool::new(false);

fn report(stalled: &Stalled) {
    println!("{stalled}");
    REPORTED.store(true, Ordering::Release);
}

fn watching() -> Shown {
    let bound = Duration::from_millis(20);
    let runtime = Runtime::builder().workers(1).watchdog(bound, report).build()?;
    let busy = Spawn::new().name("busy").on(runtime.handle()).spawn(|| {
        // Computes without a wait, until the watchdog has reported it.
        while !REPORTED.load(Ordering::Acquire) {
            hint::spin_loop();
        }
    })?;
    busy.join()?;

    let stats = runtime.handle().stats();
    assert_eq!(stats.spawned, 1);
    assert_eq!(stats.workers.iter().map(|worker| worker.dispatches).sum::<u64>(), 1);
    Ok(())
}
// ANCHOR_END: watchdog
