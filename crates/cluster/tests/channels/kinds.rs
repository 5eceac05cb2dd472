// SPDX-License-Identifier: BSD-3-Clause
//! What each kind that stores values promises: order, room, exactness; and how operations are driven.

use std::thread;
use std::time::Instant;

use becket_chan::{Token, bounded, select, unlimited};
use becket_cluster::{Kind, OpenError, Options, RecvError, SendError};
use futures_lite::future::block_on;

use crate::open::{LONG, Open};
use crate::server::Server;

const VALUES: u32 = 300;
const UNLIMITED: Kind = Kind::Unlimited { bytes_max: 1 << 24 };

fn bytes(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

#[test]
fn values_arrive_once_and_in_order() {
    on_any::values_arrive_once_and_in_order(&Server::start());
}

#[test]
fn a_bounded_channel_holds_exactly_its_capacity() {
    on_any::a_bounded_channel_holds_exactly_its_capacity(&Server::start());
}

#[test]
fn of_800_racing_sends_a_capacity_of_100_accepts_100() {
    on_any::of_800_racing_sends_a_capacity_of_100_accepts_100(&Server::start());
}

/// A sender that waits for room is woken by a note: by the slow retry alone this would take a second
/// for each value.
#[test]
fn a_note_wakes_a_sender_that_waits_for_room() {
    on_any::a_note_wakes_a_sender_that_waits_for_room(&Server::start());
}

#[test]
fn a_conflated_channel_gives_the_latest_in_order() {
    on_any::a_conflated_channel_gives_the_latest_in_order(&Server::start());
}

#[test]
fn a_leased_value_that_is_replaced_is_safe() {
    on_any::a_leased_value_that_is_replaced_is_safe(&Server::start());
}

#[test]
fn unlimited_channels_are_bounded_by_bytes() {
    on_any::unlimited_channels_are_bounded_by_bytes(&Server::start());
}

#[test]
fn a_value_beyond_the_servers_maximum_is_refused_and_returned() {
    let server = Server::start();
    let (tx, _rx) = server.open("jobs", Kind::Bounded { capacity: 1 });
    let value = vec![7; 5 << 20];
    let refused = tx.send(value.clone()).wait().unwrap_err();
    assert!(matches!(refused, SendError::Unsupported { .. }), "{refused:?}");
    assert_eq!(refused.into_inner(), value);
}

#[test]
fn a_channel_has_one_kind() {
    let server = Server::start();
    let connection = server.connect();
    let open = |kind| block_on(connection.open("jobs", kind, Options::default()));
    let _opened = open(Kind::Bounded { capacity: 2 }).unwrap();
    assert!(open(Kind::Bounded { capacity: 2 }).is_ok());
    for kind in [Kind::Bounded { capacity: 3 }, Kind::Conflated, Kind::Rendezvous] {
        let error = open(kind).unwrap_err();
        assert!(matches!(error, OpenError::Mismatch { .. }), "{error}");
    }
    // In another namespace it is another channel.
    let elsewhere = Options::default().namespace("other");
    assert!(block_on(connection.open("jobs", Kind::Conflated, elsewhere)).is_ok());
}

#[test]
fn an_id_is_accepted_once() {
    on_any::an_id_is_accepted_once(&Server::start());
}

#[test]
fn a_select_takes_messages_together_with_local_values() {
    let server = Server::start();
    let (tx, rx) = server.open("jobs", UNLIMITED);
    let (local_tx, local) = unlimited();
    let sender = thread::spawn(move || {
        for at in 0..VALUES {
            tx.send(bytes(at)).wait().unwrap();
            local_tx.try_send(at).unwrap();
        }
    });
    let (mut remote_next, mut local_next) = (0, 0);
    let want = rx.want();
    while remote_next < VALUES || local_next < VALUES {
        block_on(async {
            select! {
                delivery = want.recv() => {
                    assert_eq!(number(&delivery.unwrap().ack().await.unwrap()), remote_next);
                    remote_next += 1;
                }
                // Closed once all were received.
                value = local.recv() => if let Ok(value) = value {
                    assert_eq!(value, local_next);
                    local_next += 1;
                } else {
                    let message = want.recv().timeout(LONG).await.unwrap();
                    assert_eq!(number(&message.ack().await.unwrap()), remote_next);
                    remote_next += 1;
                }
            }
        });
    }
    sender.join().unwrap();
}

/// A send and a receive of a local channel: exactly one of them.
#[test]
fn a_select_sends_or_receives_a_local_value() {
    on_any::a_select_sends_or_receives_a_local_value(&Server::start());
}

#[test]
fn limits_end_operations_and_return_values() {
    let server = Server::start();
    let (tx, rx) = server.open("jobs", Kind::Bounded { capacity: 1 });
    let short = std::time::Duration::from_millis(20);
    assert_eq!(rx.recv().timeout(short).wait(), Err(RecvError::TimedOut));
    tx.send("a").wait().unwrap();
    let error = tx.send("b").timeout(short).wait().unwrap_err();
    assert_eq!(error, SendError::TimedOut("b".into()));
    let token = Token::new();
    let canceller = token.clone();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| tx.send("c").cancel_on(&token).wait());
        canceller.cancel();
        assert_eq!(waiting.join().unwrap(), Err(SendError::Cancelled("c".into())));
    });
    // A cancelled token wins over a value that is there, and over a deadline.
    let cancelled = rx.recv().cancel_on(&token).timeout(std::time::Duration::ZERO).wait();
    assert_eq!(cancelled, Err(RecvError::Cancelled));
    assert_eq!(&rx.recv().timeout(LONG).wait().unwrap()[..], b"a");
    assert_eq!(rx.try_recv().wait(), Err(RecvError::WouldBlock), "neither b nor c was accepted");
    let counts = tx.snapshot();
    assert_eq!((counts.send_failures.timed_out, counts.send_failures.cancelled), (1, 1));
    assert_eq!((counts.receive_failures.timed_out, counts.receive_failures.cancelled), (1, 1));
}

