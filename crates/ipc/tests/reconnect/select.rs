// SPDX-License-Identifier: BSD-3-Clause
//! Channels of a reconnecting client in a select, with local ones.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Waker};

use becket_chan::{Receiver, Sender, bounded, rendezvous, select};
use becket_ipc::reconnect::{Event, WhyClosed};
use becket_ipc::{
    Element, Ended, ReceiverOptions, Reconnecting, ReconnectingReceiver, ReconnectingSender, Server,
};

use crate::world::{LONG, World, element, number};

#[derive(Debug, PartialEq)]
enum Got {
    Remote(u64),
    Local(u64),
}

/// Receives from one of the two.
fn either(remote: &ReconnectingReceiver, local: &Receiver<u64>) -> Result<Got, WhyClosed> {
    loop {
        if let Ok(element) = remote.try_recv() {
            return Ok(Got::Remote(number(&element)));
        }
        let want = remote.want();
        let got = select! { wait;
            element = want.recv() => match element {
                Ok(element) => Ok(Got::Remote(number(&element))),
                Err(_) => Err(want.why_closed()),
            },
            local = local.recv() => Ok(Got::Local(local.unwrap())),
        };
        match got {
            Err(WhyClosed::Changed) => {}
            got => return got,
        }
    }
}

/// Sends into the first, or receives from the second.
fn either_way(
    remote: &ReconnectingSender,
    at: u64,
    local: &Receiver<u64>,
) -> Result<Option<u64>, WhyClosed> {
    loop {
        let ahead = remote.ahead();
        let got = select! { wait;
            sent = ahead.send(element(at).into()) => match sent {
                Ok(()) => Ok(None),
                Err(_) => Err(ahead.why_closed()),
            },
            local = local.recv() => Ok(Some(local.unwrap())),
        };
        match got {
            Err(WhyClosed::Changed) => {}
            got => return got,
        }
    }
}

/// Waits until a select waits at its local channel, which it queues at last.
fn until_waiting(local: &Sender<u64>) {
    while local.snapshot().receivers_waiting == 0 {
        std::thread::yield_now();
    }
}

/// Waits until the client has noticed the end of its server.
fn until_lost(client: &Reconnecting, server: Server) {
    let events = client.events();
    drop(server);
    while !matches!(events.recv().timeout(LONG).wait().unwrap(), Event::Lost { .. }) {}
}

fn is_lost<T>(got: &Result<T, WhyClosed>) -> bool {
    matches!(got, Err(WhyClosed::Ended(ended)) if !matches!(ended, Ended::Here | Ended::GaveUp { .. }))
}

#[test]
fn an_arm_waits_for_a_connection_and_ends_with_it() {
    for window in [0, 4] {
        let world = World::new(false);
        let (tx, jobs) = bounded::<Element>(8);
        world.channels.export("jobs", None, Some(jobs)).unwrap();
        let client = world.client();
        let rx = client.channel("jobs").receiver(ReceiverOptions::window(window));
        let (local_tx, local) = bounded(1);
        // Without a server a local arm completes.
        local_tx.send(7).wait().unwrap();
        assert_eq!(either(&rx, &local).unwrap(), Got::Local(7));
        let waits = |meanwhile: &mut dyn FnMut()| {
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| either(&rx, &local));
                until_waiting(&local_tx);
                meanwhile();
                waiting.join().unwrap()
            })
        };
        let got = waits(&mut || local_tx.send(8).wait().unwrap());
        assert_eq!(got.unwrap(), Got::Local(8));
        let mut server = None;
        for at in 0..5 {
            // The server starts while the arm waits.
            let got = waits(&mut || {
                server = Some(world.serve());
                tx.send(element(at).into()).timeout(LONG).wait().unwrap();
            });
            assert_eq!(got.unwrap(), Got::Remote(at));
            // It ends while the arm waits: nothing was received.
            let got = waits(&mut || drop(server.take()));
            assert!(is_lost(&got), "{got:?}");
        }
        assert_eq!(tx.len(), 0);
    }
}

