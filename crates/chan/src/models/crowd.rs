// SPDX-License-Identifier: BSD-3-Clause
//! Two operations on one side.

use super::{
    Counted, Value, balance, join, large_model, lost, model, recv, recv_wait, send, send_wait,
    sorted, spawn,
};
use crate::Builder;

/// One value from each sender: both arrive.
fn two_senders(builder: Builder<Value>) {
    let (tx, rx) = builder.channel();
    let other = tx.clone();
    let first = spawn(move || {
        assert_eq!(send(&tx, 1), Ok(()));
        tx
    });
    let second = spawn(move || {
        assert_eq!(send(&other, 2), Ok(()));
        other
    });
    let got = [recv(&rx).unwrap(), recv(&rx).unwrap()];
    let tx = join(first);
    drop(join(second));
    assert_eq!(sorted(got.to_vec()), [1, 2]);
    balance(&tx, 2, 2);
    assert_eq!((rx.len(), lost()), (0, vec![]));
}

#[test]
fn two_senders_bounded_1() {
    large_model(|| two_senders(Builder::bounded(1)));
}

#[test]
fn two_senders_bounded_2() {
    model(|| two_senders(Builder::bounded(2)));
}

#[test]
fn two_senders_unlimited() {
    large_model(|| two_senders(Builder::unlimited()));
}

#[test]
fn two_senders_rendezvous() {
    model(|| two_senders(Builder::rendezvous()));
}

/// Two values, one for each receiver; one receiver starts later.
fn two_receivers(builder: Builder<Value>) {
    let (tx, rx) = builder.channel();
    let _ = tx.try_send(Value::new(1)).map_err(|full| full.into_inner().open());
    let early = tx.len() as u32;
    let other = rx.clone();
    let first = spawn(move || (recv(&rx).unwrap(), rx));
    let second = spawn(move || (recv_wait(&other).unwrap(), other));
    for number in early + 1..=2 {
        assert_eq!(send(&tx, number), Ok(()));
    }
    let ((one, rx), (two, _other)) = (join(first), join(second));
    assert_eq!(sorted(vec![one, two]), [1, 2]);
    balance(&tx, 2, 2);
    assert_eq!((rx.len(), lost()), (0, vec![]));
}

#[test]
fn two_receivers_bounded_1() {
    large_model(|| two_receivers(Builder::bounded(1)));
}

#[test]
fn two_receivers_bounded_2() {
    large_model(|| two_receivers(Builder::bounded(2)));
}

#[test]
fn two_receivers_unlimited() {
    large_model(|| two_receivers(Builder::unlimited()));
}

#[test]
fn two_receivers_rendezvous() {
    model(|| two_receivers(Builder::rendezvous()));
}

/// A send that waits behind a full ring stores its value as soon as there is room, in order.
#[test]
fn two_senders_behind_a_full_ring() {
    large_model(|| {
        let (tx, rx) = Builder::bounded(1).channel();
        assert_eq!(send(&tx, 1), Ok(()));
        let other = tx.clone();
        let first = spawn(move || {
            assert_eq!(send_wait(&tx, 2), Ok(()));
            tx
        });
        let second = spawn(move || assert_eq!(send(&other, 3), Ok(())));
        let mut got = vec![recv(&rx).unwrap(), recv(&rx).unwrap()];
        let tx = join(first);
        join(second);
        got.extend(rx.try_recv().map(Value::open));
        assert_eq!((got[0], sorted(got)), (1, vec![1, 2, 3]));
        balance(&tx, 3, 3);
    });
}

/// Values that were in the ring before any receive waited come first.
#[test]
fn two_receivers_share_what_one_sender_sends_in_order() {
    large_model(|| {
        let (tx, rx) = Builder::bounded(2).channel();
        assert_eq!(send(&tx, 1), Ok(()));
        let other = rx.clone();
        let first = spawn(move || (recv(&rx).unwrap(), rx));
        let second = spawn(move || ([recv(&other).unwrap(), recv(&other).unwrap()], other));
        assert_eq!((send(&tx, 2), send(&tx, 3)), (Ok(()), Ok(())));
        let ((one, rx), (two, _other)) = (join(first), join(second));
        assert!(two.is_sorted(), "{two:?}");
        assert_eq!(sorted([&[one][..], &two].concat()), [1, 2, 3]);
        balance(&tx, 3, 3);
        assert_eq!((rx.len(), lost()), (0, vec![]));
    });
}

/// Two sends at once and a receive that takes one value without waiting: the other value is in the
/// ring.
#[test]
fn values_that_are_not_taken_stay() {
    model(|| {
        let (tx, rx) = Builder::bounded(2).channel();
        let other = tx.clone();
        let first = spawn(move || {
            assert_eq!(send(&tx, 1), Ok(()));
            tx
        });
        let second = spawn(move || {
            assert_eq!(send(&other, 2), Ok(()));
            other
        });
        let got = recv(&rx).unwrap();
        let tx = join(first);
        drop(join(second));
        balance(&tx, 2, 1);
        assert_eq!(rx.try_recv().map(Value::open), Ok(3 - got));
        balance(&tx, 2, 2);
    });
}
