// SPDX-License-Identifier: BSD-3-Clause
//! Answers and frames from a plugin.

use std::{cell::Cell, ffi::c_void, mem, ptr, time::Duration};

use becket_abi::{NrBytes, NrOwnedBytes, NrStatus, ViewError};
use bytes::Bytes;

use super::{boundary, is_function, lease::TakenLease};
use crate::{
    body::{Body, OwnedBody},
    counters::Count,
    frame::CallFrame,
    instance::Instance,
    reentry::{self, Running},
    small::SMALL_BYTES_MAX,
    stream::Rejected,
    table::{self, Outcome, Refusal, Target},
    text::escape_controls,
    thread, timer,
};

/// How long `send_result` waits for room on a stream without an idle limit.
const PATIENCE_WITHOUT_IDLE: Duration = Duration::from_secs(60);

/// What to do when a stream's queue is full.
#[derive(Clone, Copy)]
pub(super) enum WhenFull {
    /// Return `Backpressure`.
    Refuse,
    /// Wait this long; then, and at once inside a vtable call, return `Backpressure`.
    Wait(Duration),
    /// For callers that get no status: wait for the stream's idle limit; then, and at once inside a
    /// vtable call, end the stream.
    WaitOrEnd,
}

pub(super) unsafe extern "C" fn send_result(
    host_ctx: *mut c_void,
    sid: u64,
    status: NrStatus,
    payload: NrBytes,
) {
    match innermost(host_ctx, sid) {
        Some(frame) => {
            let _ = answer_inside(frame, status, payload, WhenFull::WaitOrEnd);
        }
        None => {
            let _ = send_frame(host_ctx, sid, status, payload, WhenFull::WaitOrEnd);
        }
    }
}

pub(super) unsafe extern "C" fn send(
    host_ctx: *mut c_void,
    sid: u64,
    status: NrStatus,
    payload: NrBytes,
) -> NrStatus {
    match innermost(host_ctx, sid) {
        Some(frame) => answer_inside(frame, status, payload, WhenFull::Refuse),
        None => send_frame(host_ctx, sid, status, payload, WhenFull::Refuse),
    }
}

/// The frame of the call that this thread is inside of, if that is this one.
#[inline(always)]
fn innermost<'a>(host_ctx: *mut c_void, sid: u64) -> Option<&'a CallFrame> {
    // SAFETY: null, or the frame that this thread is inside of: it stands further up this stack.
    let frame = unsafe { thread::innermost_frame().as_ref() }?;
    (frame.sid == sid && frame.owner.cast() == host_ctx.cast_const()).then_some(frame)
}

/// The fast path for an answer to the call that this thread is inside of; all defects take the slow path. Nothing here
/// can panic.
///
/// Not inlined, as [`send_elsewhere`]: each has registers and a stack frame of its own, and the callback that chooses
/// between them has none.
#[inline(never)]
fn answer_inside(
    frame: &CallFrame,
    status: NrStatus,
    payload: NrBytes,
    when_full: WhenFull,
) -> NrStatus {
    // SAFETY: an instance, which are never freed.
    let instance = unsafe { &*frame.owner };
    // SAFETY: see `callbacks`; copied before the callback returns.
    if let Ok(bytes) = unsafe { payload.checked(instance.limits.payload_bytes_max) }
        && frame.claim()
    {
        frame.answer(status, bytes.len() as u64, Body::copy_of(bytes));
        taken(instance, frame.sid, status);
        return NrStatus::Ok;
    }
    let host_ctx = frame.owner.cast_mut().cast();
    send_elsewhere(host_ctx, frame.sid, status, payload, when_full)
}

