// SPDX-License-Identifier: BSD-3-Clause
//! A server that is dropped and bound again, while its channels stay.

use becket_chan::{Receiver, Token};
use becket_ipc::reconnect::Event;
use becket_ipc::{Element, ReceiverOptions, RecvError, SendError, Server};

use crate::together::together;
use crate::world::{LONG, World, element, number};

const ELEMENTS: u64 = 3_000;
const BATCH: u64 = 40;

/// Receives until `is_last`; after each `every` elements another thread drops the server, during
/// arbitrary operations, and binds the next. The last one answers while it is kept.
fn receive(
    world: &World,
    rx: &Receiver<Element>,
    every: usize,
    is_last: impl Fn(u64) -> bool,
) -> (Vec<u64>, Option<Server>) {
    let (next, nexts) = becket_chan::unlimited::<()>();
    std::thread::scope(|scope| {
        let serving = scope.spawn(move || {
            let mut server = Some(world.serve());
            while nexts.recv().wait().is_ok() {
                drop(server.take());
                server = Some(world.serve());
            }
            server
        });
        let mut seen = Vec::new();
        loop {
            seen.push(number(&rx.recv().timeout(LONG).wait().unwrap()));
            if is_last(seen[seen.len() - 1]) {
                next.close();
                return (seen, serving.join().unwrap());
            }
            if seen.len().is_multiple_of(every) {
                next.send(()).wait().unwrap();
            }
        }
    })
}

fn once(world: &World, capacity: usize, every: usize, batch: u64) {
    let rx = world.opens_into("jobs", capacity);
    let client = world.client();
    let sender = client.channel("jobs").once(1.into());
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(world, &rx, every, |at| at == ELEMENTS - 1));
        for from in (0..ELEMENTS).step_by(batch as usize) {
            let sends = (from..from + batch).map(|at| sender.send(element(at)).timeout(LONG));
            for sent in together(sends) {
                sent.unwrap();
            }
        }
        let (seen, _server) = receiving.join().unwrap();
        assert!(seen.into_iter().eq(0..ELEMENTS));
        assert_eq!(sender.accepted().wait().unwrap(), ELEMENTS);
    });
    assert_eq!(rx.try_iter().count(), 0);
}

#[test]
fn with_deduplication_each_is_received_once_and_in_order() {
    once(&World::new(false), 4, 37, BATCH);
}

#[test]
fn with_deduplication_over_shared_memory_too() {
    once(&World::new(true), 4, 37, BATCH);
}

#[test]
fn with_deduplication_and_room_for_all_in_flight() {
    once(&World::new(false), 1024, 61, BATCH);
}

#[test]
fn with_deduplication_one_by_one() {
    once(&World::new(false), 1, 29, 1);
}

/// Some sends give up, some are attempts, some are dropped: the reported outcome of each is
/// correct.
#[test]
fn outcomes_of_exactly_once_sends_are_correct() {
    let world = World::new(false);
    let rx = world.opens_into("jobs", 4);
    let client = world.client();
    let sender = client.channel("jobs").once(1.into());
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(&world, &rx, 23, |at| at == u64::MAX));
        let (mut happened, mut may_have) = (Vec::new(), Vec::new());
        let mut rng = fastrand::Rng::with_seed(3);
        for from in (0..ELEMENTS).step_by(BATCH as usize) {
            let sends = (from..from + BATCH).map(|at| {
                let send = match rng.u8(..4) {
                    0 => sender.try_send(element(at)),
                    _ => sender.send(element(at)),
                };
                let hasty = rng.u8(..3) == 0;
                send.timeout(if hasty { std::time::Duration::from_micros(100) } else { LONG })
            });
            for (at, sent) in (from..).zip(together(sends)) {
                match sent {
                    Ok(()) => happened.push(at),
                    Err(SendError::Unknown { .. }) => may_have.push(at),
                    Err(SendError::TimedOut(_) | SendError::WouldBlock(_)) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
        sender.send(element(u64::MAX)).timeout(LONG).wait().unwrap();
        let (mut seen, _server) = receiving.join().unwrap();
        assert_eq!(seen.pop(), Some(u64::MAX));
        assert!(seen.is_sorted_by(|one, other| one < other), "each once, in order");
        assert!(happened.iter().all(|at| seen.binary_search(at).is_ok()));
        let known = |at: &&u64| happened.binary_search(at).is_err();
        assert!(seen.iter().filter(known).all(|at| may_have.binary_search(at).is_ok()));
        assert!(!happened.is_empty());
    });
}

