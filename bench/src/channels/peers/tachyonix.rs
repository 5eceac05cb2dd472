// SPDX-License-Identifier: BSD-3-Clause
//! tachyonix: for tasks, one receiver; a thread can only try.

use tachyonix::{Receiver, Sender, channel};

use super::super::channel::{Channel, Message, Refused, TaskRx, TaskTx, TryRx, TryTx};
use super::super::peer::Peer;

/// A bounded channel.
pub(crate) struct Bounded<const CAPACITY: usize>;

impl<T: Message, const CAPACITY: usize> Channel<T> for Bounded<CAPACITY> {
    const PEER: Peer = Peer::Tachyonix;
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open() -> (Self::Tx, Self::Rx) {
        channel(CAPACITY)
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
