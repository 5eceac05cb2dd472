// SPDX-License-Identifier: BSD-3-Clause
//! flume: one pair of handles for threads and tasks.

use flume::{Receiver, Selector, Sender};

use super::super::batch::batched;
use super::super::channel::{Message, Refused, channel, receiver, sender};
use super::super::peer::Peer;
use super::super::ready::{Ready, rounds};

/// A bounded channel.
pub(crate) struct Bounded<const CAPACITY: usize>;
/// An unlimited one.
pub(crate) struct Unlimited;
/// One without room.
pub(crate) type Rendezvous = Bounded<0>;

channel!(Flume, Bounded<N>, N: flume::bounded(N), Sender<T>, Receiver<T>);
channel!(Flume, Unlimited: flume::unbounded(), Sender<T>, Receiver<T>);
sender!(Sender<T>;
    wait |tx, value| tx.send(value);
    now |tx, value| tx.try_send(value);
    task |tx, value| tx.send_async(value).await
);
receiver!(Receiver<T>;
    wait |rx| rx.recv();
    now |rx| rx.try_recv();
    task |rx| rx.recv_async().await
);

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

batched!(
    /// A channel: sends one by one, drains.
    Flume Batched, Sender<u64>, Receiver<u64>, flume::bounded(1024);
    send |tx, values, _none: ()| {
        values.into_iter().try_for_each(|value| tx.try_send(value)).map_err(|_| Refused)
    };
    recv |rx, each, _none: ()| rx.drain().for_each(each)
);
