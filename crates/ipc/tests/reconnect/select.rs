// SPDX-License-Identifier: BSD-3-Clause
//! Selects over a channel of servers that restart.

use becket_chan::{Receiver, Sender, bounded, select};
use becket_ipc::reconnect::Event;
use becket_ipc::{Element, Ended, ReceiverOptions, ReconnectingReceiver, RecvError, Server};

use crate::world::{LONG, World, element, number};

const ELEMENTS: u64 = 2_000;

/// A channel of this program from which clients receive, and a receiver of it.
fn receiver(world: &World, window: u32) -> (Sender<Element>, ReconnectingReceiver) {
    let (tx, rx) = bounded(64);
    world.channels.export("jobs", None, Some(rx)).unwrap();
    let client = world.client();
    (tx, client.channel("jobs").receiver(ReceiverOptions::window(window)))
}

fn send(tx: &Sender<Element>, numbers: impl IntoIterator<Item = u64>) {
    for at in numbers {
        tx.send(element(at).into()).timeout(LONG).wait().unwrap();
    }
}

/// The next remote or local element.
fn either(remote: &Receiver<Element>, local: &Receiver<u64>) -> Option<u64> {
    select! { wait;
        got = remote.recv() => got.ok().map(|element| number(&element)),
        got = local.recv() => Some(got.unwrap()),
    }
}

fn is_closed(received: Result<Element, becket_chan::RecvError>) -> bool {
    matches!(received, Err(becket_chan::RecvError::Closed))
}

/// The server is dropped and bound again periodically. Local values have the upper half.
fn over_restarts(window: u32, is_one_want: bool) {
    let world = World::new(false);
    let (tx, rx) = receiver(&world, window);
    let (local_tx, local_rx) = bounded::<u64>(4);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            send(&tx, 0..ELEMENTS);
            tx.close_with("all sent");
        });
        scope.spawn(move || {
            // Until the receiver is dropped.
            (0..ELEMENTS / 10).all(|at| local_tx.send(u64::MAX - at).wait().is_ok());
        });
        let mut server = Some(world.serve());
        let (mut seen, mut local) = (Vec::new(), 0);
        let (never_tx, never_rx) = bounded::<u64>(1);
        let mut want = rx.want();
        loop {
            // When all local values have arrived there are no more.
            let local_rx = if local < ELEMENTS / 10 { &local_rx } else { &never_rx };
            match either(&want, local_rx) {
                Some(at) if at >= ELEMENTS => local += 1,
                Some(at) => {
                    seen.push(at);
                    if seen.len().is_multiple_of(101) {
                        drop(server.take());
                        server = Some(world.serve());
                    }
                }
                None => break,
            }
            if !is_one_want {
                want = rx.want();
            }
        }
        // Senders may be behind.
        drop(local_rx);
        drop(never_tx);
        assert_eq!(want.closed_reason().as_deref(), Some("all sent"));
        // Elements in flight to a lost receiver are lost; none arrives twice.
        assert!(seen.is_sorted_by(|one, other| one < other));
        assert!(seen.len() > 1_000, "{}", seen.len());
    });
}

#[test]
fn a_select_continues_with_the_next_server() {
    over_restarts(0, false);
}

#[test]
fn one_want_outlasts_any_number_of_servers() {
    over_restarts(0, true);
}

#[test]
fn with_a_window_too() {
    over_restarts(16, false);
    over_restarts(16, true);
}

#[test]
fn without_a_server_other_arms_are_selected_until_the_server_starts() {
    let world = World::new(false);
    let (tx, rx) = receiver(&world, 0);
    let (local_tx, local_rx) = bounded::<u64>(4);
    let want = rx.want();
    local_tx.send(7).wait().unwrap();
    assert_eq!(either(&want, &local_rx), Some(7));
    assert!(!want.is_closed() && want.is_empty());
    std::thread::scope(|scope| {
        let selecting = scope.spawn(|| either(&want, &local_rx));
        let _server = world.serve();
        send(&tx, [8]);
        assert_eq!(selecting.join().unwrap(), Some(8));
    });
}

#[test]
fn elements_that_are_not_received_are_requeued() {
    let world = World::new(false);
    let (tx, rx) = receiver(&world, 0);
    let _server = world.serve();
    rx.opened().wait().unwrap();
    let other = world.client().channel("jobs").receiver(ReceiverOptions::default());
    for round in (0..300).step_by(10) {
        send(&tx, round..round + 6);
        let wants = [rx.want(), rx.want()];
        // One element is requested, and no more.
        until(|| tx.len() == 5);
        let taken = match round % 3 {
            0 => wants[1].recv().timeout(LONG).wait().unwrap(),
            1 => rx.recv().timeout(LONG).wait().unwrap(),
            // It may be in flight to the wants.
            _ => loop {
                match rx.try_recv() {
                    Ok(element) => break element,
                    Err(RecvError::WouldBlock) => std::thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            },
        };
        assert_eq!(number(&taken), round);
        // The next one was requested, and arrives.
        until(|| tx.len() == 4);
        drop(wants);
        until(|| tx.len() == 5 && tx.snapshot().receivers_waiting == 0);
        for at in round + 1..round + 6 {
            assert_eq!(number(&other.recv().timeout(LONG).wait().unwrap()), at);
        }
    }
}

/// Waits for an action of another thread.
fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        std::thread::yield_now();
    }
}

