// SPDX-License-Identifier: BSD-3-Clause
//! Each kind, with each way to drive an operation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use becket_chan::{
    Builder, RecvError, SendError, Token, bounded, conflated, rendezvous, unlimited,
};
use futures_lite::future::{self, block_on};

#[test]
fn threads_meet_on_a_rendezvous() {
    let (tx, rx) = rendezvous();
    thread::scope(|scope| {
        scope.spawn(move || (0..1000).for_each(|n| tx.send(n).wait().unwrap()));
        (0..1000).for_each(|n| assert_eq!(rx.recv().wait(), Ok(n)));
        assert_eq!(rx.recv().wait(), Err(RecvError::Closed));
    });
}

#[test]
fn tasks_meet_on_every_kind() {
    for (tx, rx) in [rendezvous(), bounded(1), bounded(3), unlimited()] {
        block_on(future::zip(
            async move {
                for n in 0..1000 {
                    tx.send(n).await.unwrap();
                }
            },
            async move {
                for n in 0..1000 {
                    assert_eq!(rx.recv().await, Ok(n));
                }
                assert_eq!(rx.recv().await, Err(RecvError::Closed));
                let seen = rx.snapshot();
                assert_eq!((seen.sends, seen.receives, seen.len), (1000, 1000, 0));
            },
        ));
    }
}

#[test]
fn threads_stream_through_every_capacity() {
    for capacity in [1, 2, 3, 7, 64, 1000] {
        let (tx, rx) = bounded(capacity);
        thread::scope(|scope| {
            for sender in 0..3_u64 {
                let tx = tx.clone();
                scope.spawn(move || (0..5000).for_each(|n| tx.send((sender, n)).wait().unwrap()));
            }
            drop(tx);
            let mut next = [0; 3];
            while let Ok((sender, n)) = rx.recv().wait() {
                assert_eq!(n, std::mem::replace(&mut next[sender as usize], n + 1));
            }
            assert_eq!(next, [5000; 3]);
        });
    }
}

#[test]
fn limits_end_operations() {
    let (tx, rx) = bounded(1);
    let soon = Duration::from_millis(5);
    assert_eq!(rx.recv().timeout(soon).wait(), Err(RecvError::TimedOut));
    assert_eq!(block_on(rx.recv().timeout(soon)), Err(RecvError::TimedOut));
    tx.try_send(1).unwrap();
    assert_eq!(tx.send(2).timeout(soon).wait(), Err(SendError::TimedOut(2)));
    assert_eq!(block_on(tx.send(2).timeout(soon)), Err(SendError::TimedOut(2)));
    let token = Token::new();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| tx.send(3).cancel_on(&token).wait());
        while tx.snapshot().senders_waiting == 0 {
            thread::yield_now();
        }
        let _child = token.child();
        token.cancel();
        assert_eq!(waiting.join().unwrap(), Err(SendError::Cancelled(3)));
    });
    assert_eq!(rx.recv().cancel_on(&token).wait(), Err(RecvError::Cancelled));
    assert_eq!(rx.try_recv(), Ok(1));
}

#[test]
fn batches_move_everything() {
    let (tx, rx) = bounded(5);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut values: VecDeque<_> = (0..1000).collect();
            tx.send_many(&mut values).wait().unwrap();
            let mut values: VecDeque<_> = (1000..2000).collect();
            block_on(tx.send_many(&mut values)).unwrap();
        });
        let mut values = Vec::new();
        while rx.recv_many(&mut values, 7).wait().is_ok() {}
        assert_eq!(values, (0..2000).collect::<Vec<_>>());
    });
}

#[test]
fn a_dropped_receive_gives_its_value_back_in_order() {
    let (tx, rx) = rendezvous();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut first = Box::pin(rx.recv());
    let mut second = Box::pin(rx.recv());
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().poll(&mut context).is_pending());
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    drop(first);
    drop(second);
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(1), Ok(2)));
    let (tx, rx) = Builder::conflated().build();
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    assert_eq!(rx.try_recv(), Ok(2));
    let _ = conflated::<u8>();
}
