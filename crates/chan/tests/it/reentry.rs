// SPDX-License-Identifier: BSD-3-Clause
//! User code runs without a lock: hooks, weights, and the clone, wake and drop of a waker may all
//! use the channel and the token they are called for. Each of these tests deadlocks if one runs
//! under a lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::common::poll_once;
use becket_chan::{
    Builder, Overflow, RecvError, Select, SelectError, SendError, Sender, SpscBuilder, Token,
    bounded, rendezvous, select, unlimited,
};
use parking_lot::Mutex;

#[test]
fn a_hook_that_uses_its_own_channel_does_not_lock_up() {
    let own = Arc::new(Mutex::new(None));
    let seen = own.clone();
    let (tx, rx) = Builder::bounded(1)
        .overflow(Overflow::DropOldest)
        .on_undelivered(move |n: u32| {
            let sender: &Option<Sender<u32>> = &seen.lock();
            let sender = sender.as_ref().unwrap();
            assert!(sender.len() <= 1 && sender.snapshot().dropped > 0 && n < 3);
        })
        .build();
    *own.lock() = Some(tx.clone());
    (0..4).for_each(|n| tx.try_send(n).unwrap());
    assert_eq!((rx.try_recv(), tx.snapshot().undelivered), (Ok(3), 3));
    drop(own.lock().take());
}

#[test]
fn a_weight_that_uses_its_own_channel_does_not_lock_up() {
    let own = Arc::new(Mutex::new(None));
    let seen = own.clone();
    let (tx, rx) = Builder::bounded(1)
        .weigh(move |n: &u32| {
            let sender: &Option<Sender<u32>> = &seen.lock();
            u64::from(*n) + u64::from(sender.as_ref().is_some_and(Sender::is_closed))
        })
        .build();
    *own.lock() = Some(tx.clone());
    tx.try_send(1).unwrap();
    let mut send = Box::pin(tx.send(2));
    assert!(poll_once(&mut send).is_pending());
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(poll_once(&mut send), Poll::Ready(Ok(())));
    assert_eq!(rx.recv().wait(), Ok(2));
    tx.send_many(&mut [3].into()).wait().unwrap();
    let mut select = Select::new();
    let (sending, receiving) = (select.send(&tx, 4), select.recv(&rx));
    assert_eq!(select.wait().unwrap().recv(receiving), Some(Ok(3)));
    assert_eq!(select.wait().unwrap().send(sending), Some(Ok(())));
    drop(select);
    assert_eq!(rx.recv_many(&mut Vec::new(), 9).wait(), Ok(1));
    let seen = tx.snapshot();
    assert_eq!((seen.bytes_sent, seen.bytes_received), (10, 10));
    drop(own.lock().take());
}

#[test]
fn a_value_goes_to_the_hook_if_its_weight_panics() {
    let (lost, undelivered) = unlimited();
    let (tx, rx) = Builder::bounded(2)
        .weigh(|_: &u32| panic!("a weight that panics"))
        .on_undelivered(move |value| lost.try_send(value).unwrap())
        .build();
    let send = || tx.send(7).wait();
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(send)).is_err());
    let poll = || poll_once(&mut Box::pin(tx.send(8)));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll)).is_err());
    assert!(undelivered.try_iter().eq([7, 8]));
    assert_eq!((rx.len(), tx.snapshot().sends), (0, 0));
}

#[test]
fn a_batch_keeps_its_values_if_a_weight_panics() {
    for panics_at in 1..=3 {
        // The attempt weighs the first value, and again when the channel is full, and then the wait.
        let weighed = std::sync::atomic::AtomicU32::new(0);
        let (tx, rx) = Builder::bounded(1)
            .weigh(move |_: &u32| {
                let at = weighed.fetch_add(1, Relaxed) + 1;
                assert!(at != panics_at, "a weight that panics");
                1
            })
            .build();
        let mut values = VecDeque::from([7, 8]);
        let poll = || poll_once(&mut Box::pin(tx.send_many(&mut values)));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll)).is_err());
        assert!(rx.try_iter().chain(values).eq([7, 8]), "{panics_at}");
    }
}

