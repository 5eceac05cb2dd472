// SPDX-License-Identifier: BSD-3-Clause
//! Channels that drop items by design. Each item is a state: all bytes that the reader did not have
//! when it was sent.
//!
//! ```text
//!   bytes of the flow   ……………………………………………………
//!   read                ▓▓▓▓▓▓▓▓▓▓
//!   item 7                    ├─────────┤            still in the channel, or dropped
//!   item 8                    ├──────────────┤       its reader needs no other item
//!                             ▲ read when it was sent
//! ```
//!
//! A send never waits, so the writer keeps account of the room itself: it takes at most the limit
//! beyond what was read, and reports room when the reader took an item.
//!
//! # Invariants
//!
//! 1. An item begins at or before the reader's position, and ends at the writer's.
//! 2. A pending receive is assigned the next item that is sent, whatever follows it. Any other
//!    receive from a channel that keeps the latest takes the item that was sent last.
//! 3. Sent equals received, held and undelivered: the channel's counters agree at each receive, and
//!    the undelivered hook was called that many times.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use becket_chan::{Builder, Receiver, RecvStream, Sender};
use bytes::Bytes;
use futures_core::Stream as _;

use super::Lost;
use crate::bridge::rest::Rest;
use crate::bridge::{Conduit, Failure};

pub(super) type MakeBuilder = fn() -> Builder<State>;

/// Which items a full channel keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// The latest one.
    Latest,
    /// The newest ones.
    Newest,
    /// The oldest ones.
    Oldest,
}

/// An item.
pub(super) struct State {
    number: u64,
    /// Offset of its first byte in the flow.
    from: u64,
    bytes: Bytes,
}

/// A channel of one flow.
pub(super) struct Latest {
    stream: Pin<Box<RecvStream<'static, State>>>,
    receiver: Receiver<State>,
    sender: Option<Sender<State>>,
    lost: Lost<State>,
    keeps: Keeps,
    flow_bytes_max: usize,
    /// Bytes that were written and not received, and their offset.
    unread: VecDeque<u8>,
    read: u64,
    sent: u64,
    received: u64,
    lost_count: u64,
    /// A receive is pending, and the number of the item that it was assigned.
    is_waiting: bool,
    handed: Option<u64>,
    /// The last state was dropped, and must be sent when there is room.
    is_owed: bool,
    waits_for_room: Option<Waker>,
    rest: Rest,
}

impl Latest {
    pub(super) fn new(builder: Builder<State>, keeps: Keeps, flow_bytes_max: usize) -> Self {
        let lost = Lost::default();
        let hook = lost.clone();
        let (sender, receiver) = builder.on_undelivered(move |state| hook.put(state)).build();
        Self {
            stream: Box::pin(receiver.clone().into_stream()),
            receiver,
            sender: Some(sender),
            lost,
            keeps,
            flow_bytes_max,
            unread: VecDeque::new(),
            read: 0,
            sent: 0,
            received: 0,
            lost_count: 0,
            is_waiting: false,
            handed: None,
            is_owed: false,
            waits_for_room: None,
            rest: Rest::default(),
        }
    }

    /// Sends the state, which never waits. Every second time without a future.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let Some(sender) = &self.sender else { return Err(Failure::new("the sender is gone")) };
        self.sent += 1;
        let bytes = Bytes::from_iter(self.unread.iter().copied());
        let state = State { number: self.sent, from: self.read, bytes };
        if std::mem::take(&mut self.is_waiting) {
            self.handed = Some(self.sent);
        }
        let is_sent = if self.sent.is_multiple_of(2) {
            sender.try_send(state).is_ok()
        } else {
            matches!(pin!(sender.send(state)).poll(cx), Poll::Ready(Ok(())))
        };
        if !is_sent {
            return Err(Failure::new("a send that never waits was not over at once"));
        }
        self.is_owed = false;
        self.hear_of_lost()
    }

    /// Checks that the dropped items are those that this kind drops.
    fn hear_of_lost(&mut self) -> Result<(), Failure> {
        while let Some(state) = self.lost.take() {
            self.lost_count += 1;
            let is_last = state.number == self.sent;
            if is_last != (self.keeps == Keeps::Oldest) {
                return Err(Failure::new("an item was dropped that this kind keeps"));
            }
            self.is_owed |= is_last;
        }
        let seen = self.receiver.snapshot();
        let all = seen.receives + seen.len as u64 + seen.undelivered;
        if seen.sends != all || seen.undelivered != self.lost_count || seen.sends != self.sent {
            return Err(Failure::new("what was sent is not received, held or undelivered, once"));
        }
        Ok(())
    }

    /// An item was received: keeps what is new in it.
    fn took(&mut self, state: State, cx: &mut Context<'_>) -> Result<(), Failure> {
        let is_next = state.number > self.received;
        let is_right = match (self.handed.take(), self.keeps) {
            (Some(handed), _) => state.number == handed,
            (None, Keeps::Latest) => state.number == self.sent,
            (None, Keeps::Newest | Keeps::Oldest) => true,
        };
        let known = self.read.checked_sub(state.from).map(|known| known as usize);
        let Some(known) = known.filter(|_| is_right && is_next) else {
            return Err(Failure::new("an item came that was to be dropped, or comes twice"));
        };
        self.received = state.number;
        self.hear_of_lost()?;
        // A state that is no longer than what is known has nothing new.
        let new = state.bytes.slice(known.min(state.bytes.len())..);
        self.read += new.len() as u64;
        self.unread.drain(..new.len().min(self.unread.len()));
        self.rest.put(new);
        if self.is_owed {
            self.send(cx)?;
        }
        self.tell_writer();
        Ok(())
    }

    /// Reports room to the writer.
    fn tell_writer(&mut self) {
        if let Some(waker) = self.waits_for_room.take() {
            waker.wake();
        }
    }
}

impl Conduit for Latest {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Failure>> {
        let held = self.unread.len() + self.rest.len();
        let taken = bytes.len().min(self.flow_bytes_max.saturating_sub(held));
        if taken == 0 {
            self.waits_for_room = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.unread.extend(bytes.get(..taken).unwrap_or_default());
        self.send(cx)?;
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.is_owed {
            self.waits_for_room = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.sender = None;
        Poll::Ready(Ok(()))
    }

    fn abandon(&mut self) {
        self.sender = None;
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, Failure>> {
        while self.rest.is_empty() {
            let next = self.stream.as_mut().poll_next(cx);
            self.is_waiting = next.is_pending();
            match ready!(next) {
                Some(state) => self.took(state, cx)?,
                None if self.receiver.is_empty() => return Poll::Ready(Ok(0)),
                None => return Poll::Ready(Err(Failure::new("the end came before what is held"))),
            }
        }
        let count = self.rest.take(into);
        self.tell_writer();
        Poll::Ready(Ok(count))
    }

    fn cancel_read(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        self.stream.leave();
        match self.stream.as_mut().poll_next(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(_) => {
                Err(Failure::new("there was an item, and the waiting receiver was not woken"))
            }
        }
    }

    fn drop_read(&mut self) {
        // The assigned item returns to the channel, and is dropped there if the kind drops it.
        self.stream.leave();
        self.is_waiting = false;
        self.handed = None;
    }
}
