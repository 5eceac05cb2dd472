// SPDX-License-Identifier: BSD-3-Clause
//! Ends: a channel is closed, an operation is dropped, the last handle of a side is dropped. Every
//! waiter is woken, and every value has one outcome.

use std::pin::pin;
use std::task::Poll;

use super::{
    Counted, Value, balance, huge_model, join, large_model, lost, model, opened, poll_once, recv,
    recv_wait, send, send_wait, sorted, spawn,
};
use crate::{Builder, Receiver, RecvError, Sender, TryRecvError};

/// Receives the remaining values.
fn drain(rx: &Receiver<Value>) -> Vec<u32> {
    std::iter::from_fn(|| rx.try_recv().ok()).map(Value::open).collect()
}

fn close_wakes_receivers(builder: Builder<Value>) {
    let (tx, rx) = builder.channel();
    let other = rx.clone();
    let task = spawn(move || recv(&rx));
    let thread = spawn(move || recv_wait(&other));
    assert!(tx.close());
    assert_eq!((join(task), join(thread)), (Err(RecvError::Closed), Err(RecvError::Closed)));
    assert_eq!(tx.snapshot().receive_failures.closed, 2);
    balance(&tx, 0, 0);
}

#[test]
fn close_wakes_receivers_of_bounded() {
    large_model(|| close_wakes_receivers(Builder::bounded(1)));
}

#[test]
fn close_wakes_receivers_of_unlimited() {
    large_model(|| close_wakes_receivers(Builder::unlimited()));
}

#[test]
fn close_wakes_receivers_of_conflated() {
    model(|| close_wakes_receivers(Builder::conflated()));
}

#[test]
fn close_wakes_receivers_of_rendezvous() {
    model(|| close_wakes_receivers(Builder::rendezvous()));
}

/// Two senders wait for room that never comes.
#[test]
fn close_wakes_senders_and_what_is_queued_can_be_received() {
    model(|| {
        let (tx, rx) = Builder::bounded(1).channel();
        assert_eq!(send(&tx, 1), Ok(()));
        let other = tx.clone();
        let task = spawn(move || (send(&tx, 2), tx));
        let thread = spawn(move || send_wait(&other, 3));
        assert!(rx.close());
        let (two, tx) = join(task);
        assert_eq!((two, join(thread)), (Err(2), Err(3)));
        assert_eq!((recv(&rx), recv(&rx)), (Ok(1), Err(RecvError::Closed)));
        balance(&tx, 1, 1);
    });
}

#[test]
fn close_wakes_senders_of_rendezvous() {
    model(|| {
        let (tx, rx) = Builder::rendezvous().channel();
        let other = tx.clone();
        let task = spawn(move || (send(&tx, 2), tx));
        let thread = spawn(move || send_wait(&other, 3));
        assert!(rx.close());
        let (two, tx) = join(task);
        assert_eq!((two, join(thread)), (Err(2), Err(3)));
        balance(&tx, 0, 0);
    });
}

/// A send that races with a close is either accepted, and can be received, or returns its value.
fn close_against_a_send(builder: Builder<Value>) {
    let (tx, rx) = builder.channel();
    let sender = spawn(move || (send(&tx, 1), tx));
    assert!(rx.close());
    let early = rx.try_recv().ok().map(Value::open);
    let (sent, tx) = join(sender);
    let late = drain(&rx);
    let got = [early.as_slice(), &late].concat();
    match sent {
        Ok(()) => assert_eq!(got, [1]),
        Err(value) => assert_eq!((value, got), (1, vec![])),
    }
    assert_eq!(rx.try_recv().map(Value::open), Err(TryRecvError::Closed));
    let count = u64::from(sent.is_ok());
    balance(&tx, count, count);
}

#[test]
fn close_against_a_send_bounded() {
    model(|| close_against_a_send(Builder::bounded(1)));
}

#[test]
fn close_against_a_send_unlimited() {
    model(|| close_against_a_send(Builder::unlimited()));
}

#[test]
fn close_against_a_send_conflated() {
    model(|| close_against_a_send(Builder::conflated()));
}

