// SPDX-License-Identifier: BSD-3-Clause
//! Channels of async-channel, tokio, flume, futures-channel and async-broadcast.

use std::cell::RefCell;
use std::rc::Rc;

use becket_lab::bridge::operations::{Ends, Operations, Pending};
use becket_lab::bridge::{self, Failure, Spec, stream};
use becket_lab::contract::Limits;
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::item_bytes_max;
use crate::bridged;

/// Channels hold so many items.
const CAPACITIES: [usize; 2] = [1, 4];
const PROFILES: u32 = 12;

fn closed<E>(_: E) -> Failure {
    Failure::new("the channel is closed")
}

/// Passes over a channel with operations, each flow with its own.
fn operations<O: Operations + 'static>(name: &str, open: fn(usize) -> O) {
    for capacity in CAPACITIES {
        let make = |limits: Limits| {
            let most = item_bytes_max(limits, capacity);
            bridge::pair(&Spec::new(name, limits), || move |_| Ok(Ends::new(open(capacity), most)))
        };
        bridged::passes(name, &make, PROFILES);
    }
}

struct AsyncChannel(Option<async_channel::Sender<Bytes>>, async_channel::Receiver<Bytes>);

impl Operations for AsyncChannel {
    fn send(&mut self, item: Bytes) -> Pending<()> {
        let sender = self.0.clone().unwrap();
        Box::pin(async move { sender.send(item).await.map_err(closed) })
    }

    fn recv(&mut self) -> Pending<Option<Bytes>> {
        let receiver = self.1.clone();
        Box::pin(async move { Ok(receiver.recv().await.ok()) })
    }

    fn close(&mut self) {
        self.0 = None;
    }

    fn may_cancel_recv(&self) -> bool {
        true
    }
}

#[test]
fn async_channel() {
    operations("async-channel", |capacity| {
        let (sender, receiver) = async_channel::bounded(capacity);
        AsyncChannel(Some(sender), receiver)
    });
}

/// A receiver that is polled in place.
type Shared<R> = Rc<RefCell<R>>;

struct Tokio(Option<tokio::sync::mpsc::Sender<Bytes>>, Shared<tokio::sync::mpsc::Receiver<Bytes>>);

impl Operations for Tokio {
    fn send(&mut self, item: Bytes) -> Pending<()> {
        let sender = self.0.clone().unwrap();
        Box::pin(async move { sender.send(item).await.map_err(closed) })
    }

    fn recv(&mut self) -> Pending<Option<Bytes>> {
        let receiver = Rc::clone(&self.1);
        Box::pin(std::future::poll_fn(move |cx| receiver.borrow_mut().poll_recv(cx).map(Ok)))
    }

    fn close(&mut self) {
        self.0 = None;
    }

    fn may_cancel_recv(&self) -> bool {
        true
    }
}

#[test]
fn tokio_mpsc() {
    operations("tokio-mpsc", |capacity| {
        let (sender, receiver) = tokio::sync::mpsc::channel(capacity);
        Tokio(Some(sender), Rc::new(RefCell::new(receiver)))
    });
}

struct Broadcast(Option<async_broadcast::Sender<Bytes>>, Shared<async_broadcast::Receiver<Bytes>>);

impl Operations for Broadcast {
    fn send(&mut self, item: Bytes) -> Pending<()> {
        let sender = self.0.clone().unwrap();
        Box::pin(async move { sender.broadcast(item).await.map(|_| ()).map_err(closed) })
    }

    fn recv(&mut self) -> Pending<Option<Bytes>> {
        let receiver = Rc::clone(&self.1);
        Box::pin(std::future::poll_fn(move |cx| receiver.borrow_mut().poll_next_unpin(cx).map(Ok)))
    }

    fn close(&mut self) {
        self.0 = None;
    }

    fn may_cancel_recv(&self) -> bool {
        true
    }
}

#[test]
fn async_broadcast() {
    operations("async-broadcast", |capacity| {
        let (sender, receiver) = async_broadcast::broadcast(capacity);
        Broadcast(Some(sender), Rc::new(RefCell::new(receiver)))
    });
}

#[test]
fn flume_as_sink_and_stream() {
    for capacity in [0, 1, 4] {
        let make = move |limits: Limits| {
            let most = item_bytes_max(limits, capacity);
            stream::pair(&Spec::new("flume", limits), most, move || {
                let (tx, rx) = flume::bounded::<Bytes>(capacity);
                Ok((tx.into_sink(), rx.into_stream()))
            })
        };
        bridged::passes("flume", &make, PROFILES);
    }
}

#[test]
fn futures_mpsc_as_sink_and_stream() {
    for capacity in [0, 1, 4] {
        let make = move |limits: Limits| {
            // It holds one more for each sender.
            let most = item_bytes_max(limits, capacity + 1);
            stream::pair(&Spec::new("futures-mpsc", limits), most, move || {
                Ok(futures_channel::mpsc::channel::<Bytes>(capacity))
            })
        };
        bridged::passes("futures-mpsc", &make, PROFILES);
    }
}
