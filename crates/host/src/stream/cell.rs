// SPDX-License-Identifier: BSD-3-Clause
//! What a plugin's threads and the receiver of one stream share.
//!
//! ```text
//!   plugin ── credit? ─▶ Credit ── yes ─▶ channel ── frame, frame, end ──▶ Inbox
//!               │          ▲                                                 │
//!               │          └─────────────── credit back, a batch at a time ──┤
//!               └ no: Backpressure, or wait for the room event ◀ notify ──────┘
//! ```
//!
//! The channel is an unlimited one, which carries values in order and wakes the receiver; the
//! credit bounds what is in flight, and for which stream ([`super::credit`]). Cell and channel
//! belong to a slot of the call table and serve the slot's next stream too: a stream's end goes
//! through the channel as its last message, and the channel is never closed.
//!
//! # Invariants
//!
//! 1. A frame is accepted only while the stream is the sender's, has not ended, and the bounds
//!    hold; accepted frames come out once each, those of a thread in its order.
//! 2. Nothing is accepted after the end, which needs no credit. It may overtake, on the channel,
//!    a frame that was accepted before it: the receiver keeps it back until no frame is owed.
//! 3. An accepted sender puts its message on the channel, whatever happens in between. A receiver
//!    that leaves waits for none of them, which may take as long as a copy of many megabytes: the
//!    slot is free when the last one has come, so that no message reaches the next stream.
//! 4. No code of a plugin or of the user runs under a lock or between acceptance and message.

