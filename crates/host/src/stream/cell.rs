// SPDX-License-Identifier: BSD-3-Clause
//! What a plugin's threads and the receiver of one stream share.
//!
//! ```text
//!   plugin ── credit? ─▶ Credit ── yes: a place ─▶ Queue ── frame, frame, end ──▶ Inbox
//!               │          ▲                                                         │
//!               │          └─────────────── credit back, a buffer at a time ─────────┤
//!               └ no: Backpressure, or wait for the room event ◀ notify ──────────────┘
//! ```
//!
//! The credit bounds what is in flight, and for which stream ([`super::credit`]); its word also says where in
//! the queue the frame goes ([`super::queue`]). The cell belongs to a slot of the call table and serves the
//! slot's next stream too: a stream's end goes through the queue as its last message.
//!
//! # Invariants
//!
//! 1. A frame is accepted only while the stream is the sender's, has not ended, and the bounds
//!    hold; accepted frames come out once each, in the order in which they were accepted.
//! 2. Nothing is accepted after the end, which needs no credit, and comes out last.
//! 3. An accepted sender puts its message in the queue, whatever happens in between. A receiver
//!    that leaves waits for none of them, which may take as long as a copy of many megabytes: the
//!    slot is free when the last one has come, so that no message reaches the next stream.
//! 4. No code of a plugin or of the user runs under a lock or between acceptance and message.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
    time::Instant,
};

use atomic_waker::AtomicWaker;
use becket_abi::NrStatus;

use super::{
    credit::{CLOSED, ENDED, READY_AWAITED, ROOM_AWAITED, Rejected, STARVED, frames_of},
    event::Event,
    queue::{self, Claimed, Cursor, Place, Published, Queue, Remains},
};
use crate::body::Body;

/// One frame of a stream.
#[derive(Debug, Clone)]
pub struct Frame {
    /// `Ok`, or `StreamEnd` if the last frame carried bytes.
    pub status: NrStatus,
    /// The bytes.
    pub body: Body,
}

/// How a stream ended, if not by the plugin's terminal frame.
#[derive(Debug)]
pub(crate) enum End {
    /// By `handle`, which did not return `Ok`.
    Refused(NrStatus),
    /// The same after a frame.
    Failed(NrStatus),
    /// At its deadline.
    DeadlineExceeded,
    /// Without a frame for too long.
    Idle,
    /// The plugin went away.
    Unloaded,
    /// What ran it has ended.
    Crashed,
    /// What would run it has ended too often.
    PluginFailed,
}

/// The kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum MessageKind {
    Frame = 1,
    /// The terminal frame.
    Last,
    /// The stream ended otherwise; the status is that of `handle`, if it refused.
    Refused,
    DeadlineExceeded,
    Idle,
    Unloaded,
    Crashed,
    PluginFailed,
    /// In place of a frame that could not be made.
    Nothing,
}

impl MessageKind {
    pub(super) fn of(kind: u32) -> Self {
        const KINDS: [MessageKind; 8] = [
            MessageKind::Frame,
            MessageKind::Last,
            MessageKind::Refused,
            MessageKind::DeadlineExceeded,
            MessageKind::Idle,
            MessageKind::Unloaded,
            MessageKind::Crashed,
            MessageKind::PluginFailed,
        ];
        let kind = KINDS.into_iter().find(|known| *known as u32 == kind);
        kind.unwrap_or(Self::Nothing)
    }
}

/// The frame of a message that ends a stream is empty, but of `Last`.
impl queue::Message for Frame {
    fn missing() -> Self {
        Self { status: NrStatus::Err, body: Body::EMPTY }
    }

    #[inline(always)]
    unsafe fn write(self, place: *mut Self) {
        let Self { status, body } = self;
        // SAFETY: the caller's promise.
        unsafe { (&raw mut (*place).status).write(status) };
        // SAFETY: the same.
        unsafe { (&raw mut (*place).body).write(body) };
    }
}

