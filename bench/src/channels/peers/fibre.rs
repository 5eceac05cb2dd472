// SPDX-License-Identifier: BSD-3-Clause
//! fibre: another pair of handles for each kind, number of sides, and way to wait.

use fibre::{mpmc, spsc};

use super::super::batch::Batches;
use super::super::channel::{
    Channel, Message, Refused, TaskRx, TaskTx, TryRx, TryTx, WaitRx, WaitTx,
};
use super::super::peer::Peer;

/// A bounded channel for threads.
pub(crate) struct Bounded<const CAPACITY: usize>;
/// A bounded channel for tasks.
pub(crate) struct BoundedTasks<const CAPACITY: usize>;
/// A bounded channel for two threads.
pub(crate) struct BoundedSpsc<const CAPACITY: usize>;
/// One without room, for two threads.
pub(crate) struct Rendezvous;
/// One without room, for two tasks.
pub(crate) struct RendezvousTasks;

macro_rules! channel {
    ($kind:ty $(, $capacity:ident)?: $open:expr, $tx:ty, $rx:ty) => {
        impl<T: Message $(, const $capacity: usize)?> Channel<T> for $kind {
            const PEER: Peer = Peer::Fibre;
            type Tx = $tx;
            type Rx = $rx;

            fn open() -> (Self::Tx, Self::Rx) {
                $open
            }
        }
    };
}

channel!(Bounded<N>, N: mpmc::bounded(N), mpmc::Sender<T>, mpmc::Receiver<T>);
channel!(BoundedTasks<N>, N: mpmc::bounded_async(N), mpmc::AsyncSender<T>, mpmc::AsyncReceiver<T>);
channel!(
    BoundedSpsc<N>, N:
    spsc::bounded_sync(N), spsc::BoundedSyncSender<T>, spsc::BoundedSyncReceiver<T>
);
channel!(
    Rendezvous:
    spsc::rendezvous::rendezvous(),
    spsc::rendezvous::RendezvousSyncSender<T>,
    spsc::rendezvous::RendezvousSyncReceiver<T>
);
channel!(
    RendezvousTasks:
    spsc::rendezvous::rendezvous_async(),
    spsc::rendezvous::RendezvousAsyncSender<T>,
    spsc::rendezvous::RendezvousAsyncReceiver<T>
);

macro_rules! threads {
    ($tx:ty, $rx:ty) => {
        impl<T: Message> WaitTx<T> for $tx {
            fn send_wait(&mut self, value: T) -> Result<(), Refused> {
                self.send(value).map_err(|_| Refused)
            }
        }

        impl<T: Message> WaitRx<T> for $rx {
            fn recv_wait(&mut self) -> Result<T, Refused> {
                self.recv().map_err(|_| Refused)
            }
        }
    };
}

threads!(mpmc::Sender<T>, mpmc::Receiver<T>);
threads!(spsc::BoundedSyncSender<T>, spsc::BoundedSyncReceiver<T>);
threads!(spsc::rendezvous::RendezvousSyncSender<T>, spsc::rendezvous::RendezvousSyncReceiver<T>);

macro_rules! tasks {
    ($tx:ty, $rx:ty) => {
        impl<T: Message> TaskTx<T> for $tx {
            fn send_task(&mut self, value: T) -> impl Future<Output = Result<(), Refused>> + Send {
                async move { self.send(value).await.map_err(|_| Refused) }
            }
        }

        impl<T: Message> TaskRx<T> for $rx {
            fn recv_task(&mut self) -> impl Future<Output = Result<T, Refused>> + Send {
                async move { self.recv().await.map_err(|_| Refused) }
            }
        }
    };
}

tasks!(mpmc::AsyncSender<T>, mpmc::AsyncReceiver<T>);
tasks!(spsc::rendezvous::RendezvousAsyncSender<T>, spsc::rendezvous::RendezvousAsyncReceiver<T>);

impl<T: Message> TryTx<T> for mpmc::Sender<T> {
    fn send_now(&mut self, value: T) -> Result<(), Refused> {
        self.try_send(value).map_err(|_| Refused)
    }
}

impl<T: Message> TryRx<T> for mpmc::Receiver<T> {
    fn recv_now(&mut self) -> Result<T, Refused> {
        self.try_recv().map_err(|_| Refused)
    }
}

macro_rules! batched {
    ($(#[$doc:meta])+ $name:ident, $tx:ty, $rx:ty, $open:expr) => {
        $(#[$doc])+
        pub(crate) struct $name {
            tx: $tx,
            rx: $rx,
            outgoing: Vec<u64>,
            incoming: Vec<u64>,
        }

        impl Batches for $name {
            const PEER: Peer = Peer::Fibre;

            fn open() -> Self {
                let (tx, rx) = $open;
                Self { tx, rx, outgoing: Vec::new(), incoming: Vec::new() }
            }

            fn send_all(&mut self, values: std::ops::Range<u64>) -> Result<(), Refused> {
                self.outgoing.extend(values);
                self.tx.try_send_batch_mut(&mut self.outgoing).map_err(|_| Refused)?;
                if self.outgoing.is_empty() { Ok(()) } else { Err(Refused) }
            }

            fn recv_all(&mut self, each: impl FnMut(u64)) -> Result<(), Refused> {
                self.rx.try_recv_batch_mut(&mut self.incoming, 1024).map_err(|_| Refused)?;
                self.incoming.drain(..).for_each(each);
                Ok(())
            }
        }
    };
}

batched!(
    /// A channel with calls for batches both ways.
    Batched, mpmc::Sender<u64>, mpmc::Receiver<u64>, mpmc::bounded(1024)
);
batched!(
    /// The same for one sender and one receiver.
    BatchedSpsc, spsc::BoundedSyncSender<u64>, spsc::BoundedSyncReceiver<u64>,
    spsc::bounded_sync(1024)
);
