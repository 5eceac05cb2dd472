// SPDX-License-Identifier: BSD-3-Clause
//! Data that goes to the plugin from its workers: what is sent on one stream, in order.
//!
//! ```text
//!   send ─────── frame ──▶ ┌────────┐                ┌─ taken, refused ─▶ returned to its sender
//!   try_send ─── frame ──▶ │ outbox │ ─▶ a worker ──▶ ┤
//!   close ───────────────▶ └────────┘                └─ takes no more ──▶ first again, when it does
//! ```
//!
//! One job at a time empties the outbox, so frames do not overtake one another, whichever workers
//! run it. A frame of `send` that the plugin does not take goes back to its sender, which waits.
//! One of `try_send` has no sender that waits: it stays at the front until the plugin calls
//! `stream_ready`. To a plugin that cannot call it the frame is offered again when something else
//! is sent, which is refused until then.
//!
//! # Invariants
//!
//! 1. While something is queued, a job of this outbox is queued or runs, or a task waits for the
//!    plugin to take more, or the outbox is stalled.
//! 2. Frames that are not awaited are bounded as those from the plugin are (`stream_frames_max`,
//!    `stream_bytes_max`); the others by their senders, which take them out again when they leave.
//! 3. No code of a plugin or of the user runs under the lock.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_task::Runnable;
use becket_abi::NrStatus;
use futures_lite::future::or;

use super::{
    Core,
    sender::{close_here, offer},
};
use crate::{
    error::SendError,
    jobs::{self, Job},
    placement::Placement,
    reentry::Mutex,
    timer,
};

/// Items that one job sends before it queues itself again, so that others get the worker.
const TURN_ITEMS: usize = 64;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Outbox {
    /// Something is queued or is being sent.
    busy: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// Frames that are not awaited, and their bytes.
    kept: usize,
    kept_bytes: u64,
    tickets: u64,
    /// The job is queued or runs, or a task waits to queue it.
    running: bool,
    /// The plugin takes no more, and cannot call `stream_ready`.
    stalled: bool,
    /// The status that the plugin returned for a frame that was not awaited.
    refused: Option<NrStatus>,
}

enum Item {
    /// A frame that is not awaited.
    Kept(Box<[u8]>),
    /// A frame whose sender waits: sends it. The number finds it.
    Awaited(u64, Runnable),
    Close,
}

impl Outbox {
    /// True if what is sent now has to go behind something else.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    fn is_stalled(&self) -> bool {
        self.state.lock().stalled
    }

    /// What is sent next; `None` if nothing is left, and the job is over.
    fn next(&self) -> Option<Item> {
        let mut state = self.state.lock();
        let next = state.items.pop_front();
        if next.is_none() {
            state.running = false;
            self.busy.store(false, Ordering::Release);
        }
        next
    }

    /// Puts a frame back in front: the plugin takes no more. Returns the frames that are awaited if the
    /// plugin cannot say when it does, and the job is over.
    fn put_back(&self, frame: Box<[u8]>, can_say: bool) -> Option<Vec<Item>> {
        let mut state = self.state.lock();
        state.items.push_front(Item::Kept(frame));
        if can_say {
            return None;
        }
        state.running = false;
        state.stalled = true;
        Some(state.take(|item| matches!(item, Item::Awaited(..))))
    }

    /// A frame that is not awaited has gone; `refused`: the status that the plugin returned.
    fn gone(&self, len: usize, refused: Option<NrStatus>) {
        let mut state = self.state.lock();
        state.kept -= 1;
        state.kept_bytes -= len as u64;
        state.refused = refused.or(state.refused);
    }

    /// Takes out a frame whose sender leaves; false if it was not there any more.
    fn forget(&self, ticket: u64) -> bool {
        let is_it = |item: &Item| matches!(item, Item::Awaited(other, _) if *other == ticket);
        let forgotten = self.state.lock().take(is_it);
        !forgotten.is_empty()
    }
}

impl State {
    fn take(&mut self, is_taken: impl Fn(&Item) -> bool) -> Vec<Item> {
        let (taken, kept): (Vec<_>, Vec<_>) =
            mem::take(&mut self.items).into_iter().partition(is_taken);
        self.items = kept.into();
        taken
    }
}

/// Queues a frame that is not awaited.
pub(super) fn keep(core: &Arc<Core>, data: &[u8]) -> Result<(), SendError> {
    check(core, data.len())?;
    let limits = &core.instance.limits;
    let len = data.len() as u64;
    let outbox = core.outbox();
    let mut state = outbox.state.lock();
    if let Some(status) = state.refused.take() {
        return Err(SendError::Refused { status });
    }
    let is_full = state.kept >= limits.stream_frames_max as usize
        || (state.kept > 0 && state.kept_bytes.saturating_add(len) > limits.stream_bytes_max);
    if state.stalled || is_full {
        drop(state);
        ask_again(core);
        return Err(SendError::Backpressure);
    }
    state.kept += 1;
    state.kept_bytes += len;
    let is_first = state.push(outbox, Item::Kept(data.into()));
    drop(state);
    if is_first {
        go_on(core);
    }
    core.keep_time();
    Ok(())
}

