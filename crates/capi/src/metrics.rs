// SPDX-License-Identifier: BSD-3-Clause
//! Channels on which a channel reports its operations: its metrics pipe, and event channels, each of
//! which several channels may report to.
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
//! 2. An event for which its destination has no room is dropped; its deltas are in the next one.
//! 3. `armed` is true while a timer is set, or none is needed.
//! 4. The pipe's handle belongs to C once C has got it; until then it is ours.
//! 5. Reports go round in no circle: only a pipe or an event channel (`EVENTS`) is reported to, and
//!    such a channel itself reports to a new pipe at most. So the locks of `state` have an order.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use becket_chan::timer::{Key, Timers};
use libc::{c_int, c_long, c_ulong, c_void};
use parking_lot::Mutex;

use crate::boundary::{answer, call};
use crate::chan::make::Plan;
use crate::chan::operate::{self, Limits};
use crate::chan::{CLOSED, Chan, EVENTS, KC_BUFFERED, METRICS, known, lent};
use crate::clock;
use crate::config;
use crate::errno;
use crate::handle::{lend, place};
use crate::stats::{self, Totals};

const CAPACITY_DEFAULT: usize = 64;
/// The largest number of event channels that one channel reports to.
const SUBSCRIBED_MAX: usize = 8;

/// The event channels that every new channel reports to.
static SUBSCRIBED: Mutex<Vec<Arc<Chan>>> = Mutex::new(Vec::new());
/// Whether there are some. Changed under their lock.
static HAS_SUBSCRIBED: AtomicBool = AtomicBool::new(false);

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
    pipe: Option<Destination>,
    /// C has the pipe's handle.
    given: bool,
    subscribed: Vec<Destination>,
    /// The count at the last attempt to report.
    reported_count: u64,
    reported_ns: i64,
    timer: Option<Key>,
}

/// A channel that gets the events.
struct Destination {
    to: Arc<Chan>,
    /// The totals of the last event that it got.
    reported: Totals,
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
    schedule(chan, state);
    let (totals, now_ns) = (stats::totals(chan), state.reported_ns);
    if state.pipe.as_mut().is_some_and(|pipe| !pipe.report(chan, &totals, now_ns)) {
        state.pipe = None;
        state.given = false;
    }
    state.subscribed.retain_mut(|subscribed| subscribed.report(chan, &totals, now_ns));
    disarm_if_unused(chan, state);
}

/// From now on the next event is counted.
fn schedule(chan: &Chan, state: &mut State) {
    let pipe = &chan.pipe;
    let every = config::current().chan_metrics_emit_min_ops.load(Ordering::Relaxed).max(1);
    state.cancel_timer();
    state.reported_count = pipe.count.load(Ordering::Acquire);
    state.reported_ns = clock::now_ns();
    pipe.due.store(state.reported_count.saturating_add(every), Ordering::Release);
    pipe.armed.store(false, Ordering::Release);
}

impl Destination {
    /// False: C has closed or destroyed it.
    fn report(&mut self, chan: &Arc<Chan>, totals: &Totals, now_ns: i64) -> bool {
        let event = event(chan, &self.reported, totals, now_ns);
        // SAFETY: its elements are events.
        let sent = unsafe { operate::send(&self.to, (&raw const event).cast(), Limits::plain(0)) };
        if sent.is_ok() {
            self.reported = *totals;
        }
        sent != Err(errno::EPIPE)
    }
}

fn event(chan: &Arc<Chan>, reported: &Totals, totals: &Totals, now_ns: i64) -> MetricsEvent {
    let (first, last) = chan.counters.times_ns();
    let delta = |now: u64, before: u64| now.wrapping_sub(before) as c_ulong;
    MetricsEvent {
        chan: Arc::as_ptr(chan).cast_mut().cast(),
        total_sends: totals.sends as c_ulong,
        total_recvs: totals.recvs as c_ulong,
        total_bytes_sent: totals.bytes_sent as c_ulong,
        total_bytes_recv: totals.bytes_recv as c_ulong,
        delta_sends: delta(totals.sends, reported.sends),
        delta_recvs: delta(totals.recvs, reported.recvs),
        delta_bytes_sent: delta(totals.bytes_sent, reported.bytes_sent),
        delta_bytes_recv: delta(totals.bytes_recv, reported.bytes_recv),
        first_op_time_ns: first as c_long,
        last_op_time_ns: last as c_long,
        emit_time_ns: now_ns as c_long,
    }
}

/// Reports no more, if there is nowhere to report to.
fn disarm_if_unused(chan: &Chan, state: &mut State) {
    if state.pipe.is_none() && state.subscribed.is_empty() {
        chan.clear(METRICS);
        state.cancel_timer();
    }
}

fn stop(chan: &Chan, state: &mut State) {
    state.pipe = None;
    state.given = false;
    disarm_if_unused(chan, state);
}

/// A destination that gets what happens from now on.
fn begin(chan: &Arc<Chan>, state: &mut State, to: Arc<Chan>) -> Destination {
    if !chan.has(METRICS) {
        schedule(chan, state);
        chan.set(METRICS);
    }
    Destination { to, reported: stats::totals(chan) }
}

