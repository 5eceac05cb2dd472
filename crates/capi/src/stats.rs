// SPDX-License-Identifier: BSD-3-Clause
//! Statistics, snapshots and rates of a channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use libc::{c_int, c_long, c_uint, c_ulong, c_void};

use crate::boundary::answer;
use crate::chan::lane::Kind;
use crate::chan::{
    CLOSED, Chan, KC_BUFFERED, KC_CONFLATED, KC_RENDEZVOUS, KC_UNLIMITED, ZREF, known, pointer,
};
use crate::errno;
use crate::handle::place;

/// The smallest time of a rate, so that it does not divide by zero.
const SECONDS_MIN: f64 = 1e-6;

/// `struct kc_chan_stats`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "documented in kcoro.h")]
pub struct ChanStats {
    pub total_sends: c_ulong,
    pub total_recvs: c_ulong,
    pub total_bytes_sent: c_ulong,
    pub total_bytes_recv: c_ulong,
    pub first_op_time_ns: c_long,
    pub last_op_time_ns: c_long,
    pub send_rate_ops_sec: f64,
    pub recv_rate_ops_sec: f64,
    pub send_rate_bytes_sec: f64,
    pub recv_rate_bytes_sec: f64,
    pub duration_sec: f64,
}

/// `struct kc_chan_snapshot`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "documented in kcoro.h")]
pub struct ChanSnapshot {
    pub chan: *mut c_void,
    pub kind: c_int,
    pub elem_sz: usize,
    pub capacity: usize,
    pub count: usize,
    pub capabilities: c_uint,
    pub closed: c_int,
    pub zref_mode: c_int,
    pub ptr_mode: c_int,
    pub total_sends: c_ulong,
    pub total_recvs: c_ulong,
    pub total_bytes_sent: c_ulong,
    pub total_bytes_recv: c_ulong,
    pub first_op_time_ns: c_long,
    pub last_op_time_ns: c_long,
    pub send_eagain: c_ulong,
    pub send_etime: c_ulong,
    pub send_epipe: c_ulong,
    pub recv_eagain: c_ulong,
    pub recv_etime: c_ulong,
    pub recv_epipe: c_ulong,
    pub zref_sent: c_ulong,
    pub zref_received: c_ulong,
    pub zref_aborted_close: c_ulong,
    pub rv_matches: c_ulong,
    pub rv_cancels: c_ulong,
    pub rv_zdesc_matches: c_ulong,
    pub duration_sec: f64,
}

/// `struct kc_chan_rate_sample`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs, reason = "documented in kcoro.h")]
pub struct ChanRateSample {
    pub delta_sends: c_ulong,
    pub delta_recvs: c_ulong,
    pub delta_bytes_sent: c_ulong,
    pub delta_bytes_recv: c_ulong,
    pub delta_send_eagain: c_ulong,
    pub delta_recv_eagain: c_ulong,
    pub delta_send_epipe: c_ulong,
    pub delta_recv_epipe: c_ulong,
    pub delta_rv_matches: c_ulong,
    pub delta_rv_cancels: c_ulong,
    pub delta_rv_zdesc_matches: c_ulong,
    pub interval_sec: f64,
    pub sends_per_sec: f64,
    pub recvs_per_sec: f64,
    pub bytes_sent_per_sec: f64,
    pub bytes_recv_per_sec: f64,
}

/// The totals of a channel.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Totals {
    pub(crate) sends: u64,
    pub(crate) recvs: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_recv: u64,
    matches: u64,
    len: usize,
    high_water: usize,
}

