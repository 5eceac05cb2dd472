// SPDX-License-Identifier: BSD-3-Clause
//! Data from the host to a plugin's stream.

use std::sync::Arc;

use becket_abi::NrStatus;

use super::{Core, Rejected, StreamCell, outbox};
use crate::{
    coroutine::Handler,
    counters::Count,
    error::SendError,
    executor::Lent,
    placement::{Inline, Placement},
    routing::Route,
    thread::{self, DEPTH_MAX},
};

/// Sends to one stream; cloning it is cheap. It does not keep the stream open.
#[derive(Clone)]
pub struct StreamSender {
    core: Arc<Core>,
}

impl StreamSender {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// The stream's id, as the plugin knows it.
    #[must_use]
    pub fn sid(&self) -> u64 {
        self.core.sid
    }

    /// Sends a frame to the plugin. While the plugin answers `Backpressure` it waits, if the plugin
    /// has the host's full API and so can call `stream_ready`.
    ///
    /// Cancel safety: dropped before it is ready, the data may or may not have been taken.
    ///
    /// # Errors
    /// [`SendError`]: the data was not taken. [`SendError::Backpressure`] only from a plugin
    /// without the host's full API.
    pub async fn send(&self, data: &[u8]) -> Result<(), SendError> {
        send(&self.core, data).await
    }

    /// Hands a frame over and waits for nothing. On this thread only if the plugin declared that it
    /// never blocks, and then it was taken. Else it is queued for a worker of the plugin, behind
    /// what was sent before: it goes to the plugin when that takes more, and if the plugin refuses
    /// it, the next that is sent on the stream fails with that status.
    ///
    /// # Errors
    /// [`SendError`]: this frame was not taken. [`SendError::Backpressure`] if the plugin takes no
    /// more, or the queue is at `stream_frames_max` or `stream_bytes_max`.
    pub fn try_send(&self, data: &[u8]) -> Result<(), SendError> {
        try_send(&self.core, data)
    }

    /// Ends the data to the plugin (`stream_close`). Frames from it may still follow. Never blocks:
    /// where the plugin's code may not run on this thread, it is notified on a worker.
    ///
    /// # Errors
    /// [`SendError`], if the plugin cannot be notified, or refuses it on this thread.
    pub fn close(&self) -> Result<(), SendError> {
        close(&self.core)
    }
}

impl std::fmt::Debug for StreamSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamSender").field("sid", &self.core.sid).finish()
    }
}

pub(super) async fn send(core: &Arc<Core>, data: &[u8]) -> Result<(), SendError> {
    loop {
        let cell = core.cell;
        let readied = cell.readied();
        let sent = match offer_here(core, data) {
            Some(sent) => sent,
            None => outbox::send(core, data).await,
        };
        let can_say = core.instance.placement.capabilities().attaches;
        if sent != Err(SendError::Backpressure) || !can_say {
            return sent;
        }
        core.keep_time();
        cell.ready(core.sid, readied).await;
    }
}

pub(super) fn try_send(core: &Arc<Core>, data: &[u8]) -> Result<(), SendError> {
    if core.instance.route() == Route::Caller {
        return offer(core, data);
    }
    offer_here(core, data).unwrap_or_else(|| outbox::keep(core, data))
}

/// Offers data on this thread, if that may be.
#[inline]
fn offer_here(core: &Core, data: &[u8]) -> Option<Result<(), SendError>> {
    if is_free(core) {
        return Some(offer(core, data));
    }
    lend(core).map(|_lent| offer(core, data))
}

/// True if data is offered on this thread whichever it is: a coroutine's frames are only queued
/// here. It was so for all that was sent before.
#[inline]
fn is_free(core: &Core) -> bool {
    core.handler.is_some() || core.instance.route() == Route::Caller
}

/// The right to call the plugin on this thread.
fn lend(core: &Core) -> Option<Lent<'_>> {
    if core.is_outbox_busy() { None } else { core.instance.lend() }
}

/// Offers data to the plugin, on this thread.
#[inline]
pub(super) fn offer(core: &Core, data: &[u8]) -> Result<(), SendError> {
    let len = data.len() as u64;
    let len_max = core.instance.limits.payload_bytes_max;
    if len > len_max {
        return Err(SendError::PayloadTooLarge { len, len_max });
    }
    let cell = core.cell;
    let status = match core.handler.as_deref().and_then(Handler::stream) {
        Some((inbound, _)) if cell.is_open(core.sid) => match inbound.push(data) {
            Ok(()) => NrStatus::Ok,
            Err(Rejected::Full) => NrStatus::Backpressure,
            Err(Rejected::Late) => return Err(SendError::Closed),
        },
        Some(_) => return Err(SendError::Closed),
        None => call(core, cell, |placement| placement.stream_data(core.sid, data))?,
    };
    match status {
        NrStatus::Ok => {
            cell.touch();
            let tally = core.instance.plugin.counters.of(thread::current());
            tally.one(Count::FramesIn);
            tally.bytes(Count::BytesIn, len);
            Ok(())
        }
        NrStatus::Backpressure => Err(SendError::Backpressure),
        // It refuses because the stream ended meanwhile.
        _ if !cell.is_open(core.sid) => Err(SendError::Closed),
        status => Err(SendError::Refused { status }),
    }
}

pub(super) fn close(core: &Arc<Core>) -> Result<(), SendError> {
    let cell = core.cell;
    if let Some((inbound, _)) = core.handler.as_deref().and_then(Handler::stream) {
        if !cell.is_open(core.sid) {
            return Err(SendError::Closed);
        }
        inbound.close();
        return Ok(());
    }
    match lend(core) {
        Some(_lent) => close_here(core),
        None => outbox::close(core),
    }
}

pub(super) fn close_here(core: &Core) -> Result<(), SendError> {
    match call(core, core.cell, |placement| placement.stream_close(core.sid))? {
        NrStatus::Ok => Ok(()),
        status => Err(SendError::Refused { status }),
    }
}

/// Calls the plugin on this thread, if the stream is open: looked at once this thread is inside,
/// since only an open stream keeps the instance for it.
fn call(
    core: &Core,
    cell: &StreamCell,
    f: impl FnOnce(&Inline) -> Option<NrStatus>,
) -> Result<NrStatus, SendError> {
    core.instance
        .inside(|| cell.is_open(core.sid).then(|| f(&core.instance.placement)))
        .ok_or(SendError::TooDeep { depth_max: DEPTH_MAX })?
        .ok_or(SendError::Closed)?
        .ok_or(SendError::Unsupported)
}
