// SPDX-License-Identifier: BSD-3-Clause
//! rapidfire: for tasks; a thread can only try.

use std::pin::pin;
use std::task::{Context, Waker};

use rapidfire::{Receiver, Sender, mpsc};

use super::super::batch::Batches;
use super::super::channel::{Message, Refused, channel, receiver, sender};
use super::super::peer::Peer;

/// A bounded channel.
pub(crate) struct Bounded<const CAPACITY: usize>;
/// A bounded channel with one receiver.
pub(crate) struct BoundedMpsc<const CAPACITY: usize>;
/// An unlimited one.
pub(crate) struct Unlimited;

channel!(Rapidfire, Bounded<N>, N: rapidfire::bounded(N), Sender<T>, Receiver<T>);
channel!(Rapidfire, BoundedMpsc<N>, N: mpsc::bounded(N), Sender<T>, mpsc::Receiver<T>);
channel!(Rapidfire, Unlimited: rapidfire::unbounded(), Sender<T>, Receiver<T>);
sender!(Sender<T>; now |tx, value| tx.try_send(value); task |tx, value| tx.send(value).await);
receiver!(Receiver<T>; now |rx| rx.try_recv(); task |rx| rx.recv().await);
receiver!(mpsc::Receiver<T>; task |rx| rx.recv().await);

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
