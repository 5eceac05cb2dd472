// SPDX-License-Identifier: BSD-3-Clause
//! Elements sent ahead to servers that restart.

use becket_chan::{Sender, bounded, select};
use becket_ipc::reconnect::Event;
use becket_ipc::{Element, Posted, Server};

use crate::world::{LONG, World, element, number};

const ELEMENTS: u64 = 2_000;

/// Sends through a select; true: the element was received.
fn select_send(ahead: &Sender<Element>, at: u64) -> bool {
    let (_never_tx, never) = bounded::<()>(1);
    select! { wait;
        sent = ahead.send(element(at).into()) => sent.is_ok(),
        _ = never.recv() => unreachable!(),
    }
}

fn counts(posted: Posted) -> (u64, u64, u64) {
    (posted.accepted, posted.refused, posted.unknown)
}

/// Sends all elements, while another thread receives and restarts the server. Returns the elements
/// received by the time of the flush, in order.
fn over_restarts(
    world: &World,
    capacity: usize,
    ahead: &Sender<Element>,
    flush: impl FnOnce() -> Posted,
) -> (Vec<u64>, Posted) {
    let rx = world.opens_into("jobs", capacity);
    let (over_tx, over) = bounded::<()>(1);
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| {
            let (mut seen, mut server) = (Vec::new(), Some(world.serve()));
            loop {
                let got = select! { wait, biased;
                    got = rx.recv() => Some(number(&got.unwrap())),
                    _ = over.recv() => None,
                };
                let Some(at) = got else { break };
                seen.push(at);
                if seen.len().is_multiple_of(101) {
                    drop(server.take());
                    server = Some(world.serve());
                }
            }
            seen
        });
        assert!((0..ELEMENTS).all(|at| select_send(ahead, at)));
        let posted = flush();
        over_tx.send(()).wait().unwrap();
        (receiving.join().unwrap(), posted)
    })
}

#[test]
fn outcomes_of_elements_sent_ahead_are_correct() {
    let mut lost = 0;
    for capacity in [4, 1024] {
        let world = World::new(false);
        let sender = world.client().channel("jobs").sender();
        let ahead = sender.ahead();
        let flush = || sender.flush().wait();
        let (mut seen, posted) = over_restarts(&world, capacity, &ahead, flush);
        let (accepted, refused, unknown) = counts(posted);
        assert_eq!(accepted + refused + unknown, ELEMENTS);
        assert_eq!(counts(sender.flush().wait()), (accepted, refused, unknown));
        seen.sort_unstable();
        assert!(seen.is_sorted_by(|one, other| one < other), "each at most once");
        let seen = seen.len() as u64;
        assert!(accepted <= seen && seen <= accepted + unknown, "{seen} of {posted:?}");
        assert!(ahead.same_channel(&sender.ahead()));
        lost += refused + unknown;
    }
    assert!(lost > 0, "no connection was lost while sends were out");
}

#[test]
fn with_deduplication_each_is_received_once_and_in_order() {
    for capacity in [4, 1024] {
        let world = World::new(false);
        let sender = world.client().channel("jobs").once(1.into());
        let ahead = sender.ahead();
        let flush = || {
            let posted = sender.flush().wait();
            assert_eq!(sender.accepted().wait().unwrap(), ELEMENTS);
            posted
        };
        let (seen, posted) = over_restarts(&world, capacity, &ahead, flush);
        assert!(seen.into_iter().eq(0..ELEMENTS));
        assert_eq!(counts(posted), (ELEMENTS, 0, 0));
        assert!(ahead.same_channel(&sender.ahead()));
    }
}

#[test]
fn without_a_server_nothing_is_received() {
    let world = World::new(false);
    let client = world.client();
    let (sender, once) = (client.channel("jobs").sender(), client.channel("jobs").once(1.into()));
    let (local_tx, local_rx) = bounded::<u64>(4);
    for ahead in [sender.ahead(), once.ahead()] {
        local_tx.send(7).wait().unwrap();
        let got = select! { wait;
            _ = ahead.send(element(1).into()) => None,
            got = local_rx.recv() => got.ok(),
        };
        assert_eq!(got, Some(7));
        assert!(!ahead.is_closed());
    }
    assert_eq!(counts(sender.flush().wait()), (0, 0, 0));
    assert_eq!(counts(once.flush().wait()), (0, 0, 0));
    // They wait for the server like any other send.
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| select_send(&sender.ahead(), 2));
        let sending_once = scope.spawn(|| select_send(&once.ahead(), 3));
        let rx = world.opens_into("jobs", 4);
        let _server = world.serve();
        assert!(sending.join().unwrap() && sending_once.join().unwrap());
        assert_eq!(counts(sender.flush().wait()), (1, 0, 0));
        assert_eq!(counts(once.flush().wait()), (1, 0, 0));
        let mut seen: Vec<u64> = rx.try_iter().map(|one| number(&one)).collect();
        seen.sort_unstable();
        assert_eq!(seen, [2, 3]);
    });
}

