// SPDX-License-Identifier: BSD-3-Clause
//! Receivers that stall, operations that are dropped, a server that ends and comes again.

use std::pin::pin;
use std::thread;
use std::time::Duration;

use becket_chan::{select, unlimited};
use becket_cluster::{AckError, Connection, Kind, Options, Receiver, RecvError, SendError, Sender};
use bytes::Bytes;
use futures_lite::future::{block_on, poll_once, yield_now};

use crate::open::{LONG, Open};
use crate::server::Server;
use crate::server::proxy::Proxy;

const UNLIMITED: Kind = Kind::Unlimited { bytes_max: 1 << 24 };
const ONE: Kind = Kind::Bounded { capacity: 1 };
/// Sooner than after `ack_wait`, which is 30 s.
const SOON: Duration = Duration::from_secs(20);

fn short_lease() -> Options {
    Options::default().ack_wait(Duration::from_secs(1))
}

#[test]
fn a_message_that_is_not_acknowledged_is_delivered_again() {
    let server = Server::start();
    let (tx, stalled) = server.open_with("jobs", UNLIMITED, short_lease());
    let (_, rx) = server.open("jobs", UNLIMITED);
    tx.send("a").wait().unwrap();
    let first = stalled.lease().timeout(LONG).wait().unwrap();
    assert_eq!(first.attempt(), 1);
    let second = rx.lease().timeout(LONG).wait().unwrap();
    // More attempts than two if this machine is too busy to take one in time.
    assert!(&second[..] == b"a" && second.attempt() >= 2);
    assert_eq!(first.sequence(), second.sequence());
    assert_eq!(second.ack().wait().unwrap(), "a");
    assert_eq!(first.ack().wait(), Err(AckError::Expired), "the lease had ended");
    assert!(rx.snapshot().redeliveries >= 1);
    assert_eq!(stalled.snapshot().expired, 1);
    assert_eq!(rx.try_recv().wait(), Err(RecvError::WouldBlock));
}

#[test]
fn a_lease_is_extended_while_work_is_in_progress() {
    let server = Server::start();
    let lease = Options::default().ack_wait(Duration::from_secs(3));
    let (tx, rx) = server.open_with("jobs", UNLIMITED, lease);
    let (_, other) = server.open("jobs", UNLIMITED);
    tx.send("a").wait().unwrap();
    let mut leased = rx.lease().timeout(LONG).wait().unwrap();
    let quarter = Duration::from_millis(750);
    for _ in 0..6 {
        // In all longer than a lease.
        assert_eq!(other.recv().timeout(quarter).wait(), Err(RecvError::TimedOut));
        leased.in_progress();
    }
    leased.ack().wait().unwrap();
    assert_eq!(other.snapshot().redeliveries, 0);
}

#[test]
fn a_dropped_lease_is_requeued_at_once() {
    on_any::a_dropped_lease_is_requeued_at_once(&Server::start());
}

/// Receives that are dropped at any moment, also while their acknowledgement is in flight; and leases of what they
/// have left.
#[test]
fn a_dropped_receive_loses_nothing() {
    on_any::a_dropped_receive_loses_nothing(&Server::start());
}

/// Its acknowledgement is in flight: the server has the message no more.
#[test]
fn a_receiver_that_is_dropped_hands_back_what_it_has_acknowledged() {
    on_any::a_receiver_that_is_dropped_hands_back_what_it_has_acknowledged(&Server::start());
}

#[test]
fn a_receiver_that_is_dropped_requeues_what_it_has_requested() {
    on_any::a_receiver_that_is_dropped_requeues_what_it_has_requested(&Server::start());
}

#[test]
fn a_slow_receiver_loses_nothing() {
    on_any::a_slow_receiver_loses_nothing(&Server::start());
}

#[test]
fn values_survive_a_kill_of_the_server() {
    const VALUES: u32 = 100;
    let mut server = Server::start();
    let (tx, rx) = server.open_with("jobs", UNLIMITED, short_lease());
    for at in 0..VALUES {
        tx.send(at.to_be_bytes().to_vec()).wait().unwrap();
    }
    for at in 0..10u32 {
        assert_eq!(rx.recv().timeout(LONG).wait().unwrap()[..], at.to_be_bytes());
    }
    server.kill();
    thread::scope(|scope| {
        // Both wait for the server.
        let send = scope.spawn(|| tx.send(VALUES.to_be_bytes().to_vec()).timeout(LONG).wait());
        let receive = scope.spawn(|| rx.recv().timeout(LONG).wait());
        server.start_again();
        send.join().unwrap().unwrap();
        let mut seen = vec![receive.join().unwrap().unwrap()];
        for _ in 11..=VALUES {
            seen.push(rx.recv().timeout(LONG).wait().unwrap());
        }
        let mut seen: Vec<_> =
            seen.iter().map(|value| u32::from_be_bytes(value[..].try_into().unwrap())).collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(10..=VALUES));
    });
    assert_eq!(rx.try_recv().wait(), Err(RecvError::WouldBlock));
}

