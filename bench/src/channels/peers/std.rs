// SPDX-License-Identifier: BSD-3-Clause
//! The standard library's channel: for threads, one receiver.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use super::super::channel::{Message, Refused, channel, receiver, sender};
use super::super::peer::Peer;

/// A bounded channel.
pub(crate) struct Bounded<const CAPACITY: usize>;
/// An unlimited one.
pub(crate) struct Unlimited;
/// One without room.
pub(crate) type Rendezvous = Bounded<0>;

channel!(Std, Bounded<N>, N: sync_channel(N), SyncSender<T>, Receiver<T>);
channel!(Std, Unlimited: channel(), Sender<T>, Receiver<T>);
sender!(SyncSender<T>; wait |tx, value| tx.send(value); now |tx, value| tx.try_send(value));
sender!(Sender<T>; wait |tx, value| tx.send(value); now |tx, value| tx.send(value));
receiver!(Receiver<T>; wait |rx| rx.recv(); now |rx| rx.try_recv());
