// SPDX-License-Identifier: BSD-3-Clause
//! The local channel whose elements are pipelined, with its receiving end.
//!
//! It is a rendezvous channel: a send completes when its element is received, and while no element
//! is received, a select chooses another arm.
//!
//! # Invariants
//!
//! 1. The channel has no other receiver. So an element in it was requeued by this receiving end.
//! 2. A waiting receiving end may have been passed an element that it has not polled yet.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use becket_chan::{RecvStream, Sender, rendezvous};
use futures_core::Stream as _;

use crate::client::sending::Posted;
use crate::element::Element;

pub(super) struct Intake {
    sender: Sender<Element>,
    elements: RecvStream<'static, Element>,
    is_waiting: bool,
}

impl Intake {
    pub(super) fn new() -> Self {
        let (sender, receiver) = rendezvous();
        Self { sender, elements: receiver.into_stream(), is_waiting: false }
    }

    /// A closed one.
    pub(super) fn closed(reason: &str) -> Self {
        let intake = Self::new();
        intake.sender.close_with(reason);
        intake
    }

    pub(super) const fn sender(&self) -> &Sender<Element> {
        &self.sender
    }

    /// The next element. `Ready(None)`: it is closed.
    pub(super) fn next(&mut self, waker: &Waker) -> Poll<Option<Element>> {
        let next = Pin::new(&mut self.elements).poll_next(&mut Context::from_waker(waker));
        self.is_waiting = next.is_pending();
        next
    }

    /// An element that was passed to the waiting end. Receives no further one.
    pub(super) fn handed(&mut self, waker: &Waker) -> Option<Element> {
        match self.is_waiting.then(|| self.next(waker)) {
            Some(Poll::Ready(element)) => element,
            _ => None,
        }
    }

    /// Stops waiting until [`next`](Self::next) is called. Returns an element that was passed by
    /// then.
    pub(super) fn leave(&mut self) -> Option<Element> {
        self.elements.leave();
        self.is_waiting = false;
        let receiver = self.elements.receiver();
        if receiver.is_empty() { None } else { receiver.try_recv().ok() }
    }

    /// Closes it. Returns an element that was passed before.
    pub(super) fn close(&mut self, reason: Option<Arc<str>>) -> Option<Element> {
        let handed = self.leave();
        match reason {
            Some(reason) => self.sender.close_with(reason),
            None => self.sender.close(),
        };
        handed
    }
}

/// Adds outcomes.
pub(super) fn add(sum: &mut Posted, more: Posted) {
    sum.accepted += more.accepted;
    sum.refused += more.refused;
    sum.unknown += more.unknown;
}
