// SPDX-License-Identifier: BSD-3-Clause
//! A requeued value is received again, first, and is counted once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::poll_once;
use becket_chan::{Builder, RecvError, Select, bounded, conflated, rendezvous, unlimited};

#[test]
fn it_stands_in_front_and_is_counted_once() {
    for (tx, rx) in [bounded(4), unlimited()] {
        for value in 1..=3 {
            tx.try_send(value).unwrap();
        }
        let (first, second) = (rx.try_recv().unwrap(), rx.try_recv().unwrap());
        rx.put_back(second);
        rx.put_back(first);
        let seen: Vec<_> = std::iter::from_fn(|| rx.try_recv().ok()).collect();
        assert_eq!(seen, [1, 2, 3]);
        let snapshot = rx.snapshot();
        assert_eq!((snapshot.sends, snapshot.receives, snapshot.len), (3, 3, 0));
        assert_eq!(snapshot.bytes_sent, snapshot.bytes_received);
    }
}

#[test]
fn bytes_that_were_weighed_are_taken_back_too() {
    let (tx, rx) = Builder::bounded(2).weigh(|text: &&str| text.len() as u64).build();
    tx.try_send("twelve bytes").unwrap();
    let text = rx.try_recv().unwrap();
    assert_eq!(rx.snapshot().bytes_received, 12);
    rx.put_back(text);
    assert_eq!(rx.snapshot().bytes_received, 0);
    assert_eq!(rx.try_recv(), Ok("twelve bytes"));
    assert_eq!(rx.snapshot().bytes_received, 12);
}

#[test]
fn a_receiver_that_waits_gets_it() {
    let (tx, rx) = rendezvous();
    let other = rx.clone();
    let waiting = std::thread::spawn(move || other.recv().wait());
    tx.send(7).wait().unwrap();
    assert_eq!(waiting.join().unwrap(), Ok(7));
    let other = rx.clone();
    let waiting = std::thread::spawn(move || other.recv().wait());
    while rx.snapshot().receivers_waiting == 0 {
        std::thread::yield_now();
    }
    rx.put_back(8);
    assert_eq!(waiting.join().unwrap(), Ok(8));
}

#[test]
fn a_newer_value_of_a_conflated_channel_wins() {
    let (tx, rx) = conflated();
    tx.try_send(1).unwrap();
    let old = rx.try_recv().unwrap();
    tx.try_send(2).unwrap();
    rx.put_back(old);
    assert_eq!(rx.try_recv(), Ok(2));
    rx.put_back(2);
    assert_eq!(rx.try_recv(), Ok(2));
}

/// The values of completed receives that are not asked for come back in the order in which they left,
/// in whatever order the receives are dropped: taken from the ring, from behind it, from a sender, or
/// handed to a receive that waited.
#[test]
fn values_that_come_back_keep_their_order() {
    for (tx, rx) in [bounded(100), unlimited(), rendezvous()] {
        for left in [0, 63, 64, 65] {
            for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1], [2, 0, 1], [1, 2, 0]] {
                let mut sends: Vec<_> = (0..100).map(|value| Box::pin(tx.send(value))).collect();
                let mut handed = Box::pin(rx.recv());
                if left == 0 {
                    assert!(poll_once(&mut handed).is_pending());
                }
                for send in &mut sends {
                    let _sent_or_waiting = poll_once(send);
                }
                let mut next = if left == 0 { 1 } else { 0 };
                while next < left {
                    assert_eq!(rx.try_recv(), Ok(next));
                    next += 1;
                }
                let mut selects: [_; 3] = std::array::from_fn(|_| Select::new());
                let keys: [_; 3] = std::array::from_fn(|at| selects[at].recv(&rx));
                let mut readies = selects.each_mut().map(|select| select.try_ready());
                for at in order {
                    assert_eq!(readies[at].as_ref().map(|ready| ready.index()), Some(0));
                    readies[at] = None;
                    if at == 0 && left == 0 {
                        handed = Box::pin(rx.recv());
                    }
                }
                drop((readies, handed));
                let first = if left == 0 { 0 } else { left };
                assert!(rx.try_iter().eq(first..100), "{:?} {left} {order:?}", tx.kind());
                let _keys = keys;
            }
        }
    }
    let (tx, rx) = conflated();
    for newer_first in [false, true] {
        let (mut one, mut two) = (Select::new(), Select::new());
        let _keys = (one.recv(&rx), two.recv(&rx));
        tx.try_send(1).unwrap();
        let older = one.try_ready();
        tx.try_send(2).unwrap();
        let newer = two.try_ready();
        assert!(older.is_some() && newer.is_some());
        if newer_first {
            drop((newer, older))
        } else {
            drop((older, newer))
        }
        assert_eq!(rx.try_recv(), Ok(2), "the latest");
    }
}

#[test]
fn after_the_end_it_drains_or_goes_to_the_hook() {
    let lost = Arc::new(AtomicUsize::new(0));
    let counted = lost.clone();
    let hook = move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let (tx, rx) = Builder::bounded(2).on_undelivered(hook).build();
    tx.try_send(1).unwrap();
    let value = rx.try_recv().unwrap();
    drop(tx);
    rx.put_back(value);
    assert_eq!(rx.recv().wait(), Ok(1));
    assert_eq!(rx.recv().wait(), Err(RecvError::Closed));
    rx.put_back(1);
    drop(rx);
    assert_eq!(lost.load(Ordering::SeqCst), 1);
}