/// A receive that may wait is dropped at any point of a send: the value is still in the channel.
fn dropped_receive(builder: Builder<Value>, before: u32) {
    let (tx, rx) = builder.channel();
    for number in 1..before {
        assert_eq!(send(&tx, number), Ok(()));
        assert_eq!(recv(&rx), Ok(number));
    }
    let receiver = spawn(move || {
        let got = match poll_once(pin!(rx.recv())) {
            Poll::Ready(got) => Some(got.unwrap().open()),
            Poll::Pending => None,
        };
        (got, rx)
    });
    assert_eq!(send(&tx, before), Ok(()));
    assert_eq!(send(&tx, before + 1), Ok(()));
    let (got, rx) = join(receiver);
    let got = [got.as_slice(), &drain(&rx)].concat();
    let expected: &[u32] = if lost().is_empty() { &[before, before + 1] } else { &[before + 1] };
    assert_eq!(got, expected);
    assert!(lost().is_empty() || lost() == [before], "{:?}", lost());
    balance(&tx, (before + 1).into(), u64::from(before - 1) + got.len() as u64);
}

#[test]
fn a_receive_is_dropped_bounded() {
    model(|| dropped_receive(Builder::bounded(2), 1));
}

#[test]
fn a_receive_is_dropped_bounded_in_a_later_lap() {
    model(|| dropped_receive(Builder::bounded(2), 2));
}

#[test]
fn a_receive_is_dropped_unlimited() {
    model(|| dropped_receive(Builder::unlimited(), 1));
}

#[test]
fn a_receive_is_dropped_conflated() {
    model(|| dropped_receive(Builder::conflated(), 1));
}

/// A receive that may wait withdraws at any point of a send: it returns the value, or the channel
/// keeps it.
fn withdrawn_receive(builder: Builder<Value>) {
    let (tx, rx) = builder.channel();
    let receiver = spawn(move || {
        let got = {
            let mut receive = pin!(rx.recv());
            match poll_once(receive.as_mut()) {
                Poll::Ready(got) => Some(got.unwrap()),
                Poll::Pending => receive.as_mut().withdraw(),
            }
        };
        let rest = drain(&rx);
        ([got.map(Value::open).as_slice(), &rest].concat(), rx)
    });
    assert_eq!((send(&tx, 1), send(&tx, 2)), (Ok(()), Ok(())));
    let (got, rx) = join(receiver);
    assert_eq!([got, drain(&rx)].concat(), [1, 2]);
    balance(&tx, 2, 2);
    assert_eq!(lost(), []);
}

#[test]
fn a_receive_withdraws_bounded() {
    model(|| withdrawn_receive(Builder::bounded(2)));
}

#[test]
fn a_receive_withdraws_unlimited() {
    model(|| withdrawn_receive(Builder::unlimited()));
}

/// A value that was handed to a dropped receive goes to the waiting receiver.
fn requeued_by_a_drop(builder: Builder<Value>) {
    let (tx, rx) = builder.channel();
    let other = rx.clone();
    let dropped = spawn(move || match poll_once(pin!(rx.recv())) {
        Poll::Ready(got) => Some(got.unwrap().open()),
        Poll::Pending => None,
    });
    let waits = spawn(move || (recv(&other), other));
    assert_eq!(send(&tx, 1), Ok(()));
    let dropped = join(dropped);
    if dropped.is_some() {
        assert!(tx.close());
    }
    let (waited, _rx) = join(waits);
    match dropped {
        None => assert_eq!(waited, Ok(1)),
        Some(number) => assert_eq!((number, waited), (1, Err(RecvError::Closed))),
    }
    balance(&tx, 1, 1);
    assert_eq!(lost(), []);
}

#[test]
fn a_value_of_a_dropped_receive_is_requeued_bounded() {
    large_model(|| requeued_by_a_drop(Builder::bounded(1)));
}

#[test]
fn a_value_of_a_dropped_receive_is_requeued_rendezvous() {
    model(|| requeued_by_a_drop(Builder::rendezvous()));
}

/// Polls a send of `number` once, and drops it. True: it had completed.
fn send_and_drop(tx: &Sender<Value>, number: u32) -> bool {
    match poll_once(pin!(tx.send(Value::new(number)))) {
        Poll::Ready(sent) => {
            assert_eq!(opened(sent), Ok(()));
            true
        }
        Poll::Pending => false,
    }
}

/// A send that waits for room is dropped: it has completed, or its value went to the hook.
#[test]
fn a_send_is_dropped_bounded() {
    model(|| {
        let (tx, rx) = Builder::bounded(1).channel();
        assert_eq!(send(&tx, 1), Ok(()));
        let sender = spawn(move || (send_and_drop(&tx, 2), tx));
        assert_eq!(recv(&rx), Ok(1));
        let (said, tx) = join(sender);
        let got = drain(&rx);
        assert!(!said || got == [2]);
        assert_eq!([&got[..], &lost()].concat(), [2]);
        balance(&tx, 1 + got.len() as u64, 1 + got.len() as u64);
    });
}