impl End {
    fn into_message(self) -> (MessageKind, Frame) {
        let (kind, status) = match self {
            Self::Refused(status) => (MessageKind::Refused, status),
            Self::Failed(status) => (MessageKind::Last, status),
            Self::DeadlineExceeded => (MessageKind::DeadlineExceeded, NrStatus::Ok),
            Self::Idle => (MessageKind::Idle, NrStatus::Ok),
            Self::Unloaded => (MessageKind::Unloaded, NrStatus::Ok),
            Self::Crashed => (MessageKind::Crashed, NrStatus::Ok),
            Self::PluginFailed => (MessageKind::PluginFailed, NrStatus::Ok),
        };
        (kind, Frame { status, body: Body::EMPTY })
    }
}

/// What became of a look at an idle stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idle {
    /// It was idle, and was ended.
    Ended,
    /// It had ended already.
    Over,
    /// Something moved; this is the count now.
    Active(u64),
}

/// See the module's documentation.
pub(crate) struct StreamCell {
    queue: Queue<Frame>,
    /// For frames that wait for room.
    room: Event,
    /// For data that waits for the plugin.
    ready: Event,
    /// How often the plugin reported that it takes data again.
    readied: AtomicU64,
    /// The opening, if it waits for `handle`.
    opener: AtomicWaker,
    /// Messages received, and data sent to the plugin: for the idle limit.
    received: AtomicU64,
    touched: AtomicU64,
}

/// What a receiver leaves behind.
#[derive(Debug)]
#[must_use]
pub(super) struct CloseResult {
    /// The plugin had not ended the stream.
    pub(super) open: bool,
    /// Messages that senders still owe the queue: the next stream begins when all have come.
    pub(super) remains: Remains,
}

impl CloseResult {
    /// Receives what is owed to `cell`.
    pub(super) async fn receive(mut self, cell: &StreamCell) {
        poll_fn(|context| cell.queue.poll_remains(&mut self.remains, context.waker())).await;
        cell.queue.forget_waker();
    }
}

impl StreamCell {
    pub(crate) fn new() -> Self {
        Self {
            queue: Queue::new(),
            room: Event::default(),
            ready: Event::default(),
            readied: AtomicU64::new(0),
            opener: AtomicWaker::new(),
            received: AtomicU64::new(0),
            touched: AtomicU64::new(0),
        }
    }

    /// Prepares the cell for stream `sid`.
    pub(crate) fn open(&self, sid: u64, frames_max: u32, bytes_max: u64) {
        self.queue.credit.open(sid, frames_max, bytes_max);
    }

    /// Takes a frame, or the end if its status is terminal. `body` is made only if it is taken.
    #[inline]
    pub(crate) fn push(
        &self,
        sid: u64,
        status: NrStatus,
        len: u64,
        body: impl FnOnce() -> Body,
    ) -> Result<(), Rejected> {
        if status.is_terminal() {
            return self.push_end(sid, status, body);
        }
        let place = self.queue.claim(sid, len, STARVED)?.guarded(MessageKind::Nothing as u32);
        self.fill(sid, MessageKind::Frame, status, place, body)
    }

    /// Takes a frame, not a terminal one, if the stream is `sid` and has room; marks nothing if not. `taken` runs
    /// before it is there, and does not panic.
    #[inline(always)]
    pub(crate) fn push_made(
        &self,
        sid: u64,
        status: NrStatus,
        body: Body,
        taken: impl FnOnce(),
    ) -> bool {
        let Ok(place) = self.queue.claim(sid, body.len() as u64, 0) else { return false };
        if !self.queue.credit.is_of(sid) {
            place.publish(MessageKind::Nothing as u32, queue::Message::missing());
            return false;
        }
        taken();
        place.publish(MessageKind::Frame as u32, Frame { status, body });
        true
    }

