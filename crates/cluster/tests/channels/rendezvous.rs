// SPDX-License-Identifier: BSD-3-Clause
//! A rendezvous: a send completes when one receiver took its value.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use becket_cluster::{Kind, RecvError, SendError};

use crate::open::{LONG, Open};
use crate::server::Server;

#[test]
fn a_value_is_handed_over_and_nothing_is_stored() {
    let server = Server::start();
    let (tx, _) = server.open("meet", Kind::Rendezvous);
    let short = Duration::from_millis(50);
    assert!(tx.try_send("a").wait().unwrap_err().is_would_block());
    let error = tx.send("b").timeout(short).wait().unwrap_err();
    assert_eq!(error, SendError::TimedOut("b".into()));
    let (_, rx) = server.open("meet", Kind::Rendezvous);
    assert!(tx.try_send("c").wait().unwrap_err().is_would_block(), "a receiver, but no receive");
    assert_eq!(rx.recv().timeout(short).wait(), Err(RecvError::TimedOut));
    assert_eq!(rx.try_recv().wait(), Err(RecvError::Unsupported));
    thread::scope(|scope| {
        let sender = scope.spawn(|| tx.send("d").timeout(LONG).wait());
        assert_eq!(&rx.recv().timeout(LONG).wait().unwrap()[..], b"d");
        sender.join().unwrap().unwrap();
    });
    assert_eq!((tx.snapshot().sends, rx.snapshot().receives), (1, 1));
}

#[test]
fn values_pass_in_order_and_notes_wake_their_senders() {
    on_any::values_pass_in_order_and_notes_wake_their_senders(&Server::start());
}

#[test]
fn a_lease_holds_the_sender_and_a_dropped_one_refuses() {
    on_any::a_lease_holds_the_sender_and_a_dropped_one_refuses(&Server::start());
}

/// Sends and receives with limits that pass at all moments: each accepted value is received once.
#[test]
fn cancellation_loses_nothing() {
    on_any::cancellation_loses_nothing(&Server::start());
}

#[test]
fn a_close_ends_both_sides() {
    on_any::a_close_ends_both_sides(&Server::start());
}

#[test]
fn a_close_ends_a_send_that_waits() {
    on_any::a_close_ends_a_send_that_waits(&Server::start());
}

/// What holds on any servers.
pub(crate) mod on_any {
    use super::*;

    pub(crate) fn values_pass_in_order_and_notes_wake_their_senders(server: &impl Open) {
        const VALUES: u32 = 500;
        let (tx, _) = server.open("meet", Kind::Rendezvous);
        // Another process with receivers, none of which waits: an offer to it is refused.
        let (_, idle) = server.open("meet", Kind::Rendezvous);
        let (_, rx) = server.open("meet", Kind::Rendezvous);
        let begun = Instant::now();
        let sender = thread::spawn(move || {
            for at in 0..VALUES {
                tx.send(at.to_be_bytes().to_vec()).timeout(LONG).wait().unwrap();
            }
        });
        for at in 0..VALUES {
            assert_eq!(&rx.recv().timeout(LONG).wait().unwrap()[..], at.to_be_bytes());
        }
        sender.join().unwrap();
        drop(idle);
        // By the slow retry alone, half of the values would take a second each.
        assert!(begun.elapsed().as_secs() < u64::from(VALUES) / 4, "{:?}", begun.elapsed());
    }

    pub(crate) fn a_lease_holds_the_sender_and_a_dropped_one_refuses(server: &impl Open) {
        let (tx, rx) = server.open("meet", Kind::Rendezvous);
        let (_, other) = server.open("meet", Kind::Rendezvous);
        thread::scope(|scope| {
            let sender = scope.spawn(|| tx.send("a").timeout(LONG).wait());
            let leased = rx.lease().timeout(LONG).wait().unwrap();
            assert!(!sender.is_finished());
            drop(leased);
            assert_eq!(&other.recv().timeout(LONG).wait().unwrap()[..], b"a");
            sender.join().unwrap().unwrap();
        });
        assert_eq!(rx.snapshot().requeued, 1);
    }

    pub(crate) fn cancellation_loses_nothing(server: &impl Open) {
        const VALUES: u32 = 500;
        let (tx, _) = server.open("meet", Kind::Rendezvous);
        let (_, rx) = server.open("meet", Kind::Rendezvous);
        let sent_all = AtomicBool::new(false);
        let (mut tries, mut received) = (0u32, Vec::new());
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let mut tries = 0;
                for at in 0..VALUES {
                    let mut value = at.to_be_bytes().to_vec().into();
                    loop {
                        tries += 1;
                        let limit = Duration::from_micros(u64::from(tries * 37 % 900));
                        match tx.send(value).timeout(limit).wait() {
                            Ok(()) => break,
                            Err(SendError::TimedOut(back)) => value = back,
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                }
                sent_all.store(true, Ordering::SeqCst);
                tries
            });
            let mut round = 0u64;
            while !sent_all.load(Ordering::SeqCst) {
                round += 1;
                let limit = Duration::from_micros(round * 53 % 1500);
                if let Ok(value) = rx.recv().timeout(limit).wait() {
                    received.push(u32::from_be_bytes(value[..].try_into().unwrap()));
                }
            }
            tries = sender.join().unwrap();
        });
        assert!(received.iter().copied().eq(0..VALUES), "{received:?}");
        assert!(tries > VALUES, "some sends timed out");
        assert_eq!(tx.snapshot().send_failures.unknown, 0);
    }

    pub(crate) fn a_close_ends_both_sides(server: &impl Open) {
        let (tx, _) = server.open("meet", Kind::Rendezvous);
        let (_, rx) = server.open("meet", Kind::Rendezvous);
        let (closer, _) = server.open("meet", Kind::Rendezvous);
        thread::scope(|scope| {
            let receives = [0, 1].map(|_| scope.spawn(|| rx.recv().timeout(LONG).wait()));
            assert_eq!(closer.close_with("over").wait(), Ok(true));
            for receive in receives {
                let closed = RecvError::Closed { reason: Some("over".into()) };
                assert_eq!(receive.join().unwrap(), Err(closed));
            }
        });
        let error = tx.send("a").timeout(LONG).wait().unwrap_err();
        assert_eq!(error, SendError::Closed { value: "a".into(), reason: Some("over".into()) });
        assert_eq!(tx.close().wait(), Ok(false));
    }

    pub(crate) fn a_close_ends_a_send_that_waits(server: &impl Open) {
        // The receivers stay: an offer that is on its way to one that leaves may have no answer.
        let (tx, _rx) = server.open("meet", Kind::Rendezvous);
        let (closer, _other) = server.open("meet", Kind::Rendezvous);
        thread::scope(|scope| {
            let send = scope.spawn(|| tx.send("a").timeout(LONG).wait());
            assert_eq!(closer.close().wait(), Ok(true));
            let error = send.join().unwrap().unwrap_err();
            assert_eq!(error, SendError::Closed { value: "a".into(), reason: None });
        });
    }
}
