// SPDX-License-Identifier: BSD-3-Clause
//! The SPSC handles under loom. With it a block has one slot and the hysteresis is one value, so
//! that small models take every path.
//!
//! The results that every run must have, beyond those of its model, are in [`super`].

use std::collections::VecDeque;
use std::pin::pin;
use std::task::Poll;

use super::{LOST, Value, block_on, join, large_model, lost, model, opened, poll_once, spawn};
use crate::{RecvError, SpscBuilder, SpscReceiver, SpscSender, Token};

fn channel(capacity: usize) -> (SpscSender<Value>, SpscReceiver<Value>) {
    SpscBuilder::bounded(capacity)
        .on_undelivered(|value: Value| {
            let number = value.open();
            LOST.with_borrow_mut(|lost| lost.push(number));
        })
        .build()
}

fn send(tx: &mut SpscSender<Value>, number: u32) -> Result<(), u32> {
    opened(block_on(tx.send(Value::new(number))))
}

fn recv(rx: &mut SpscReceiver<Value>) -> Result<u32, RecvError> {
    block_on(rx.recv()).map(Value::open)
}

fn balance(tx: &SpscSender<Value>, sends: u64, receives: u64) {
    let seen = tx.snapshot();
    assert_eq!((seen.sends, seen.receives), (sends, receives), "{seen:?}");
    assert_eq!(seen.sends, seen.receives + seen.len as u64 + seen.undelivered, "{seen:?}");
    assert_eq!((seen.senders_waiting, seen.receivers_waiting), (0, 0), "{seen:?}");
}

fn tasks(capacity: usize, values: u32) {
    let (mut tx, mut rx) = channel(capacity);
    let receiver = spawn(move || {
        (0..values).for_each(|number| assert_eq!(recv(&mut rx), Ok(number)));
        rx
    });
    (0..values).for_each(|number| assert_eq!(send(&mut tx, number), Ok(())));
    let rx = join(receiver);
    balance(&tx, values.into(), values.into());
    drop(rx);
}

#[test]
fn tasks_that_wait_for_room_and_for_values_are_woken() {
    model(|| tasks(1, 3));
}

#[test]
fn tasks_go_through_the_blocks_of_a_ring() {
    model(|| tasks(2, 4));
}

/// Three blocks and an `end`: the ring wraps around, and the sender runs ahead.
#[test]
fn a_ring_of_blocks_keeps_order_without_waiting() {
    model(|| {
        let (mut tx, mut rx) = channel(3);
        assert_eq!(send(&mut tx, 0), Ok(()));
        let sender = spawn(move || {
            let sent = (1..5).take_while(|n| opened_try(&mut tx, *n)).count() as u32;
            (tx, sent)
        });
        let mut expected = 0;
        for _ in 0..3 {
            if let Ok(value) = rx.try_recv() {
                assert_eq!(value.open(), expected);
                expected += 1;
            }
        }
        let (tx, sent) = join(sender);
        while let Ok(value) = rx.try_recv() {
            assert_eq!(value.open(), expected);
            expected += 1;
        }
        assert_eq!(expected, sent + 1);
        assert!(sent >= 2);
        balance(&tx, u64::from(expected), u64::from(expected));
    });
}

fn opened_try(tx: &mut SpscSender<Value>, number: u32) -> bool {
    tx.try_send(Value::new(number)).map_err(|error| error.into_inner().open()).is_ok()
}

#[test]
fn threads_that_wait_are_woken() {
    model(|| {
        let (mut tx, mut rx) = channel(1);
        let receiver = spawn(move || {
            let first = rx.recv().wait().map(Value::open);
            (first, rx.recv().wait().map(Value::open), rx)
        });
        assert_eq!(opened(tx.send(Value::new(1)).wait()), Ok(()));
        assert_eq!(opened(tx.send(Value::new(2)).wait()), Ok(()));
        let (first, second, _rx) = join(receiver);
        assert_eq!((first, second), (Ok(1), Ok(2)));
        balance(&tx, 2, 2);
    });
}

/// The flag is set, cleared while the sender is sending, and set again.
#[test]
fn a_receiver_that_waits_again_after_the_hysteresis_is_woken() {
    model(|| {
        let (mut tx, mut rx) = channel(4);
        let receiver = spawn(move || {
            let got: Vec<_> = (0..3).map(|_| recv(&mut rx)).collect();
            (got, recv(&mut rx))
        });
        assert_eq!(send(&mut tx, 0), Ok(()));
        assert_eq!(send(&mut tx, 1), Ok(()));
        assert_eq!(send(&mut tx, 2), Ok(()));
        drop(tx);
        assert_eq!(join(receiver), (vec![Ok(0), Ok(1), Ok(2)], Err(RecvError::Closed)));
    });
}

