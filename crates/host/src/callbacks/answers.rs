// SPDX-License-Identifier: BSD-3-Clause
//! What a placement in another crate calls: the functions of this folder, in Rust.

use std::{ffi::c_void, ptr};

use becket_abi::{BK_NO_DEADLINE, NrBytes, NrStatus};
use becket_chan::wakes;
use bytes::Bytes;

use super::{
    answer::{self, WhenFull},
    observe,
};
use crate::{
    counters::Count,
    frame::CallFrame,
    instance::Instance,
    observer::{MetricChange, ReportedCounts},
    stream::End,
    table::{self, Outcome, Slot, Target},
    thread,
};

/// Where a plugin that runs elsewhere answers.
///
/// Thread safety: any function may be called from any thread, at any time, also after the plugin was
/// unloaded: then nothing happens. None waits, and a task that is woken may be woken under a
/// [deferral](becket_chan::wakes) of the caller's.
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    instance: &'static Instance,
}

/// What a call's id leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// No caller awaits an answer.
    Nothing,
    /// An answer before `handle` returns.
    Now,
    /// An answer, or frames.
    Later { is_stream: bool, remaining_ms: Option<u64> },
}

impl Expected {
    fn later(slot: &Slot, is_stream: bool) -> Self {
        let remaining_ms = observe::remaining(slot.deadline_ms());
        let remaining_ms = (remaining_ms != BK_NO_DEADLINE).then_some(remaining_ms);
        Self::Later { is_stream, remaining_ms }
    }
}

impl Answers {
    /// The answers of the instance behind `host_ctx`.
    ///
    /// # Safety
    /// `host_ctx` is an address that can be read.
    pub(crate) unsafe fn of(host_ctx: *mut c_void) -> Option<Self> {
        // SAFETY: the caller's promise.
        unsafe { Instance::from_host_ctx(host_ctx) }.map(|instance| Self { instance })
    }

    /// What is awaited under an id with which `handle` is called on this thread.
    pub(crate) fn expected(&self, sid: u64) -> Expected {
        // SAFETY: null, or the frame that this thread is inside of: it stands further up this stack.
        let frame = unsafe { thread::innermost_frame().as_ref() };
        let is_of_it = |frame: &&CallFrame| frame.sid == sid && ptr::eq(frame.owner, self.instance);
        if let Some(frame) = frame.filter(is_of_it) {
            // Not looked for in the table: the caller has just put it there.
            return match frame.slot {
                Some(slot) => Expected::later(slot, false),
                None => Expected::Now,
            };
        }
        match table::find(sid, self.instance) {
            Ok(Target::Call(slot)) => Expected::later(slot, false),
            Ok(Target::Stream(slot)) => Expected::later(slot, true),
            Err(_) => Expected::Nothing,
        }
    }

    /// An answer to a call, or a frame of a stream, which `status` may end.
    ///
    /// `Ok`: taken. `Backpressure`: not taken; [`Remote::stream_room`](crate::Remote::stream_room)
    /// is called when the stream is writable again. `Invalid`: the call is over, or was never this
    /// plugin's. `TooLong`: longer than the plugin's `payload_bytes_max`, and nothing was taken; a
    /// call, and a stream by its last frame, ended with that status.
    pub fn send(&self, sid: u64, status: NrStatus, body: &[u8]) -> NrStatus {
        let view = NrBytes::from_slice(body);
        let _deferral = wakes::defer();
        thread::current().answers_come();
        answer::copied(self.instance, sid, status, view, WhenFull::Refuse)
    }

    /// As [`send`](Self::send), for bytes that nothing else can change: a long body is not copied.
    pub fn send_shared(&self, sid: u64, status: NrStatus, body: Bytes) -> NrStatus {
        let _deferral = wakes::defer();
        answer::shared(self.instance, sid, status, body)
    }

    /// `handle` refused call or stream `sid` with this status.
    pub fn refused(&self, sid: u64, status: NrStatus) {
        // It is counted before its caller is woken.
        let _deferral = wakes::defer();
        let is_stream = matches!(table::find(sid, self.instance), Ok(Target::Stream(_)));
        if self.end(sid, || Outcome::Refused(status), End::Refused(status)) && is_stream {
            self.instance.plugin.counters.one(Count::StreamsRefused);
        }
    }

    /// The deadline of call or stream `sid` has passed where the plugin runs, a moment before it
    /// does here.
    pub fn late(&self, sid: u64) {
        self.end(sid, || Outcome::DeadlineExceeded, End::DeadlineExceeded);
    }

    /// What ran call or stream `sid` has ended. True if it was still open.
    pub fn crashed(&self, sid: u64) -> bool {
        self.end(sid, || Outcome::Crashed, End::Crashed)
    }

    /// Call or stream `sid` was not passed on: the processes that would run it have ended too
    /// often.
    pub fn plugin_failed(&self, sid: u64) {
        self.end(sid, || Outcome::PluginFailed, End::PluginFailed);
    }

    /// Stream `sid` takes data again.
    pub fn writable(&self, sid: u64) {
        if let Ok(Target::Stream(slot)) = table::find(sid, self.instance)
            && let Some(cell) = slot.stream()
        {
            cell.set_ready(sid);
        }
    }

    /// `handle` of stream `sid` has returned.
    pub fn opened(&self, sid: u64) {
        if let Ok(Target::Stream(slot)) = table::find(sid, self.instance)
            && let Some(cell) = slot.stream()
        {
            cell.set_opened(sid);
        }
    }

    /// So many messages of the plugin's log were dropped.
    pub fn log_dropped(&self, messages: u64) {
        self.instance.plugin.counters.add(Count::LogDropped, messages);
    }

    /// What has been counted of the plugin where it runs, since the last time.
    pub fn counted(&self, grown: &ReportedCounts) {
        let refused = grown.refused_answers;
        let tally = self.instance.plugin.counters.of(thread::current());
        for (count, n) in [
            (Count::AnswersUnknown, refused.unknown),
            (Count::AnswersLate, refused.late),
            (Count::AnswersForeign, refused.foreign),
            (Count::AnswersInvalid, refused.invalid),
            (Count::Backpressure, refused.backpressure),
            (Count::ResourceRefused, grown.resources_refused),
            (Count::LeasesParked, grown.leases_parked),
            (Count::FramesUnannounced, grown.frames_unannounced),
            (Count::NotifiesRefused, grown.notifies_refused),
            (Count::Blocked, grown.blocked),
            (Count::Revoked, grown.dispatch_revoked),
        ] {
            tally.add(count, n);
        }
    }

    /// The plugin is quarantined where it runs: no call of it is passed on until that is over, or
    /// its next load.
    pub fn set_quarantined(&self, is_quarantined: bool) {
        self.instance.set_quarantined(is_quarantined);
    }

    /// A metric of the plugin has changed. One that cannot be had is refused, and counted.
    pub fn metric(&self, name: &str, help: &str, change: MetricChange<'_>) {
        if !self.instance.plugin.metrics.merge(name, help, change) {
            self.instance.plugin.counters.one(Count::ResourceRefused);
        }
    }

    fn end(&self, sid: u64, call: impl FnOnce() -> Outcome, stream: End) -> bool {
        let _deferral = wakes::defer();
        match table::find(sid, self.instance) {
            Ok(Target::Call(slot)) => slot.complete(sid, call).is_ok(),
            Ok(Target::Stream(slot)) => slot.stream().is_some_and(|cell| cell.end(sid, stream)),
            Err(_) => false,
        }
    }
}
