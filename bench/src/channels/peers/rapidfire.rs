// SPDX-License-Identifier: BSD-3-Clause
//! rapidfire: for tasks; a thread can only try.

use std::pin::pin;
use std::task::{Context, Waker};

use rapidfire::{Receiver, Sender, mpsc};

use super::super::batch::batched;
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

batched!(
    /// A channel with one receiver: sends one by one, receives many.
    Rapidfire Batched, Sender<u64>, mpsc::Receiver<u64>, mpsc::bounded(1024);
    send |tx, values, _none: ()| {
        values.into_iter().try_for_each(|value| tx.try_send(value)).map_err(|_| Refused)
    };
    recv |rx, each, buffer: Vec<u64>| {
        let mut context = Context::from_waker(Waker::noop());
        if pin!(rx.recv_many(buffer, 1024)).poll(&mut context).is_pending() {
            return Err(Refused);
        }
        buffer.drain(..).for_each(each);
    }
);