/// Enables it, if it is not on.
fn enable(chan: &Arc<Chan>, state: &mut State, capacity: usize) -> Result<(), c_int> {
    if state.pipe.as_ref().is_some_and(|pipe| !pipe.to.has(CLOSED)) {
        return Ok(());
    }
    let pipe = begin(chan, state, event_channel(capacity)?);
    state.pipe = Some(pipe);
    state.given = false;
    Ok(())
}

/// A channel of events.
fn event_channel(capacity: usize) -> Result<Arc<Chan>, c_int> {
    let capacity = if capacity == 0 { CAPACITY_DEFAULT } else { capacity };
    let events = Plan::copy(KC_BUFFERED, size_of::<MetricsEvent>(), capacity).make()?;
    events.set(EVENTS);
    Ok(events)
}

/// Subscribes `to`, an event channel, to a channel that is none.
fn subscribe(chan: &Arc<Chan>, to: &Arc<Chan>) -> Result<(), c_int> {
    if chan.has(EVENTS) {
        return Err(errno::EINVAL);
    }
    let mut state = chan.pipe.state.lock();
    if state.pipe.as_ref().is_some_and(|pipe| Arc::ptr_eq(&pipe.to, to)) {
        return Err(errno::EALREADY);
    }
    add_to(&mut state.subscribed, to, |it| &it.to)?;
    let subscribed = begin(chan, &mut state, Arc::clone(to));
    state.subscribed.push(subscribed);
    Ok(())
}

/// Whether there is room for `to`, which is not there yet.
fn add_to<T>(
    those: &mut Vec<T>,
    to: &Arc<Chan>,
    channel: impl Fn(&T) -> &Arc<Chan>,
) -> Result<(), c_int> {
    those.retain(|it| !channel(it).has(CLOSED));
    if those.iter().any(|it| Arc::ptr_eq(channel(it), to)) {
        return Err(errno::EALREADY);
    }
    if those.len() >= SUBSCRIBED_MAX { Err(errno::ENOSPC) } else { Ok(()) }
}

/// The handle, which from now on is C's to destroy.
fn give(state: &mut State) -> *mut Chan {
    let Some(Destination { to: pipe, .. }) = &state.pipe else {
        return std::ptr::null_mut();
    };
    if state.given {
        return Arc::as_ptr(pipe).cast_mut();
    }
    state.given = true;
    lend(pipe.clone())
}

/// Enables what the configuration, and what subscribers to all channels, require for a new one.
pub(crate) fn enable_if_configured(chan: &Arc<Chan>) {
    let config = config::current();
    if config.chan_metrics_auto_enable.load(Ordering::Relaxed) != 0 {
        let capacity = config.chan_metrics_pipe_capacity.load(Ordering::Relaxed);
        // A channel without metrics is better than none.
        let _without = enable(chan, &mut chan.pipe.state.lock(), capacity);
    }
    if HAS_SUBSCRIBED.load(Ordering::Acquire) {
        for events in subscribed_to_all() {
            // None is there twice, nor more than fit.
            let _is_there = subscribe(chan, &events);
        }
    }
}

#[cold]
fn subscribed_to_all() -> Vec<Arc<Chan>> {
    let mut subscribed = SUBSCRIBED.lock();
    subscribed.retain(|events| !events.has(CLOSED));
    HAS_SUBSCRIBED.store(!subscribed.is_empty(), Ordering::Release);
    subscribed.clone()
}

/// Disables the pipe, which stays, if C has it.
fn disable(chan: &Chan) {
    stop(chan, &mut chan.pipe.state.lock());
}

/// The channel is destroyed.
pub(crate) fn end(chan: &Chan) {
    let mut state = chan.pipe.state.lock();
    let subscribed = std::mem::take(&mut state.subscribed);
    stop(chan, &mut state);
    drop(state);
    drop(subscribed);
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
        if state.pipe.as_ref().is_some_and(|pipe| pipe.to.has(CLOSED)) {
            stop(&chan, &mut state);
        }
        give(&mut state)
    })
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_metrics_event_channel(out: *mut *mut Chan, capacity: usize) -> c_int {
    answer(|| {
        let (out, events) = (place(out)?, event_channel(capacity)?);
        // SAFETY: the caller's promise.
        unsafe { out.write(lend(events)) };
        Ok(())
    })
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// Each is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_metrics_subscribe(handle: *mut Chan, events: *mut Chan) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (chan, events) = unsafe { (lent(handle), known(events)?) };
        if !events.has(EVENTS) {
            return Err(errno::EINVAL);
        }
        if events.has(CLOSED) {
            return Err(errno::EPIPE);
        }
        match chan {
            Some(chan) => subscribe(&chan, &events),
            None => {
                let mut subscribed = SUBSCRIBED.lock();
                add_to(&mut subscribed, &events, |events| events)?;
                subscribed.push(Arc::clone(&events));
                HAS_SUBSCRIBED.store(true, Ordering::Release);
                Ok(())
            }
        }
    })
}
