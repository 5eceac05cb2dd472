// SPDX-License-Identifier: BSD-3-Clause
//! tokio's `mpsc`: for tasks, one receiver; threads may block on it outside of a runtime.

use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;

use super::super::batch::batched;
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

batched!(
    /// A channel: reserves room for all, receives many.
    Tokio Batched, Sender<u64>, Receiver<u64>, mpsc::channel(1024);
    send |tx, values, _none: ()| {
        let count = values.end.saturating_sub(values.start) as usize;
        let permits = tx.try_reserve_many(count).map_err(|_| Refused)?;
        permits.zip(values).for_each(|(permit, value)| permit.send(value));
        Ok(())
    };
    recv |rx, each, buffer: Vec<u64>| {
        rx.blocking_recv_many(buffer, 1024);
        buffer.drain(..).for_each(each);
    }
);