#[test]
fn elements_of_an_ended_connection_come_first() {
    let world = World::new(false);
    let (tx, jobs) = bounded::<Element>(16);
    world.channels.export("jobs", None, Some(jobs)).unwrap();
    let client = world.client();
    let rx = client.channel("jobs").receiver(ReceiverOptions::window(4));
    let (_local_tx, local) = bounded(1);
    let server = world.serve();
    rx.opened().wait().unwrap();
    for at in 0..10 {
        tx.send(element(at).into()).wait().unwrap();
    }
    while tx.len() > 6 {
        std::thread::yield_now();
    }
    until_lost(&client, server);
    for _ in 0..2 {
        // Closed as soon as they are kept: they are in no channel at which a select could wait.
        let want = rx.want();
        assert!(want.recv().timeout(LONG).wait() == Err(becket_chan::RecvError::Closed));
        assert!(matches!(want.why_closed(), WhyClosed::Changed));
    }
    let _next = world.serve();
    for at in 0..10 {
        let got = loop {
            // One that had begun to wait on the old connection ends with it.
            match either(&rx, &local) {
                Err(WhyClosed::Ended(_)) => {}
                got => break got,
            }
        };
        assert_eq!(got.unwrap(), Got::Remote(at));
    }
}

#[test]
fn an_arm_of_a_client_that_stops_ends() {
    let world = World::new(false);
    let client = world.client();
    let rx = client.channel("jobs").receiver(ReceiverOptions::default());
    let tx = client.channel("jobs").sender();
    let (local_tx, local) = rendezvous();
    let (other_tx, other) = rendezvous();
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| either(&rx, &local));
        let sending = scope.spawn(|| either_way(&tx, 1, &other));
        until_waiting(&local_tx);
        until_waiting(&other_tx);
        client.close();
        let got = receiving.join().unwrap();
        assert!(matches!(got, Err(WhyClosed::Ended(Ended::Here))), "{got:?}");
        let got = sending.join().unwrap();
        assert!(matches!(got, Err(WhyClosed::Ended(Ended::Here))), "{got:?}");
    });
    let got = either(&rx, &local);
    assert!(matches!(got, Err(WhyClosed::Ended(Ended::Here))), "{got:?}");
}

#[test]
fn a_closed_channel_ends_its_arms_with_the_reason() {
    let world = World::new(false);
    let (tx, jobs) = bounded::<Element>(1);
    world.channels.export("jobs", Some(tx.clone()), Some(jobs)).unwrap();
    let _server = world.serve();
    let client = world.client();
    let rx = client.channel("jobs").receiver(ReceiverOptions::default());
    let sender = client.channel("jobs").sender();
    sender.send(element(0)).timeout(LONG).wait().unwrap();
    rx.recv().timeout(LONG).wait().unwrap();
    tx.close_with("enough");
    let (_local_tx, local) = bounded(1);
    let got = either(&rx, &local);
    assert!(
        matches!(&got, Err(WhyClosed::Closed { reason: Some(why) }) if &**why == "enough"),
        "{got:?}"
    );
    // The send is handed over, or finds it closed.
    while !matches!(either_way(&sender, 1, &local), Err(WhyClosed::Closed { .. })) {}
}

/// A send that was not handed over when its connection ended.
#[test]
fn an_arm_without_credit_ends_with_its_connection() {
    let world = World::new(false);
    let rx = world.opens_into("jobs", 1);
    let server = world.serve();
    let client = world.client();
    let sender = client.channel("jobs").sender();
    sender.send(element(0)).timeout(LONG).wait().unwrap();
    // More than the server grants credit for.
    let mut sends: Vec<_> = (0..2000).map(|_| Box::pin(sender.send(element(1)))).collect();
    for send in &mut sends {
        let send: Pin<_> = send.as_mut();
        assert!(send.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let (local_tx, local) = bounded(1);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| either_way(&sender, 9, &local));
        until_waiting(&local_tx);
        drop(server);
        let got = waiting.join().unwrap();
        assert!(is_lost(&got), "{got:?}");
        drop(sends);
        // It was not handed over, and is sent over the next connection.
        let _server = world.serve();
        assert!(either_way(&sender, 2, &local).unwrap().is_none());
        loop {
            match number(&rx.recv().timeout(LONG).wait().unwrap()) {
                2 => break,
                at => assert!(at < 2, "{at}"),
            }
        }
    });
}