use std::{
    mem::{self, ManuallyDrop},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use atomic_waker::AtomicWaker;
use becket_abi::NrStatus;
use becket_chan::{Receiver, Sender, unlimited};

use super::{
    credit::{CLOSED, Credit, ENDED, READY_AWAITED, ROOM_AWAITED, STARVED, UNITS_BITS, frames_of},
    event::Event,
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
pub(super) enum MessageKind {
    Frame,
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

/// One message of the channel.
///
/// A copy that is wider than the writes before it waits until those have left the processor's store
/// buffer, which takes longer than all else that is done with a message. So the frame is kept in
/// the form in which it comes out, and the rest of the message is one word.
#[derive(Debug)]
pub(super) struct Message {
    frame: Frame,
    /// `kind << UNITS_BITS | units`
    head: u64,
}

impl Message {
    #[inline]
    fn new(kind: MessageKind, status: NrStatus, units: u32, body: Body) -> Self {
        let head = (kind as u64) << UNITS_BITS | u64::from(units);
        Self { frame: Frame { status, body }, head }
    }

    pub(super) fn end(end: End) -> Self {
        let (kind, status) = match end {
            End::Refused(status) => (MessageKind::Refused, status),
            End::Failed(status) => (MessageKind::Last, status),
            End::DeadlineExceeded => (MessageKind::DeadlineExceeded, NrStatus::Ok),
            End::Idle => (MessageKind::Idle, NrStatus::Ok),
            End::Unloaded => (MessageKind::Unloaded, NrStatus::Ok),
            End::Crashed => (MessageKind::Crashed, NrStatus::Ok),
            End::PluginFailed => (MessageKind::PluginFailed, NrStatus::Ok),
        };
        Self::new(kind, status, 0, Body::EMPTY)
    }

    #[inline]
    pub(super) fn kind(&self) -> MessageKind {
        match self.head >> UNITS_BITS {
            0 => MessageKind::Frame,
            1 => MessageKind::Last,
            2 => MessageKind::Refused,
            3 => MessageKind::DeadlineExceeded,
            4 => MessageKind::Idle,
            5 => MessageKind::Unloaded,
            6 => MessageKind::Crashed,
            7 => MessageKind::PluginFailed,
            _ => MessageKind::Nothing,
        }
    }

    /// What was taken for it.
    #[inline]
    pub(super) fn units(&self) -> u64 {
        self.head & ((1 << UNITS_BITS) - 1)
    }

    #[inline]
    pub(super) fn status(&self) -> NrStatus {
        self.frame.status
    }

    #[inline]
    pub(super) fn into_frame(self) -> Frame {
        self.frame
    }

    /// The frame, of which nothing is left here.
    #[inline]
    pub(super) fn take_frame(&mut self) -> Frame {
        Frame { status: self.frame.status, body: mem::take(&mut self.frame.body) }
    }

    /// The message, of which nothing is left here.
    pub(super) fn take(&mut self) -> Self {
        Self { frame: self.take_frame(), head: self.head }
    }

    /// Whether it is a stream's last one, which took no credit.
    #[inline]
    pub(super) fn is_end(&self) -> bool {
        !matches!(self.kind(), MessageKind::Frame | MessageKind::Nothing)
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

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// The stream is over.
    Late,
    /// There is no room.
    Full,
}

/// See the module's documentation.
pub(crate) struct StreamCell {
    credit: Credit,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
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
#[derive(Debug, Clone, Copy)]
#[must_use]
pub(super) struct CloseResult {
    /// The plugin had not ended the stream.
    pub(super) open: bool,
    /// Messages that senders still owe the channel: the next stream begins when all have come.
    pub(super) messages: usize,
}

impl CloseResult {
    /// Receives what is owed to `cell`.
    pub(super) async fn receive(self, cell: &StreamCell) {
        for _ in 0..self.messages {
            drop(cell.receiver.recv().await);
        }
    }
}

impl StreamCell {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = unlimited();
        Self {
            credit: Credit::new(),
            sender,
            receiver,
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
        self.credit.open(sid, frames_max, bytes_max);
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
        let units = self.credit.take(sid, len, STARVED)?;
        self.put_frame(sid, status, units, body)
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
        let units = match self.credit.take(sid, len, 0) {
            Err(Rejected::Full) => {
                full();
                self.take_until(sid, len, deadline)?
            }
            taken => taken?,
        };
        self.put_frame(sid, status, units, body)
    }

    /// Puts the frame for which `units` were taken on the channel.
    #[inline]
    fn put_frame(
        &self,
        sid: u64,
        status: NrStatus,
        units: u32,
        body: impl FnOnce() -> Body,
    ) -> Result<(), Rejected> {
        let guard = PublishGuard { cell: self, kind: MessageKind::Nothing, units };
        if !self.credit.is_of(sid) {
            return Err(Rejected::Late);
        }
        let message = Message::new(MessageKind::Frame, status, units, body());
        guard.settle();
        self.put(message);
        Ok(())
    }

    fn take_until(&self, sid: u64, len: u64, deadline: Instant) -> Result<u32, Rejected> {
        loop {
            let mut taken = Err(Rejected::Full);
            let room = self.room.listen(|| {
                taken = self.credit.take(sid, len, ROOM_AWAITED);
                taken == Err(Rejected::Full)
            });
            let Some(room) = room else { return taken };
            if !room.cancelled().deadline(deadline).wait() {
                return self.credit.take(sid, len, STARVED);
            }
        }
    }

    fn push_end(
        &self,
        sid: u64,
        status: NrStatus,
        body: impl FnOnce() -> Body,
    ) -> Result<(), Rejected> {
        let before = self.credit.end(sid).ok_or(Rejected::Late)?;
        let guard = PublishGuard { cell: self, kind: MessageKind::Refused, units: 0 };
        if !self.credit.is_of(sid) {
            return Err(Rejected::Late);
        }
        let message = Message::new(MessageKind::Last, status, 0, body());
        guard.settle();
        self.put(message);
        self.tell_of_end(before);
        Ok(())
    }

    /// Ends the stream from the host's side. True if it was still open.
    pub(crate) fn end(&self, sid: u64, end: End) -> bool {
        let Some(before) = self.credit.end(sid) else { return false };
        self.put(Message::end(end));
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
            let word = self.credit.word();
            if !self.credit.is_open(sid) {
                return Idle::Over;
            }
            let now = self.activity();
            if now != activity || frames_of(word) > 0 {
                return Idle::Active(now);
            }
            if self.credit.end_from(word).is_ok() {
                self.put(Message::end(End::Idle));
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

    #[inline]
    fn put(&self, message: Message) {
        // The cell holds a receiver and closes nothing: there is room always.
        let put = self.sender.try_send(message);
        debug_assert!(put.is_ok(), "an unlimited channel was full or closed");
    }

    /// Whether the plugin answered: by a frame, or by the end. `handle` has not returned.
    pub(crate) fn is_answered(&self, sid: u64) -> bool {
        self.credit.is_answered(sid)
    }

    /// `handle` returned.
    pub(crate) fn set_opened(&self, sid: u64) {
        if self.credit.set_opened(sid) {
            self.opener.wake();
        }
    }

    /// The plugin takes data again. False if the stream is over.
    pub(crate) fn set_ready(&self, sid: u64) -> bool {
        if !self.credit.is_live(sid) {
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
        let must_wait = || self.readied() == readied && self.credit.mark(sid, READY_AWAITED);
        while let Some(ready) = self.ready.listen(must_wait) {
            ready.cancelled().await;
        }
    }

    /// True while frames may be accepted.
    pub(crate) fn is_open(&self, sid: u64) -> bool {
        self.credit.is_open(sid)
    }
}

/// What the one receiver does; see [`super::inbox`].
impl StreamCell {
    pub(super) fn receiver(&self) -> &Receiver<Message> {
        &self.receiver
    }

    pub(super) fn opener(&self) -> &AtomicWaker {
        &self.opener
    }

    pub(super) fn is_opened(&self) -> bool {
        self.credit.is_opened()
    }

    /// Messages that are on the channel or about to be put there; `has_end`: its end was received.
    #[inline]
    pub(super) fn expected(&self, has_end: bool) -> usize {
        expected(self.credit.word(), has_end)
    }

    /// Gives back the credit of received messages. True if the plugin is to be notified that the
    /// stream is writable.
    #[inline]
    pub(super) fn give_back(&self, frames: u64, units: u64) -> bool {
        let received = self.received.load(Ordering::Relaxed);
        self.received.store(received.wrapping_add(frames), Ordering::Relaxed);
        let before = self.credit.give_back(frames, units);
        if before & ROOM_AWAITED != 0 {
            self.room.notify();
        }
        before & STARVED != 0
    }

    /// The receiver leaves: nothing is accepted any more. `has_end`: it received the end.
    pub(super) fn close(&self, has_end: bool) -> CloseResult {
        let before = self.credit.close();
        self.tell_of_end(before);
        CloseResult { open: before & (ENDED | CLOSED) == 0, messages: expected(before, has_end) }
    }
}

#[inline]
fn expected(word: u64, has_end: bool) -> usize {
    frames_of(word) + usize::from(word & ENDED != 0 && !has_end)
}

/// A message that the channel is owed.
#[must_use]
struct PublishGuard<'a> {
    cell: &'a StreamCell,
    /// Of the message that is sent if the frame is not made after all.
    kind: MessageKind,
    units: u32,
}

impl PublishGuard<'_> {
    /// The frame is made, and will be put there instead.
    #[inline]
    fn settle(self) {
        let _ = ManuallyDrop::new(self);
    }
}

impl Drop for PublishGuard<'_> {
    fn drop(&mut self) {
        self.cell.put(Message::new(self.kind, NrStatus::Err, self.units, Body::EMPTY));
    }
}