#[test]
fn a_dropped_sender_wakes_the_receiver_which_gets_the_rest() {
    model(|| {
        let (mut tx, mut rx) = channel(2);
        let receiver = spawn(move || (recv(&mut rx), recv(&mut rx)));
        assert_eq!(send(&mut tx, 1), Ok(()));
        drop(tx);
        assert_eq!(join(receiver), (Ok(1), Err(RecvError::Closed)));
    });
}

/// Every value that was accepted is received before the close is seen.
#[test]
fn a_receiver_that_closes_gets_all_that_was_accepted() {
    model(|| {
        let (mut tx, mut rx) = channel(2);
        let sender = spawn(move || {
            let sent: Vec<_> = (0..2).map(|number| send(&mut tx, number)).collect();
            (tx, sent)
        });
        assert!(rx.close());
        let received: Vec<_> = rx.try_iter().map(Value::open).collect();
        let end = rx.try_recv().map(Value::open);
        let (tx, sent) = join(sender);
        let accepted: Vec<_> = (0..2).filter(|n| sent[*n as usize].is_ok()).collect();
        assert_eq!(received, accepted);
        assert_eq!(end, Err(crate::TryRecvError::Closed));
        balance(&tx, received.len() as u64, received.len() as u64);
    });
}

#[test]
fn values_of_a_dropped_receiver_are_undelivered_and_the_rest_is_returned() {
    model(|| {
        let (mut tx, mut rx) = channel(1);
        let sender = spawn(move || {
            let sent: Vec<_> = (0..2).map(|number| send(&mut tx, number)).collect();
            (tx, sent)
        });
        let first = rx.try_recv().map(Value::open).ok();
        drop(rx);
        let (tx, sent) = join(sender);
        let accepted: Vec<_> = (0..2).filter(|n| sent[*n as usize].is_ok()).collect();
        let all: Vec<_> = first.into_iter().chain(lost()).collect();
        assert_eq!(all, accepted);
        balance(&tx, accepted.len() as u64, u64::from(first.is_some()));
    });
}

#[test]
fn a_batch_during_a_close_is_accepted_whole_or_returned() {
    model(|| {
        let (mut tx, mut rx) = channel(2);
        let sender = spawn(move || {
            let mut values: VecDeque<_> = (0..2).map(Value::new).collect();
            let sent = tx.try_send_many(&mut values).unwrap_or(0);
            assert_eq!(values.into_iter().map(Value::open).collect::<Vec<_>>().len(), 2 - sent);
            (tx, sent)
        });
        assert!(rx.close());
        let mut received = Vec::new();
        let count = rx.try_recv_many(&mut received, 9).unwrap_or(0);
        let (tx, sent) = join(sender);
        assert_eq!(count, sent);
        assert_eq!(received.into_iter().map(Value::open).collect::<Vec<_>>().len(), sent);
        balance(&tx, sent as u64, sent as u64);
    });
}

#[test]
fn a_receive_that_is_dropped_while_a_value_comes_takes_none() {
    model(|| {
        let (mut tx, mut rx) = channel(1);
        let sender = spawn(move || {
            assert_eq!(send(&mut tx, 1), Ok(()));
            tx
        });
        let taken = match poll_once(pin!(rx.recv())) {
            Poll::Ready(received) => received.map(Value::open).ok(),
            Poll::Pending => None,
        };
        let tx = join(sender);
        let left = rx.try_recv().map(Value::open).ok();
        assert_eq!((taken.or(left), taken.is_some()), (Some(1), left.is_none()));
        balance(&tx, 1, 1);
    });
}

#[test]
fn a_token_and_a_value_race() {
    large_model(|| {
        let (mut tx, mut rx) = channel(1);
        let token = Token::new();
        let sender = spawn(move || {
            assert_eq!(send(&mut tx, 1), Ok(()));
            tx
        });
        let receiver = {
            let token = token.clone();
            spawn(move || (block_on(rx.recv().cancel_on(&token)).map(Value::open), rx))
        };
        token.cancel();
        let tx = join(sender);
        let (first, mut rx) = join(receiver);
        match first {
            Ok(number) => assert_eq!(number, 1),
            Err(error) => {
                assert_eq!(error, RecvError::Cancelled);
                assert_eq!(rx.try_recv().map(Value::open), Ok(1));
            }
        }
        balance(&tx, 1, 1);
    });
}
