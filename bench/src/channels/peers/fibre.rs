// SPDX-License-Identifier: BSD-3-Clause
//! fibre: handles of different types for each kind, number of sides, and way to wait.

use fibre::{mpmc, spsc};

use super::super::batch::batched;
use super::super::channel::{Message, Refused, channel, receiver, sender};
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

channel!(Fibre, Bounded<N>, N: mpmc::bounded(N), mpmc::Sender<T>, mpmc::Receiver<T>);
channel!(Fibre, BoundedTasks<N>, N:
    mpmc::bounded_async(N), mpmc::AsyncSender<T>, mpmc::AsyncReceiver<T>
);
channel!(Fibre, BoundedSpsc<N>, N:
    spsc::bounded_sync(N), spsc::BoundedSyncSender<T>, spsc::BoundedSyncReceiver<T>
);
channel!(Fibre, Rendezvous:
    spsc::rendezvous::rendezvous(),
    spsc::rendezvous::RendezvousSyncSender<T>,
    spsc::rendezvous::RendezvousSyncReceiver<T>
);
channel!(Fibre, RendezvousTasks:
    spsc::rendezvous::rendezvous_async(),
    spsc::rendezvous::RendezvousAsyncSender<T>,
    spsc::rendezvous::RendezvousAsyncReceiver<T>
);

sender!(mpmc::Sender<T>; wait |tx, value| tx.send(value));
receiver!(mpmc::Receiver<T>; wait |rx| rx.recv());
sender!(spsc::BoundedSyncSender<T>; wait |tx, value| tx.send(value));
receiver!(spsc::BoundedSyncReceiver<T>; wait |rx| rx.recv());
sender!(spsc::rendezvous::RendezvousSyncSender<T>; wait |tx, value| tx.send(value));
receiver!(spsc::rendezvous::RendezvousSyncReceiver<T>; wait |rx| rx.recv());

sender!(mpmc::AsyncSender<T>; task |tx, value| tx.send(value).await);
receiver!(mpmc::AsyncReceiver<T>; task |rx| rx.recv().await);
sender!(spsc::rendezvous::RendezvousAsyncSender<T>; task |tx, value| tx.send(value).await);
receiver!(spsc::rendezvous::RendezvousAsyncReceiver<T>; task |rx| rx.recv().await);

sender!(mpmc::Sender<T>; now |tx, value| tx.try_send(value));
receiver!(mpmc::Receiver<T>; now |rx| rx.try_recv());

macro_rules! both_ways {
    ($(#[$doc:meta])+ $name:ident, $tx:ty, $rx:ty, $open:expr) => {
        batched!(
            $(#[$doc])+
            Fibre $name, $tx, $rx, $open;
            send |tx, values, buffer: Vec<u64>| {
                buffer.extend(values);
                tx.try_send_batch_mut(buffer).map_err(|_| Refused)?;
                if buffer.is_empty() { Ok(()) } else { Err(Refused) }
            };
            recv |rx, each, buffer: Vec<u64>| {
                rx.try_recv_batch_mut(buffer, 1024).map_err(|_| Refused)?;
                buffer.drain(..).for_each(each);
            }
        );
    };
}

both_ways!(
    /// A channel with calls for batches both ways.
    Batched, mpmc::Sender<u64>, mpmc::Receiver<u64>, mpmc::bounded(1024)
);
both_ways!(
    /// The same for one sender and one receiver.
    BatchedSpsc, spsc::BoundedSyncSender<u64>, spsc::BoundedSyncReceiver<u64>,
    spsc::bounded_sync(1024)
);
