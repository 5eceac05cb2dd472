// SPDX-License-Identifier: BSD-3-Clause
//! Tokens: exactly one of a cancellation and a match wins. And wakers that change during a wait.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::{
    Counted, Signal, Value, balance, block_on, join, lost, model, opened, poll_once, recv, send,
    spawn,
};
use crate::{Builder, RecvError, Token};

fn cancel_against_a_send(builder: Builder<Value>, wait: bool) {
    let (tx, rx) = builder.channel();
    let token = Token::new();
    let child = token.child();
    let receiver = spawn(move || {
        let operation = rx.recv().cancel_on(&child);
        let got = if wait { operation.wait() } else { block_on(operation) };
        (got.map(Value::open), rx)
    });
    let canceller = spawn(move || assert!(token.cancel()));
    let sent = tx.try_send(Value::new(1)).map_err(|full| full.into_inner().open());
    join(canceller);
    let (got, rx) = join(receiver);
    let rest = rx.try_recv().map(Value::open);
    match got {
        Ok(number) => assert_eq!((number, sent, rest.is_err()), (1, Ok(()), true)),
        Err(error) => assert_eq!((error, rest.is_ok()), (RecvError::Cancelled, sent.is_ok())),
    }
    let count = u64::from(sent.is_ok());
    balance(&tx, count, count);
}

#[test]
fn cancel_or_receive_bounded() {
    model(|| cancel_against_a_send(Builder::bounded(1), false));
}

#[test]
fn cancel_or_receive_conflated() {
    model(|| cancel_against_a_send(Builder::conflated(), false));
}

#[test]
fn cancel_or_receive_rendezvous() {
    model(|| cancel_against_a_send(Builder::rendezvous(), true));
}

#[test]
fn cancel_or_send_rendezvous() {
    model(|| {
        let (tx, rx) = Builder::rendezvous().channel();
        let token = Token::new();
        let request = token.clone();
        let sender =
            spawn(move || (opened(block_on(tx.send(Value::new(1)).cancel_on(&request))), tx));
        let canceller = spawn(move || assert!(token.cancel()));
        let got = rx.try_recv().map(Value::open);
        join(canceller);
        let (sent, tx) = join(sender);
        match sent {
            Ok(()) => assert_eq!(got, Ok(1)),
            Err(number) => assert!(number == 1 && got.is_err(), "{got:?}"),
        }
        let count = u64::from(sent.is_ok());
        balance(&tx, count, count);
    });
}

#[test]
fn cancel_or_send_bounded() {
    model(|| {
        let (tx, rx) = Builder::bounded(1).channel();
        assert_eq!(send(&tx, 1), Ok(()));
        let token = Token::new();
        let request = token.clone();
        let sender = spawn(move || (opened(tx.send(Value::new(2)).cancel_on(&request).wait()), tx));
        let canceller = spawn(move || assert!(token.cancel()));
        assert_eq!(recv(&rx), Ok(1));
        join(canceller);
        let (sent, tx) = join(sender);
        let rest = rx.try_recv().map(Value::open);
        assert_eq!(rest.ok(), sent.is_ok().then_some(2));
        let count = 1 + u64::from(sent.is_ok());
        balance(&tx, count, count);
    });
}

/// Three events may end the wait: a close, a token, a send.
#[test]
fn cancel_or_close() {
    model(|| {
        let (tx, rx) = Builder::bounded(1).channel();
        let token = Token::new();
        let request = token.clone();
        let receiver = spawn(move || block_on(rx.recv().cancel_on(&request)).map(Value::open));
        let canceller = spawn(move || assert!(token.cancel()));
        tx.close();
        join(canceller);
        let error = join(receiver).unwrap_err();
        let failures = tx.snapshot().receive_failures;
        match error {
            RecvError::Closed => assert_eq!((failures.closed, failures.cancelled), (1, 0)),
            error => {
                assert_eq!(error, RecvError::Cancelled);
                assert_eq!((failures.closed, failures.cancelled), (0, 1));
            }
        }
    });
}

