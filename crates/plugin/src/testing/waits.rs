// SPDX-License-Identifier: BSD-3-Clause
//! Handlers that wait, in the fake host: threads that run one step at a time.
//!
//! A handler of a coroutine entry gets a thread, and the test goes on when every handler waits or
//! has ended. Whatever the test does then (a message, a close, a cancellation, time) lets the
//! handlers go on, and waits again until all of them wait. So a test sees each step, and the same
//! ones each time.
//!
//! # Invariants
//!
//! 1. A task is `parked` only if what it waits for has not come since it looked last: what changes
//!    anything un-parks all, under the lock, and they look again.
//! 2. A park wakes the test once: a task that wakes for nothing stays parked.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::ffi::c_void;
use std::thread;

use becket_abi::{
    BK_FOREVER, BkCoroutineFn, NrBytes, NrOwnedBytes, NrPluginVTable, NrStatus, NrStr, ViewError,
};

use super::api::{in_call, inner};
use super::book::{Book, Inner, Violation};
use super::calls::{Frame, TestRequest};
use crate::owned::OwnedBytes;

thread_local! {
    /// The task that this thread is, and the call that it serves.
    static TASK: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// The handlers at work, and what they wait for.
#[derive(Default)]
pub(super) struct Tasks {
    started: u64,
    /// Whether each waits.
    parked: HashMap<u64, bool>,
    ending: bool,
    /// Messages to streams that a task serves.
    inbound: HashMap<u64, Inbound>,
    channels: HashMap<u64, Channel>,
    channels_made: u64,
}

#[derive(Default)]
struct Inbound {
    messages: VecDeque<Vec<u8>>,
    closed: bool,
}

#[derive(Default)]
struct Channel {
    capacity: u64,
    messages: VecDeque<Vec<u8>>,
    sent: u64,
    taken: u64,
    closed: bool,
}

/// One call to a plugin, on its way to a thread of its own.
pub(super) struct Handle {
    pub(super) plugin_ctx: *mut c_void,
    pub(super) table: NrPluginVTable,
    pub(super) entry: String,
    pub(super) request: Option<TestRequest>,
    pub(super) payload: Vec<u8>,
}

// SAFETY: the context is the plugin's, whose functions may be called from any thread (ABI).
unsafe impl Send for Handle {}

impl Handle {
    fn run(&self, sid: u64) -> NrStatus {
        let Some(handle) = self.table.handle else { return NrStatus::Unsupported };
        let (entry, payload) = (NrStr::from_str(&self.entry), NrBytes::from_slice(&self.payload));
        let call = |request| {
            // SAFETY: the ABI's `handle`; all views outlive the call.
            unsafe { handle(self.plugin_ctx, entry, sid, request, payload) }
        };
        match &self.request {
            Some(request) => request.with_raw(call),
            None => call(std::ptr::null()),
        }
    }
}

/// The test's side.
impl Inner {
    /// Runs a handler until it waits for the first time; gives what it returned, or `Ok`.
    pub(super) fn run_task(&'static self, sid: u64, is_stream: bool, handle: Handle) -> NrStatus {
        if is_stream {
            self.book.lock().tasks.inbound.insert(sid, Inbound::default());
        }
        self.start_task(sid, move || handle.run(sid));
        self.settle();
        let book = self.book.lock();
        book.calls.get(&sid).and_then(|call| call.returned).unwrap_or(NrStatus::Ok)
    }

    fn start_task(&'static self, sid: u64, work: impl FnOnce() -> NrStatus + Send + 'static) {
        let task = {
            let mut book = self.book.lock();
            book.tasks.started += 1;
            let task = book.tasks.started;
            book.tasks.parked.insert(task, false);
            task
        };
        thread::spawn(move || {
            TASK.set(Some((task, sid)));
            let status = work();
            self.end_task(task, sid, status);
        });
    }

    fn end_task(&self, task: u64, sid: u64, status: NrStatus) {
        let mut book = self.book.lock();
        book.tasks.parked.remove(&task);
        if let Some(call) = book.calls.get_mut(&sid)
            && !status.is_ok()
        {
            call.returned = Some(status);
            call.refused |= call.ended.is_none() && !call.cancelled;
        }
        self.stir(&mut book);
    }

    /// Something changed: the tasks that wait look again.
    pub(super) fn stir(&self, book: &mut Book) {
        book.tasks.parked.values_mut().for_each(|parked| *parked = false);
        self.changed.notify_all();
    }

    /// Lets the tasks look again, and go on until all of them wait or have ended.
    pub(super) fn step(&self) {
        // A task does not wait for itself.
        if TASK.get().is_none() {
            self.stir(&mut self.book.lock());
            self.settle();
        }
    }

    fn settle(&self) {
        self.wait("the handlers to wait or to end", |book| {
            book.tasks.parked.values().all(|parked| *parked).then_some(())
        });
    }

    /// Cancels every task, and waits for their ends.
    pub(super) fn end_tasks(&self) {
        {
            let mut book = self.book.lock();
            book.tasks.ending = true;
            self.stir(&mut book);
        }
        if thread::panicking() {
            return;
        }
        self.wait("the handlers to end", |book| book.tasks.parked.is_empty().then_some(()));
    }

    /// A message to a stream that a task serves; `None` for any other stream.
    pub(super) fn push(&self, sid: u64, data: &[u8]) -> Option<NrStatus> {
        let status = {
            let mut guard = self.book.lock();
            let book = &mut *guard;
            let inbound = book.tasks.inbound.get_mut(&sid)?;
            match book.calls.get(&sid) {
                Some(call) if call.ended.is_none() && !call.cancelled && !inbound.closed => {
                    if inbound.messages.len() >= self.limits.stream_frames_max {
                        NrStatus::Backpressure
                    } else {
                        inbound.messages.push_back(data.to_vec());
                        NrStatus::Ok
                    }
                }
                _ => NrStatus::Invalid,
            }
        };
        self.step();
        Some(status)
    }

    /// No more messages to a stream that a task serves.
    pub(super) fn close_inbound(&self, sid: u64) -> Option<NrStatus> {
        let closed = {
            let mut guard = self.book.lock();
            let book = &mut *guard;
            let inbound = book.tasks.inbound.get_mut(&sid)?;
            let open = book.calls.get(&sid).is_some_and(|call| call.ended.is_none());
            open && !std::mem::replace(&mut inbound.closed, true)
        };
        self.step();
        Some(if closed { NrStatus::Ok } else { NrStatus::Invalid })
    }
}

/// The plugin's side: waits for what `look` finds, in virtual time.
fn wait<T>(
    host: &Inner,
    timeout_ns: u64,
    mut look: impl FnMut(&mut Book) -> Option<T>,
) -> Result<T, NrStatus> {
    if in_call() {
        return Err(NrStatus::Unsupported);
    }
    let task = TASK.get();
    let mut book = host.book.lock();
    let due_ms = match timeout_ns {
        BK_FOREVER => u64::MAX,
        ns => book.now_ms.saturating_add(ns.div_ceil(1_000_000)),
    };
    loop {
        let cancelled = |sid: &u64| book.calls.get(sid).is_some_and(|call| call.cancelled);
        if book.tasks.ending || task.is_some_and(|(_, sid)| cancelled(&sid)) {
            return Err(NrStatus::Cancelled);
        }
        if let Some(found) = look(&mut book) {
            host.stir(&mut book);
            return Ok(found);
        }
        if book.now_ms >= due_ms {
            return Err(NrStatus::Timeout);
        }
        if let Some((task, _)) = task
            && let Some(parked) = book.tasks.parked.get_mut(&task)
            && !std::mem::replace(parked, true)
        {
            host.changed.notify_all();
        }
        host.changed.wait(&mut book);
    }
}

fn status(result: Result<NrStatus, NrStatus>) -> NrStatus {
    result.unwrap_or_else(|status| status)
}

/// Gives bytes to the plugin.
fn hand_over(
    result: Result<Result<Vec<u8>, NrStatus>, NrStatus>,
    out: *mut NrOwnedBytes,
) -> NrStatus {
    match result {
        Ok(Ok(bytes)) => {
            if !out.is_null() {
                // SAFETY: the plugin passes room for one.
                unsafe { out.write(OwnedBytes::from(bytes).into_raw()) };
            }
            NrStatus::Ok
        }
        Ok(Err(status)) | Err(status) => status,
    }
}

pub(super) unsafe extern "C" fn coroutine_current(_ctx: *mut c_void) -> u64 {
    if in_call() { 0 } else { TASK.get().map_or(0, |(task, _)| task) }
}

pub(super) unsafe extern "C" fn coroutine_yield(ctx: *mut c_void) -> NrStatus {
    status(wait(inner(ctx), BK_FOREVER, |_| Some(NrStatus::Ok)))
}

pub(super) unsafe extern "C" fn coroutine_sleep(ctx: *mut c_void, duration_ns: u64) -> NrStatus {
    match wait(inner(ctx), duration_ns, |_| None::<()>) {
        Err(NrStatus::Timeout) => NrStatus::Ok,
        Err(status) => status,
        Ok(()) => NrStatus::Ok,
    }
}

struct Argument(*mut c_void);

// SAFETY: only passed back to the plugin, which says that its function may run on any thread.
unsafe impl Send for Argument {}

pub(super) unsafe extern "C" fn coroutine_spawn(
    ctx: *mut c_void,
    function: Option<BkCoroutineFn>,
    argument: *mut c_void,
    _stack_bytes: u64,
) -> NrStatus {
    let Some(function) = function else { return NrStatus::Invalid };
    let (argument, sid) = (Argument(argument), TASK.get().map_or(0, |(_, sid)| sid));
    inner(ctx).start_task(sid, move || {
        let argument = argument;
        // SAFETY: the plugin gave the function with its argument, for one call.
        unsafe { function(argument.0) };
        NrStatus::Ok
    });
    NrStatus::Ok
}

pub(super) unsafe extern "C" fn stream_recv(
    ctx: *mut c_void,
    sid: u64,
    out: *mut NrOwnedBytes,
    timeout_ns: u64,
) -> NrStatus {
    let received = wait(inner(ctx), timeout_ns, |book| {
        let over = book.calls.get(&sid).is_none_or(|call| call.cancelled || call.ended.is_some());
        let Some(inbound) = book.tasks.inbound.get_mut(&sid) else {
            return Some(Err(NrStatus::Invalid));
        };
        match inbound.messages.pop_front() {
            _ if over => Some(Err(NrStatus::Cancelled)),
            Some(message) => Some(Ok(message)),
            None => inbound.closed.then_some(Err(NrStatus::Closed)),
        }
    });
    hand_over(received, out)
}

pub(super) unsafe extern "C" fn stream_send(
    ctx: *mut c_void,
    sid: u64,
    payload: NrBytes,
    timeout_ns: u64,
) -> NrStatus {
    let host = inner(ctx);
    // SAFETY: the plugin's view, borrowed for the call.
    let body = match unsafe { payload.checked(host.limits.payload_bytes_max) } {
        Ok(body) => body,
        Err(error) => {
            host.violate(Violation::BadPayload { sid });
            return refusal(error);
        }
    };
    status(wait(host, timeout_ns, |book| match book.calls.get_mut(&sid) {
        None => Some(NrStatus::Invalid),
        Some(call) if call.cancelled || call.refused || call.ended.is_some() => {
            Some(NrStatus::Cancelled)
        }
        Some(call) if call.frames.len() < host.limits.stream_frames_max => {
            call.frames.push_back(Frame { status: NrStatus::Ok, body: body.to_vec() });
            Some(NrStatus::Ok)
        }
        Some(_) => None,
    }))
}

fn refusal(error: ViewError) -> NrStatus {
    match error {
        ViewError::TooLong { .. } => NrStatus::TooLong,
        _ => NrStatus::Invalid,
    }
}

pub(super) unsafe extern "C" fn channel_make(ctx: *mut c_void, capacity: u64) -> u64 {
    let mut book = inner(ctx).book.lock();
    book.tasks.channels_made += 1;
    let id = book.tasks.channels_made;
    book.tasks.channels.insert(id, Channel { capacity, ..Channel::default() });
    id
}

pub(super) unsafe extern "C" fn channel_send(
    ctx: *mut c_void,
    channel: u64,
    message: NrBytes,
    timeout_ns: u64,
) -> NrStatus {
    let host = inner(ctx);
    // SAFETY: the plugin's view, borrowed for the call.
    let message = match unsafe { message.checked(host.limits.payload_bytes_max) } {
        Ok(message) => message,
        Err(error) => return refusal(error),
    };
    let sent = wait(host, timeout_ns, |book| {
        let Some(channel) = book.tasks.channels.get_mut(&channel) else {
            return Some(Err(NrStatus::Invalid));
        };
        if channel.closed {
            return Some(Err(NrStatus::Closed));
        }
        ((channel.messages.len() as u64) < channel.capacity.max(1)).then(|| {
            channel.messages.push_back(message.to_vec());
            channel.sent += 1;
            Ok((channel.sent, channel.capacity == 0))
        })
    });
    let (number, meet) = match sent {
        Ok(Ok(sent)) => sent,
        Ok(Err(status)) | Err(status) => return status,
    };
    if !meet {
        return NrStatus::Ok;
    }
    let met = wait(host, timeout_ns, |book| match book.tasks.channels.get(&channel) {
        Some(channel) if channel.taken < number => channel.closed.then_some(NrStatus::Closed),
        _ => Some(NrStatus::Ok),
    });
    if met != Ok(NrStatus::Ok)
        && let Some(channel) = host.book.lock().tasks.channels.get_mut(&channel)
        && channel.taken < number
    {
        // It is undelivered: the last one, since a rendezvous holds one at a time.
        channel.messages.clear();
        channel.sent -= 1;
    }
    status(met)
}

pub(super) unsafe extern "C" fn channel_recv(
    ctx: *mut c_void,
    channel: u64,
    out: *mut NrOwnedBytes,
    timeout_ns: u64,
) -> NrStatus {
    let received = wait(inner(ctx), timeout_ns, |book| {
        let Some(channel) = book.tasks.channels.get_mut(&channel) else {
            return Some(Err(NrStatus::Invalid));
        };
        match channel.messages.pop_front() {
            Some(message) => {
                channel.taken += 1;
                Some(Ok(message))
            }
            None => channel.closed.then_some(Err(NrStatus::Closed)),
        }
    });
    hand_over(received, out)
}

pub(super) unsafe extern "C" fn channel_close(ctx: *mut c_void, channel: u64) -> NrStatus {
    let host = inner(ctx);
    let mut book = host.book.lock();
    let Some(channel) = book.tasks.channels.get_mut(&channel) else { return NrStatus::Invalid };
    channel.closed = true;
    host.stir(&mut book);
    NrStatus::Ok
}

pub(super) unsafe extern "C" fn channel_destroy(ctx: *mut c_void, channel: u64) -> NrStatus {
    let host = inner(ctx);
    let mut book = host.book.lock();
    let known = book.tasks.channels.remove(&channel).is_some();
    host.stir(&mut book);
    if known { NrStatus::Ok } else { NrStatus::Invalid }
}
