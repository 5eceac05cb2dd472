// SPDX-License-Identifier: BSD-3-Clause
//! Channels that deliver every item.
//!
//! Every second operation first tries its non-waiting form, so that both ways into a channel are
//! used.

use becket_chan::{Builder, Receiver, RecvError, Sender, TryRecvError, TrySendError};
use bytes::Bytes;

use super::Lost;
use crate::bridge::Failure;
use crate::bridge::operations::{Operations, Pending};

pub(super) type MakeBuilder = fn() -> Builder<Bytes>;

/// A channel of one flow.
pub(super) struct Held {
    receiver: Receiver<Bytes>,
    sender: Option<Sender<Bytes>>,
    /// The item of a dropped send, from the undelivered hook.
    returned: Lost<Bytes>,
    operations: u64,
}

impl Held {
    pub(super) fn new(builder: Builder<Bytes>) -> Self {
        let returned = Lost::default();
        let hook = returned.clone();
        let (sender, receiver) = builder.on_undelivered(move |item| hook.put(item)).build();
        Self { receiver, sender: Some(sender), returned, operations: 0 }
    }

    fn tries_first(&mut self) -> bool {
        self.operations += 1;
        self.operations.is_multiple_of(2)
    }
}

/// At its end everything that was sent was received, and nothing was lost.
fn ended(receiver: &Receiver<Bytes>) -> Result<Option<Bytes>, Failure> {
    let seen = receiver.snapshot();
    let is_exact = (seen.sends, seen.len, seen.undelivered) == (seen.receives, 0, 0);
    if is_exact { Ok(None) } else { Err(Failure::new("what was sent was not received, once")) }
}

impl Operations for Held {
    fn send(&mut self, item: Bytes) -> Pending<()> {
        let tries_first = self.tries_first();
        let sender = self.sender.clone();
        Box::pin(async move {
            let Some(sender) = sender else { return Err(Failure::new("the sender is gone")) };
            let item = match tries_first.then(|| sender.try_send(item.clone())) {
                Some(Ok(())) => return Ok(()),
                Some(Err(TrySendError::Full(item))) => item,
                Some(Err(_)) => return Err(Failure::new("the channel is closed")),
                None => item,
            };
            sender.send(item).await.map_err(|_| Failure::new("the channel is closed"))
        })
    }

    fn recv(&mut self) -> Pending<Option<Bytes>> {
        let tries_first = self.tries_first();
        let receiver = self.receiver.clone();
        Box::pin(async move {
            match tries_first.then(|| receiver.try_recv()) {
                Some(Ok(item)) => return Ok(Some(item)),
                Some(Err(TryRecvError::Empty)) | None => {}
                Some(Err(_)) => return ended(&receiver),
            }
            match receiver.recv().await {
                Ok(item) => Ok(Some(item)),
                Err(RecvError::Closed) => ended(&receiver),
                Err(_) => Err(Failure::new("a receive without limits ended by one")),
            }
        })
    }

    fn close(&mut self) {
        self.sender = None;
    }

    fn may_cancel_recv(&self) -> bool {
        true
    }

    fn may_cancel_send(&self) -> bool {
        true
    }

    fn returned(&mut self) -> Option<Bytes> {
        self.returned.take()
    }
}
