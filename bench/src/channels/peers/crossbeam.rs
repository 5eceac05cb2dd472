// SPDX-License-Identifier: BSD-3-Clause
//! crossbeam-channel: for threads; and crossbeam-queue's array queue as a slot that is overwritten.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Select, Sender};
use crossbeam_queue::ArrayQueue;

use super::super::batch::batched;
use super::super::channel::{Message, Refused, channel, receiver, sender};
use super::super::conflated::Slot;
use super::super::peer::Peer;
use super::super::ready::{Ready, rounds};

/// A bounded channel.
pub(crate) struct Bounded<const CAPACITY: usize>;
/// An unlimited one.
pub(crate) struct Unlimited;
/// One without room.
pub(crate) type Rendezvous = Bounded<0>;

channel!(Crossbeam, Bounded<N>, N: crossbeam_channel::bounded(N), Sender<T>, Receiver<T>);
channel!(Crossbeam, Unlimited: crossbeam_channel::unbounded(), Sender<T>, Receiver<T>);
sender!(Sender<T>; wait |tx, value| tx.send(value); now |tx, value| tx.try_send(value));
receiver!(Receiver<T>; wait |rx| rx.recv(); now |rx| rx.try_recv());

/// A queue with one place, whose sender pushes out what is there.
pub(crate) struct OnePlace {
    tx: Arc<ArrayQueue<u64>>,
    rx: Arc<ArrayQueue<u64>>,
}

impl Slot for OnePlace {
    const PEER: Peer = Peer::ArrayQueue;

    fn open() -> Self {
        let tx = Arc::new(ArrayQueue::new(1));
        Self { rx: Arc::clone(&tx), tx }
    }

    fn replace(&mut self, value: u64) -> Result<(), Refused> {
        let _replaced = self.tx.force_push(value);
        Ok(())
    }

    fn take(&mut self) -> Result<u64, Refused> {
        self.rx.pop().ok_or(Refused)
    }
}

/// Channels and a selector, which is kept.
pub(crate) struct Selected {
    senders: Vec<Sender<u64>>,
    receivers: Vec<Receiver<u64>>,
}

impl Ready for Selected {
    const PEER: Peer = Peer::Crossbeam;

    fn open(channels: usize) -> Self {
        let (senders, receivers) = (0..channels).map(|_| crossbeam_channel::bounded(16)).unzip();
        Self { senders, receivers }
    }

    fn rounds(&mut self, n: u64) -> Result<u64, Refused> {
        let mut select = Select::new();
        for rx in &self.receivers {
            select.recv(rx);
        }
        rounds(n, self.senders.len(), |channel, number| {
            let tx = self.senders.get(channel).ok_or(Refused)?;
            tx.try_send(number).map_err(|_| Refused)?;
            let operation = select.select();
            let rx = self.receivers.get(operation.index()).ok_or(Refused)?;
            operation.recv(rx).map_err(|_| Refused)
        })
    }
}

batched!(
    /// A channel: sends one by one, receives through the iterator over all that is there.
    Crossbeam Batched, Sender<u64>, Receiver<u64>, crossbeam_channel::bounded(1024);
    send |tx, values, _none: ()| {
        values.into_iter().try_for_each(|value| tx.try_send(value)).map_err(|_| Refused)
    };
    recv |rx, each, _none: ()| rx.try_iter().for_each(each)
);
