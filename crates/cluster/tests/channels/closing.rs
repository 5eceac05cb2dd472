// SPDX-License-Identifier: BSD-3-Clause
//! Closing: seen by all sides, drained first, and nothing accepted afterwards.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use becket_cluster::{Connection, Kind, Options, RecvError, SendError};
use futures_lite::future::block_on;

use crate::open::{LONG, Open};
use crate::server::Server;
use crate::server::proxy::Proxy;

const BOUNDED: Kind = Kind::Bounded { capacity: 4 };

#[test]
fn a_close_wakes_receivers_that_wait() {
    on_any::a_close_wakes_receivers_that_wait(&Server::start());
}

#[test]
fn a_close_wakes_senders_that_wait_and_receivers_drain() {
    on_any::a_close_wakes_senders_that_wait_and_receivers_drain(&Server::start());
}

/// A message that another receiver holds may come back: closed is the answer once it is
/// acknowledged.
#[test]
fn a_receiver_is_closed_when_the_last_message_is_acknowledged() {
    on_any::a_receiver_is_closed_when_the_last_message_is_acknowledged(&Server::start());
}

#[test]
fn what_was_accepted_before_the_close_is_drained_exactly() {
    on_any::what_was_accepted_before_the_close_is_drained_exactly(&Server::start());
}

/// A sender that no note reaches does not know of the close: the server refuses its value.
#[test]
fn the_server_accepts_nothing_after_the_close() {
    let server = Server::start();
    let proxy = Proxy::start(server.port());
    let connection = block_on(Connection::connect(&proxy.url())).unwrap();
    let (tx, _) = block_on(connection.open("jobs", BOUNDED, Options::default())).unwrap();
    let (closer, _) = server.open("jobs", BOUNDED);
    proxy.mute();
    assert_eq!(closer.close().wait(), Ok(true));
    assert!(!tx.is_closed());
    let error = tx.send("late").timeout(Duration::from_millis(50)).wait().unwrap_err();
    assert_eq!(error, SendError::Unknown("late".into()), "the answer is lost too");
    // A receiver that looks only now.
    let (_, rx) = server.open("jobs", BOUNDED);
    assert_eq!(rx.recv().timeout(LONG).wait(), Err(RecvError::Closed { reason: None }));
}

/// What holds on any servers.
pub(crate) mod on_any {
    use super::*;

    pub(crate) fn a_close_wakes_receivers_that_wait(server: &impl Open) {
        let (tx, rx) = server.open("jobs", BOUNDED);
        let (closer, other) = server.open("jobs", BOUNDED);
        thread::scope(|scope| {
            let receives =
                [&rx, &rx, &other].map(|rx| scope.spawn(|| rx.recv().timeout(LONG).wait()));
            assert_eq!(closer.close_with("enough").wait(), Ok(true));
            for receive in receives {
                let closed = RecvError::Closed { reason: Some("enough".into()) };
                assert_eq!(receive.join().unwrap(), Err(closed));
            }
        });
        assert_eq!(tx.close_with("again").wait(), Ok(false));
        let error = tx.send("a").wait().unwrap_err();
        assert_eq!(error, SendError::Closed { value: "a".into(), reason: Some("enough".into()) });
        assert_eq!(tx.closed_reason().as_deref(), Some("enough"));
        // A later opening finds it closed.
        let (late_tx, late_rx) = server.open("jobs", BOUNDED);
        assert!(late_tx.is_closed() && late_tx.try_send("a").wait().unwrap_err().is_closed());
        assert!(matches!(late_rx.recv().timeout(LONG).wait(), Err(RecvError::Closed { .. })));
        assert!(matches!(late_rx.try_recv().wait(), Err(RecvError::Closed { .. })));
        // Other channels of the same stream are open.
        let (tx, rx) = server.open("others", BOUNDED);
        tx.send("b").wait().unwrap();
        assert_eq!(&rx.recv().timeout(LONG).wait().unwrap()[..], b"b");
    }