pub(crate) fn totals(chan: &Chan) -> Totals {
    let lane = chan.lane.snapshot();
    let (sides, apart) = ((&chan.counters.sent, &chan.counters.received), &chan.counters.apart);
    if chan.port().is_some() {
        return Totals {
            sends: lane.sends,
            recvs: lane.receives,
            bytes_sent: lane.bytes_sent,
            bytes_recv: lane.bytes_received,
            matches: lane.matches,
            len: lane.len,
            high_water: lane.high_water,
        };
    }
    // On a lane of pointers every value is a descriptor, on a lane of their size some are.
    let (sent, received) = if chan.pointers {
        (0, 0)
    } else {
        (
            lane.sends.saturating_sub(sides.0.descriptors_among_elements()),
            lane.receives.saturating_sub(sides.1.descriptors_among_elements()),
        )
    };
    let size = chan.elem_size as u64;
    let mut totals = Totals {
        sends: lane.sends + read(&apart.sends),
        recvs: lane.receives + read(&apart.receives),
        bytes_sent: sent.wrapping_mul(size) + sides.0.descriptor_bytes() + read(&apart.bytes_sent),
        bytes_recv: received.wrapping_mul(size)
            + sides.1.descriptor_bytes()
            + read(&apart.bytes_received),
        matches: lane.matches,
        len: lane.len,
        high_water: lane.high_water,
    };
    if let Some(handoff) = chan.handoff.get() {
        let handoff = handoff.tx.snapshot();
        totals.sends += handoff.sends;
        totals.recvs += handoff.receives;
        totals.matches += handoff.matches;
    }
    totals
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn count(counter: &AtomicU64) -> c_ulong {
    read(counter) as c_ulong
}

fn seconds(first_ns: i64, last_ns: i64) -> f64 {
    last_ns.saturating_sub(first_ns) as f64 / 1e9
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if count == 0 { 0.0 } else { count as f64 / seconds.max(SECONDS_MIN) }
}

fn stats(chan: &Chan) -> ChanStats {
    let totals = totals(chan);
    let (first, last) = chan.counters.times_ns();
    let duration_sec = seconds(first, last);
    ChanStats {
        total_sends: totals.sends as c_ulong,
        total_recvs: totals.recvs as c_ulong,
        total_bytes_sent: totals.bytes_sent as c_ulong,
        total_bytes_recv: totals.bytes_recv as c_ulong,
        first_op_time_ns: first as c_long,
        last_op_time_ns: last as c_long,
        send_rate_ops_sec: per_second(totals.sends, duration_sec),
        recv_rate_ops_sec: per_second(totals.recvs, duration_sec),
        send_rate_bytes_sec: per_second(totals.bytes_sent, duration_sec),
        recv_rate_bytes_sec: per_second(totals.bytes_recv, duration_sec),
        duration_sec,
    }
}

/// The channel as a monitor shows it.
pub(crate) fn for_monitor(chan: &Chan) -> becket_chan::Snapshot {
    let (totals, counters) = (totals(chan), &chan.counters);
    let mut seen = chan.lane.snapshot();
    // The lane also counts the tries of operations that went on to wait.
    for (failures, counted) in
        [(&mut seen.send_failures, &counters.send), (&mut seen.receive_failures, &counters.recv)]
    {
        failures.would_block = read(&counted.would_block);
        failures.timed_out = read(&counted.timed_out);
        failures.closed = read(&counted.closed);
        failures.cancelled = read(&counted.cancelled);
    }
    seen.closed = chan.has(CLOSED);
    (seen.sends, seen.receives) = (totals.sends, totals.recvs);
    (seen.bytes_sent, seen.bytes_received) = (totals.bytes_sent, totals.bytes_recv);
    seen
}

fn snapshot(chan: &Arc<Chan>) -> ChanSnapshot {
    let totals = totals(chan);
    let counters = &chan.counters;
    let (first, last) = counters.times_ns();
    let meets = chan.kind == Kind::Rendezvous;
    let cancels = read(&counters.send.cancelled) + read(&counters.recv.cancelled);
    let (kind, capacity) = match chan.kind {
        Kind::Rendezvous => (KC_RENDEZVOUS, 0),
        Kind::Buffered(capacity) => (KC_BUFFERED, capacity),
        Kind::Conflated => (KC_CONFLATED, 0),
        Kind::Unlimited => (KC_UNLIMITED, doubled(chan.capacity, totals.high_water)),
    };
    ChanSnapshot {
        chan: Arc::as_ptr(chan).cast_mut().cast(),
        kind,
        elem_sz: chan.elem_size,
        capacity,
        count: totals.len,
        capabilities: pointer::capabilities(chan),
        closed: chan.has(CLOSED).into(),
        zref_mode: chan.has(ZREF).into(),
        ptr_mode: chan.pointers.into(),
        total_sends: totals.sends as c_ulong,
        total_recvs: totals.recvs as c_ulong,
        total_bytes_sent: totals.bytes_sent as c_ulong,
        total_bytes_recv: totals.bytes_recv as c_ulong,
        first_op_time_ns: first as c_long,
        last_op_time_ns: last as c_long,
        send_eagain: count(&counters.send.would_block),
        send_etime: count(&counters.send.timed_out),
        send_epipe: count(&counters.send.closed),
        recv_eagain: count(&counters.recv.would_block),
        recv_etime: count(&counters.recv.timed_out),
        recv_epipe: count(&counters.recv.closed),
        zref_sent: count(&counters.zref.sent),
        zref_received: count(&counters.zref.received),
        zref_aborted_close: count(&counters.zref.aborted_close),
        rv_matches: if meets { totals.matches as c_ulong } else { 0 },
        rv_cancels: if meets { cancels as c_ulong } else { 0 },
        rv_zdesc_matches: if meets { count(&counters.zref.received) } else { 0 },
        duration_sec: seconds(first, last),
    }
}

/// The room of an unlimited channel: the initial room, doubled until it holds the high-water mark.
fn doubled(first: usize, held: usize) -> usize {
    let mut room = first;
    while room < held {
        room = room.saturating_mul(2);
    }
    room
}

fn rate(prev: Option<&ChanSnapshot>, curr: &ChanSnapshot) -> ChanRateSample {
    let delta =
        |field: fn(&ChanSnapshot) -> c_ulong| field(curr).saturating_sub(prev.map_or(0, field));
    let before = prev.map_or(0.0, |prev| prev.duration_sec);
    let mut interval = if before > 0.0 { curr.duration_sec - before } else { curr.duration_sec };
    let mut sample = ChanRateSample {
        delta_sends: delta(|s| s.total_sends),
        delta_recvs: delta(|s| s.total_recvs),
        delta_bytes_sent: delta(|s| s.total_bytes_sent),
        delta_bytes_recv: delta(|s| s.total_bytes_recv),
        delta_send_eagain: delta(|s| s.send_eagain),
        delta_recv_eagain: delta(|s| s.recv_eagain),
        delta_send_epipe: delta(|s| s.send_epipe),
        delta_recv_epipe: delta(|s| s.recv_epipe),
        delta_rv_matches: delta(|s| s.rv_matches),
        delta_rv_cancels: delta(|s| s.rv_cancels),
        delta_rv_zdesc_matches: delta(|s| s.rv_zdesc_matches),
        ..ChanRateSample::default()
    };
    let deltas = [
        sample.delta_sends,
        sample.delta_recvs,
        sample.delta_bytes_sent,
        sample.delta_bytes_recv,
        sample.delta_send_eagain,
        sample.delta_recv_eagain,
        sample.delta_send_epipe,
        sample.delta_recv_epipe,
        sample.delta_rv_matches,
        sample.delta_rv_cancels,
        sample.delta_rv_zdesc_matches,
    ];
    if interval <= 0.0 {
        interval = if deltas.iter().any(|&delta| delta > 0) { SECONDS_MIN } else { 0.0 };
    }
    sample.interval_sec = interval;
    let rate = |count: c_ulong| if interval > 0.0 { count as f64 / interval } else { 0.0 };
    sample.sends_per_sec = rate(sample.delta_sends);
    sample.recvs_per_sec = rate(sample.delta_recvs);
    sample.bytes_sent_per_sec = rate(sample.delta_bytes_sent);
    sample.bytes_recv_per_sec = rate(sample.delta_bytes_recv);
    sample
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_get_stats(handle: *mut Chan, out: *mut ChanStats) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        unsafe { place(out)?.write(stats(&*known(handle)?)) };
        Ok(())
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_snapshot(handle: *mut Chan, out: *mut ChanSnapshot) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        unsafe { place(out)?.write(snapshot(&*known(handle)?)) };
        Ok(())
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `prev` is null or valid for a read, `curr` too; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_compute_rate(
    prev: *const ChanSnapshot,
    curr: *const ChanSnapshot,
    out: *mut ChanRateSample,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        unsafe {
            let curr = curr.as_ref().ok_or(errno::EINVAL)?;
            place(out)?.write(rate(prev.as_ref(), curr));
        }
        Ok(())
    })
}
