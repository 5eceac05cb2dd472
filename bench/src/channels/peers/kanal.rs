// SPDX-License-Identifier: BSD-3-Clause
//! kanal: handles that threads use as they are, and tasks through `as_async`.

use kanal::{Receiver, Sender};

use super::super::batch::Batches;
use super::super::channel::{
    Channel, Message, Refused, TaskRx, TaskTx, TryRx, TryTx, WaitRx, WaitTx,
};
use super::super::peer::Peer;

/// A bounded channel.
pub(crate) struct Bounded<const CAPACITY: usize>;
/// An unlimited one.
pub(crate) struct Unlimited;
/// One without room.
pub(crate) type Rendezvous = Bounded<0>;

impl<T: Message, const CAPACITY: usize> Channel<T> for Bounded<CAPACITY> {
    const PEER: Peer = Peer::Kanal;
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open() -> (Self::Tx, Self::Rx) {
        kanal::bounded(CAPACITY)
    }
}

impl<T: Message> Channel<T> for Unlimited {
    const PEER: Peer = Peer::Kanal;
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open() -> (Self::Tx, Self::Rx) {
        kanal::unbounded()
    }
}

impl<T: Message> WaitTx<T> for Sender<T> {
    fn send_wait(&mut self, value: T) -> Result<(), Refused> {
        self.send(value).map_err(|_| Refused)
    }
}

impl<T: Message> WaitRx<T> for Receiver<T> {
    fn recv_wait(&mut self) -> Result<T, Refused> {
        self.recv().map_err(|_| Refused)
    }
}

impl<T: Message> TryTx<T> for Sender<T> {
    fn send_now(&mut self, value: T) -> Result<(), Refused> {
        if matches!(self.try_send(value), Ok(true)) { Ok(()) } else { Err(Refused) }
    }
}

impl<T: Message> TryRx<T> for Receiver<T> {
    fn recv_now(&mut self) -> Result<T, Refused> {
        self.try_recv().ok().flatten().ok_or(Refused)
    }
}

impl<T: Message> TaskTx<T> for Sender<T> {
    fn send_task(&mut self, value: T) -> impl Future<Output = Result<(), Refused>> + Send {
        async move { self.as_async().send(value).await.map_err(|_| Refused) }
    }
}

impl<T: Message> TaskRx<T> for Receiver<T> {
    fn recv_task(&mut self) -> impl Future<Output = Result<T, Refused>> + Send {
        async move { self.as_async().recv().await.map_err(|_| Refused) }
    }
}

/// A channel: sends one by one, drains.
pub(crate) struct Batched {
    tx: Sender<u64>,
    rx: Receiver<u64>,
    buffer: Vec<u64>,
}

impl Batches for Batched {
    const PEER: Peer = Peer::Kanal;

    fn open() -> Self {
        let (tx, rx) = kanal::bounded(1024);
        Self { tx, rx, buffer: Vec::new() }
    }

    fn send_all(&mut self, values: std::ops::Range<u64>) -> Result<(), Refused> {
        for value in values {
            self.tx.send_now(value)?;
        }
        Ok(())
    }

    fn recv_all(&mut self, each: impl FnMut(u64)) -> Result<(), Refused> {
        self.rx.drain_into(&mut self.buffer).map_err(|_| Refused)?;
        self.buffer.drain(..).for_each(each);
        Ok(())
    }
}
