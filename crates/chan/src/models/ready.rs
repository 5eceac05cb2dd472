// SPDX-License-Identifier: BSD-3-Clause
//! Operations that do not wait, against some that do: tries, overflow, batches.

use std::collections::VecDeque;

use loom::thread;

use super::{
    Counted, Value, balance, block_on, join, large_model, lost, model, recv, recv_wait, send,
    sorted, spawn,
};
use crate::{Builder, Overflow, Receiver, Sender, TryRecvError};

fn try_until_sent(tx: &Sender<Value>, number: u32) {
    let mut value = Value::new(number);
    while let Err(full) = tx.try_send(value) {
        assert!(full.is_full(), "{full:?}");
        value = full.into_inner();
        thread::yield_now();
    }
}

fn try_until_received(rx: &Receiver<Value>) -> u32 {
    loop {
        match rx.try_recv() {
            Ok(value) => return value.open(),
            Err(error) => assert_eq!(error, TryRecvError::Empty),
        }
        thread::yield_now();
    }
}

fn values(numbers: impl IntoIterator<Item = u32>) -> VecDeque<Value> {
    numbers.into_iter().map(Value::new).collect()
}

fn tries_to_send(builder: Builder<Value>) {
    let (tx, rx) = builder.channel();
    let receiver = spawn(move || ([recv(&rx).unwrap(), recv_wait(&rx).unwrap()], rx));
    try_until_sent(&tx, 1);
    try_until_sent(&tx, 2);
    let (got, _rx) = join(receiver);
    assert_eq!(got, [1, 2]);
    balance(&tx, 2, 2);
}

#[test]
fn tries_to_send_to_a_receiver_that_waits_bounded() {
    model(|| tries_to_send(Builder::bounded(1)));
}

#[test]
fn tries_to_send_to_a_receiver_that_waits_unlimited() {
    model(|| tries_to_send(Builder::unlimited()));
}

#[test]
fn tries_to_send_to_a_receiver_that_waits_rendezvous() {
    model(|| tries_to_send(Builder::rendezvous()));
}

fn tries_to_receive(builder: Builder<Value>) {
    let (tx, rx) = builder.channel();
    let sender = spawn(move || {
        assert_eq!((send(&tx, 1), send(&tx, 2)), (Ok(()), Ok(())));
        tx
    });
    assert_eq!([try_until_received(&rx), try_until_received(&rx)], [1, 2]);
    let tx = join(sender);
    balance(&tx, 2, 2);
}

#[test]
fn tries_to_receive_from_a_sender_that_waits_bounded() {
    model(|| tries_to_receive(Builder::bounded(1)));
}

#[test]
fn tries_to_receive_from_a_sender_that_waits_unlimited() {
    model(|| tries_to_receive(Builder::unlimited()));
}

#[test]
fn tries_to_receive_from_a_sender_that_waits_rendezvous() {
    model(|| tries_to_receive(Builder::rendezvous()));
}

/// A `try_recv` between a waiting sender and a receiver neither overtakes the one nor starves the
/// other.
#[test]
fn a_try_beside_a_sender_that_waits() {
    large_model(|| {
        let (tx, rx) = Builder::bounded(1).channel();
        assert_eq!(send(&tx, 1), Ok(()));
        let other = tx.clone();
        let waits = spawn(move || assert_eq!(send(&other, 2), Ok(())));
        let tries = spawn(move || {
            let tried = tx.try_send(Value::new(3)).map_err(|full| full.into_inner().open());
            (tried.is_ok(), tx)
        });
        let mut got = vec![recv(&rx).unwrap(), recv(&rx).unwrap()];
        let (tried, tx) = join(tries);
        if tried {
            got.push(recv(&rx).unwrap());
        }
        join(waits);
        assert_eq!(got[0], 1);
        assert_eq!(sorted(got.clone()), (1..=2 + u32::from(tried)).collect::<Vec<_>>());
        balance(&tx, got.len() as u64, got.len() as u64);
    });
}

/// Sends never wait; dropped values go to the hook, and no other value is missing.
fn overflow(policy: Overflow) -> (Vec<u32>, Vec<u32>) {
    let (tx, rx) = Builder::bounded(1).overflow(policy).channel();
    let sender = spawn(move || {
        for number in 1..=3 {
            assert!(tx.try_send(Value::new(number)).is_ok());
        }
        tx
    });
    let mut got = vec![recv(&rx).unwrap()];
    let tx = join(sender);
    got.extend(rx.try_iter().map(Value::open));
    assert!(got.is_sorted_by(|one, next| one < next), "{got:?}");
    assert_eq!(sorted([&got[..], &lost()].concat()), [1, 2, 3]);
    balance(&tx, 3, got.len() as u64);
    assert_eq!(tx.snapshot().dropped, lost().len() as u64);
    (got, lost())
}

#[test]
fn drop_oldest_keeps_the_newest() {
    model(|| {
        let (got, lost) = overflow(Overflow::DropOldest);
        assert!(got.contains(&3), "{got:?} {lost:?}");
    });
}