#[test]
fn a_coroutine_parks_in_an_operation() {
    let server = Server::start();
    let (tx, rx) = server.open("jobs", Kind::Bounded { capacity: 1 });
    let runtime = becket_coro::Runtime::builder().workers(1).stack_size(256 << 10).build().unwrap();
    // On one worker: both get on only because a wait parks.
    let receiver = runtime
        .spawn(move || (0..20).map(|_| number(&rx.recv().wait().unwrap())).collect::<Vec<_>>());
    let sender = runtime.spawn(move || {
        for at in 0..20 {
            tx.send(bytes(at)).wait().unwrap();
        }
    });
    sender.join().unwrap();
    assert!(receiver.join().unwrap().into_iter().eq(0..20));
}

/// What holds on any servers.
pub(crate) mod on_any {
    use super::*;

    pub(crate) fn values_arrive_once_and_in_order(server: &impl Open) {
        for (name, kind) in [("b", Kind::Bounded { capacity: 8 }), ("u", UNLIMITED)] {
            let (tx, _) = server.open(name, kind);
            let (_, rx) = server.open_with(name, kind, Options::default().window(4));
            let sender = thread::spawn(move || {
                for at in 0..VALUES {
                    tx.send(bytes(at)).timeout(LONG).wait().unwrap();
                }
                tx.snapshot()
            });
            for at in 0..VALUES {
                assert_eq!(number(&rx.recv().timeout(LONG).wait().unwrap()), at);
            }
            let (sent, received) = (sender.join().unwrap(), rx.snapshot());
            assert_eq!((sent.sends, received.receives), (VALUES.into(), VALUES.into()), "{name}");
            assert_eq!(
                (sent.bytes_sent, received.bytes_received),
                (4 * sent.sends, 4 * sent.sends)
            );
            assert_eq!(sent.send_failures.total() + received.receive_failures.total(), 0);
            assert_eq!((received.redeliveries, received.duplicates), (0, 0));
            assert_eq!(rx.try_recv().wait(), Err(RecvError::WouldBlock));
        }
    }