    /// The same with a terminal frame.
    #[inline]
    pub(crate) fn push_end_made(
        &self,
        sid: u64,
        status: NrStatus,
        body: Body,
        taken: impl FnOnce(),
    ) -> bool {
        let Some((place, before)) = self.queue.claim_end(sid) else { return false };
        if !self.queue.credit.is_of(sid) {
            place.publish(MessageKind::Refused as u32, queue::Message::missing());
            return false;
        }
        taken();
        place.publish(MessageKind::Last as u32, Frame { status, body });
        self.tell_of_end(before);
        true
    }

    /// As [`Self::push`], but waits for room until `deadline`; then `full` runs first.
    pub(crate) fn push_until(
        &self,
        sid: u64,
        status: NrStatus,
        len: u64,
        body: impl FnOnce() -> Body,
        deadline: Instant,
        full: impl FnOnce(),
    ) -> Result<(), Rejected> {
        if status.is_terminal() {
            return self.push_end(sid, status, body);
        }
        let claim = |mark| self.queue.claim(sid, len, mark);
        let place = match claim(0) {
            Err(Rejected::Full) => {
                full();
                self.claim_until(claim, deadline)?
            }
            claimed => claimed?,
        };
        let place = place.guarded(MessageKind::Nothing as u32);
        self.fill(sid, MessageKind::Frame, status, place, body)
    }

    /// Puts a message in its place.
    #[inline]
    fn fill(
        &self,
        sid: u64,
        kind: MessageKind,
        status: NrStatus,
        place: Place<'_, Frame>,
        body: impl FnOnce() -> Body,
    ) -> Result<(), Rejected> {
        if !self.queue.credit.is_of(sid) {
            // Dropped, the place gets a message in place of this one.
            return Err(Rejected::Late);
        }
        place.publish(kind as u32, Frame { status, body: body() });
        Ok(())
    }

    fn claim_until<'a>(
        &'a self,
        claim: impl Fn(u64) -> Result<Claimed<'a, Frame>, Rejected>,
        deadline: Instant,
    ) -> Result<Claimed<'a, Frame>, Rejected> {
        loop {
            let mut claimed = Err(Rejected::Full);
            let room = self.room.listen(|| {
                claimed = claim(ROOM_AWAITED);
                matches!(claimed, Err(Rejected::Full))
            });
            let Some(room) = room else { return claimed };
            if !room.cancelled().deadline(deadline).wait() {
                return claim(STARVED);
            }
        }
    }

    fn push_end(
        &self,
        sid: u64,
        status: NrStatus,
        body: impl FnOnce() -> Body,
    ) -> Result<(), Rejected> {
        let (place, before) = self.queue.claim_end(sid).ok_or(Rejected::Late)?;
        let place = place.guarded(MessageKind::Refused as u32);
        self.fill(sid, MessageKind::Last, status, place, body)?;
        self.tell_of_end(before);
        Ok(())
    }

    /// Ends the stream from the host's side. True if it was still open.
    pub(crate) fn end(&self, sid: u64, end: End) -> bool {
        let (kind, frame) = end.into_message();
        let Some((place, before)) = self.queue.claim_end(sid) else { return false };
        place.publish(kind as u32, frame);
        self.tell_of_end(before);
        true
    }

    /// Ends the stream because its plugin goes away. True if it was still open.
    pub(crate) fn end_unloaded(&self, sid: u64) -> bool {
        self.end(sid, End::Unloaded)
    }

    /// Ends the stream as idle if nothing moved since `activity`.
    pub(crate) fn end_if_idle(&self, sid: u64, activity: u64) -> Idle {
        loop {
            let word = self.queue.credit.word();
            if !self.queue.credit.is_open(sid) {
                return Idle::Over;
            }
            let now = self.activity();
            if now != activity || frames_of(word) > 0 {
                return Idle::Active(now);
            }
            let (kind, frame) = End::Idle.into_message();
            if let Ok(place) = self.queue.claim_end_from(word) {
                place.publish(kind as u32, frame);
                self.tell_of_end(word);
                return Idle::Ended;
            }
        }
    }

    fn activity(&self) -> u64 {
        let received = self.received.load(Ordering::Relaxed);
        received.wrapping_add(self.touched.load(Ordering::Relaxed))
    }

    /// Data went to the plugin.
    pub(crate) fn touch(&self) {
        self.touched.fetch_add(1, Ordering::Relaxed);
    }

    /// Wakes what waits for a stream that is over; `before`: the credit's word before.
    #[inline]
    fn tell_of_end(&self, before: u64) {
        if before & ROOM_AWAITED != 0 {
            self.room.notify();
        }
        if before & READY_AWAITED != 0 {
            self.ready.notify();
        }
    }

    /// Whether the plugin answered: by a frame, or by the end. `handle` has not returned.
    pub(crate) fn is_answered(&self, sid: u64) -> bool {
        self.queue.credit.is_answered(sid)
    }

    /// `handle` returned.
    pub(crate) fn set_opened(&self, sid: u64) {
        if self.queue.credit.set_opened(sid) {
            self.opener.wake();
        }
    }

    /// The plugin takes data again. False if the stream is over.
    pub(crate) fn set_ready(&self, sid: u64) -> bool {
        if !self.queue.credit.is_live(sid) {
            return false;
        }
        self.readied.fetch_add(1, Ordering::AcqRel);
        self.ready.notify();
        true
    }

    /// How often the plugin reported that it takes data again: read before data is offered, so that
    /// what it reports from then on is not missed, whichever sender it was meant for.
    pub(crate) fn readied(&self) -> u64 {
        self.readied.load(Ordering::Acquire)
    }

    /// Waits until the plugin has reported that it takes data since `readied` was read, or the stream
    /// is over.
    pub(crate) async fn ready(&self, sid: u64, readied: u64) {
        let must_wait = || self.readied() == readied && self.queue.credit.mark(sid, READY_AWAITED);
        while let Some(ready) = self.ready.listen(must_wait) {
            ready.cancelled().await;
        }
    }

    /// True while frames may be accepted.
    pub(crate) fn is_open(&self, sid: u64) -> bool {
        self.queue.credit.is_open(sid)
    }
}

