// SPDX-License-Identifier: BSD-3-Clause
//! tokio's `mpsc`: for tasks, one receiver; threads may block on it outside of a runtime.

use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;

use super::super::batch::Batches;
use super::super::channel::{Message, Refused, channel, receiver, sender};
use super::super::conflated::Slot;
use super::super::peer::Peer;

/// A bounded channel.
pub(crate) struct Bounded<const CAPACITY: usize>;
/// An unlimited one.
pub(crate) struct Unlimited;

channel!(Tokio, Bounded<N>, N: mpsc::channel(N), Sender<T>, Receiver<T>);
channel!(Tokio, Unlimited: mpsc::unbounded_channel(), UnboundedSender<T>, UnboundedReceiver<T>);
sender!(Sender<T>;
    wait |tx, value| tx.blocking_send(value);
    now |tx, value| tx.try_send(value);
    task |tx, value| tx.send(value).await
);
receiver!(Receiver<T>;
    wait |rx| rx.blocking_recv().ok_or(Refused);
    now |rx| rx.try_recv();
    task |rx| rx.recv().await.ok_or(Refused)
);
sender!(UnboundedSender<T>; wait |tx, value| tx.send(value); now |tx, value| tx.send(value));
receiver!(UnboundedReceiver<T>;
    wait |rx| rx.blocking_recv().ok_or(Refused);
    now |rx| rx.try_recv()
);

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
