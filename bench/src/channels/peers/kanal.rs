// SPDX-License-Identifier: BSD-3-Clause
//! kanal: handles that threads use as they are, and tasks through `as_async`.

use kanal::{Receiver, Sender};

use super::super::batch::batched;
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

batched!(
    /// A channel: sends one by one, drains.
    Kanal Batched, Sender<u64>, Receiver<u64>, kanal::bounded(1024);
    send |tx, values, _none: ()| values.into_iter().try_for_each(|value| tx.send_now(value));
    recv |rx, each, buffer: Vec<u64>| {
        rx.drain_into(buffer).map_err(|_| Refused)?;
        buffer.drain(..).for_each(each);
    }
);