/// Elements here when a want is dropped are received first, in order, with or without a server.
#[test]
fn leftover_elements_are_kept_when_the_server_ends_and_come_first() {
    for is_wanted_at_the_end in [false, true] {
        let world = World::new(false);
        let (tx, rx) = receiver(&world, 4);
        let client = world.client();
        let events = client.events();
        let server = world.serve();
        let want = rx.want();
        send(&tx, 0..10);
        // As many as fit into the window.
        until(|| tx.len() <= 6);
        client.connected().wait().unwrap();
        drop(server);
        while !matches!(events.recv().timeout(LONG).wait().unwrap(), Event::Lost { .. }) {}
        let came = 10 - tx.len() as u64;
        let mut want = Some(want).filter(|_| is_wanted_at_the_end);
        let mut seen = Vec::new();
        for at in 0..came {
            // Alternately, as long as there is a want.
            let element = match want.as_ref().filter(|_| at % 2 == 0) {
                Some(want) => want.recv().timeout(LONG).wait().unwrap(),
                None => rx.recv().timeout(LONG).wait().unwrap(),
            };
            seen.push(number(&element));
        }
        assert!(seen.into_iter().eq(0..came));
        assert!(matches!(rx.try_recv(), Err(RecvError::WouldBlock)));
        let _server = world.serve();
        for at in came..10 {
            want = want.map(|_| rx.want());
            let element = match &want {
                Some(want) => want.recv().timeout(LONG).wait().unwrap(),
                None => rx.recv().timeout(LONG).wait().unwrap(),
            };
            assert_eq!(number(&element), at);
        }
    }
}

#[test]
fn it_is_closed_with_the_channel_and_open_again_with_the_next() {
    let world = World::new(false);
    let (tx, rx) = receiver(&world, 0);
    let server = world.serve();
    let want = rx.want();
    send(&tx, [1]);
    tx.close_with("enough");
    assert_eq!(number(&want.recv().timeout(LONG).wait().unwrap()), 1);
    assert!(is_closed(want.recv().timeout(LONG).wait()));
    assert_eq!(want.closed_reason().as_deref(), Some("enough"));
    assert!(is_closed(rx.want().recv().timeout(LONG).wait()));
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
        match rx.want().recv().timeout(LONG).wait() {
            Ok(element) => break element,
            // Until the next connection it is the channel of the previous one.
            Err(error) => assert_eq!(error, becket_chan::RecvError::Closed),
        }
    };
    assert_eq!(number(&element), 2);
    drop(want);
}

#[test]
fn it_is_closed_when_there_is_no_further_connection_and_leftovers_can_be_received() {
    let world = World::new(false);
    let client = world.giving_up(3);
    let rx = client.channel("jobs").receiver(ReceiverOptions::window(3));
    let want = rx.want();
    assert!(is_closed(want.recv().timeout(LONG).wait()));
    assert!(want.closed_reason().is_some_and(|reason| reason.contains("3")));
    drop(want);

    let (tx, rx) = bounded(64);
    world.channels.export("jobs", None, Some(rx)).unwrap();
    let server = world.serve();
    let client = world.client();
    let rx = client.channel("jobs").receiver(ReceiverOptions::window(3));
    let want = rx.want();
    let events = client.events();
    send(&tx, 0..8);
    until(|| tx.len() <= 5);
    drop(server);
    while !matches!(events.recv().timeout(LONG).wait().unwrap(), Event::Lost { .. }) {}
    client.close();
    let came = 8 - tx.len() as u64;
    for at in 0..came {
        let element = match at % 2 {
            0 => want.recv().wait().unwrap(),
            _ => rx.recv().timeout(LONG).wait().unwrap(),
        };
        assert_eq!(number(&element), at);
    }
    assert!(is_closed(want.recv().wait()));
    assert!(matches!(rx.recv().wait(), Err(RecvError::Disconnected(Ended::Here))));
}

#[test]
fn an_outlet_closed_by_its_user_is_replaced() {
    let world = World::new(false);
    let (tx, rx) = receiver(&world, 0);
    let _server = world.serve();
    let want = rx.want();
    send(&tx, [1, 2]);
    until(|| tx.len() <= 1);
    want.close();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        // The closed one may still have had the first element.
        let next = rx.want();
        if let Ok(element) = next.recv().timeout(LONG).wait() {
            seen.push(number(&element));
        }
    }
    assert_eq!(seen, [1, 2]);
}