/// The fast path for a short frame of an open stream that has room; all else takes the slow path. Nothing here can panic.
#[inline(never)]
fn send_frame(
    host_ctx: *mut c_void,
    sid: u64,
    status: NrStatus,
    payload: NrBytes,
    when_full: WhenFull,
) -> NrStatus {
    let owner = host_ctx.cast_const().cast::<Instance>();
    let record = thread::current();
    if let Some(cell) = table::stream_of(sid, owner)
        && let Some(running) = Running::begin_on(record)
    {
        // SAFETY: that of the stream, and instances are never freed.
        let instance = unsafe { &*owner };
        let short = SMALL_BYTES_MAX as u64;
        if payload.len <= short.min(instance.limits.payload_bytes_max)
            // SAFETY: see `callbacks`; copied before the callback returns.
            && let Ok(bytes) = unsafe { payload.checked(short) }
        {
            let tally = instance.plugin.counters.of(record);
            // Counted before it is there, so that the receiver of the frame finds it counted.
            let count = || {
                tally.one(Count::FramesOut);
                tally.bytes(Count::BytesOut, bytes.len() as u64);
            };
            let body = Body::short_copy_of(record, bytes);
            let is_taken = match status.is_terminal() {
                false => cell.push_made(sid, status, body, count),
                true => cell.push_end_made(sid, status, body, count),
            };
            if is_taken {
                return NrStatus::Ok;
            }
        }
        drop(running);
    }
    send_elsewhere(host_ctx, sid, status, payload, when_full)
}

/// All other answers.
#[inline(never)]
fn send_elsewhere(
    host_ctx: *mut c_void,
    sid: u64,
    status: NrStatus,
    payload: NrBytes,
    when_full: WhenFull,
) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| {
        copied(instance, sid, status, payload, when_full)
    })
}

pub(super) unsafe extern "C" fn send_wait(
    host_ctx: *mut c_void,
    sid: u64,
    status: NrStatus,
    payload: NrBytes,
    timeout_ms: u64,
) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| {
        let timeout = Duration::from_millis(timeout_ms);
        copied(instance, sid, status, payload, WhenFull::Wait(timeout))
    })
}

pub(super) unsafe extern "C" fn send_owned(
    host_ctx: *mut c_void,
    sid: u64,
    status: NrStatus,
    payload: NrOwnedBytes,
) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| {
        owned(instance, sid, status, &payload, OnFull::GiveBack)
    })
}

/// Whose owned bytes are that a full stream did not take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnFull {
    /// The plugin's again.
    GiveBack,
    /// The host's, which releases them.
    Release,
}

/// Bytes in the plugin's memory as an answer or a frame.
///
/// `payload` is read where the plugin has just written it, a field at a time: a copy of it would wait until its words have
/// left the store buffer.
#[inline]
pub(super) fn owned(
    instance: &'static Instance,
    sid: u64,
    status: NrStatus,
    payload: &NrOwnedBytes,
    on_full: OnFull,
) -> NrStatus {
    if payload.release.is_some_and(|release| !is_function(instance, release as usize)) {
        return NrStatus::Invalid;
    }
    let view = NrBytes { ptr: payload.ptr, len: payload.len };
    // SAFETY: see `callbacks`; used for its length alone.
    let len = match unsafe { view.checked(instance.limits.payload_bytes_max) } {
        Ok(bytes) => bytes.len(),
        Err(error) => {
            release(payload);
            return refuse_view(instance, sid, status, error, WhenFull::Refuse);
        }
    };
    let mut is_taken = false;
    let taken = deliver(instance, sid, status, len as u64, WhenFull::Refuse, || {
        is_taken = true;
        // SAFETY: the plugin hands the bytes over until `release`; pointer and length are checked.
        Body::owned(|| unsafe { OwnedBody::new(len, payload, instance) })
    });
    let is_given_back = taken == NrStatus::Backpressure && on_full == OnFull::GiveBack;
    if !is_taken && !is_given_back {
        // Refused: released before this returns.
        release(payload);
    }
    taken
}

pub(super) unsafe extern "C" fn stream_ready(host_ctx: *mut c_void, sid: u64) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| match table::find(sid, instance) {
        Ok(Target::Stream(slot)) if slot.stream().is_some_and(|cell| cell.set_ready(sid)) => {
            NrStatus::Ok
        }
        Ok(_) => refuse(instance, Refusal::Late),
        Err(refusal) => refuse(instance, refusal),
    })
}

