// SPDX-License-Identifier: BSD-3-Clause
//! Data from the host to a plugin's stream.

use std::sync::Arc;

use becket_abi::NrStatus;
use futures_lite::future::or;

use super::{Core, StreamCell};
use crate::{
    coroutine::{Handler, Pushed},
    counters::Count,
    distance::{Distance, Inline},
    error::SendError,
    thread::DEPTH_MAX,
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

    /// Sends a frame to the plugin; waits while it says that it takes no more, if it can say when
    /// it does again.
    ///
    /// Cancel safety: dropped before it is ready, the data may or may not have been taken.
    ///
    /// # Errors
    /// [`SendError`]: the data was not taken. [`SendError::Backpressure`] only from a plugin that
    /// cannot say when it takes more.
    pub async fn send(&self, data: &[u8]) -> Result<(), SendError> {
        send(&self.core, data).await
    }

    /// Sends a frame to the plugin, on this thread: blocks as long as the plugin does. Async programs
    /// use [`Self::send`].
    ///
    /// # Errors
    /// [`SendError`]: the data was not taken.
    pub fn try_send(&self, data: &[u8]) -> Result<(), SendError> {
        try_send(&self.core, data)
    }

    /// Tells the plugin that no more data comes. Frames from it may still follow. Never blocks: where
    /// the plugin's code may not run on this thread, it is told from a worker.
    ///
    /// # Errors
    /// [`SendError`], if the plugin cannot be told, or refuses it on this thread.
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
        let instance = core.instance;
        let cell = core.cell;
        let readied = cell.readied();
        let sent = match try_send_here(core, data) {
            Some(sent) => sent,
            None => send_apart(core, cell, data).await?,
        };
        let can_tell = instance.distance.points().attach.is_some();
        if sent != Err(SendError::Backpressure) || !can_tell {
            return sent;
        }
        core.keep_time();
        cell.ready(core.sid, readied).await;
    }
}

/// Sends on this thread, if that may be.
fn try_send_here(core: &Core, data: &[u8]) -> Option<Result<(), SendError>> {
    // A coroutine's frames are only queued here.
    let _lent = if core.handler.is_some() { None } else { Some(core.instance.lend()?) };
    Some(try_send(core, data))
}

/// Sends on a worker of the plugin, so that one that blocks takes none but its own; given up when
/// the stream ends.
///
/// # Errors
/// The workers' queue is full: nothing would say when there is room.
async fn send_apart(
    core: &Arc<Core>,
    cell: &StreamCell,
    data: &[u8],
) -> Result<Result<(), SendError>, SendError> {
    let (worker, data) = (core.clone(), data.to_vec());
    // Run once, by the job below: it never waits, so it is never scheduled again.
    let (runnable, task) = async_task::spawn(async move { try_send(&worker, &data) }, |_| {});
    let job = move || {
        runnable.run();
    };
    if core.instance.offload(Box::new(job)).is_err() {
        core.shared.counters.one(Count::ResourceRefused);
        return Err(SendError::Backpressure);
    }
    core.keep_time();
    let sent = async { task.fallible().await.unwrap_or(Err(SendError::Closed)) };
    let over = async {
        while cell.is_open(core.sid) {
            let readied = cell.readied();
            cell.ready(core.sid, readied).await;
        }
        Err(SendError::Closed)
    };
    Ok(or(sent, over).await)
}

pub(super) fn try_send(core: &Core, data: &[u8]) -> Result<(), SendError> {
    let len = data.len() as u64;
    let len_max = core.instance.limits.payload_bytes_max;
    if len > len_max {
        return Err(SendError::PayloadTooLarge { len, len_max });
    }
    let cell = core.cell;
    let status = match core.handler.as_deref().and_then(Handler::stream) {
        Some((inbound, _)) if cell.is_open(core.sid) => match inbound.push(data) {
            Pushed::Taken => NrStatus::Ok,
            Pushed::Full => NrStatus::Backpressure,
            Pushed::Closed => return Err(SendError::Closed),
        },
        Some(_) => return Err(SendError::Closed),
        None => tell(core, cell, |distance| distance.stream_data(core.sid, data))?,
    };
    match status {
        NrStatus::Ok => {
            cell.touch();
            core.shared.counters.one(Count::FramesIn);
            core.shared.counters.add(Count::BytesIn, len);
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
    if let Some(_lent) = core.instance.lend() {
        return close_here(core);
    }
    if !cell.is_open(core.sid) {
        return Err(SendError::Closed);
    }
    if core.instance.distance.points().stream_close.is_none() {
        return Err(SendError::Unsupported);
    }
    let worker = core.clone();
    let job = move || {
        if let Err(error) = close_here(&worker) {
            tracing::debug!(target: "becket::call", sid = worker.sid, %error, "stream_close failed");
        }
    };
    let queued = core.instance.offload(Box::new(job));
    queued.map_err(|_| SendError::Refused { status: NrStatus::Backpressure })
}

fn close_here(core: &Core) -> Result<(), SendError> {
    match tell(core, core.cell, |distance| distance.stream_close(core.sid))? {
        NrStatus::Ok => Ok(()),
        status => Err(SendError::Refused { status }),
    }
}

/// Calls the plugin on this thread, if the stream is open: looked at once this thread is inside,
/// since only an open stream keeps the instance for it.
fn tell(
    core: &Core,
    cell: &StreamCell,
    f: impl FnOnce(&Inline) -> Option<NrStatus>,
) -> Result<NrStatus, SendError> {
    core.instance
        .inside(|| cell.is_open(core.sid).then(|| f(&core.instance.distance)))
        .ok_or(SendError::TooDeep { depth_max: DEPTH_MAX })?
        .ok_or(SendError::Closed)?
        .ok_or(SendError::Unsupported)
}