    pub(crate) fn a_bounded_channel_holds_exactly_its_capacity(server: &impl Open) {
        let (tx, rx) = server.open("jobs", Kind::Bounded { capacity: 3 });
        for at in 0..3 {
            tx.try_send(bytes(at)).wait().unwrap();
        }
        let full = tx.try_send(bytes(3)).wait().unwrap_err();
        assert_eq!(full, SendError::WouldBlock(bytes(3).into()));
        // A message that is received and not acknowledged keeps its slot.
        let leased = rx.lease().timeout(LONG).wait().unwrap();
        assert!(tx.try_send(bytes(3)).wait().unwrap_err().is_would_block());
        assert_eq!(number(&leased.ack().wait().unwrap()), 0);
        // With replicas the slot is free a moment after the confirmation.
        tx.send(bytes(3)).timeout(LONG).wait().unwrap();
        assert!(tx.try_send(bytes(4)).wait().unwrap_err().is_would_block());
        for at in 1..4 {
            assert_eq!(number(&rx.try_recv().wait().unwrap()), at);
        }
        assert_eq!(rx.try_recv().wait(), Err(RecvError::WouldBlock));
        let counts = tx.snapshot();
        assert_eq!((counts.sends, counts.receives), (4, 4), "of both handles of one opening");
        assert_eq!((counts.send_failures.would_block, counts.receive_failures.would_block), (3, 1));
    }

