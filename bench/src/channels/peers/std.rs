// SPDX-License-Identifier: BSD-3-Clause
//! The standard library's channel: for threads, one receiver.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use super::super::channel::{Channel, Message, Refused, TryRx, TryTx, WaitRx, WaitTx};
use super::super::peer::Peer;

/// A bounded channel.
pub(crate) struct Bounded<const CAPACITY: usize>;
/// An unlimited one.
pub(crate) struct Unlimited;
/// One without room.
pub(crate) type Rendezvous = Bounded<0>;

impl<T: Message, const CAPACITY: usize> Channel<T> for Bounded<CAPACITY> {
    const PEER: Peer = Peer::Std;
    type Tx = SyncSender<T>;
    type Rx = Receiver<T>;

    fn open() -> (Self::Tx, Self::Rx) {
        sync_channel(CAPACITY)
    }
}

impl<T: Message> Channel<T> for Unlimited {
    const PEER: Peer = Peer::Std;
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open() -> (Self::Tx, Self::Rx) {
        channel()
    }
}

impl<T: Message> WaitTx<T> for SyncSender<T> {
    fn send_wait(&mut self, value: T) -> Result<(), Refused> {
        self.send(value).map_err(|_| Refused)
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

impl<T: Message> TryTx<T> for SyncSender<T> {
    fn send_now(&mut self, value: T) -> Result<(), Refused> {
        self.try_send(value).map_err(|_| Refused)
    }
}

impl<T: Message> TryTx<T> for Sender<T> {
    fn send_now(&mut self, value: T) -> Result<(), Refused> {
        self.send(value).map_err(|_| Refused)
    }
}

impl<T: Message> TryRx<T> for Receiver<T> {
    fn recv_now(&mut self) -> Result<T, Refused> {
        self.try_recv().map_err(|_| Refused)
    }
}