/// Three elements, of which the channel has room for one; the others wait when the server ends.
fn sends_three(world: &World, ahead: &Sender<Element>) -> becket_chan::Receiver<Element> {
    let rx = world.opens_into("jobs", 1);
    let server = world.serve();
    assert!((0..3).all(|at| select_send(ahead, at)));
    while rx.snapshot().senders_waiting == 0 {
        std::thread::yield_now();
    }
    drop(server);
    rx
}

#[test]
fn unacknowledged_elements_are_unknown_when_the_server_ends() {
    let world = World::new(false);
    let client = world.client();
    let sender = client.channel("jobs").sender();
    let rx = sends_three(&world, &sender.ahead());
    // The last of them may not have been transmitted yet.
    let (accepted, refused, unknown) = counts(sender.flush().wait());
    assert_eq!((accepted, refused + unknown), (1, 2));
    assert!(unknown >= 1);
    let _server = world.serve();
    assert_eq!(number(&rx.recv().timeout(LONG).wait().unwrap()), 0);
    assert!(select_send(&sender.ahead(), 3));
    assert_eq!(number(&rx.recv().timeout(LONG).wait().unwrap()), 3);
    assert_eq!(counts(sender.flush().wait()), (2, refused, unknown));
}

#[test]
fn with_deduplication_they_are_sent_again() {
    let world = World::new(false);
    let client = world.client();
    let once = client.channel("jobs").once(1.into());
    let rx = sends_three(&world, &once.ahead());
    std::thread::scope(|scope| {
        let flushing = scope.spawn(|| once.flush().wait());
        let _server = world.serve();
        for at in 0..3 {
            assert_eq!(number(&rx.recv().timeout(LONG).wait().unwrap()), at);
        }
        assert_eq!(counts(flushing.join().unwrap()), (3, 0, 0));
    });
}

#[test]
fn with_deduplication_they_are_unknown_to_a_server_that_has_forgotten() {
    let (world, other) = (World::new(false), World::new(false));
    let client = world.client();
    let once = client.channel("jobs").once(1.into());
    let rx = sends_three(&world, &once.ahead());
    let there = other.opens_into("jobs", 4);
    let next = Server::builder().channels(other.channels.clone()).bind(&world.path);
    let _next = next.unwrap();
    let (accepted, refused, unknown) = counts(once.flush().wait());
    // Elements that were not transmitted are sent for the first time.
    let sent = there.try_iter().count() as u64;
    assert_eq!((accepted, refused, accepted + unknown), (1 + sent, 0, 3));
    assert!(unknown >= 1);
    assert_eq!(rx.try_iter().count(), 1);
}

fn closed(ahead: &Sender<Element>) -> String {
    while ahead.send(element(0).into()).timeout(LONG).wait().is_ok() {}
    assert!(ahead.is_closed());
    ahead.closed_reason().unwrap().to_string()
}

#[test]
fn it_closes_with_the_channel_and_when_there_will_be_no_connection() {
    let world = World::new(false);
    let client = world.client();
    let (sender, once) = (client.channel("jobs").sender(), client.channel("jobs").once(1.into()));
    let rx = world.opens_into("jobs", 4);
    let server = world.serve();
    sender.opened().wait().unwrap();
    once.opened().wait().unwrap();
    let (ahead, ahead_once) = (sender.ahead(), once.ahead());
    rx.close_with("enough");
    assert_eq!((closed(&ahead), closed(&ahead_once)), ("enough".into(), "enough".into()));
    assert!(sender.ahead().is_closed() && once.ahead().is_closed());
    // Another table has an open channel of this name.
    drop(server);
    let other = World::new(false);
    let there = other.opens_into("jobs", 4);
    let next = Server::builder().channels(other.channels.clone()).bind(&world.path);
    let next = next.unwrap();
    let again = |ahead: &dyn Fn() -> Sender<Element>| while !select_send(&ahead(), 5) {};
    again(&|| sender.ahead());
    again(&|| once.ahead());
    let mut seen = [0, 0];
    while seen[1] < 2 {
        // Exactly-once elements that the first server did not refuse are sent to the second.
        let at = number(&there.recv().timeout(LONG).wait().unwrap());
        assert!(at == 0 || at == 5);
        seen[usize::from(at == 5)] += 1;
    }
    // Closed by its user, it is replaced.
    sender.ahead().close();
    once.ahead().close();
    again(&|| sender.ahead());
    again(&|| once.ahead());
    drop(next);
    client.close();
    let (ahead, ahead_once) = (sender.ahead(), once.ahead());
    assert_eq!(closed(&ahead), closed(&ahead_once));
    assert!(sender.flush().wait().accepted >= 1);
    assert!(once.flush().wait().accepted >= 1);

    let client = world.giving_up(3);
    let sender = client.channel("jobs").sender();
    let ahead = sender.ahead();
    assert!(closed(&ahead).contains('3'), "{}", closed(&ahead));
    assert_eq!(closed(&sender.ahead()), closed(&ahead));
    assert_eq!(counts(sender.flush().wait()), (0, 0, 0));
}

/// Dropped sends are counted too; sends with a waiting operation are not.
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