    pub(crate) fn a_close_wakes_senders_that_wait_and_receivers_drain(server: &impl Open) {
        let (tx, _) = server.open("jobs", BOUNDED);
        let (closer, rx) = server.open("jobs", BOUNDED);
        for at in 0..4 {
            tx.send(vec![at]).wait().unwrap();
        }
        thread::scope(|scope| {
            let sends = [5, 6].map(|at| {
                scope.spawn({
                    let tx = &tx;
                    move || tx.send(vec![at]).timeout(LONG).wait()
                })
            });
            assert_eq!(closer.close().wait(), Ok(true));
            for send in sends {
                assert!(send.join().unwrap().unwrap_err().is_closed());
            }
        });
        for at in 0..4 {
            assert_eq!(rx.recv().timeout(LONG).wait().unwrap()[..], [at]);
        }
        assert_eq!(rx.recv().timeout(LONG).wait(), Err(RecvError::Closed { reason: None }));
    }

    pub(crate) fn a_receiver_is_closed_when_the_last_message_is_acknowledged(server: &impl Open) {
        let (tx, holder) = server.open("jobs", BOUNDED);
        let (_, rx) = server.open("jobs", BOUNDED);
        tx.send("a").wait().unwrap();
        let held = holder.lease().timeout(LONG).wait().unwrap();
        assert_eq!(tx.close().wait(), Ok(true));
        thread::scope(|scope| {
            // Sooner than after `ack_wait`, which is 30 s.
            let soon = Duration::from_secs(20);
            let rx = &rx;
            let waiting = scope.spawn(move || rx.recv().timeout(soon).wait());
            // Requeued: the other receiver gets it, and is closed only then.
            drop(held);
            assert_eq!(&waiting.join().unwrap().unwrap()[..], b"a");
        });
        assert_eq!(rx.recv().timeout(LONG).wait(), Err(RecvError::Closed { reason: None }));
        assert_eq!(holder.recv().timeout(LONG).wait(), Err(RecvError::Closed { reason: None }));
    }

    pub(crate) fn what_was_accepted_before_the_close_is_drained_exactly(server: &impl Open) {
        const SENDERS: usize = 4;
        let kinds = [Kind::Bounded { capacity: 50 }, Kind::Unlimited { bytes_max: 1 << 24 }];
        for (name, kind) in ["bounded", "unlimited"].into_iter().zip(kinds) {
            let (closer, rx) = server.open(name, kind);
            let accepted = AtomicU64::new(0);
            let is_closed = AtomicBool::new(false);
            let begun = Barrier::new(SENDERS + 1);
            let mut received = 0;
            thread::scope(|scope| {
                for _ in 0..SENDERS {
                    let (tx, _) = server.open(name, kind);
                    let (accepted, begun, is_closed) = (&accepted, &begun, &is_closed);
                    scope.spawn(move || {
                        tx.send("first").wait().unwrap();
                        accepted.fetch_add(1, Ordering::SeqCst);
                        begun.wait();
                        loop {
                            let is_late = is_closed.load(Ordering::SeqCst);
                            match tx.send("more").wait() {
                                Ok(()) => {
                                    assert!(!is_late, "accepted after the close");
                                    accepted.fetch_add(1, Ordering::SeqCst)
                                }
                                Err(error) => break assert!(error.is_closed(), "{error:?}"),
                            };
                        }
                    });
                }
                begun.wait();
                // While all of them send.
                for _ in 0..100 {
                    rx.recv().timeout(LONG).wait().unwrap();
                    received += 1;
                }
                assert_eq!(closer.close().wait(), Ok(true));
                is_closed.store(true, Ordering::SeqCst);
                while rx.recv().timeout(LONG).wait().is_ok() {
                    received += 1;
                }
            });
            assert_eq!(received, accepted.load(Ordering::SeqCst), "{kind:?}");
        }
    }
}