#[cold]
fn release(payload: &NrOwnedBytes) {
    if let Some(release) = payload.release {
        // SAFETY: the plugin handed the bytes over with this function; this is the only call.
        reentry::outside(|| unsafe { release(payload.owner_ctx, payload.ptr, payload.len) });
    }
}

#[inline(always)]
pub(super) fn copied(
    instance: &'static Instance,
    sid: u64,
    status: NrStatus,
    payload: NrBytes,
    when_full: WhenFull,
) -> NrStatus {
    // SAFETY: see `callbacks`; copied before the callback returns.
    match unsafe { payload.checked(instance.limits.payload_bytes_max) } {
        // Copied before it is known whether it is wanted: it costs little, and the copy has left
        // the store buffer when it is moved on.
        Ok(bytes) if bytes.len() <= SMALL_BYTES_MAX => {
            let mut body = Body::copy_of(bytes);
            let len = bytes.len() as u64;
            deliver(instance, sid, status, len, when_full, || mem::take(&mut body))
        }
        Ok(bytes) => {
            deliver(instance, sid, status, bytes.len() as u64, when_full, || Body::copy_of(bytes))
        }
        Err(error) => refuse_view(instance, sid, status, error, when_full),
    }
}

/// As [`copied`], for bytes that nothing else can change: they are shared.
pub(super) fn shared(
    instance: &'static Instance,
    sid: u64,
    status: NrStatus,
    payload: Bytes,
) -> NrStatus {
    let view = NrBytes::from_slice(&payload);
    // SAFETY: a view of bytes that outlive it.
    if let Err(error) = unsafe { view.checked(instance.limits.payload_bytes_max) } {
        return refuse_view(instance, sid, status, error, WhenFull::Refuse);
    }
    let len = payload.len() as u64;
    deliver(instance, sid, status, len, WhenFull::Refuse, || Body::shared(payload))
}

/// Counts and refuses a payload.
///
/// An answer or a last frame that is too long ends its call with that status and no bytes: the plugin
/// has given it, and its caller gets the reason. A frame that is too long, and bytes that are none,
/// change nothing: the plugin may send others. A plugin that gets no status goes on as if it had
/// answered: its caller gets the error in any case.
#[cold]
fn refuse_view(
    instance: &'static Instance,
    sid: u64,
    status: NrStatus,
    error: ViewError,
    when_full: WhenFull,
) -> NrStatus {
    instance.plugin.counters.one(Count::AnswersInvalid);
    tracing::warn!(
        target: "becket::abi",
        plugin = %instance.plugin.name,
        sid,
        %error,
        "refused the payload of an answer",
    );
    let (refused, ends) = match error {
        ViewError::TooLong { .. } => {
            let is_of_stream = matches!(table::find(sid, instance), Ok(Target::Stream(_)));
            (NrStatus::TooLong, status.is_terminal() || !is_of_stream)
        }
        _ => (NrStatus::Invalid, false),
    };
    if !ends && !matches!(when_full, WhenFull::WaitOrEnd) {
        return refused;
    }
    match deliver(instance, sid, refused, 0, when_full, || Body::EMPTY) {
        NrStatus::Ok => refused,
        over => over,
    }
}

