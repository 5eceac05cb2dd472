// SPDX-License-Identifier: BSD-3-Clause
//! Operations without a server.

use std::time::Duration;

use becket_chan::Token;
use becket_ipc::reconnect::Event;
use becket_ipc::{Ended, ReceiverOptions, RecvError, SendError, Server};

use crate::together::together;
use crate::world::{LONG, World, element, number};

const SHORT: Duration = Duration::from_millis(1);

#[test]
fn limits_hold_without_a_connection() {
    let world = World::new(false);
    let client = world.client();
    let sender = client.channel("jobs").sender();
    let once = client.channel("jobs").once(1.into());
    let receiver = client.channel("jobs").receiver(ReceiverOptions::default());
    let (set, token) = (Token::new(), Token::new());
    set.cancel();
    assert!(matches!(sender.send("a").timeout(SHORT).wait(), Err(SendError::TimedOut(_))));
    assert!(matches!(once.send("a").timeout(SHORT).wait(), Err(SendError::TimedOut(_))));
    assert!(matches!(receiver.recv().timeout(SHORT).wait(), Err(RecvError::TimedOut)));
    assert!(matches!(sender.send("a").cancel_on(&set).wait(), Err(SendError::Cancelled(_))));
    assert!(matches!(once.send("a").cancel_on(&set).wait(), Err(SendError::Cancelled(_))));
    assert!(matches!(receiver.recv().cancel_on(&set).wait(), Err(RecvError::Cancelled)));
    assert!(matches!(sender.try_send("a").wait(), Err(SendError::WouldBlock(_))));
    assert!(matches!(once.try_send("a").wait(), Err(SendError::WouldBlock(_))));
    assert!(matches!(receiver.try_recv(), Err(RecvError::WouldBlock)));
    std::thread::scope(|scope| {
        let waiting = [
            scope.spawn(|| sender.send("a").cancel_on(&token).wait()),
            scope.spawn(|| once.send("a").cancel_on(&token).wait()),
        ];
        let receiving = scope.spawn(|| receiver.recv().cancel_on(&token).wait());
        token.cancel();
        for one in waiting {
            assert!(matches!(one.join().unwrap(), Err(SendError::Cancelled(_))));
        }
        assert!(matches!(receiving.join().unwrap(), Err(RecvError::Cancelled)));
    });
}

#[test]
fn waiting_operations_complete_when_the_server_starts() {
    let world = World::new(false);
    let client = world.client();
    let sender = client.channel("jobs").sender();
    let once = client.channel("jobs").once(1.into());
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| sender.send(element(1)).timeout(LONG).wait());
        let sending_once = scope.spawn(|| once.send(element(2)).timeout(LONG).wait());
        // The channel is created after the server has started.
        let _server = world.serve();
        client.connected().wait().unwrap();
        let rx = world.opens_into("jobs", 4);
        sending.join().unwrap().unwrap();
        sending_once.join().unwrap().unwrap();
        let mut seen: Vec<u64> = rx.try_iter().map(|one| number(&one)).collect();
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
    });
}

#[test]
fn requests_go_through_the_current_connection() {
    let world = World::new(false);
    let client = world.client();
    assert!(client.client().is_none());
    let server = world.serve();
    client.connected().wait().unwrap();
    let rx = world.opens_into("jobs", 4);
    let current = client.client().unwrap();
    current.close_channel("jobs", None).wait().unwrap();
    assert!(rx.is_closed());
    drop(server);
    // Its end is noticed by the next request, at the latest.
    assert!(current.list(None).wait().is_err() && current.ended().is_some());
    assert!(client.client().is_none_or(|client| client.ended().is_none()));
}

#[test]
fn a_limited_number_of_attempts_is_given_up() {
    let world = World::new(false);
    let client = world.giving_up(3);
    let events = client.events();
    let sender = client.channel("jobs").sender();
    let once = client.channel("jobs").once(1.into());
    let receiver = client.channel("jobs").receiver(ReceiverOptions::default());
    let gave_up = |ended: &Ended| matches!(ended, Ended::GaveUp { attempts: 3, .. });
    let error = sender.send("a").timeout(LONG).wait().unwrap_err();
    assert!(matches!(&error, SendError::Disconnected { ended, .. } if gave_up(ended)), "{error}");
    let error = once.send("a").timeout(LONG).wait().unwrap_err();
    assert!(matches!(&error, SendError::Disconnected { ended, .. } if gave_up(ended)), "{error}");
    let error = receiver.recv().timeout(LONG).wait().unwrap_err();
    assert!(matches!(&error, RecvError::Disconnected(ended) if gave_up(ended)), "{error}");
    assert!(gave_up(&client.connected().wait().unwrap_err()));
    let news = events.recv().timeout(LONG).wait().unwrap();
    assert!(matches!(news, Event::GaveUp { ended } if gave_up(&ended)));
    // A missing channel is given up too.
    let _server = world.serve();
    let client = world.giving_up(2);
    let error = client.channel("missing").sender().send("a").timeout(LONG).wait().unwrap_err();
    assert!(
        matches!(&error, SendError::Disconnected { ended: Ended::GaveUp { attempts: 2, .. }, .. }),
        "{error}"
    );
}

