// SPDX-License-Identifier: BSD-3-Clause
//! Elements that have arrived, on their way into a local channel.
//!
//! A send into a local channel wakes a receiver, whose waker may use the connection. So a dispatch
//! only collects what has arrived, and the thread that dispatched delivers it after it has unlocked:
//!
//! ```text
//!   locked      arrived ◄─ element          take ──► batch       take: nothing more, not delivering
//!   unlocked                                         batch ──► the local channel
//! ```
//!
//! # Invariants
//!
//! 1. One thread at a time delivers a stream's elements, from the dispatch that has marked the stream
//!    until [`take`](crate::connection::Side::take_arrived) finds nothing more: so they keep their
//!    order.
//! 2. A connection that is closed here is closed after the last delivery, which may have elements to
//!    return.

use std::collections::VecDeque;

use becket_chan::Sender;

use crate::element::Element;

/// Streams whose elements are to be delivered.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// The common case is a single stream: it needs no list.
    first: Option<u32>,
    others: Vec<u32>,
    /// Streams that are marked, or whose elements are being delivered.
    delivering: u32,
    /// The connection is to be closed after that, with this code and reason.
    pub(super) closes: Option<(u16, Box<str>)>,
}

impl Arrivals {
    /// Marks a stream.
    pub(crate) fn push(&mut self, stream: u32) {
        self.delivering += 1;
        if self.first.is_none() {
            self.first = Some(stream);
        } else {
            self.others.push(stream);
        }
    }

    /// Takes the marked streams: their elements are delivered from now on.
    #[inline]
    pub(super) fn take(&mut self) -> impl Iterator<Item = u32> + use<> {
        self.first.take().into_iter().chain(std::mem::take(&mut self.others))
    }

    pub(super) const fn is_delivering(&self) -> bool {
        self.delivering > 0
    }

    /// A delivery has ended. Returns how the connection is to be closed, if it is.
    pub(super) fn delivered(&mut self) -> Option<(u16, Box<str>)> {
        self.delivering -= 1;
        if self.delivering == 0 { self.closes.take() } else { None }
    }
}

/// The elements of one stream that are delivered at once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) elements: VecDeque<Element>,
    /// The local channel.
    pub(crate) inbox: Option<Sender<Element>>,
    /// No more elements arrive.
    pub(crate) is_last: bool,
}

impl Batch {
    pub(super) fn deliver(&mut self) {
        let Some(inbox) = &self.inbox else { return };
        for element in self.elements.drain(..) {
            // Unlimited, and open until this closes it: the send cannot fail.
            let _taken = inbox.try_send(element);
        }
        if self.is_last {
            inbox.close();
        }
    }
}