#[test]
fn without_deduplication_each_at_most_once_and_missing_ones_were_reported() {
    let world = World::new(false);
    let rx = world.opens_into("jobs", 4);
    let client = world.client();
    let sender = client.channel("jobs").sender();
    let over = Token::new();
    std::thread::scope(|scope| {
        let over = &over;
        let receiving = scope.spawn(|| {
            let received = receive(&world, &rx, 37, |at| at == u64::MAX);
            over.cancel();
            received
        });
        let (mut happened, mut may_have) = (Vec::new(), Vec::new());
        for from in (0..ELEMENTS).step_by(BATCH as usize) {
            let sends = (from..from + BATCH).map(|at| sender.send(element(at)).timeout(LONG));
            for (at, sent) in (from..).zip(together(sends)) {
                match sent {
                    Ok(()) => happened.push(at),
                    Err(SendError::Unknown { element, .. }) => {
                        assert_eq!(number(&element), at);
                        may_have.push(at);
                    }
                    Err(SendError::Disconnected { element, .. }) => {
                        assert_eq!(number(&element), at);
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
        // The last element ends the receiver: it is sent until it was received.
        while !over.is_cancelled() {
            let _sent = sender.send(element(u64::MAX)).cancel_on(over).wait();
        }
        let (mut seen, _server) = receiving.join().unwrap();
        assert_eq!(seen.pop(), Some(u64::MAX));
        seen.sort_unstable();
        assert!(seen.is_sorted_by(|one, other| one < other), "each at most once");
        assert!(happened.iter().all(|at| seen.binary_search(at).is_ok()));
        let known = |at: &&u64| happened.binary_search(at).is_err();
        assert!(seen.iter().filter(known).all(|at| may_have.binary_search(at).is_ok()));
        assert!(happened.len() < ELEMENTS as usize, "no connection was lost while sends were out");
    });
}

#[test]
fn a_receiver_continues_with_the_next_server() {
    for window in [0, 16] {
        let world = World::new(false);
        let (tx, rx) = becket_chan::bounded(64);
        world.channels.export("jobs", None, Some(rx)).unwrap();
        let client = world.client();
        let receiver = client.channel("jobs").receiver(ReceiverOptions::window(window));
        let sending = std::thread::spawn(move || {
            for at in 0..ELEMENTS {
                tx.send(Element::from(element(at))).timeout(LONG).wait().unwrap();
            }
        });
        let mut server = Some(world.serve());
        let mut seen = Vec::new();
        loop {
            match receiver.recv().timeout(LONG).wait() {
                Ok(element) => seen.push(number(&element)),
                Err(RecvError::Closed { .. }) => break,
                Err(RecvError::Disconnected(_)) => continue,
                Err(error) => panic!("{error:?}"),
            }
            if seen.len().is_multiple_of(101) {
                drop(server.take());
                server = Some(world.serve());
            }
        }
        sending.join().unwrap();
        // Elements in flight to a lost receiver are lost; none arrives twice.
        assert!(seen.is_sorted_by(|one, other| one < other));
        assert!(seen.len() > 2_000, "{}", seen.len());
    }
}

#[test]
fn a_channel_is_created_again_and_events_report_it() {
    let world = World::new(false);
    let bind = || Server::bind(&world.path).unwrap();
    let client = world.client();
    let events = client.events();
    let sender = client.channel("made").make(becket_chan::Kind::Bounded, 4).sender();
    for times in 1..=5 {
        let server = bind();
        let mut news = events.recv().timeout(LONG).wait().unwrap();
        while !matches!(news, Event::Restored { .. }) {
            news = events.recv().timeout(LONG).wait().unwrap();
        }
        assert!(matches!(news, Event::Restored { connections } if connections == times));
        sender.send("hello").timeout(LONG).wait().unwrap();
        let channel = server.channels().by_name("made").unwrap();
        assert_eq!(channel.receiver().unwrap().try_recv().unwrap().as_slice(), b"hello");
        drop(server);
        let news = events.recv().timeout(LONG).wait().unwrap();
        assert!(matches!(news, Event::Lost { connections, .. } if connections == times));
    }
}