/// An operation with a token is dropped during both a match and a cancellation.
#[test]
fn a_receive_with_a_token_is_dropped() {
    model(|| {
        let (tx, rx) = Builder::bounded(1).channel();
        let token = Token::new();
        let request = token.clone();
        let receiver = spawn(move || {
            let got = match poll_once(pin!(rx.recv().cancel_on(&request))) {
                Poll::Ready(Ok(value)) => Some(value.open()),
                Poll::Ready(Err(error)) => {
                    assert_eq!(error, RecvError::Cancelled);
                    None
                }
                Poll::Pending => None,
            };
            (got, rx)
        });
        let canceller = spawn(move || assert!(token.cancel()));
        assert_eq!(send(&tx, 1), Ok(()));
        join(canceller);
        let (got, rx) = join(receiver);
        let rest: Vec<_> = rx.try_iter().map(Value::open).collect();
        assert_eq!([got.as_slice(), &rest].concat(), [1]);
        assert_eq!(lost(), []);
        balance(&tx, 1, 1);
    });
}

#[test]
fn a_wait_for_a_token_is_woken() {
    model(|| {
        let token = Token::new();
        let (child, other) = (token.child(), token.clone());
        let task = spawn(move || assert!(block_on(child.cancelled())));
        let thread = spawn(move || assert!(other.cancelled().wait()));
        assert!(token.cancel());
        join(task);
        join(thread);
    });
}

/// A child is created, waited for and dropped while its parent is cancelled.
#[test]
fn a_child_is_made_and_dropped_while_its_parent_is_cancelled() {
    model(|| {
        let token = Token::new();
        let parent = token.clone();
        let other = spawn(move || {
            let child = parent.child();
            let set = child.is_cancelled();
            drop(child);
            let child = parent.child();
            assert!(!set || child.is_cancelled());
            assert!(block_on(child.cancelled()));
        });
        assert!(token.cancel());
        join(other);
        assert!(token.is_cancelled() && !token.cancel());
    });
}

#[test]
fn of_two_cancels_one_is_the_first() {
    model(|| {
        let token = Token::new();
        let other = token.clone();
        let thread = spawn(move || other.cancel());
        let mine = token.cancel();
        assert!(mine != join(thread));
    });
}

/// Polls once with a waker that does nothing, then waits with one that works.
fn move_to_another_task<F: Future>(task: F) -> F::Output {
    let mut task = pin!(task);
    if let Poll::Ready(output) = poll_once(task.as_mut()) {
        return output;
    }
    let signals = [Signal::new(), Signal::new()];
    for signal in signals.iter().cycle() {
        let waker = Waker::from(signal.clone());
        match task.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => {}
        }
        if std::sync::Arc::ptr_eq(signal, &signals[1]) {
            signal.sleep();
        }
    }
    unreachable!()
}

#[test]
fn the_last_waker_is_the_one_that_counts() {
    model(|| {
        let (tx, rx) = Builder::bounded(1).channel();
        let receiver = spawn(move || move_to_another_task(rx.recv()).map(Value::open));
        assert_eq!(send(&tx, 1), Ok(()));
        assert_eq!(join(receiver), Ok(1));
    });
}

#[test]
fn the_last_waker_is_the_one_that_counts_for_a_send() {
    model(|| {
        let (tx, rx) = Builder::rendezvous().channel();
        let sender = spawn(move || opened(move_to_another_task(tx.send(Value::new(1)))));
        assert_eq!(recv(&rx), Ok(1));
        assert_eq!(join(sender), Ok(()));
    });
}

#[test]
fn the_last_waker_is_the_one_that_counts_with_a_token() {
    model(|| {
        let (_tx, rx) = Builder::rendezvous().channel();
        let token = Token::new();
        let request = token.clone();
        let receiver =
            spawn(move || move_to_another_task(rx.recv().cancel_on(&request)).map(Value::open));
        assert!(token.cancel());
        assert_eq!(join(receiver), Err(RecvError::Cancelled));
    });
}

#[test]
fn the_last_waker_is_the_one_that_counts_for_a_token() {
    model(|| {
        let token = Token::new();
        let other = token.clone();
        let thread = spawn(move || assert!(move_to_another_task(other.cancelled())));
        assert!(token.cancel());
        join(thread);
    });
}
