// SPDX-License-Identifier: BSD-3-Clause
//! kanal: handles that threads use as they are, and tasks through `as_async`.

use kanal::{Receiver, Sender};

use super::super::batch::Batches;
use super::super::channel::{Message, Refused, TryTx, channel, receiver, sender};
use super::super::peer::Peer;

/// A bounded channel.
pub(crate) struct Bounded<const CAPACITY: usize>;
/// An unlimited one.
pub(crate) struct Unlimited;
/// One without room.
pub(crate) type Rendezvous = Bounded<0>;

channel!(Kanal, Bounded<N>, N: kanal::bounded(N), Sender<T>, Receiver<T>);
channel!(Kanal, Unlimited: kanal::unbounded(), Sender<T>, Receiver<T>);
sender!(Sender<T>;
    wait |tx, value| tx.send(value);
    now |tx, value| if matches!(tx.try_send(value), Ok(true)) { Ok(()) } else { Err(Refused) };
    task |tx, value| tx.as_async().send(value).await
);
receiver!(Receiver<T>;
    wait |rx| rx.recv();
    now |rx| rx.try_recv().ok().flatten().ok_or(Refused);
    task |rx| rx.as_async().recv().await
);

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