#[test]
fn a_send_is_dropped_rendezvous() {
    model(|| {
        let (tx, rx) = Builder::rendezvous().channel();
        let sender = spawn(move || (send_and_drop(&tx, 1), tx));
        let got = match poll_once(pin!(rx.recv())) {
            Poll::Ready(got) => vec![got.unwrap().open()],
            Poll::Pending => Vec::new(),
        };
        let got = [got, drain(&rx)].concat();
        let (said, tx) = join(sender);
        assert!(!said || got == [1] || rx.is_empty());
        assert_eq!([&got[..], &lost()].concat(), [1]);
        balance(&tx, got.len() as u64, got.len() as u64);
    });
}

/// A dropped send leaves its position to the next one.
#[test]
fn a_dropped_send_lets_the_next_one_pass() {
    huge_model(|| {
        let (tx, rx) = Builder::bounded(1).channel();
        assert_eq!(send(&tx, 1), Ok(()));
        let other = tx.clone();
        let dropped = spawn(move || (send_and_drop(&tx, 2), tx));
        let waits = spawn(move || assert_eq!(send(&other, 3), Ok(())));
        let mut got = vec![recv(&rx).unwrap()];
        let (said, tx) = join(dropped);
        while !got.contains(&3) {
            got.push(recv(&rx).unwrap());
        }
        join(waits);
        got.extend(drain(&rx));
        assert!(!said || got.contains(&2));
        assert_eq!(sorted([&got[..], &lost()].concat()), [1, 2, 3]);
        balance(&tx, got.len() as u64, got.len() as u64);
    });
}

/// The last receiver is dropped during a send: the value was accepted and goes to the hook, or the
/// send returns it.
fn last_receiver(builder: Builder<Value>, values: u32) {
    let (tx, rx) = builder.channel();
    let sender = spawn(move || {
        let sent: Vec<_> = (1..=values).map(|number| send(&tx, number)).collect();
        (sent, tx)
    });
    drop(rx);
    let (sent, tx) = join(sender);
    let accepted: Vec<_> = (1..=values).zip(&sent).filter(|(_, sent)| sent.is_ok()).collect();
    let accepted: Vec<_> = accepted.into_iter().map(|(number, _)| number).collect();
    balance(&tx, accepted.len() as u64, 0);
    drop(tx);
    assert_eq!(lost(), accepted);
}

#[test]
fn the_last_receiver_is_dropped_bounded_1() {
    model(|| last_receiver(Builder::bounded(1), 2));
}

#[test]
fn the_last_receiver_is_dropped_bounded_2() {
    model(|| last_receiver(Builder::bounded(2), 3));
}

#[test]
fn the_last_receiver_is_dropped_unlimited() {
    model(|| last_receiver(Builder::unlimited(), 3));
}

#[test]
fn the_last_receiver_is_dropped_conflated() {
    model(|| last_receiver(Builder::conflated(), 2));
}

#[test]
fn the_last_receiver_is_dropped_rendezvous() {
    model(|| last_receiver(Builder::rendezvous(), 1));
}

/// Both last handles are dropped at once, with a value in flight.
#[test]
fn both_sides_go_at_once() {
    model(|| {
        let (tx, rx) = Builder::bounded(1).channel();
        let sender = spawn(move || {
            let sent = send_wait(&tx, 1);
            drop(tx);
            sent
        });
        drop(rx);
        match join(sender) {
            Ok(()) => assert_eq!(lost(), [1]),
            Err(number) => assert_eq!((number, lost()), (1, vec![])),
        }
    });
}

/// The values of the last sender are received before the close is seen.
fn last_sender(builder: Builder<Value>) {
    let (tx, rx) = builder.channel();
    let sender = spawn(move || assert_eq!(send(&tx, 1), Ok(())));
    assert_eq!((recv(&rx), recv(&rx)), (Ok(1), Err(RecvError::Closed)));
    join(sender);
    assert!(rx.is_closed());
}

#[test]
fn the_last_sender_is_dropped_bounded() {
    model(|| last_sender(Builder::bounded(1)));
}

#[test]
fn the_last_sender_is_dropped_unlimited() {
    model(|| last_sender(Builder::unlimited()));
}

#[test]
fn the_last_sender_is_dropped_conflated() {
    model(|| last_sender(Builder::conflated()));
}

#[test]
fn the_last_sender_is_dropped_rendezvous() {
    model(|| last_sender(Builder::rendezvous()));
}
