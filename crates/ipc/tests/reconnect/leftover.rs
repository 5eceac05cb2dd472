// SPDX-License-Identifier: BSD-3-Clause
//! Elements that had arrived when their connection ended.

use becket_chan::{Sender, bounded};
use becket_ipc::reconnect::Event;
use becket_ipc::{Element, Ended, ReceiverOptions, Reconnecting, RecvError, Server};

use crate::world::{LONG, World, element, number};

fn send(tx: &Sender<Element>, numbers: impl IntoIterator<Item = u64>) {
    for at in numbers {
        tx.send(element(at).into()).timeout(LONG).wait().unwrap();
    }
}

/// Waits until the client has noticed the end of its server.
fn until_lost(client: &Reconnecting, server: Server) {
    let events = client.events();
    drop(server);
    while !matches!(events.recv().timeout(LONG).wait().unwrap(), Event::Lost { .. }) {}
}

/// They are received first, in order, with or without a server.
#[test]
fn they_are_kept_and_come_first() {
    for has_next in [false, true] {
        let world = World::new(false);
        let (tx, rx) = bounded(64);
        world.channels.export("jobs", None, Some(rx)).unwrap();
        let client = world.client();
        let rx = client.channel("jobs").receiver(ReceiverOptions::window(4));
        let server = world.serve();
        rx.opened().wait().unwrap();
        send(&tx, 0..10);
        // As many as fit into the window.
        while tx.len() > 6 {
            std::thread::yield_now();
        }
        until_lost(&client, server);
        let came = 10 - tx.len() as u64;
        let next = has_next.then(|| world.serve());
        for at in 0..came {
            assert_eq!(number(&rx.recv().timeout(LONG).wait().unwrap()), at);
        }
        let _next = next.unwrap_or_else(|| {
            assert!(matches!(rx.try_recv(), Err(RecvError::WouldBlock)));
            world.serve()
        });
        for at in came..10 {
            assert_eq!(number(&rx.recv().timeout(LONG).wait().unwrap()), at);
        }
    }
}

#[test]
fn they_can_be_received_when_there_is_no_further_connection() {
    let world = World::new(false);
    let (tx, rx) = bounded(64);
    world.channels.export("jobs", None, Some(rx)).unwrap();
    let server = world.serve();
    let client = world.client();
    let rx = client.channel("jobs").receiver(ReceiverOptions::window(3));
    rx.opened().wait().unwrap();
    send(&tx, 0..8);
    while tx.len() > 5 {
        std::thread::yield_now();
    }
    until_lost(&client, server);
    client.close();
    for at in 0..8 - tx.len() as u64 {
        assert_eq!(number(&rx.recv().timeout(LONG).wait().unwrap()), at);
    }
    assert!(matches!(rx.recv().wait(), Err(RecvError::Disconnected(Ended::Here))));
    assert!(matches!(rx.try_recv(), Err(RecvError::Disconnected(Ended::Here))));
}

#[test]
fn a_closed_channel_is_open_again_with_the_next_server() {
    let world = World::new(false);
    let (tx, rx) = bounded(64);
    world.channels.export("jobs", None, Some(rx)).unwrap();
    let rx = world.client().channel("jobs").receiver(ReceiverOptions::default());
    let server = world.serve();
    send(&tx, [1]);
    tx.close_with("enough");
    assert_eq!(number(&rx.recv().timeout(LONG).wait().unwrap()), 1);
    let error = rx.recv().timeout(LONG).wait().unwrap_err();
    assert!(matches!(&error, RecvError::Closed { reason: Some(why) } if &**why == "enough"));
    drop(server);
    // Another table has an open channel of this name.
    let other = World::new(false);
    let (tx, rx_there) = bounded(4);
    other.channels.export("jobs", None, Some(rx_there)).unwrap();
    let next = Server::builder().channels(other.channels.clone()).bind(&world.path);
    let _next = next.unwrap();
    send(&tx, [2]);
    let element = loop {
        match rx.recv().timeout(LONG).wait() {
            Ok(element) => break element,
            // Until the next connection it is the channel of the previous one.
            Err(RecvError::Closed { .. } | RecvError::Disconnected(_)) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(number(&element), 2);
}