/// Queues a frame and waits for what becomes of it; given up when the stream ends.
pub(super) async fn send(core: &Arc<Core>, data: &[u8]) -> Result<(), SendError> {
    check(core, data.len())?;
    let (worker, data) = (core.clone(), Box::<[u8]>::from(data));
    let (runnable, task) = jobs::once(move || match worker.outbox().is_stalled() {
        true => Err(SendError::Backpressure),
        false => offer(&worker, &data),
    });
    let ticket = {
        let outbox = core.outbox();
        let mut state = outbox.state.lock();
        if let Some(status) = state.refused.take() {
            return Err(SendError::Refused { status });
        }
        state.tickets += 1;
        state.stalled = false;
        let number = state.tickets;
        let is_first = state.push(outbox, Item::Awaited(number, runnable));
        drop(state);
        if is_first {
            go_on(core);
        }
        Ticket { core, number }
    };
    core.keep_time();
    let cell = core.cell;
    let sent = async { task.fallible().await.unwrap_or(Err(SendError::Closed)) };
    let over = async {
        while cell.is_open(core.sid) {
            let readied = cell.readied();
            cell.ready(core.sid, readied).await;
        }
        // It may be the plugin that ended the stream, inside `stream_data` with this frame.
        if !core.outbox().forget(ticket.number) {
            timer::sleep(core.instance.block_report()).await;
        }
        Err(SendError::Closed)
    };
    let sent = or(sent, over).await;
    drop(ticket);
    sent
}

/// A sender that waits.
struct Ticket<'a> {
    core: &'a Core,
    number: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.core.outbox().forget(self.number);
    }
}

/// Queues the end of what is sent.
pub(super) fn close(core: &Arc<Core>) -> Result<(), SendError> {
    if !core.cell.is_open(core.sid) {
        return Err(SendError::Closed);
    }
    if !core.instance.placement.capabilities().takes_close {
        return Err(SendError::Unsupported);
    }
    let outbox = core.outbox();
    let mut state = outbox.state.lock();
    if state.stalled {
        drop(state);
        ask_again(core);
        return Err(SendError::Backpressure);
    }
    let is_first = state.push(outbox, Item::Close);
    drop(state);
    if is_first {
        go_on(core);
    }
    Ok(())
}

/// The refusals of a frame that do not need the plugin.
fn check(core: &Core, len: usize) -> Result<(), SendError> {
    let (len, len_max) = (len as u64, core.instance.limits.payload_bytes_max);
    if len > len_max {
        return Err(SendError::PayloadTooLarge { len, len_max });
    }
    if !core.cell.is_open(core.sid) {
        return Err(SendError::Closed);
    }
    if !core.instance.placement.capabilities().takes_data {
        return Err(SendError::Unsupported);
    }
    Ok(())
}

impl State {
    /// Queues an item; true if the job is to be queued for it.
    fn push(&mut self, outbox: &Outbox, item: Item) -> bool {
        self.items.push_back(item);
        outbox.busy.store(true, Ordering::Relaxed);
        !mem::replace(&mut self.running, true)
    }
}

/// Has the plugin asked again, if that is what the outbox waits for.
fn ask_again(core: &Arc<Core>) {
    let mut state = core.outbox().state.lock();
    if mem::take(&mut state.stalled) {
        state.running = true;
        drop(state);
        go_on(core);
    }
}

/// Queues the job. Whatever the bound: there is one a stream, and streams are bounded.
fn go_on(core: &Arc<Core>) {
    core.instance.calls.submit_owed(Box::new(Emptying(core.clone())));
}

/// The job.
struct Emptying(Arc<Core>);

impl Job for Emptying {
    fn run(self: Box<Self>) {
        // Also if a waker of the user's panics.
        let mut turn = Turn { core: &self.0, goes_on: true };
        turn.goes_on = (0..TURN_ITEMS).all(|_| match self.0.outbox().next() {
            Some(item) => send_item(&self.0, item),
            None => false,
        });
    }
}

/// Queues the job again at its end, if it goes on.
struct Turn<'a> {
    core: &'a Arc<Core>,
    goes_on: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.goes_on {
            go_on(self.core);
        }
    }
}

/// Sends an item; false if the job ends and is started again later.
fn send_item(core: &Arc<Core>, item: Item) -> bool {
    match item {
        Item::Kept(data) => return send_kept(core, data),
        Item::Awaited(_, runnable) => {
            runnable.run();
        }
        Item::Close => {
            if let Err(error) = close_here(core) {
                tracing::debug!(target: "becket::call", sid = core.sid, %error, "stream_close failed");
            }
        }
    }
    true
}

fn send_kept(core: &Arc<Core>, data: Box<[u8]>) -> bool {
    let outbox = core.outbox();
    let readied = core.cell.readied();
    let refused = match offer(core, &data) {
        Ok(()) | Err(SendError::Closed) => None,
        Err(SendError::Backpressure) => {
            let can_say = core.instance.placement.capabilities().attaches;
            match outbox.put_back(data, can_say) {
                None => go_on_when_ready(core.clone(), readied),
                // Each is answered so.
                Some(awaited) => awaited.into_iter().for_each(|item| {
                    send_item(core, item);
                }),
            }
            return false;
        }
        Err(SendError::Refused { status }) => Some(status),
        Err(_) => Some(NrStatus::Err),
    };
    if let Some(status) = refused {
        tracing::debug!(target: "becket::call", sid = core.sid, %status, "a frame was refused");
    }
    outbox.gone(data.len(), refused);
    true
}

/// Queues the job when the plugin has said that it takes data since `readied` was read, or the
/// stream is over.
fn go_on_when_ready(core: Arc<Core>, readied: u64) {
    jobs::run_where_woken(async move {
        core.cell.ready(core.sid, readied).await;
        go_on(&core);
    });
}
