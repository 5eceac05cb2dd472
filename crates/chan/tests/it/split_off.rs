// SPDX-License-Identifier: BSD-3-Clause
//! The newest values are removed, the oldest stay; several values are requeued. Alone, and beside
//! concurrent receivers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::common::{QUEUES, Tally, builder, channel, until};
use becket_chan::{Builder, Kind, Receiver, RecvError, Sender, bounded, conflated, rendezvous};

fn rest<T>(rx: &Receiver<T>) -> Vec<T> {
    rx.try_iter().collect()
}

/// No operation is in flight: the counters agree.
fn balance<T>(tx: &Sender<T>, sends: u64, receives: u64) {
    let seen = tx.snapshot();
    assert_eq!((seen.sends, seen.receives), (sends, receives), "{seen:?}");
    assert_eq!(seen.sends, seen.receives + seen.len as u64 + seen.undelivered, "{seen:?}");
}

#[test]
fn what_is_taken_and_what_stays_is_in_order_wherever_it_lies() {
    // An unlimited channel has a ring of 64, and blocks of 256 past it.
    for timing in [false, true] {
        for before in [0, 1, 63, 200] {
            for n in [0, 1, 3, 64, 65, 900] {
                for keep in [0, 1, 2, 63, 64, 65, 300, usize::MAX] {
                    let making = || match n {
                        0..64 => Builder::bounded(64),
                        _ => Builder::unlimited(),
                    };
                    let (tx, rx) = making().timing(timing).build();
                    for value in 0..before {
                        tx.try_send(value).unwrap();
                        assert_eq!(rx.try_recv(), Ok(value));
                    }
                    (0..n).for_each(|value| tx.try_send(value).unwrap());
                    let kept = n.min(keep);
                    assert!(rx.split_off(keep).into_iter().eq(kept..n), "{n} {keep}");
                    balance(&tx, (before + n) as u64, (before + n - kept) as u64);
                    tx.try_send(n).unwrap();
                    assert!(rest(&rx).into_iter().eq((0..kept).chain([n])), "{n} {keep}");
                    balance(&tx, (before + n + 1) as u64, (before + n + 1) as u64);
                }
            }
        }
    }
}

#[test]
fn a_split_of_a_split_and_what_came_back_between_keep_their_places() {
    let (tx, rx) = bounded(8);
    (0..8).for_each(|value| tx.try_send(value).unwrap());
    assert_eq!(rx.split_off(5), [5, 6, 7]);
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(0), Ok(1)));
    rx.put_back_many([0, 1]);
    (10..13).for_each(|value| tx.try_send(value).unwrap());
    assert!(tx.try_send(13).unwrap_err().is_full());
    assert_eq!(rx.split_off(3), [3, 4, 10, 11, 12]);
    tx.try_send(14).unwrap();
    assert_eq!(rest(&rx), [0, 1, 2, 14]);
    balance(&tx, 12, 12);
}

#[test]
fn weights_are_counted() {
    let (tx, rx) = Builder::bounded(4).weigh(|text: &&str| text.len() as u64).build();
    for text in ["1", "22", "333"] {
        tx.try_send(text).unwrap();
    }
    let newest = rx.split_off(1);
    assert_eq!((rx.snapshot().bytes_received, newest.as_slice()), (5, &["22", "333"][..]));
    rx.put_back_many(newest);
    assert_eq!(rx.snapshot().bytes_received, 0);
    assert_eq!(rest(&rx), ["22", "333", "1"]);
    assert_eq!(rx.snapshot().bytes_received, 6);
}

#[test]
fn senders_that_wait_move_up_and_are_not_taken() {
    let (tx, rx) = bounded(2);
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    thread::scope(|scope| {
        let other = tx.clone();
        let waits = scope.spawn(move || other.send(3).wait());
        until(|| rx.snapshot().senders_waiting == 1);
        assert_eq!(rx.split_off(0), [1, 2]);
        assert_eq!(waits.join().unwrap(), Ok(()));
        assert_eq!(rx.split_off(0), [3]);
    });
    balance(&tx, 3, 3);
}

#[test]
fn a_rendezvous_holds_what_was_put_back_and_no_more() {
    let (tx, rx) = rendezvous();
    thread::scope(|scope| {
        let other = tx.clone();
        let waits = scope.spawn(move || other.send(3).wait());
        until(|| rx.snapshot().senders_waiting == 1);
        assert_eq!(rx.split_off(0), []);
        rx.put_back_many([1, 2]);
        assert_eq!(rx.split_off(1), [2]);
        assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(1), Ok(3)));
        assert_eq!(waits.join().unwrap(), Ok(()));
    });
}

