// SPDX-License-Identifier: BSD-3-Clause
//! The outcomes of sends that no operation waits for.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use becket_ipc::reconnect::Event;
use becket_ipc::{Posted, SendError};

use crate::world::{LONG, World, element, number};

fn counts(posted: Posted) -> (u64, u64, u64) {
    (posted.accepted, posted.refused, posted.unknown)
}

/// Polls a send until it waits at the channel, and drops it.
fn drops(
    send: impl Future<Output = Result<(), SendError>>,
    rx: &becket_chan::Receiver<becket_ipc::Element>,
) {
    let mut send = pin!(send);
    while rx.snapshot().senders_waiting == 0 {
        let polled = send.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Pending), "{polled:?}");
        std::thread::yield_now();
    }
}

#[test]
fn dropped_sends_are_withdrawn_and_counted() {
    let world = World::new(false);
    let client = world.client();
    let events = client.events();
    let (sender, once) = (client.channel("jobs").sender(), client.channel("once").once(1.into()));
    let (rx, rx_once) = (world.opens_into("jobs", 1), world.opens_into("once", 1));
    let server = world.serve();
    sender.send(element(0)).timeout(LONG).wait().unwrap();
    once.send(element(0)).timeout(LONG).wait().unwrap();
    drops(sender.send(element(1)), &rx);
    drops(once.send(element(1)), &rx_once);
    assert_eq!(counts(sender.flush().wait()), (0, 1, 0));
    assert_eq!(counts(once.flush().wait()), (0, 1, 0));
    // Over the next connection too. The outcome of a send that went out on the old one is unknown.
    drop(server);
    while !matches!(events.recv().timeout(LONG).wait().unwrap(), Event::Lost { .. }) {}
    let _server = world.serve();
    for rx in [&rx, &rx_once] {
        assert_eq!(number(&rx.recv().timeout(LONG).wait().unwrap()), 0);
    }
    sender.send(element(2)).timeout(LONG).wait().unwrap();
    once.send(element(2)).timeout(LONG).wait().unwrap();
    for rx in [&rx, &rx_once] {
        assert_eq!(number(&rx.recv().timeout(LONG).wait().unwrap()), 2);
    }
    assert_eq!(counts(sender.flush().wait()), (0, 1, 0));
    assert_eq!(counts(once.flush().wait()), (0, 1, 0));
}

/// Sends with a waiting operation are not counted.
#[test]
fn a_flush_waits_for_transmitted_elements_and_not_for_another_server() {
    let world = World::new(false);
    let client = world.client();
    let events = client.events();
    let sender = client.channel("jobs").sender();
    let rx = world.opens_into("jobs", 1);
    let server = world.serve();
    sender.send(element(0)).timeout(LONG).wait().unwrap();
    assert_eq!(counts(sender.flush().wait()), (0, 0, 0));
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| sender.send(element(1)).timeout(LONG).wait());
        while rx.snapshot().senders_waiting == 0 {
            std::thread::yield_now();
        }
        let flushing = scope.spawn(|| sender.flush().wait());
        drop(server);
        assert_eq!(counts(flushing.join().unwrap()), (0, 0, 0));
        assert!(sending.join().unwrap().is_err());
    });
    while !matches!(events.recv().timeout(LONG).wait().unwrap(), Event::Lost { .. }) {}
    assert_eq!(counts(sender.flush().wait()), (0, 0, 0));
}
