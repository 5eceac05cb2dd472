// SPDX-License-Identifier: BSD-3-Clause
//! The metrics pipe: a channel on which a channel reports its operations.
//!
//! An event is due when `emit_min_ops` operations have happened since the last one, or when
//! `emit_min_ms` have passed since then with at least one operation. Both are exact: the operation
//! that completes the number sends the event; for the time, the first operation after an event sets
//! a timer. Nothing polls, and an idle channel has no timer.
//!
//! ```text
//!   operation ──► count ──┬─ reaches due ──────────────► emit
//!                         └─ first since the last event ─► timer ──► emit
//! ```
//!
//! # Invariants
//!
//! 1. `state` is locked for an emission, so that events are in order and their deltas add up.
//! 2. An event for which the pipe has no room is dropped; its deltas are in the next one.
//! 3. `armed` is true while a timer is set, or none is needed.
//! 4. The pipe's handle belongs to C once C has got it; until then it is ours.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use becket_chan::timer::{Key, Timers};
use libc::{c_int, c_long, c_ulong, c_void};
use parking_lot::Mutex;

use crate::boundary::{answer, call};
use crate::chan::make::Plan;
use crate::chan::operate::{self, Limits};
use crate::chan::{CLOSED, Chan, KC_BUFFERED, METRICS, known, lent};
use crate::clock;
use crate::config;
use crate::errno;
use crate::handle::{lend, place};
use crate::stats::{self, Totals};

const CAPACITY_DEFAULT: usize = 64;

static TIMERS: Timers<Weak<Chan>> = Timers::new("kcoro-metrics", |chan, _| elapsed(&chan));

/// `struct kc_chan_metrics_event`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "documented in kcoro.h")]
pub struct MetricsEvent {
    pub chan: *mut c_void,
    pub total_sends: c_ulong,
    pub total_recvs: c_ulong,
    pub total_bytes_sent: c_ulong,
    pub total_bytes_recv: c_ulong,
    pub delta_sends: c_ulong,
    pub delta_recvs: c_ulong,
    pub delta_bytes_sent: c_ulong,
    pub delta_bytes_recv: c_ulong,
    pub first_op_time_ns: c_long,
    pub last_op_time_ns: c_long,
    pub emit_time_ns: c_long,
}

/// A channel's side of its pipe.
#[derive(Default)]
pub(crate) struct Pipe {
    /// Operations reported.
    count: AtomicU64,
    /// The count at which an event is due.
    due: AtomicU64,
    armed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    to: Option<Arc<Chan>>,
    /// C has the handle.
    given: bool,
    /// The totals of the last event.
    reported: Totals,
    /// The count at the last attempt to report.
    reported_count: u64,
    reported_ns: i64,
    timer: Option<Key>,
}

impl State {
    fn cancel_timer(&mut self) {
        if let Some(key) = self.timer.take() {
            let _watched = TIMERS.cancel(key);
        }
    }
}

/// Counts an operation on a channel whose metrics are on.
pub(crate) fn note(chan: &Arc<Chan>) {
    let pipe = &chan.pipe;
    let count = pipe.count.fetch_add(1, Ordering::AcqRel) + 1;
    if count >= pipe.due.load(Ordering::Acquire) || !pipe.armed.load(Ordering::Acquire) {
        due(chan, count);
    }
}

#[cold]
fn due(chan: &Arc<Chan>, count: u64) {
    let pipe = &chan.pipe;
    let mut state = pipe.state.lock();
    if count >= pipe.due.load(Ordering::Acquire) {
        // Otherwise another thread has reported since.
        if count > state.reported_count {
            emit(chan, &mut state);
        }
    } else if !pipe.armed.load(Ordering::Acquire) {
        arm(chan, &mut state);
    }
}

/// Arms the timer for the next event, if it is needed.
fn arm(chan: &Arc<Chan>, state: &mut State) {
    let pipe = &chan.pipe;
    let every_ms = config::current().chan_metrics_emit_min_ms.load(Ordering::Relaxed);
    let Ok(every_ms) = u64::try_from(every_ms) else {
        // By number only.
        pipe.armed.store(true, Ordering::Release);
        return;
    };
    let passed = u64::try_from(clock::now_ns() - state.reported_ns).unwrap_or(0);
    let left = Duration::from_millis(every_ms).saturating_sub(Duration::from_nanos(passed));
    if left.is_zero() {
        emit(chan, state);
        return;
    }
    // Without a timer thread the next operation tries again.
    if let Ok(key) = TIMERS.set(Instant::now() + left, Arc::downgrade(chan)) {
        state.timer = Some(key);
        pipe.armed.store(true, Ordering::Release);
    }
}

/// Called when the timer fires.
fn elapsed(chan: &Weak<Chan>) {
    let Some(chan) = chan.upgrade() else {
        return;
    };
    let pipe = &chan.pipe;
    let mut state = pipe.state.lock();
    state.timer = None;
    pipe.armed.store(false, Ordering::Release);
    if pipe.count.load(Ordering::Acquire) > state.reported_count {
        arm(&chan, &mut state);
    }
}

