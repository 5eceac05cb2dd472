// SPDX-License-Identifier: BSD-3-Clause
//! A local channel into which elements are sent ahead, and who takes them from it.
//!
//! It is a rendezvous channel: a send is done when its element has been taken, and as long as nobody
//! takes any, a select goes elsewhere.
//!
//! # Invariants
//!
//! 1. Nobody else receives from the channel. So what it holds went back from a place in its line.
//! 2. Whoever is in the line may have been handed an element that it has not looked at yet.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use becket_chan::{RecvStream, Sender, rendezvous};
use futures_core::Stream as _;

use crate::client::sending::Posted;
use crate::element::Element;

pub(super) struct Line {
    sender: Sender<Element>,
    elements: RecvStream<'static, Element>,
    is_in_line: bool,
}

impl Line {
    pub(super) fn new() -> Self {
        let (sender, receiver) = rendezvous();
        Self { sender, elements: receiver.into_stream(), is_in_line: false }
    }

    /// One to which nobody sends.
    pub(super) fn closed(reason: &str) -> Self {
        let line = Self::new();
        line.sender.close_with(reason);
        line
    }

    pub(super) const fn sender(&self) -> &Sender<Element> {
        &self.sender
    }

    /// The next element. `Ready(None)`: it is closed.
    pub(super) fn next(&mut self, waker: &Waker) -> Poll<Option<Element>> {
        let next = Pin::new(&mut self.elements).poll_next(&mut Context::from_waker(waker));
        self.is_in_line = next.is_pending();
        next
    }

    /// An element that was handed over in the line. Takes no other.
    pub(super) fn handed(&mut self, waker: &Waker) -> Option<Element> {
        match self.is_in_line.then(|| self.next(waker)) {
            Some(Poll::Ready(element)) => element,
            _ => None,
        }
    }

    /// Takes no more until it is asked for the next. What was handed over by then.
    pub(super) fn leave(&mut self) -> Option<Element> {
        self.elements.leave();
        self.is_in_line = false;
        let receiver = self.elements.receiver();
        if receiver.is_empty() { None } else { receiver.try_recv().ok() }
    }

    /// Closes it. What was handed over before.
    pub(super) fn close(&mut self, reason: Option<Arc<str>>) -> Option<Element> {
        let handed = self.leave();
        match reason {
            Some(reason) => self.sender.close_with(reason),
            None => self.sender.close(),
        };
        handed
    }
}

/// Adds up what became of sends.
pub(super) fn add(sum: &mut Posted, more: Posted) {
    sum.accepted += more.accepted;
    sum.refused += more.refused;
    sum.unknown += more.unknown;
}
