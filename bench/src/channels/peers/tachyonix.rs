// SPDX-License-Identifier: BSD-3-Clause
//! tachyonix: for tasks, one receiver; a thread can only try.

use tachyonix::{Receiver, Sender, channel};

use super::super::channel::{Message, Refused, channel, receiver, sender};
use super::super::peer::Peer;

/// A bounded channel.
pub(crate) struct Bounded<const CAPACITY: usize>;

channel!(Tachyonix, Bounded<N>, N: channel(N), Sender<T>, Receiver<T>);
sender!(Sender<T>; now |tx, value| tx.try_send(value); task |tx, value| tx.send(value).await);
receiver!(Receiver<T>; now |rx| rx.try_recv(); task |rx| rx.recv().await);