#[test]
fn a_received_value_goes_to_the_hook_if_its_weight_panics() {
    let panics = Arc::new(AtomicBool::new(false));
    let (lost, undelivered) = unlimited();
    let weigh = {
        let panics = panics.clone();
        move |_: &Arc<u32>| {
            assert!(!panics.load(Relaxed), "a weight that panics");
            1
        }
    };
    let hook = move |value: Arc<u32>| lost.try_send(*value).unwrap();
    let (tx, rx) = Builder::bounded(1).weigh(weigh.clone()).on_undelivered(hook.clone()).build();
    let (mut one_tx, mut one_rx) =
        SpscBuilder::bounded(1).weigh(weigh).on_undelivered(hook).build();
    let mut way = |way: u32| match way {
        0 => drop(rx.try_recv()),
        1 => drop(rx.recv().wait()),
        2 => drop(poll_once(&mut Box::pin(rx.recv()))),
        3 => select! { wait; value = rx.recv() => drop(value) },
        4 => {
            let mut select = Select::new();
            let case = select.recv(&rx);
            let take = || drop(select.wait().unwrap().recv(case));
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(take));
            // The receive takes part in the next round.
            assert_eq!(
                select.ready().timeout(Duration::ZERO).wait().err(),
                Some(SelectError::TimedOut)
            );
            std::panic::resume_unwind(panicked.unwrap_err());
        }
        5 => drop(one_rx.try_recv()),
        _ => drop(one_rx.recv().wait()),
    };
    for number in 0..7 {
        let value = Arc::new(number);
        let sent =
            if number < 5 { tx.try_send(value.clone()) } else { one_tx.try_send(value.clone()) };
        sent.unwrap();
        panics.store(true, Relaxed);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| way(number))).is_err());
        panics.store(false, Relaxed);
        assert_eq!((undelivered.try_recv(), undelivered.len()), (Ok(number), 0));
        assert_eq!(Arc::strong_count(&value), 1, "{number}");
    }
    assert_eq!((rx.len(), tx.snapshot().receives, one_tx.snapshot().receives), (0, 5, 2));
}

/// A waker that uses a channel and a token whenever it is cloned, woken or dropped.
mod waker {
    use std::sync::Arc;
    use std::task::{RawWaker, RawWakerVTable, Waker};

    use becket_chan::Sender;

    type Held = (Sender<u32>, becket_chan::Token);

    static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, gone);

    fn look(held: &Held) {
        held.0.snapshot();
        drop(held.1.child());
    }

    pub(super) fn new(held: Held) -> Waker {
        let data = Arc::into_raw(Arc::new(held)).cast();
        // SAFETY: the table treats the pointer as the `Arc` that was leaked here.
        unsafe { Waker::from_raw(RawWaker::new(data, &TABLE)) }
    }

    fn clone(data: *const ()) -> RawWaker {
        // SAFETY: a waker's pointer, which the waker keeps.
        unsafe {
            look(&*data.cast::<Held>());
            Arc::increment_strong_count(data.cast::<Held>());
        }
        RawWaker::new(data, &TABLE)
    }

    fn wake(data: *const ()) {
        gone(data);
    }

    fn wake_by_ref(data: *const ()) {
        // SAFETY: a waker's pointer, which the waker keeps.
        look(unsafe { &*data.cast::<Held>() });
    }

    fn gone(data: *const ()) {
        // SAFETY: a waker's pointer, which the waker gives up.
        let held = unsafe { Arc::from_raw(data.cast::<Held>()) };
        look(&held);
    }
}

/// Polls with two wakers, one after the other: the second replaces the first.
fn poll_twice<F: Future>(future: &mut std::pin::Pin<Box<F>>, wakers: &[Waker; 2]) {
    for waker in wakers {
        assert!(future.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
    }
}

#[test]
fn a_waker_of_an_operation_that_uses_its_channel_does_not_lock_up() {
    let (tx, rx) = rendezvous();
    let token = Token::new();
    let wakers = [(); 2].map(|()| waker::new((tx.clone(), token.clone())));
    let mut receive = Box::pin(rx.recv());
    poll_twice(&mut receive, &wakers);
    tx.try_send(2).unwrap();
    assert_eq!(poll_once(&mut receive), Poll::Ready(Ok(2)));
    let mut receive = Box::pin(rx.recv().cancel_on(&token).timeout(Duration::from_secs(3600)));
    poll_twice(&mut receive, &wakers);
    drop(receive);
    let mut send = Box::pin(tx.send(1).cancel_on(&token));
    poll_twice(&mut send, &wakers);
    let mut cancelled = Box::pin(token.cancelled());
    poll_twice(&mut cancelled, &wakers);
    token.cancel();
    assert_eq!(poll_once(&mut send), Poll::Ready(Err(SendError::Cancelled(1))));
    assert_eq!(poll_once(&mut cancelled), Poll::Ready(true));
    let mut values = Vec::new();
    let mut receive = Box::pin(rx.recv_many(&mut values, 3));
    poll_twice(&mut receive, &wakers);
    tx.close();
    assert_eq!(poll_once(&mut receive), Poll::Ready(Err(RecvError::Closed)));
}

#[test]
fn a_waker_of_a_select_that_uses_its_channels_does_not_lock_up() {
    let (tx, rx) = rendezvous();
    let (_never, other) = bounded::<u32>(1);
    let token = Token::new();
    let wakers = [(); 2].map(|()| waker::new((tx.clone(), token.clone())));
    for end in 0..3 {
        let mut selecting = Box::pin(async {
            select! {
                value = rx.recv() => value.ok(),
                value = other.recv() => value.ok(),
                cancelled(&token) => None,
            }
        });
        poll_twice(&mut selecting, &wakers);
        match end {
            0 => drop(selecting),
            1 => {
                tx.try_send(5).unwrap();
                assert_eq!(poll_once(&mut selecting), Poll::Ready(Some(5)));
            }
            _ => {
                token.cancel();
                assert_eq!(poll_once(&mut selecting), Poll::Ready(None));
            }
        }
    }
}