fn emit(chan: &Arc<Chan>, state: &mut State) {
    let pipe = &chan.pipe;
    let Some(to) = state.to.clone() else {
        return;
    };
    let config = config::current();
    let every = config.chan_metrics_emit_min_ops.load(Ordering::Relaxed).max(1);
    state.cancel_timer();
    state.reported_count = pipe.count.load(Ordering::Acquire);
    state.reported_ns = clock::now_ns();
    pipe.due.store(state.reported_count.saturating_add(every), Ordering::Release);
    pipe.armed.store(false, Ordering::Release);

    let totals = stats::totals(chan);
    let event = event(chan, state, &totals);
    // SAFETY: the pipe's elements are events.
    let sent = unsafe { operate::send(&to, (&raw const event).cast(), Limits::plain(0)) };
    match sent {
        Ok(()) => state.reported = totals,
        // C has closed or destroyed the pipe.
        Err(errno::EPIPE) => stop(chan, state),
        Err(_) => {}
    }
}

fn event(chan: &Arc<Chan>, state: &State, totals: &Totals) -> MetricsEvent {
    let (first, last) = chan.counters.times_ns();
    let delta = |now: u64, before: u64| now.wrapping_sub(before) as c_ulong;
    MetricsEvent {
        chan: Arc::as_ptr(chan).cast_mut().cast(),
        total_sends: totals.sends as c_ulong,
        total_recvs: totals.recvs as c_ulong,
        total_bytes_sent: totals.bytes_sent as c_ulong,
        total_bytes_recv: totals.bytes_recv as c_ulong,
        delta_sends: delta(totals.sends, state.reported.sends),
        delta_recvs: delta(totals.recvs, state.reported.recvs),
        delta_bytes_sent: delta(totals.bytes_sent, state.reported.bytes_sent),
        delta_bytes_recv: delta(totals.bytes_recv, state.reported.bytes_recv),
        first_op_time_ns: first as c_long,
        last_op_time_ns: last as c_long,
        emit_time_ns: state.reported_ns as c_long,
    }
}

fn stop(chan: &Chan, state: &mut State) {
    chan.clear(METRICS);
    state.cancel_timer();
    state.to = None;
    state.given = false;
}

/// Enables it, if it is not on.
fn enable(chan: &Arc<Chan>, state: &mut State, capacity: usize) -> Result<(), c_int> {
    if state.to.as_ref().is_some_and(|pipe| !pipe.has(CLOSED)) {
        return Ok(());
    }
    let capacity = if capacity == 0 { CAPACITY_DEFAULT } else { capacity };
    state.to = Some(Plan::copy(KC_BUFFERED, size_of::<MetricsEvent>(), capacity).make()?);
    state.given = false;
    state.reported = stats::totals(chan);
    state.reported_ns = clock::now_ns();
    let pipe = &chan.pipe;
    state.reported_count = pipe.count.load(Ordering::Acquire);
    let every = config::current().chan_metrics_emit_min_ops.load(Ordering::Relaxed).max(1);
    pipe.due.store(state.reported_count.saturating_add(every), Ordering::Release);
    pipe.armed.store(false, Ordering::Release);
    chan.set(METRICS);
    Ok(())
}

/// The handle, which from now on is C's to destroy.
fn give(state: &mut State) -> *mut Chan {
    let Some(pipe) = &state.to else {
        return std::ptr::null_mut();
    };
    if state.given {
        return Arc::as_ptr(pipe).cast_mut();
    }
    state.given = true;
    lend(pipe.clone())
}

/// Enables it as the configuration requires for every new channel.
pub(crate) fn enable_if_configured(chan: &Arc<Chan>) {
    let config = config::current();
    if config.chan_metrics_auto_enable.load(Ordering::Relaxed) != 0 {
        let capacity = config.chan_metrics_pipe_capacity.load(Ordering::Relaxed);
        // A channel without metrics is better than none.
        let _without = enable(chan, &mut chan.pipe.state.lock(), capacity);
    }
}

/// Disables it; the pipe stays, if C has it.
pub(crate) fn disable(chan: &Chan) {
    stop(chan, &mut chan.pipe.state.lock());
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid; `out_pipe` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_enable_metrics_pipe(
    handle: *mut Chan,
    out_pipe: *mut *mut Chan,
    capacity: usize,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (chan, out_pipe) = (unsafe { known(handle) }?, place(out_pipe)?);
        let mut state = chan.pipe.state.lock();
        enable(&chan, &mut state, capacity)?;
        // SAFETY: the caller's promise.
        unsafe { out_pipe.write(give(&mut state)) };
        Ok(())
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_disable_metrics_pipe(handle: *mut Chan) -> c_int {
    // SAFETY: the caller's promise.
    answer(|| unsafe { known(handle) }.map(|chan| disable(&chan)))
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_metrics_pipe(handle: *mut Chan) -> *mut Chan {
    call(std::ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        let Some(chan) = (unsafe { lent(handle) }) else {
            return std::ptr::null_mut();
        };
        let mut state = chan.pipe.state.lock();
        if state.to.as_ref().is_some_and(|pipe| pipe.has(CLOSED)) {
            stop(&chan, &mut state);
        }
        give(&mut state)
    })
}
