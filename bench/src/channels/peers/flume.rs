// SPDX-License-Identifier: BSD-3-Clause
//! flume: one pair of handles for threads and tasks.

use flume::{Receiver, Selector, Sender};

use super::super::batch::Batches;
use super::super::channel::{
    Channel, Message, Refused, TaskRx, TaskTx, TryRx, TryTx, WaitRx, WaitTx,
};
use super::super::peer::Peer;
use super::super::ready::{Ready, rounds};

/// A bounded channel.
pub(crate) struct Bounded<const CAPACITY: usize>;
/// An unlimited one.
pub(crate) struct Unlimited;
/// One without room.
pub(crate) type Rendezvous = Bounded<0>;

impl<T: Message, const CAPACITY: usize> Channel<T> for Bounded<CAPACITY> {
    const PEER: Peer = Peer::Flume;
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open() -> (Self::Tx, Self::Rx) {
        flume::bounded(CAPACITY)
    }
}

impl<T: Message> Channel<T> for Unlimited {
    const PEER: Peer = Peer::Flume;
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open() -> (Self::Tx, Self::Rx) {
        flume::unbounded()
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
        async move { self.send_async(value).await.map_err(|_| Refused) }
    }
}

impl<T: Message> TaskRx<T> for Receiver<T> {
    fn recv_task(&mut self) -> impl Future<Output = Result<T, Refused>> + Send {
        async move { self.recv_async().await.map_err(|_| Refused) }
    }
}

/// Channels. A selector is used up by its select, and made anew for each.
pub(crate) struct Selected {
    senders: Vec<Sender<u64>>,
    receivers: Vec<Receiver<u64>>,
}

impl Ready for Selected {
    const PEER: Peer = Peer::Flume;

    fn open(channels: usize) -> Self {
        let (senders, receivers) = (0..channels).map(|_| flume::bounded(16)).unzip();
        Self { senders, receivers }
    }

    fn rounds(&mut self, n: u64) -> Result<u64, Refused> {
        rounds(n, self.senders.len(), |channel, number| {
            let tx = self.senders.get(channel).ok_or(Refused)?;
            tx.try_send(number).map_err(|_| Refused)?;
            let mut select = Selector::new();
            for rx in &self.receivers {
                select = select.recv(rx, |received| received);
            }
            select.wait().map_err(|_| Refused)
        })
    }
}

/// A channel: sends one by one, drains.
pub(crate) struct Batched {
    tx: Sender<u64>,
    rx: Receiver<u64>,
}

impl Batches for Batched {
    const PEER: Peer = Peer::Flume;

    fn open() -> Self {
        let (tx, rx) = flume::bounded(1024);
        Self { tx, rx }
    }

    fn send_all(&mut self, values: std::ops::Range<u64>) -> Result<(), Refused> {
        for value in values {
            self.tx.try_send(value).map_err(|_| Refused)?;
        }
        Ok(())
    }

    fn recv_all(&mut self, each: impl FnMut(u64)) -> Result<(), Refused> {
        self.rx.drain().for_each(each);
        Ok(())
    }
}