#[test]
fn a_conflated_channel_keeps_the_last_unless_a_newer_value_came() {
    let (tx, rx) = conflated();
    rx.put_back_many([]);
    tx.try_send(1).unwrap();
    assert_eq!((rx.split_off(1), rx.split_off(0)), (vec![], vec![1]));
    tx.try_send(2).unwrap();
    assert_eq!(rx.try_recv(), Ok(2));
    rx.put_back_many([1, 2]);
    assert_eq!((rx.len(), rx.snapshot().conflated), (1, 1));
    tx.try_send(3).unwrap();
    rx.put_back_many([]);
    assert_eq!((rx.split_off(0), rx.snapshot().conflated), (vec![3], 2));
    tx.try_send(4).unwrap();
    rx.put_back(3);
    assert_eq!(rest(&rx), [4]);
}

#[test]
fn a_closed_channel_gives_and_takes_until_it_is_drained() {
    let (tx, rx) = bounded(4);
    (1..=4).for_each(|value| tx.try_send(value).unwrap());
    tx.close();
    let newest = rx.split_off(2);
    assert_eq!((newest.as_slice(), rest(&rx)), (&[3, 4][..], vec![1, 2]));
    assert_eq!(rx.recv().wait(), Err(RecvError::Closed));
    rx.put_back_many(newest);
    assert_eq!(rest(&rx), [3, 4]);
    assert_eq!(rx.split_off(0), []);
}

#[test]
fn undelivered_values_go_to_the_hook_once() {
    let (tally, lost) = (Tally::default(), Arc::new(AtomicU64::new(0)));
    let counted = lost.clone();
    let (tx, rx) = Builder::unlimited()
        .on_undelivered(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        })
        .build();
    (0..100).for_each(|id| assert!(tx.try_send(tally.item(id)).is_ok()));
    drop(rx.split_off(70));
    let mut newest = rx.split_off(10);
    newest.truncate(50);
    rx.put_back_many(newest);
    assert_eq!(rx.len(), 60);
    drop(rx);
    assert_eq!((lost.load(Ordering::SeqCst), tally.alive()), (60, 0));
}

/// A receiver receives while the newest values are removed: it gets those that stay, in order, and
/// the split has the rest.
fn beside_a_receiver(kind: (Kind, usize), timing: bool, keep: usize) {
    const VALUES: u64 = if cfg!(miri) { 60 } else { 1_500 };
    let (tx, rx) = builder(kind).timing(timing).build();
    let over = AtomicBool::new(false);
    let (got, split) = thread::scope(|scope| {
        scope.spawn(|| {
            let mut at = 0;
            while at < VALUES {
                let mut batch: VecDeque<u64> = (at..VALUES.min(at + 1 + at % 5)).collect();
                at += batch.len() as u64;
                tx.send_many(&mut batch).wait().unwrap();
            }
            over.store(true, Ordering::SeqCst);
        });
        let receiving = scope.spawn(|| {
            let mut got: Vec<u64> = Vec::new();
            while !over.load(Ordering::SeqCst) || !rx.is_empty() {
                match got.len() % 3 {
                    0 => drop(rx.try_recv_many(&mut got, 7)),
                    _ => got.extend(rx.try_recv()),
                }
                if rx.is_empty() {
                    thread::yield_now();
                }
            }
            got
        });
        let mut split: Vec<u64> = Vec::new();
        while !over.load(Ordering::SeqCst) || !rx.is_empty() {
            split.extend(rx.split_off(keep));
            thread::yield_now();
        }
        (receiving.join().unwrap(), split)
    });
    assert!(got.is_sorted_by(|one, next| one < next), "the receiver's order");
    // A value that once was among the oldest that stay remains so until it is received.
    assert!(split.is_sorted_by(|one, next| one < next), "the order of what was taken");
    let mut all = [got, split].concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..VALUES));
    balance(&tx, VALUES, VALUES);
}

#[test]
fn a_receiver_beside_it_sees_every_value_in_order() {
    for kind in &QUEUES[1..] {
        for keep in [0, 2] {
            beside_a_receiver(*kind, false, keep);
            beside_a_receiver(*kind, true, keep);
        }
    }
}

/// Several values are requeued while a receiver starts to wait, at any moment: it gets the oldest
/// first.
#[test]
fn a_receiver_that_begins_to_wait_gets_the_oldest_of_them_first() {
    const ROUNDS: u64 = if cfg!(miri) { 10 } else { 400 };
    const EACH: u64 = 4;
    for kind in QUEUES {
        let (_tx, rx) = channel(kind);
        let returning = rx.clone();
        let (go, rounds) = rendezvous();
        thread::scope(|scope| {
            scope.spawn(move || {
                for at in rounds {
                    returning.put_back_many(at * EACH..(at + 1) * EACH);
                }
            });
            // Dropped by a failure too, which ends the other thread.
            let go = go;
            for at in 0..ROUNDS {
                go.send(at).wait().unwrap();
                for value in at * EACH..(at + 1) * EACH {
                    assert_eq!(rx.recv().wait(), Ok(value));
                }
            }
        });
    }
}
