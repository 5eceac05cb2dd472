// SPDX-License-Identifier: BSD-3-Clause
//! Finds threads that are stuck inside a plugin.
//!
//! Entering a plugin costs one load here: the watchdog ticks only while plugins are being called,
//! and reads every thread record. A thread that is inside, and entered no more often than at the
//! last look, has not come back since. A tick that finds no thread active disarms itself, with the
//! barrier by which a thread that entered meanwhile arms it again.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use becket_chan::fence;

use crate::{
    instance::Instance,
    thread::{self, ThreadRecord},
    timer,
};

/// How often it looks while plugins are being called.
const TICK: Duration = Duration::from_millis(5);

/// A thread that was lent and is asleep inside the plugin for this long has blocked.
const ASLEEP: Duration = Duration::from_millis(10);

static ARMED: AtomicBool = AtomicBool::new(false);
static SEEN: Mutex<Option<HashMap<u32, Seen>>> = Mutex::new(None);

/// What the last tick saw of a thread.
struct Seen {
    turns: u64,
    since: Instant,
    /// It was reported as stuck to what the plugin runs for.
    is_observed: bool,
    /// Where it was reported as blocked, and whether as a worker.
    blocked_in: Option<(&'static Instance, bool)>,
}

/// A thread is about to enter a plugin.
#[inline]
pub(crate) fn notify_entered() {
    if !ARMED.load(Ordering::Relaxed) {
        arm();
    }
}

#[cold]
fn arm() {
    if !ARMED.swap(true, Ordering::SeqCst) {
        watch(Instant::now());
    }
}

fn watch(now: Instant) {
    if timer::set(now + TICK, timer::Task::Watch).is_none() {
        // The next to enter tries again.
        ARMED.store(false, Ordering::SeqCst);
    }
}

/// Looks at every thread once; sets the next tick if any is active.
pub(crate) fn tick(now: Instant) {
    if look(now) {
        watch(now);
        return;
    }
    ARMED.store(false, Ordering::SeqCst);
    fence::heavy();
    // A thread that entered before the barrier is visible now; one that enters after it sees the
    // flag.
    if look(now) {
        arm();
    }
}

/// True if some thread is inside a plugin, or was since the last look.
fn look(now: Instant) -> bool {
    let mut seen = SEEN.lock();
    let seen = seen.get_or_insert_default();
    let mut active = false;
    for record in thread::all() {
        let (turns, inside) = record.observed();
        let fresh = || Seen { turns, since: now, is_observed: false, blocked_in: None };
        let entry = seen.entry(record.index).or_insert_with(fresh);
        active |= entry.turns != turns;
        // SAFETY: null, or an instance, which are never freed.
        let inside = unsafe { inside.as_ref() };
        if entry.turns != turns || inside.is_none() {
            if let Some((instance, is_worker)) = entry.blocked_in.take() {
                instance.unblocked(is_worker);
            }
            *entry = fresh();
        }
        let Some(instance) = inside else { continue };
        active = true;
        let stuck_for = now.saturating_duration_since(entry.since);
        let is_worker = record.is_worker();
        let is_late = stuck_for >= instance.block_report();
        if is_worker && stuck_for >= TICK {
            record.set_stuck();
            instance.calls.rescue();
        }
        if !is_worker && stuck_for >= TICK {
            // It may be an executor's, and the one that waited for input and output on behalf of
            // the others.
            record.fire_kept();
            instance.plugin.executor.wake();
            if !std::mem::replace(&mut entry.is_observed, true)
                && let Some(observer) = &instance.plugin.observer
            {
                observer.stuck();
            }
            // A thread that the system runs others in place of is not the plugin's fault.
            if is_late || (stuck_for >= ASLEEP && is_asleep(record)) {
                instance.revoke(stuck_for);
            }
        }
        if entry.blocked_in.is_none() && is_late {
            entry.blocked_in = Some((instance, is_worker));
            instance.blocked(stuck_for, is_worker);
        }
    }
    active
}

/// True if the thread waits for something, and not for a processor.
fn is_asleep(record: &ThreadRecord) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", record.tid()));
    // The name before it is in parentheses, and may hold any byte.
    let state = |stat: String| stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('S'));
    stat.ok().and_then(state).unwrap_or(false)
}
