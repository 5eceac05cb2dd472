// SPDX-License-Identifier: BSD-3-Clause
//! An unlimited channel that holds more values than its ring, which has one slot here: receives
//! that race while values move up into the ring, beside sends past it, and every end of the
//! channel.

use super::{
    Counted, Value, balance, huge_model, join, large_model, lost, model, recv, send, sorted, spawn,
};
use crate::{Builder, Receiver, RecvError, Sender, TryRecvError};

/// A channel with the values from 0 on: one in the ring, the others past it.
fn filled(values: u32) -> (Sender<Value>, Receiver<Value>) {
    let (tx, rx) = Builder::unlimited().channel();
    (0..values).for_each(|number| try_send(&tx, number));
    (tx, rx)
}

fn try_send(tx: &Sender<Value>, number: u32) {
    assert!(tx.try_send(Value::new(number)).is_ok());
}

fn try_recv(rx: &Receiver<Value>) -> Result<u32, TryRecvError> {
    rx.try_recv().map(Value::open)
}

fn rest(rx: &Receiver<Value>) -> Vec<u32> {
    std::iter::from_fn(|| try_recv(rx).ok()).collect()
}

/// Two receives of three values take the two oldest, and neither finds the channel empty.
#[test]
fn two_receives_while_values_move_up() {
    model(|| {
        let (tx, rx) = filled(3);
        let other = {
            let rx = rx.clone();
            spawn(move || try_recv(&rx).unwrap())
        };
        let mine = try_recv(&rx).unwrap();
        let other = join(other);
        assert_eq!(sorted(vec![mine, other]), [0, 1]);
        assert_eq!(rest(&rx), [2]);
        balance(&tx, 3, 3);
    });
}

/// One receiver takes the last value from behind the ring, so that the ring goes fast, while
/// another receives and a sender sends.
#[test]
fn the_ring_goes_fast_beside_a_receive_and_a_send() {
    huge_model(|| {
        let (tx, rx) = filled(2);
        let receiver = {
            let rx = rx.clone();
            spawn(move || try_recv(&rx).unwrap())
        };
        let sender = {
            let tx = tx.clone();
            spawn(move || (2..4).for_each(|number| try_send(&tx, number)))
        };
        let mine = try_recv(&rx).unwrap();
        let other = join(receiver);
        join(sender);
        assert_eq!(sorted(vec![mine, other]), [0, 1]);
        assert_eq!(rest(&rx), [2, 3]);
        balance(&tx, 4, 4);
    });
}

/// Sends past the ring and receives keep the order, also when the receiver starts to wait.
#[test]
fn sends_past_the_ring_beside_a_receiver_that_starts_to_wait() {
    model(|| {
        let (tx, rx) = filled(2);
        let sender = spawn(move || {
            assert_eq!(send(&tx, 2), Ok(()));
            tx
        });
        (0..3).for_each(|number| assert_eq!(recv(&rx), Ok(number)));
        let tx = join(sender);
        balance(&tx, 3, 3);
    });
}

/// Two senders that both find the ring full.
#[test]
fn two_sends_go_past_the_ring_at_once() {
    large_model(|| {
        let (tx, rx) = filled(1);
        let sender = {
            let tx = tx.clone();
            spawn(move || [1, 2].map(|number| try_send(&tx, number)))
        };
        try_send(&tx, 9);
        let first = try_recv(&rx);
        join(sender);
        let rest = rest(&rx);
        assert_eq!(first, Ok(0));
        assert_eq!(sorted(rest.clone()), [1, 2, 9]);
        assert!(rest.iter().filter(|number| **number != 9).is_sorted(), "{rest:?}");
        balance(&tx, 4, 4);
    });
}

/// A check without the lock does not miss a value that moves from behind the ring into it.
#[test]
fn a_check_while_values_move_up() {
    model(|| {
        let (tx, rx) = filled(3);
        let other = {
            let rx = rx.clone();
            spawn(move || [try_recv(&rx).unwrap(), try_recv(&rx).unwrap()])
        };
        assert!(rx.channel.may::<crate::Receiving>(), "two are taken of three");
        assert_eq!(join(other), [0, 1]);
        assert!(rx.channel.may::<crate::Receiving>());
        assert_eq!(rest(&rx), [2]);
        assert!(!rx.channel.may::<crate::Receiving>());
        balance(&tx, 3, 3);
    });
}

#[test]
fn a_batch_beside_a_receive_while_values_move_up() {
    model(|| {
        let (tx, rx) = filled(4);
        let other = {
            let rx = rx.clone();
            spawn(move || try_recv(&rx).unwrap())
        };
        let mut values = Vec::new();
        rx.channel.try_recv_many(&mut values, 2);
        let mine: Vec<_> = values.into_iter().map(Value::open).collect();
        let other = join(other);
        assert!(mine.is_sorted() && mine.len() == 2, "{mine:?}");
        assert_eq!(sorted([mine, vec![other]].concat()), [0, 1, 2]);
        assert_eq!(rest(&rx), [3]);
        balance(&tx, 4, 4);
    });
}

#[test]
fn a_batch_goes_past_the_ring_beside_a_receive() {
    model(|| {
        let (tx, rx) = filled(1);
        let sender = {
            let tx = tx.clone();
            spawn(move || {
                let mut values = (1..4).map(Value::new).collect();
                tx.channel.try_send_many(&mut values).0
            })
        };
        assert_eq!(try_recv(&rx), Ok(0));
        assert_eq!(join(sender), 3);
        assert_eq!(rest(&rx), [1, 2, 3]);
        balance(&tx, 4, 4);
    });
}

/// Values past the ring are received before the close is seen.
#[test]
fn a_close_while_values_move_up() {
    model(|| {
        let (tx, rx) = filled(3);
        let closer = spawn(move || {
            assert!(tx.close());
            tx
        });
        assert_eq!([recv(&rx), recv(&rx), recv(&rx)], [Ok(0), Ok(1), Ok(2)]);
        assert_eq!(recv(&rx), Err(RecvError::Closed));
        let tx = join(closer);
        balance(&tx, 3, 3);
    });
}

/// RUSTSEC-2025-0024: the blocks of a channel whose last receiver is dropped during a send.
#[test]
fn the_last_receiver_is_dropped_while_a_send_goes_past_the_ring() {
    model(|| {
        let (tx, rx) = filled(2);
        let sender = spawn(move || {
            let sent = send(&tx, 2);
            (tx, sent)
        });
        assert_eq!(try_recv(&rx), Ok(0));
        drop(rx);
        let (tx, sent) = join(sender);
        let delivered = sent.is_ok();
        assert_eq!(sorted(lost()), if delivered { vec![1, 2] } else { vec![1] });
        balance(&tx, if delivered { 3 } else { 2 }, 1);
    });
}

/// A dropped receive that was handed a value requeues it before the values past the ring.
#[test]
fn a_value_is_requeued_while_values_move_up() {
    model(|| {
        let (tx, rx) = filled(3);
        let other = {
            let rx = rx.clone();
            spawn(move || rx.put_back(rx.try_recv().unwrap()))
        };
        let mine = try_recv(&rx).unwrap();
        join(other);
        let rest = rest(&rx);
        assert!(mine < 2);
        assert_eq!(sorted([vec![mine], rest.clone()].concat()), [0, 1, 2]);
        assert!(rest.is_sorted(), "{rest:?}");
        balance(&tx, 3, 3);
    });
}