/// While servers end and start, and local elements arrive too.
#[test]
fn nothing_is_received_twice_over_many_connections() {
    const ELEMENTS: u64 = 2_000;
    for window in [0, 16] {
        let world = World::new(false);
        let (tx, jobs) = bounded(64);
        world.channels.export("jobs", None, Some(jobs)).unwrap();
        let client = world.client();
        let rx = client.channel("jobs").receiver(ReceiverOptions::window(window));
        let (local_tx, local) = bounded(1);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for at in 0..ELEMENTS {
                    tx.send(Element::from(element(at))).timeout(LONG).wait().unwrap();
                }
            });
            scope.spawn(|| (0..).take_while(|at| local_tx.send(*at).wait().is_ok()).count());
            let mut server = Some(world.serve());
            let (mut seen, mut seen_here, mut losses) = (Vec::new(), Vec::new(), 0);
            loop {
                match either(&rx, &local) {
                    Ok(Got::Remote(at)) => seen.push(at),
                    Ok(Got::Local(at)) => seen_here.push(at),
                    Err(WhyClosed::Closed { .. }) => break,
                    Err(WhyClosed::Ended(_)) => losses += 1,
                    Err(why) => panic!("{why:?}"),
                }
                if seen.len() % 101 == 100 {
                    drop(server.take());
                    server = Some(world.serve());
                }
            }
            local.close();
            // Elements in flight to a lost receiver are lost; none arrives twice.
            assert!(seen.is_sorted_by(|one, other| one < other));
            assert!(seen.len() as u64 > ELEMENTS / 2, "{} after {losses}", seen.len());
            assert!(seen_here.iter().copied().eq(0..seen_here.len() as u64));
            assert!(!seen_here.is_empty());
        });
    }
}

/// Each send that a select has made is counted, as what became of it.
#[test]
fn sends_ahead_are_counted_over_many_connections() {
    const ELEMENTS: u64 = 2_000;
    let world = World::new(false);
    let rx = world.opens_into("jobs", 4);
    let client = world.client();
    let sender = client.channel("jobs").sender();
    let (_local_tx, local) = bounded(1);
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| {
            let mut server = Some(world.serve());
            let mut seen = Vec::new();
            while let Ok(element) = rx.recv().timeout(LONG).wait() {
                match number(&element) {
                    u64::MAX => break,
                    at => seen.push(at),
                }
                if seen.len() % 101 == 100 {
                    drop(server.take());
                    server = Some(world.serve());
                }
            }
            (seen, server)
        });
        let mut made = 0;
        for at in 0..ELEMENTS {
            match either_way(&sender, at, &local) {
                Ok(None) => made += 1,
                // It was not handed over.
                Err(WhyClosed::Ended(_)) => {}
                got => panic!("{got:?}"),
            }
        }
        let posted = loop {
            let posted = sender.flush().wait();
            if posted.accepted + posted.refused + posted.unknown == made {
                break posted;
            }
        };
        while sender.send(element(u64::MAX)).timeout(LONG).wait().is_err() {}
        let (seen, _server) = receiving.join().unwrap();
        assert!(seen.is_sorted_by(|one, other| one < other), "each at most once, in order");
        let count = seen.len() as u64;
        assert!(
            (posted.accepted..=posted.accepted + posted.unknown).contains(&count),
            "{posted:?}"
        );
        assert!(posted.accepted < ELEMENTS, "no connection was lost meanwhile");
        assert!(posted.accepted > ELEMENTS / 4, "{posted:?}");
    });
}
