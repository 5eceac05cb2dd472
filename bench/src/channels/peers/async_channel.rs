// SPDX-License-Identifier: BSD-3-Clause
//! async-channel: one pair of handles for threads and tasks.

use async_channel::{Receiver, Sender};

use super::super::channel::{Message, Refused, channel, receiver, sender};
use super::super::conflated::Slot;
use super::super::peer::Peer;

/// A bounded channel.
pub(crate) struct Bounded<const CAPACITY: usize>;
/// An unlimited one.
pub(crate) struct Unlimited;

channel!(AsyncChannel, Bounded<N>, N: async_channel::bounded(N), Sender<T>, Receiver<T>);
channel!(AsyncChannel, Unlimited: async_channel::unbounded(), Sender<T>, Receiver<T>);
sender!(Sender<T>;
    wait |tx, value| tx.send_blocking(value);
    now |tx, value| tx.try_send(value);
    task |tx, value| tx.send(value).await
);
receiver!(Receiver<T>;
    wait |rx| rx.recv_blocking();
    now |rx| rx.try_recv();
    task |rx| rx.recv().await
);

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
