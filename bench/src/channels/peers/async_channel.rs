// SPDX-License-Identifier: BSD-3-Clause
//! async-channel: one pair of handles for threads and tasks.

use async_channel::{Receiver, Sender};

use super::super::channel::{
    Channel, Message, Refused, TaskRx, TaskTx, TryRx, TryTx, WaitRx, WaitTx,
};
use super::super::conflated::Slot;
use super::super::peer::Peer;

/// A bounded channel.
pub(crate) struct Bounded<const CAPACITY: usize>;
/// An unlimited one.
pub(crate) struct Unlimited;

impl<T: Message, const CAPACITY: usize> Channel<T> for Bounded<CAPACITY> {
    const PEER: Peer = Peer::AsyncChannel;
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open() -> (Self::Tx, Self::Rx) {
        async_channel::bounded(CAPACITY)
    }
}

impl<T: Message> Channel<T> for Unlimited {
    const PEER: Peer = Peer::AsyncChannel;
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open() -> (Self::Tx, Self::Rx) {
        async_channel::unbounded()
    }
}

impl<T: Message> WaitTx<T> for Sender<T> {
    fn send_wait(&mut self, value: T) -> Result<(), Refused> {
        self.send_blocking(value).map_err(|_| Refused)
    }
}

impl<T: Message> WaitRx<T> for Receiver<T> {
    fn recv_wait(&mut self) -> Result<T, Refused> {
        self.recv_blocking().map_err(|_| Refused)
    }
}

impl<T: Message> TryTx<T> for Sender<T> {
    fn send_now(&mut self, value: T) -> Result<(), Refused> {
        self.try_send(value).map_err(|_| Refused)
    }
}

impl<T: Message> TryRx<T> for Receiver<T> {
    fn recv_now(&mut self) -> Result<T, Refused> {
        self.try_recv().map_err(|_| Refused)
    }
}

impl<T: Message> TaskTx<T> for Sender<T> {
    fn send_task(&mut self, value: T) -> impl Future<Output = Result<(), Refused>> + Send {
        async move { self.send(value).await.map_err(|_| Refused) }
    }
}

impl<T: Message> TaskRx<T> for Receiver<T> {
    fn recv_task(&mut self) -> impl Future<Output = Result<T, Refused>> + Send {
        async move { self.recv().await.map_err(|_| Refused) }
    }
}

/// A bounded channel of one, whose sender pushes out what is there.
pub(crate) struct OnePlace {
    tx: Sender<u64>,
    rx: Receiver<u64>,
}

impl Slot for OnePlace {
    const PEER: Peer = Peer::AsyncChannel;

    fn open() -> Self {
        let (tx, rx) = async_channel::bounded(1);
        Self { tx, rx }
    }

    fn replace(&mut self, value: u64) -> Result<(), Refused> {
        self.tx.force_send(value).map(drop).map_err(|_| Refused)
    }

    fn take(&mut self) -> Result<u64, Refused> {
        self.rx.try_recv().map_err(|_| Refused)
    }
}
