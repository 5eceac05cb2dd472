// SPDX-License-Identifier: BSD-3-Clause
//! What waits until a stream is writable: futures that send, and a message not taken.
//!
//! The host answers a frame `Backpressure`, and later notifies the plugin once, from any thread,
//! that the stream is writable (`stream_room`). The notification may come before the refused sender
//! has registered.
//!
//! # Invariants
//!
//! 1. A future registers its waker before it tries to send. So the notification that follows a
//!    refusal of that try finds the waker.
//! 2. `offered` comes before `on_data`, `not_taken` after it. Of a refused message and a
//!    notification, whichever is recorded second sees the other, and one of the two asks the host
//!    to offer the message again: `refused` is taken once.
//! 3. A waiting future has one waker here, which goes when the future does.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use crate::error::SendError;
use crate::lock::Mutex;

#[derive(Default)]
pub(crate) struct Room {
    /// A message was not taken, and the host was not asked for it since.
    refused: AtomicBool,
    /// The host notified since a message was last offered.
    seen: AtomicBool,
    wakers: Mutex<Wakers>,
}

#[derive(Default)]
struct Wakers {
    key_next: u64,
    by_key: BTreeMap<u64, Waker>,
}

impl Room {
    /// A message is about to be offered to the session.
    pub(crate) fn offered(&self) {
        self.seen.store(false, Ordering::SeqCst);
    }

    /// The message was not taken. True if the host is to be asked for it now.
    pub(crate) fn not_taken(&self) -> bool {
        self.refused.store(true, Ordering::SeqCst);
        self.seen.load(Ordering::SeqCst) && self.refused.swap(false, Ordering::SeqCst)
    }

    /// The host's notification. True if it is to be asked for the message that was not taken.
    pub(crate) fn again(&self) -> bool {
        self.wake();
        self.seen.store(true, Ordering::SeqCst);
        self.refused.swap(false, Ordering::SeqCst)
    }

    /// Every waiting future tries once more.
    pub(crate) fn wake(&self) {
        let wakers = std::mem::take(&mut self.wakers.lock().by_key);
        wakers.into_values().for_each(Waker::wake);
    }

    fn key(&self) -> u64 {
        let mut wakers = self.wakers.lock();
        wakers.key_next += 1;
        wakers.key_next
    }

    fn leave(&self, key: u64, waker: &Waker) {
        let replaced = self.wakers.lock().by_key.insert(key, waker.clone());
        // A waker may own what takes the lock when it goes.
        drop(replaced);
    }

    fn take_back(&self, key: u64) {
        let waker = self.wakers.lock().by_key.remove(&key);
        drop(waker);
    }
}

/// A frame that waits to be taken; `send` tries once.
pub(crate) struct Waiting<'a, F> {
    room: &'a Room,
    key: u64,
    send: F,
}

impl<'a, F: FnMut() -> Result<(), SendError>> Waiting<'a, F> {
    pub(crate) fn new(room: &'a Room, send: F) -> Self {
        Self { room, key: room.key(), send }
    }
}

impl<F: FnMut() -> Result<(), SendError> + Unpin> Future for Waiting<'_, F> {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.room.leave(self.key, cx.waker());
        match (self.send)() {
            Err(SendError::Full) => Poll::Pending,
            outcome => Poll::Ready(outcome),
        }
    }
}

impl<F> Drop for Waiting<'_, F> {
    fn drop(&mut self) {
        self.room.take_back(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_message_is_asked_for_once_whichever_word_is_first() {
        let room = Room::default();
        room.offered();
        assert!(!room.not_taken());
        assert!(room.again());
        assert!(!room.again());

        room.offered();
        assert!(!room.again());
        assert!(room.not_taken());
        assert!(!room.again());
    }

    #[test]
    fn a_waiting_future_has_one_waker_and_takes_it_with_it() {
        let room = Room::default();
        let mut cx = Context::from_waker(Waker::noop());
        let wakers = || room.wakers.lock().by_key.len();
        let mut waiting = Waiting::new(&room, || Err(SendError::Full));
        for _ in 0..3 {
            assert_eq!(Pin::new(&mut waiting).poll(&mut cx), Poll::Pending);
            assert_eq!(wakers(), 1);
        }
        room.wake();
        assert_eq!(wakers(), 0);
        assert_eq!(Pin::new(&mut waiting).poll(&mut cx), Poll::Pending);
        drop(waiting);
        assert_eq!(wakers(), 0);
    }
}