/// Delivers an answer or frame.
#[inline]
pub(super) fn deliver(
    instance: &'static Instance,
    sid: u64,
    status: NrStatus,
    len: u64,
    when_full: WhenFull,
    body: impl FnOnce() -> Body,
) -> NrStatus {
    let record = thread::current();
    // SAFETY: null, or the frame that this thread is inside of: it stands further up this stack.
    if let Some(frame) = unsafe { record.frame().as_ref() }
        && frame.sid == sid
        && ptr::eq(frame.owner, instance)
    {
        if !frame.claim() {
            further(instance, sid, status);
            return refuse(instance, Refusal::Late);
        }
        frame.answer(status, len, body());
        taken(instance, sid, status);
        return NrStatus::Ok;
    }
    let taken = match table::find(sid, instance) {
        Ok(Target::Call(slot)) => {
            let completed = slot.complete(sid, || Outcome::Answered { status, body: body() });
            completed.inspect(|()| taken(instance, sid, status))
        }
        Ok(Target::Stream(slot)) => {
            let Some(cell) = slot.stream() else { return refuse(instance, Refusal::Late) };
            let inside = record.is_busy();
            let tally = instance.plugin.counters.of(record);
            // Counted as it is taken, so that the receiver of the frame finds it counted.
            let body = || {
                tally.one(Count::FramesOut);
                tally.add(Count::BytesOut, len);
                body()
            };
            let waits = Cell::new(false);
            let full = || {
                waits.set(true);
                // On a coroutine others run meanwhile.
                Running::waits();
                instance.plugin.counters.one(Count::Backpressure);
            };
            let pushed = match when_full {
                WhenFull::Wait(timeout) if !inside => {
                    cell.push_until(sid, status, len, body, timer::after(timeout), full)
                }
                WhenFull::WaitOrEnd if !inside => {
                    let patience = match instance.limits.stream_idle_ms {
                        0 => PATIENCE_WITHOUT_IDLE,
                        idle_ms => Duration::from_millis(idle_ms),
                    };
                    cell.push_until(sid, status, len, body, timer::after(patience), full)
                }
                _ => cell.push(sid, status, len, body),
            };
            match pushed {
                Ok(()) => Ok(()),
                Err(Rejected::Full) => {
                    if !waits.get() {
                        instance.plugin.counters.one(Count::Backpressure);
                    }
                    if matches!(when_full, WhenFull::WaitOrEnd) {
                        // A frame would be lost without anybody knowing: end the stream instead.
                        let _ = cell.push(sid, NrStatus::Backpressure, 0, || Body::EMPTY);
                    }
                    return NrStatus::Backpressure;
                }
                Err(Rejected::Late) => Err(Refusal::Late),
            }
        }
        // An answer to the notification that this thread is inside of: not an error, and not
        // delivered.
        Err(Refusal::Unknown) if record.is_latest_local(sid) => Ok(()),
        Err(refusal) => Err(refusal),
    };
    match taken {
        Ok(()) => NrStatus::Ok,
        Err(refusal) => {
            if refusal == Refusal::Late {
                further(instance, sid, status);
            }
            refuse(instance, refusal)
        }
    }
}

/// A call was answered: what comes after an `Ok` may be the rest of a stream.
#[inline]
fn taken(instance: &Instance, sid: u64, status: NrStatus) {
    if let Some(unannounced) = instance.unannounced.as_ref().filter(|_| status.is_ok()) {
        unannounced.answered(sid);
    }
}

/// A frame came to a call that is over: logs, once for each entry, that the entry streams.
#[cold]
fn further(instance: &Instance, sid: u64, status: NrStatus) {
    let is_frame = matches!(status, NrStatus::Ok | NrStatus::StreamEnd);
    let Some(unannounced) = instance.unannounced.as_ref().filter(|_| is_frame) else { return };
    let Some((entry, is_new)) = unannounced.further(sid) else { return };
    instance.plugin.counters.one(Count::FramesUnannounced);
    if is_new {
        tracing::warn!(
            target: "becket::host",
            plugin = %instance.plugin.name,
            entry = &*escape_controls(&entry),
            hint = "open it as a stream: `kind = \"stream\"` in a route, `--stream` on the command line",
            "an entry that was asked for one answer streams: its further frames were dropped",
        );
    }
}

/// Counts an answer without a caller.
#[cold]
pub(super) fn refuse(instance: &Instance, refusal: Refusal) -> NrStatus {
    let count = match refusal {
        Refusal::Unknown => Count::AnswersUnknown,
        Refusal::Late => Count::AnswersLate,
        Refusal::Foreign => Count::AnswersForeign,
    };
    instance.plugin.counters.one(count);
    NrStatus::Invalid
}

/// Sends the first `len` bytes of a lease; takes it if that was taken.
pub(super) fn leased(
    instance: &'static Instance,
    sid: u64,
    status: NrStatus,
    lease: &mut Option<TakenLease>,
    len: u64,
) -> NrStatus {
    deliver(instance, sid, status, len, WhenFull::Refuse, || {
        let body = |lease| Body::leased(lease, len as usize, instance);
        lease.take().map_or(Body::EMPTY, body)
    })
}