    pub(crate) fn of_800_racing_sends_a_capacity_of_100_accepts_100(server: &impl Open) {
        let kind = Kind::Bounded { capacity: 100 };
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (tx, rx) = server.open("jobs", kind);
                thread::spawn(move || {
                    let sends: Vec<_> = (0..100).map(|at| tx.try_send(bytes(at))).collect();
                    let results = block_on(async {
                        let mut results = Vec::new();
                        for send in sends {
                            results.push(send.await);
                        }
                        results
                    });
                    drop(rx);
                    let accepted = results.iter().filter(|result| result.is_ok()).count();
                    let refused = results.into_iter().filter_map(Result::err);
                    assert!(refused.into_iter().all(|error| error.is_would_block()));
                    accepted
                })
            })
            .collect();
        let accepted: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(accepted, 100);
    }

    pub(crate) fn a_note_wakes_a_sender_that_waits_for_room(server: &impl Open) {
        const ROUNDS: u32 = 150;
        let kind = Kind::Bounded { capacity: 1 };
        let (tx, _) = server.open("jobs", kind);
        let (_, rx) = server.open("jobs", kind);
        tx.send(bytes(0)).wait().unwrap();
        let begun = Instant::now();
        let sender = thread::spawn(move || {
            for at in 1..=ROUNDS {
                tx.send(bytes(at)).timeout(LONG).wait().unwrap();
            }
        });
        for at in 0..=ROUNDS {
            assert_eq!(number(&rx.recv().timeout(LONG).wait().unwrap()), at);
        }
        sender.join().unwrap();
        assert!(begun.elapsed().as_secs() < u64::from(ROUNDS) / 8, "{:?}", begun.elapsed());
    }

    pub(crate) fn a_conflated_channel_gives_the_latest_in_order(server: &impl Open) {
        let (tx, _) = server.open("state", Kind::Conflated);
        let (_, rx) = server.open("state", Kind::Conflated);
        tx.send(bytes(1)).wait().unwrap();
        tx.send(bytes(2)).wait().unwrap();
        assert_eq!(number(&rx.try_recv().wait().unwrap()), 2, "the first was replaced");
        let sender = thread::spawn(move || {
            for at in 3..=VALUES {
                tx.try_send(bytes(at)).wait().unwrap();
            }
        });
        let mut last = 2;
        while last < VALUES {
            let next = number(&rx.recv().timeout(LONG).wait().unwrap());
            assert!(next > last, "{next} after {last}");
            last = next;
        }
        sender.join().unwrap();
        assert_eq!(rx.try_recv().wait(), Err(RecvError::WouldBlock));
    }

    pub(crate) fn a_leased_value_that_is_replaced_is_safe(server: &impl Open) {
        let (tx, rx) = server.open("state", Kind::Conflated);
        tx.send(bytes(1)).wait().unwrap();
        let leased = rx.lease().timeout(LONG).wait().unwrap();
        tx.send(bytes(2)).wait().unwrap();
        assert_eq!(number(&leased.ack().wait().unwrap()), 1);
        assert_eq!(number(&rx.recv().timeout(LONG).wait().unwrap()), 2);
    }

    pub(crate) fn unlimited_channels_are_bounded_by_bytes(server: &impl Open) {
        let (tx, rx) = server.open("log", Kind::Unlimited { bytes_max: 4096 });
        let mut accepted = 0;
        let full = loop {
            match tx.try_send(vec![0; 1000]).wait() {
                Ok(()) => accepted += 1,
                Err(error) => break error,
            }
        };
        assert!(full.is_would_block());
        assert!((1..=4).contains(&accepted), "{accepted}");
        let too_long = tx.send(vec![0; 5000]).wait().unwrap_err();
        assert!(matches!(too_long, SendError::Unsupported { .. }), "{too_long:?}");
        // A send that waits gets the room of the first value.
        let waiting = thread::spawn(move || tx.send(vec![1; 1000]).timeout(LONG).wait());
        assert_eq!(rx.recv().timeout(LONG).wait().unwrap().len(), 1000);
        waiting.join().unwrap().unwrap();
    }

    pub(crate) fn a_select_sends_or_receives_a_local_value(server: &impl Open) {
        let one = Kind::Bounded { capacity: 1 };
        for (name, kind) in [("one", one), ("meet", Kind::Rendezvous), ("state", Kind::Conflated)] {
            let (tx, _) = server.open(name, kind);
            let (closer, rx) = server.open(name, kind);
            let (local_tx, local) = bounded(1);
            thread::scope(|scope| {
                let receiver = scope.spawn(move || {
                    let mut received = Vec::new();
                    while let Ok(value) = rx.recv().wait() {
                        received.push(number(&value));
                    }
                    received
                });
                let counter = scope.spawn(move || {
                    (0u32..).take_while(|at| local_tx.send(*at).wait().is_ok()).count()
                });
                let (mut sent, mut counted) = (Vec::new(), 0);
                let mut at = 0;
                while at < VALUES || sent.is_empty() || counted == 0 {
                    at += 1;
                    let arm = tx.arm(bytes(at));
                    let result = loop {
                        select! {
                            wait;
                            ready = arm.recv() => {
                                if let Some(result) = arm.attempt(ready.unwrap()).wait() {
                                    break Some(result);
                                }
                            }
                            value = local.recv() => {
                                assert_eq!(value.unwrap(), counted);
                                counted += 1;
                                break None;
                            }
                        }
                    };
                    match result {
                        Some(result) => {
                            result.unwrap();
                            sent.push(at);
                        }
                        None => assert_eq!(arm.into_inner(), Some(bytes(at).into())),
                    }
                }
                assert_eq!(closer.close().wait(), Ok(true));
                let late = tx.arm("late");
                // Servers that are busy refuse an attempt, and the arm is ready again.
                let attempt = || late.attempt(late.recv().wait().unwrap()).wait();
                let error = std::iter::repeat_with(attempt).flatten().next().unwrap();
                assert!(error.unwrap_err().is_closed());
                drop(local);
                // One more may have been in the local channel.
                assert!((counted..=counted + 1).contains(&(counter.join().unwrap() as u32)));
                let counts = tx.snapshot();
                assert_eq!(counts.sends, sent.len() as u64);
                assert_eq!((counts.send_failures.closed, counts.send_failures.total()), (1, 1));
                let received = receiver.join().unwrap();
                if kind == Kind::Conflated {
                    assert!(received.iter().all(|value| sent.contains(value)));
                    assert_eq!(received.last(), sent.last());
                } else {
                    assert_eq!(received, sent);
                }
            });
        }
    }

    pub(crate) fn an_id_is_accepted_once(server: &impl Open) {
        let (tx, rx) = server.open("results", UNLIMITED);
        let (other, _) = server.open("others", UNLIMITED);
        for _ in 0..3 {
            tx.send_with_id("one", "1").wait().unwrap();
        }
        other.send_with_id("one", "1").wait().unwrap();
        assert_eq!((tx.snapshot().duplicates, other.snapshot().duplicates), (2, 0));
        assert_eq!(&rx.recv().timeout(LONG).wait().unwrap()[..], b"one");
        assert_eq!(rx.try_recv().wait(), Err(RecvError::WouldBlock));
    }
}
