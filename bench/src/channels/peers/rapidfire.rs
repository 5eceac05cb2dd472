// SPDX-License-Identifier: BSD-3-Clause
//! rapidfire: for tasks; a thread can only try.

use std::pin::pin;
use std::task::{Context, Waker};

use rapidfire::{Receiver, Sender, mpsc};

use super::super::batch::Batches;
use super::super::channel::{Channel, Message, Refused, TaskRx, TaskTx, TryRx, TryTx};
use super::super::peer::Peer;

/// A bounded channel.
pub(crate) struct Bounded<const CAPACITY: usize>;
/// A bounded channel with one receiver.
pub(crate) struct BoundedMpsc<const CAPACITY: usize>;
/// An unlimited one.
pub(crate) struct Unlimited;

impl<T: Message, const CAPACITY: usize> Channel<T> for Bounded<CAPACITY> {
    const PEER: Peer = Peer::Rapidfire;
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open() -> (Self::Tx, Self::Rx) {
        rapidfire::bounded(CAPACITY)
    }
}

impl<T: Message, const CAPACITY: usize> Channel<T> for BoundedMpsc<CAPACITY> {
    const PEER: Peer = Peer::Rapidfire;
    type Tx = Sender<T>;
    type Rx = mpsc::Receiver<T>;

    fn open() -> (Self::Tx, Self::Rx) {
        mpsc::bounded(CAPACITY)
    }
}

impl<T: Message> Channel<T> for Unlimited {
    const PEER: Peer = Peer::Rapidfire;
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open() -> (Self::Tx, Self::Rx) {
        rapidfire::unbounded()
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

impl<T: Message> TaskRx<T> for mpsc::Receiver<T> {
    fn recv_task(&mut self) -> impl Future<Output = Result<T, Refused>> + Send {
        async move { self.recv().await.map_err(|_| Refused) }
    }
}

/// A channel with one receiver: sends one by one, receives many.
pub(crate) struct Batched {
    tx: Sender<u64>,
    rx: mpsc::Receiver<u64>,
    buffer: Vec<u64>,
}

impl Batches for Batched {
    const PEER: Peer = Peer::Rapidfire;

    fn open() -> Self {
        let (tx, rx) = mpsc::bounded(1024);
        Self { tx, rx, buffer: Vec::new() }
    }

    fn send_all(&mut self, values: std::ops::Range<u64>) -> Result<(), Refused> {
        for value in values {
            self.tx.try_send(value).map_err(|_| Refused)?;
        }
        Ok(())
    }

    fn recv_all(&mut self, each: impl FnMut(u64)) -> Result<(), Refused> {
        let mut context = Context::from_waker(Waker::noop());
        if pin!(self.rx.recv_many(&mut self.buffer, 1024)).poll(&mut context).is_pending() {
            return Err(Refused);
        }
        self.buffer.drain(..).for_each(each);
        Ok(())
    }
}