/// Sends in flight while the server is killed: repeated with the same id, each is accepted once.
#[test]
fn sends_through_kills_of_the_server_are_exact() {
    const VALUES: u32 = 400;
    const KILLS: u32 = 3;
    let mut server = Server::start();
    let (tx, rx) = server.open_with("jobs", UNLIMITED, short_lease());
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            for at in 0..VALUES {
                tx.send(at.to_be_bytes().to_vec()).timeout(LONG).wait().unwrap();
            }
        });
        let mut seen = Vec::new();
        for kill in 1..=KILLS {
            while seen.len() < (kill * VALUES / (KILLS + 1)) as usize {
                seen.push(rx.recv().timeout(LONG).wait().unwrap());
            }
            server.kill();
            server.start_again();
        }
        while seen.len() < VALUES as usize {
            seen.push(rx.recv().timeout(LONG).wait().unwrap());
        }
        sender.join().unwrap();
        let mut seen: Vec<_> =
            seen.iter().map(|value| u32::from_be_bytes(value[..].try_into().unwrap())).collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..VALUES));
    });
    assert_eq!(rx.try_recv().wait(), Err(RecvError::WouldBlock));
    assert_eq!(tx.snapshot().sends, u64::from(VALUES));
}

/// A sender that gets no answers of the server, and a receiver that does.
fn unanswered(server: &Server) -> (Proxy, Sender, Receiver) {
    let proxy = Proxy::start(server.port());
    let connection = block_on(Connection::connect(&proxy.url())).unwrap();
    let (tx, _) = block_on(connection.open("jobs", UNLIMITED, Options::default())).unwrap();
    let (_, rx) = server.open("jobs", UNLIMITED);
    proxy.mute();
    (proxy, tx, rx)
}

/// The answer is lost with the connection: the send is repeated with the same id, over another one.
#[test]
fn a_send_whose_answer_is_lost_is_accepted_once() {
    let server = Server::start();
    let (proxy, tx, rx) = unanswered(&server);
    thread::scope(|scope| {
        let send = scope.spawn(|| tx.send("a").timeout(LONG).wait());
        // The server has it.
        assert_eq!(rx.recv().timeout(LONG).wait().unwrap(), "a");
        assert!(!send.is_finished());
        proxy.cut();
        send.join().unwrap().unwrap();
    });
    assert_eq!((tx.snapshot().sends, tx.snapshot().duplicates), (1, 1));
    assert_eq!(rx.try_recv().wait(), Err(RecvError::WouldBlock));
}

/// The other arm is ready all the time, and must not complete beside a send that was accepted.
#[test]
fn an_attempt_whose_answer_is_lost_is_resolved_before_its_select_goes_on() {
    let server = Server::start();
    let (proxy, tx, rx) = unanswered(&server);
    let (local_tx, local) = unlimited();
    local_tx.try_send(()).unwrap();
    thread::scope(|scope| {
        let selecting = scope.spawn(|| {
            let arm = tx.arm("a");
            loop {
                select! {
                    wait, biased;
                    ready = arm.recv() => {
                        if let Some(result) = arm.attempt(ready.unwrap()).wait() {
                            break Some(result);
                        }
                    }
                    local = local.recv() => {
                        local.unwrap();
                        break None;
                    }
                }
            }
        });
        // The server has it.
        assert_eq!(rx.recv().timeout(LONG).wait().unwrap(), "a");
        assert!(!selecting.is_finished());
        proxy.cut();
        assert_eq!(selecting.join().unwrap(), Some(Ok(())));
    });
    assert_eq!((tx.snapshot().sends, tx.snapshot().duplicates, local.len()), (1, 1, 1));
    assert_eq!(rx.try_recv().wait(), Err(RecvError::WouldBlock));
}

/// With a limit that passes before the answer, the outcome is not known, and the value comes back.
#[test]
fn a_send_without_an_answer_is_unknown_at_its_deadline() {
    let server = Server::start();
    let (_proxy, tx, rx) = unanswered(&server);
    let error = tx.send("a").timeout(Duration::from_millis(50)).wait().unwrap_err();
    assert_eq!(error, SendError::Unknown("a".into()));
    assert_eq!(tx.snapshot().send_failures.unknown, 1);
    assert_eq!(rx.recv().timeout(LONG).wait().unwrap(), "a", "it was accepted");
}

/// Polls a future some times. `None`: it was not ready.
async fn for_a_while<T>(future: impl Future<Output = T>, polls: u32) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Some(output) = poll_once(future.as_mut()).await {
            return Some(output);
        }
        yield_now().await;
    }
    None
}

/// The number of polls until a future completes.
async fn polls_of<T>(future: impl Future<Output = T>) -> u32 {
    let mut future = pin!(future);
    let mut polls = 1;
    while poll_once(future.as_mut()).await.is_none() {
        yield_now().await;
        polls += 1;
    }
    polls
}

