// SPDX-License-Identifier: BSD-3-Clause
//! tokio's `mpsc`: for tasks, one receiver; threads may block on it outside of a runtime.

use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;

use super::super::batch::Batches;
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
    const PEER: Peer = Peer::Tokio;
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open() -> (Self::Tx, Self::Rx) {
        mpsc::channel(CAPACITY)
    }
}

impl<T: Message> Channel<T> for Unlimited {
    const PEER: Peer = Peer::Tokio;
    type Tx = UnboundedSender<T>;
    type Rx = UnboundedReceiver<T>;

    fn open() -> (Self::Tx, Self::Rx) {
        mpsc::unbounded_channel()
    }
}

impl<T: Message> WaitTx<T> for Sender<T> {
    fn send_wait(&mut self, value: T) -> Result<(), Refused> {
        self.blocking_send(value).map_err(|_| Refused)
    }
}

impl<T: Message> WaitRx<T> for Receiver<T> {
    fn recv_wait(&mut self) -> Result<T, Refused> {
        self.blocking_recv().ok_or(Refused)
    }
}

impl<T: Message> WaitTx<T> for UnboundedSender<T> {
    fn send_wait(&mut self, value: T) -> Result<(), Refused> {
        self.send(value).map_err(|_| Refused)
    }
}

impl<T: Message> WaitRx<T> for UnboundedReceiver<T> {
    fn recv_wait(&mut self) -> Result<T, Refused> {
        self.blocking_recv().ok_or(Refused)
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

impl<T: Message> TryTx<T> for UnboundedSender<T> {
    fn send_now(&mut self, value: T) -> Result<(), Refused> {
        self.send(value).map_err(|_| Refused)
    }
}

impl<T: Message> TryRx<T> for UnboundedReceiver<T> {
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
    async fn recv_task(&mut self) -> Result<T, Refused> {
        self.recv().await.ok_or(Refused)
    }
}

/// A watched value. Its receiver looks rather than takes: it has a value once for each change.
pub(crate) struct Watch {
    tx: watch::Sender<u64>,
    rx: watch::Receiver<u64>,
}

impl Slot for Watch {
    const PEER: Peer = Peer::TokioWatch;

    fn open() -> Self {
        let (tx, rx) = watch::channel(0);
        Self { tx, rx }
    }

    fn replace(&mut self, value: u64) -> Result<(), Refused> {
        self.tx.send(value).map_err(|_| Refused)
    }

    fn take(&mut self) -> Result<u64, Refused> {
        match self.rx.has_changed() {
            Ok(true) => Ok(*self.rx.borrow_and_update()),
            _ => Err(Refused),
        }
    }
}

/// A channel: reserves room for all, receives many.
pub(crate) struct Batched {
    tx: Sender<u64>,
    rx: Receiver<u64>,
    buffer: Vec<u64>,
}

impl Batches for Batched {
    const PEER: Peer = Peer::Tokio;

    fn open() -> Self {
        let (tx, rx) = mpsc::channel(1024);
        Self { tx, rx, buffer: Vec::new() }
    }

    fn send_all(&mut self, values: std::ops::Range<u64>) -> Result<(), Refused> {
        let count = values.end.saturating_sub(values.start) as usize;
        let permits = self.tx.try_reserve_many(count).map_err(|_| Refused)?;
        permits.zip(values).for_each(|(permit, value)| permit.send(value));
        Ok(())
    }

    fn recv_all(&mut self, each: impl FnMut(u64)) -> Result<(), Refused> {
        self.rx.blocking_recv_many(&mut self.buffer, 1024);
        self.buffer.drain(..).for_each(each);
        Ok(())
    }
}