#[test]
fn closed_it_ends_everything() {
    let world = World::new(false);
    let client = world.client();
    let once = client.channel("jobs").once(1.into());
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| once.send("a").timeout(LONG).wait());
        client.close();
        let error = sending.join().unwrap().unwrap_err();
        assert!(matches!(&error, SendError::Disconnected { ended: Ended::Here, .. }), "{error}");
    });
    assert!(matches!(once.opened().wait(), Err(Ended::Here)));
}

/// Transmitted into the wait queue of a full channel, then the server ends: only a server can
/// report the outcome.
#[test]
fn an_unacknowledged_exactly_once_send_reports_that_at_its_limit_or_survives() {
    let world = World::new(false);
    let rx = world.opens_into("jobs", 1);
    let server = world.serve();
    let client = world.client();
    let once = client.channel("jobs").once(1.into());
    once.send(element(0)).timeout(LONG).wait().unwrap();
    let token = Token::new();
    std::thread::scope(|scope| {
        let doubted = scope.spawn(|| once.send(element(1)).cancel_on(&token).wait());
        while rx.snapshot().senders_waiting == 0 {
            std::thread::yield_now();
        }
        let events = client.events();
        let surviving = scope.spawn(|| once.send(element(2)).timeout(LONG).wait());
        drop(server);
        while !matches!(events.recv().timeout(LONG).wait().unwrap(), Event::Lost { .. }) {}
        token.cancel();
        let error = doubted.join().unwrap().unwrap_err();
        // An outcome that was reported before the connection ended is certain.
        assert!(matches!(&error, SendError::Unknown { .. } | SendError::Cancelled(_)), "{error:?}");
        assert_eq!(number(&error.into_element()), 1);
        let _server = world.serve();
        assert_eq!(number(&rx.recv().timeout(LONG).wait().unwrap()), 0);
        surviving.join().unwrap().unwrap();
        assert_eq!(number(&rx.recv().timeout(LONG).wait().unwrap()), 2);
        assert_eq!(once.accepted().wait().unwrap(), 2);
    });
}

#[test]
fn a_dropped_or_refused_exactly_once_send_leaves_no_gap() {
    let world = World::new(false);
    let rx = world.opens_into("jobs", 2);
    let _server = world.serve();
    let client = world.client();
    let once = client.channel("jobs").once(1.into());
    once.opened().wait().unwrap();
    let limit = |at| if at < 2 { LONG } else { SHORT };
    let sent = together((0..6).map(|at| once.send(element(at)).timeout(limit(at))));
    assert!(sent[..2].iter().all(Result::is_ok), "{sent:?}");
    assert!(sent[2..].iter().all(|one| matches!(one, Err(SendError::TimedOut(_)))), "{sent:?}");
    assert!(matches!(once.try_send(element(6)).wait(), Err(SendError::WouldBlock(_))));
    assert_eq!(rx.try_iter().map(|one| number(&one)).collect::<Vec<_>>(), [0, 1]);
    once.send(element(7)).timeout(LONG).wait().unwrap();
    once.try_send(element(8)).wait().unwrap();
    assert_eq!(rx.try_iter().map(|one| number(&one)).collect::<Vec<_>>(), [7, 8]);
    assert_eq!(once.accepted().wait().unwrap(), 4);
}

/// Another table has the channel's name: elements transmitted to the first may have been accepted.
#[test]
fn unacknowledged_elements_are_not_sent_to_a_server_that_has_forgotten() {
    let (world, other) = (World::new(false), World::new(false));
    let rx = world.opens_into("jobs", 1);
    let server = world.serve();
    let client = world.client();
    let once = client.channel("jobs").once(1.into());
    once.send(element(0)).timeout(LONG).wait().unwrap();
    std::thread::scope(|scope| {
        let doubted = scope.spawn(|| once.send(element(1)).timeout(LONG).wait());
        while rx.snapshot().senders_waiting == 0 {
            std::thread::yield_now();
        }
        drop(server);
        let rx = other.opens_into("jobs", 4);
        let next = Server::builder().channels(other.channels.clone()).bind(&world.path);
        let _next = next.unwrap();
        let error = doubted.join().unwrap().unwrap_err();
        assert!(matches!(error, SendError::Unknown { ended: None, .. }), "{error:?}");
        once.send(element(2)).timeout(LONG).wait().unwrap();
        assert_eq!(rx.try_iter().map(|one| number(&one)).collect::<Vec<_>>(), [2]);
        assert_eq!(once.accepted().wait().unwrap(), 1);
    });
}