/// What holds on any servers.
pub(crate) mod on_any {
    use super::*;

    pub(crate) fn a_dropped_receive_loses_nothing(server: &impl Open) {
        const VALUES: u32 = 200;
        let (tx, rx) = server.open("jobs", UNLIMITED);
        for at in 0..VALUES {
            tx.send(at.to_be_bytes().to_vec()).wait().unwrap();
        }
        let mut received = Vec::new();
        for round in 1..=4 * VALUES {
            let value = block_on(for_a_while(rx.recv(), round * 7 % 400));
            received.extend(
                value.map(|value| u32::from_be_bytes(value.unwrap()[..].try_into().unwrap())),
            );
            if round.is_multiple_of(2) {
                drop(block_on(for_a_while(rx.lease(), round * 5 % 400)));
            }
        }
        while received.len() < VALUES as usize {
            let value = rx.recv().timeout(LONG).wait().unwrap();
            received.push(u32::from_be_bytes(value[..].try_into().unwrap()));
        }
        received.sort_unstable();
        assert!(received.into_iter().eq(0..VALUES));
        assert_eq!(rx.snapshot().receives, u64::from(VALUES));
        assert_eq!(rx.try_recv().wait(), Err(RecvError::WouldBlock));
    }

    pub(crate) fn a_receiver_that_is_dropped_hands_back_what_it_has_acknowledged(
        server: &impl Open,
    ) {
        for (name, kind) in [("log", UNLIMITED), ("one", ONE), ("state", Kind::Conflated)] {
            let (tx, rx) = server.open(name, kind);
            let connection = server.connection();
            tx.send("first").wait().unwrap();
            let polls = block_on(polls_of(rx.recv()));
            // Numbers of messages begin at 1, and this was one.
            let (mut round, mut handed_back) = (1u32, 0);
            while handed_back < 3 {
                round += 1;
                let value = Bytes::from(round.to_be_bytes().to_vec());
                let options = server.options(Options::default());
                let (_, leaves) = block_on(connection.open(name, kind, options)).unwrap();
                let received = block_on(async {
                    let mut recv = pin!(leaves.recv());
                    assert!(poll_once(recv.as_mut()).await.is_none());
                    tx.send(value.clone()).await.unwrap();
                    for_a_while(recv.as_mut(), round % 32 * polls / 16).await
                });
                drop(leaves);
                if let Some(received) = received {
                    assert_eq!(received.unwrap(), value);
                    continue;
                }
                let message = rx.lease().timeout(SOON).wait().expect(name);
                // One that is requeued keeps its number.
                handed_back += u32::from(message.sequence() > u64::from(round + handed_back));
                assert_eq!(message.ack().wait().unwrap(), value);
            }
            assert_eq!(rx.try_recv().wait(), Err(RecvError::WouldBlock));
        }
    }

    pub(crate) fn a_receiver_that_is_dropped_requeues_what_it_has_requested(server: &impl Open) {
        let (tx, rx) = server.open("jobs", UNLIMITED);
        let (_, greedy) = server.open_with("jobs", UNLIMITED, Options::default().window(8));
        for at in 0..16u8 {
            tx.send(vec![at]).wait().unwrap();
        }
        greedy.recv().timeout(LONG).wait().unwrap();
        drop(greedy);
        let mut rest: Vec<_> =
            (0..15).map(|_| rx.recv().timeout(SOON).wait().unwrap()[0]).collect();
        rest.sort_unstable();
        rest.dedup();
        assert_eq!(rest.len(), 15);
    }

    pub(crate) fn a_slow_receiver_loses_nothing(server: &impl Open) {
        const VALUES: u32 = 2000;
        let (tx, _) = server.open("log", UNLIMITED);
        let (_, rx) = server.open_with("log", UNLIMITED, Options::default().window(16));
        let sender = thread::spawn(move || {
            for at in 0..VALUES {
                tx.send(at.to_be_bytes().to_vec()).wait().unwrap();
            }
        });
        let want = rx.want();
        for at in 0..VALUES {
            // It never holds more than it has asked for.
            assert!(want.len() <= 17, "{}", want.len());
            let value = rx.recv().timeout(LONG).wait().unwrap();
            assert_eq!(value[..], at.to_be_bytes());
        }
        sender.join().unwrap();
    }

    pub(crate) fn a_dropped_lease_is_requeued_at_once(server: &impl Open) {
        let (tx, rx) = server.open("jobs", UNLIMITED);
        tx.send("a").wait().unwrap();
        for attempt in 1..=5 {
            // Its `ack_wait` is far longer than this test.
            let leased = rx.lease().timeout(Duration::from_secs(20)).wait().unwrap();
            assert_eq!(leased.attempt(), attempt);
        }
        assert_eq!(rx.snapshot().requeued, 5);
        assert_eq!(rx.recv().timeout(LONG).wait().unwrap(), "a");
    }
}