#[test]
fn drop_latest_keeps_the_oldest() {
    model(|| {
        let (got, lost) = overflow(Overflow::DropLatest);
        assert!(got.contains(&1), "{got:?} {lost:?}");
    });
}

#[test]
fn two_senders_drop_the_oldest() {
    model(|| {
        let (tx, rx) = Builder::bounded(1).overflow(Overflow::DropOldest).channel();
        let other = tx.clone();
        let first = spawn(move || {
            assert_eq!(send(&tx, 1), Ok(()));
            tx
        });
        let second = spawn(move || assert_eq!(send(&other, 2), Ok(())));
        let mut got: Vec<_> = rx.try_recv().ok().map(Value::open).into_iter().collect();
        let tx = join(first);
        join(second);
        got.extend(rx.try_iter().map(Value::open));
        assert_eq!(sorted([&got[..], &lost()].concat()), [1, 2]);
        balance(&tx, 2, got.len() as u64);
    });
}

/// A send waits, or has found the channel full, when the policy changes: it completes.
#[test]
fn a_changed_policy_ends_a_wait() {
    for policy in [Overflow::DropOldest, Overflow::DropLatest] {
        model(move || {
            let (tx, rx) = Builder::bounded(1).channel();
            assert_eq!(send(&tx, 1), Ok(()));
            let other = tx.clone();
            let waits = spawn(move || assert_eq!(send(&other, 2), Ok(())));
            tx.set_overflow(policy);
            join(waits);
            let got: Vec<_> = rx.try_iter().map(Value::open).collect();
            let kept = if policy == Overflow::DropOldest { 2 } else { 1 };
            assert_eq!((got, lost()), (vec![kept], vec![3 - kept]));
            balance(&tx, 2, 1);
        });
    }
}

#[test]
fn a_batch_against_single_receives() {
    model(|| {
        let (tx, rx) = Builder::bounded(2).channel();
        let sender = spawn(move || {
            let mut batch = values(1..=3);
            assert!(block_on(tx.send_many(&mut batch)).is_ok() && batch.is_empty());
            tx
        });
        assert_eq!([recv(&rx), recv(&rx), recv(&rx)], [Ok(1), Ok(2), Ok(3)]);
        let tx = join(sender);
        balance(&tx, 3, 3);
    });
}

#[test]
fn single_sends_against_a_batch() {
    model(|| {
        let (tx, rx) = Builder::bounded(2).channel();
        let sender = spawn(move || {
            assert_eq!((send(&tx, 1), send(&tx, 2)), (Ok(()), Ok(())));
            tx
        });
        let mut got = Vec::new();
        while got.len() < 2 {
            let before = got.len();
            let count = block_on(rx.recv_many(&mut got, 4)).unwrap();
            assert_eq!(got.len(), before + count);
        }
        let got: Vec<_> = got.into_iter().map(Value::open).collect();
        assert_eq!(got, [1, 2]);
        let tx = join(sender);
        balance(&tx, 2, 2);
    });
}

fn batch_against_batch(builder: Builder<Value>) {
    let (tx, rx) = builder.channel();
    let sender = spawn(move || {
        assert!(tx.send_many(&mut values(1..=3)).wait().is_ok());
        tx
    });
    let mut got = Vec::new();
    while got.len() < 3 {
        rx.recv_many(&mut got, 2).wait().unwrap();
    }
    assert_eq!(got.into_iter().map(Value::open).collect::<Vec<_>>(), [1, 2, 3]);
    let tx = join(sender);
    balance(&tx, 3, 3);
}

#[test]
fn a_batch_against_a_batch_bounded() {
    model(|| batch_against_batch(Builder::bounded(2)));
}

#[test]
fn a_batch_against_a_batch_unlimited() {
    model(|| batch_against_batch(Builder::unlimited()));
}

#[test]
fn a_batch_against_a_batch_rendezvous() {
    model(|| batch_against_batch(Builder::rendezvous()));
}

#[test]
fn a_batch_and_a_single_send_at_once() {
    large_model(|| {
        let (tx, rx) = Builder::bounded(2).channel();
        let other = tx.clone();
        let batch = spawn(move || {
            let mut batch = values(1..=2);
            let sent = tx.try_send_many(&mut batch).unwrap_or(0);
            assert_eq!(batch.into_iter().map(Value::open).count(), 2 - sent);
            (sent, tx)
        });
        let single = spawn(move || assert_eq!(send(&other, 9), Ok(())));
        let mut got = vec![recv(&rx).unwrap()];
        let (sent, tx) = join(batch);
        while got.len() < sent + 1 {
            got.push(recv(&rx).unwrap());
        }
        join(single);
        let mut expected: Vec<_> = (1..=sent as u32).collect();
        expected.push(9);
        assert_eq!(sorted(got.clone()), expected, "{got:?}");
        balance(&tx, got.len() as u64, got.len() as u64);
    });
}
