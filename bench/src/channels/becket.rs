// SPDX-License-Identifier: BSD-3-Clause
//! becket-chan: one pair of handles for every kind, for threads and tasks.

use std::collections::VecDeque;

use becket_chan::{Receiver, RecvCase, Select, Sender, SpscReceiver, SpscSender, Token};

use super::batch::batched;
use super::channel::{Message, Refused, channel, receiver, sender};
use super::conflated::Slot;
use super::parked::Parked;
use super::peer::Peer;
use super::ready::{Ready, rounds};
use super::wake::WakesAll;

/// A bounded channel.
pub(crate) struct Bounded<const CAPACITY: usize>;
/// An unlimited one.
pub(crate) struct Unlimited;
/// One without room.
pub(crate) struct Rendezvous;

/// A bounded one with handles that cannot be cloned.
pub(crate) struct BoundedSpsc<const CAPACITY: usize>;

channel!(Becket, Bounded<N>, N: becket_chan::bounded(N), Sender<T>, Receiver<T>);
channel!(Becket, Unlimited: becket_chan::unlimited(), Sender<T>, Receiver<T>);
channel!(Becket, Rendezvous: becket_chan::rendezvous(), Sender<T>, Receiver<T>);
channel!(Becket, Conflated: becket_chan::conflated(), Sender<T>, Receiver<T>);
channel!(Becket, BoundedSpsc<N>, N: becket_chan::bounded_spsc(N), SpscSender<T>, SpscReceiver<T>);

macro_rules! handles {
    ($tx:ident, $rx:ident; $(#[$doc:meta])+ $batched:ident, $open:expr) => {
        sender!($tx<T>;
            wait |tx, value| tx.send(value).wait();
            now |tx, value| tx.try_send(value);
            task |tx, value| tx.send(value).await
        );
        receiver!($rx<T>;
            wait |rx| rx.recv().wait();
            now |rx| rx.try_recv();
            task |rx| rx.recv().await
        );
        batched!(
            $(#[$doc])+
            Becket $batched, $tx<u64>, $rx<u64>, $open;
            send |tx, values, buffer: VecDeque<u64>| {
                buffer.extend(values);
                tx.try_send_many(buffer).map_err(|_| Refused)?;
                if buffer.is_empty() { Ok(()) } else { Err(Refused) }
            };
            recv |rx, each, buffer: Vec<u64>| {
                rx.try_recv_many(buffer, 1024).map_err(|_| Refused)?;
                buffer.drain(..).for_each(each);
            }
        );
    };
}

handles!(
    Sender, Receiver;
    /// A channel, batches, and their buffers.
    Batched, becket_chan::bounded(1024)
);
handles!(
    SpscSender, SpscReceiver;
    /// As [`Batched`], with handles that cannot be cloned.
    BatchedSpsc, becket_chan::bounded_spsc(1024)
);

/// A conflated channel; as a slot, with both of its handles.
pub(crate) struct Conflated {
    tx: Sender<u64>,
    rx: Receiver<u64>,
}

impl Slot for Conflated {
    const PEER: Peer = Peer::Becket;

    fn open() -> Self {
        let (tx, rx) = becket_chan::conflated();
        Self { tx, rx }
    }

    fn replace(&mut self, value: u64) -> Result<(), Refused> {
        self.tx.try_send(value).map_err(|_| Refused)
    }

    fn take(&mut self) -> Result<u64, Refused> {
        self.rx.try_recv().map_err(|_| Refused)
    }
}

/// Channels and a select over their receivers, which is kept.
pub(crate) struct SelectReady {
    senders: Vec<Sender<u64>>,
    receivers: Vec<Receiver<u64>>,
}

fn channels(count: usize) -> (Vec<Sender<u64>>, Vec<Receiver<u64>>) {
    (0..count).map(|_| becket_chan::bounded(16)).unzip()
}

fn select_of(receivers: &[Receiver<u64>]) -> (Select<'_>, Vec<RecvCase<u64>>) {
    let mut select = Select::new();
    let cases = receivers.iter().map(|rx| select.recv(rx)).collect();
    (select, cases)
}

fn received(ready: &becket_chan::Ready<'_, '_>, cases: &[RecvCase<u64>]) -> Result<u64, Refused> {
    let case = cases.get(ready.index()).ok_or(Refused)?;
    ready.recv(*case).ok_or(Refused)?.map_err(|_| Refused)
}

impl Ready for SelectReady {
    const PEER: Peer = Peer::Becket;

    fn open(count: usize) -> Self {
        let (senders, receivers) = channels(count);
        Self { senders, receivers }
    }

    fn rounds(&mut self, n: u64) -> Result<u64, Refused> {
        let (mut select, cases) = select_of(&self.receivers);
        rounds(n, self.senders.len(), |channel, number| {
            let tx = self.senders.get(channel).ok_or(Refused)?;
            tx.try_send(number).map_err(|_| Refused)?;
            received(&select.wait().map_err(|_| Refused)?, &cases)
        })
    }
}

/// Channels that a task waits for, with a select that is kept.
pub(crate) struct SelectParked(Vec<Receiver<u64>>);

impl Parked for SelectParked {
    const PEER: Peer = Peer::Becket;
    type Tx = Sender<u64>;

    fn open(count: usize) -> (Vec<Sender<u64>>, Self) {
        let (senders, receivers) = channels(count);
        (senders, Self(receivers))
    }

    fn send(tx: &mut Sender<u64>, value: u64) -> Result<(), Refused> {
        tx.try_send(value).map_err(|_| Refused)
    }

    async fn receive(&mut self, n: u64) -> Result<u64, Refused> {
        let (mut select, cases) = select_of(&self.0);
        let mut sum = 0_u64;
        for _ in 0..n {
            let ready = select.ready().await.map_err(|_| Refused)?;
            sum = sum.wrapping_add(received(&ready, &cases)?);
        }
        Ok(sum)
    }
}

impl WakesAll for Token {
    const PEER: Peer = Peer::Becket;

    fn open() -> Self {
        Self::new()
    }

    fn wait(&self) -> impl Future<Output = bool> + Send + 'static {
        let token = self.clone();
        async move { token.cancelled().await }
    }

    fn wake(self) {
        self.cancel();
    }
}