/// What the one receiver does; see [`super::inbox`].
impl StreamCell {
    /// The next message that is there.
    #[inline(always)]
    pub(super) fn next<'a>(
        &'a self,
        cursor: &mut Cursor<'a, Frame>,
    ) -> Option<Published<'a, Frame>> {
        self.queue.next(cursor)
    }

    /// The kind and the status of that one, which stays.
    pub(super) fn peek(&self, cursor: &Cursor<'_, Frame>) -> Option<(u32, NrStatus)> {
        self.queue.peek(cursor, |frame| frame.status)
    }

    /// Waits until there is a next message. True if the plugin is to be notified that the stream is writable.
    #[inline]
    pub(super) fn poll_more<'a>(
        &'a self,
        cursor: &mut Cursor<'a, Frame>,
        context: &mut Context<'_>,
    ) -> (Poll<()>, bool) {
        let mut before = 0;
        let polled = self.queue.poll_published(cursor, context.waker(), |word| before = word);
        if frames_of(before) > 0 {
            let received = self.received.load(Ordering::Relaxed);
            let frames = frames_of(before) as u64;
            self.received.store(received.wrapping_add(frames), Ordering::Relaxed);
        }
        if before & ROOM_AWAITED != 0 {
            self.room.notify();
        }
        (polled, before & STARVED != 0)
    }

    pub(super) fn opener(&self) -> &AtomicWaker {
        &self.opener
    }

    pub(super) fn is_opened(&self) -> bool {
        self.queue.credit.is_opened()
    }

    /// The receiver leaves: nothing is accepted any more, and what came is dropped.
    pub(super) fn close(&self, cursor: &Cursor<'_, Frame>) -> CloseResult {
        let (mut remains, before) = self.queue.close(cursor);
        self.tell_of_end(before);
        self.queue.drop_published(&mut remains);
        CloseResult { open: before & (ENDED | CLOSED) == 0, remains }
    }

    /// It wakes the receiver no more.
    pub(super) fn forget_waker(&self) {
        self.queue.forget_waker();
    }
}
