// SPDX-License-Identifier: BSD-3-Clause
//! A channel for one sender and one receiver.
//!
//! An operation borrows its handle while it is pending: here it owns the handle meanwhile, and puts
//! it back when it completes or is dropped. A pending send that is dropped drops its item, which is
//! not returned: so only receives are dropped and created anew.

use std::cell::Cell;
use std::rc::Rc;

use becket_chan::{RecvError, SpscReceiver, SpscSender, bounded_spsc};
use bytes::Bytes;

use crate::bridge::Failure;
use crate::bridge::operations::{Operations, Pending};

/// A handle, unless an operation has it.
type Kept<H> = Rc<Cell<Option<H>>>;

/// A handle that an operation has. It is put back at the operation's end, whatever that is.
struct Lent<H> {
    handle: Option<H>,
    kept: Kept<H>,
}

impl<H> Lent<H> {
    fn take(kept: Kept<H>) -> Self {
        Self { handle: kept.take(), kept }
    }
}

impl<H> Drop for Lent<H> {
    fn drop(&mut self) {
        self.kept.set(self.handle.take());
    }
}

/// A channel of one flow.
pub(super) struct Spsc {
    receiver: Kept<SpscReceiver<Bytes>>,
    sender: Kept<SpscSender<Bytes>>,
}

impl Spsc {
    pub(super) fn new(capacity: usize) -> Self {
        let (sender, receiver) = bounded_spsc(capacity);
        let (sender, receiver) =
            (Rc::new(Cell::new(Some(sender))), Rc::new(Cell::new(Some(receiver))));
        Self { receiver, sender }
    }
}

fn gone() -> Failure {
    Failure::new("the handle is gone")
}

impl Operations for Spsc {
    fn send(&mut self, item: Bytes) -> Pending<()> {
        let kept = Rc::clone(&self.sender);
        Box::pin(async move {
            let mut sender = kept.take().ok_or_else(gone)?;
            let sent = sender.send(item).await;
            kept.set(Some(sender));
            sent.map_err(|_| Failure::new("the channel is closed"))
        })
    }

    fn recv(&mut self) -> Pending<Option<Bytes>> {
        let kept = Rc::clone(&self.receiver);
        Box::pin(async move {
            let mut lent = Lent::take(kept);
            let receiver = lent.handle.as_mut().ok_or_else(gone)?;
            let received = receiver.recv().await;
            let seen = receiver.snapshot();
            match received {
                Ok(item) => Ok(Some(item)),
                Err(RecvError::Closed) if seen.sends == seen.receives => Ok(None),
                Err(_) => Err(Failure::new("what was sent was not received, once")),
            }
        })
    }

    fn close(&mut self) {
        drop(self.sender.take());
    }

    fn may_cancel_recv(&self) -> bool {
        true
    }
}
