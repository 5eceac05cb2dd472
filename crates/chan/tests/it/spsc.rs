// SPDX-License-Identifier: BSD-3-Clause
//! The SPSC handles: their promises, a reference model, and streams of checked values between
//! threads and between tasks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::or_long;
use becket_chan::{
    RecvError, SendError, SendManyError, SpscBuilder, SpscReceiver, SpscSender, Token,
    TryRecvError, TrySendError, bounded_spsc,
};
use futures_lite::future::{block_on, poll_once, yield_now};
use proptest::prelude::*;

const MANY: u64 = if cfg!(miri) { 300 } else { 200_000 };

/// Larger than a word, checked as a whole, and on the heap so that a leak or double drop shows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wide(u64, Box<u64>, [u64; 30]);

impl Wide {
    fn new(number: u64) -> Self {
        Self(number, Box::new(number), [number; 30])
    }

    fn open(self) -> u64 {
        assert!(*self.1 == self.0 && self.2.iter().all(|word| *word == self.0));
        self.0
    }
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn counting() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count(AtomicUsize::new(0)));
    (count.clone(), Waker::from(count))
}

/// Records undelivered values.
type Lost = Arc<parking_lot::Mutex<Vec<u64>>>;

fn with_hook(capacity: usize) -> (SpscSender<u64>, SpscReceiver<u64>, Lost) {
    let lost = Lost::default();
    let keep = lost.clone();
    let (tx, rx) =
        SpscBuilder::bounded(capacity).on_undelivered(move |n| keep.lock().push(n)).build();
    (tx, rx, lost)
}

#[test]
fn it_holds_exactly_its_capacity_in_order() {
    let largest = if cfg!(miri) { 200 } else { 5000 };
    for capacity in [1, 2, 3, 7, 64, 200, 1000, 5000].into_iter().filter(|n| *n <= largest) {
        let (mut tx, mut rx) = bounded_spsc(capacity);
        for round in 0..3 {
            for n in 0..capacity {
                tx.try_send(Wide::new((round * capacity + n) as u64)).unwrap();
            }
            assert!(matches!(tx.try_send(Wide::new(0)), Err(TrySendError::Full(_))));
            assert!(tx.is_full() && rx.len() == capacity && tx.capacity() == Some(capacity));
            for n in 0..capacity {
                assert_eq!(rx.try_recv().unwrap().open(), (round * capacity + n) as u64);
            }
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        }
        let seen = tx.snapshot();
        assert_eq!((seen.sends, seen.receives), (3 * capacity as u64, 3 * capacity as u64));
        assert_eq!((seen.high_water, seen.send_failures.would_block), (capacity, 3));
        assert_eq!(seen.receive_failures.would_block, 3);
        assert_eq!(seen.bytes_sent, seen.sends * size_of::<Wide>() as u64);
    }
}

#[test]
fn a_capacity_of_none_is_one_and_values_may_have_no_size() {
    let (mut tx, mut rx) = bounded_spsc(0);
    assert_eq!(tx.capacity(), Some(1));
    tx.try_send(()).unwrap();
    assert!(tx.try_send(()).unwrap_err().is_full());
    rx.try_recv().unwrap();
}

#[test]
fn a_closed_sender_sends_no_more_and_what_was_sent_arrives() {
    let (mut tx, mut rx, lost) = with_hook(4);
    tx.try_send(1).unwrap();
    assert!(tx.close_with("done") && !tx.close() && !rx.close());
    assert_eq!(tx.try_send(2), Err(TrySendError::Closed(2)));
    assert_eq!(tx.send(3).wait(), Err(SendError::Closed(3)));
    assert_eq!(rx.closed_reason().as_deref(), Some("done"));
    assert_eq!((rx.len(), rx.recv().wait()), (1, Ok(1)));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(rx.recv().wait(), Err(RecvError::Closed));
    let seen = rx.snapshot();
    assert_eq!((seen.sends, seen.receives, seen.undelivered, seen.len), (1, 1, 0, 0));
    assert_eq!((seen.send_failures.closed, seen.receive_failures.closed), (2, 2));
    assert!(lost.lock().is_empty());
}

#[test]
fn a_closed_receiver_still_receives_what_was_sent_before() {
    let (mut tx, mut rx) = bounded_spsc(4);
    tx.try_send(Wide::new(1)).unwrap();
    assert!(rx.close());
    let Err(TrySendError::Closed(back)) = tx.try_send(Wide::new(2)) else { panic!() };
    assert_eq!(back.open(), 2);
    let mut batch: VecDeque<_> = (3..6).map(Wide::new).collect();
    assert_eq!(tx.try_send_many(&mut batch), Err(SendManyError::Closed));
    assert_eq!(tx.send_many(&mut batch).wait(), Err(SendManyError::Closed));
    assert_eq!(batch.into_iter().map(Wide::open).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(rx.recv().wait().unwrap().open(), 1);
    assert_eq!(rx.recv().wait(), Err(RecvError::Closed));
    assert_eq!(tx.snapshot().sends, 1);
}

#[test]
fn what_is_left_goes_to_the_hook_once() {
    let (mut tx, mut rx, lost) = with_hook(8);
    for n in 0..5 {
        tx.try_send(n).unwrap();
    }
    assert_eq!(rx.try_recv(), Ok(0));
    drop(rx);
    assert_eq!(*lost.lock(), [1, 2, 3, 4]);
    assert_eq!(tx.try_send(9), Err(TrySendError::Closed(9)));
    let seen = tx.snapshot();
    assert_eq!((seen.sends, seen.receives, seen.len, seen.undelivered), (5, 1, 0, 4));
    drop(tx.send(10));
    drop(tx);
    assert_eq!(*lost.lock(), [1, 2, 3, 4, 10]);
}

#[test]
fn a_dropped_operation_leaves_no_trace() {
    let (mut tx, mut rx, lost) = with_hook(1);
    {
        let mut recv = pin!(rx.recv());
        assert!(block_on(poll_once(&mut recv)).is_none());
        tx.try_send(1).unwrap();
    }
    assert_eq!((rx.len(), rx.snapshot().receivers_waiting), (1, 0));
    {
        let mut send = pin!(tx.send(2));
        assert!(block_on(poll_once(&mut send)).is_none());
        assert_eq!(rx.try_recv(), Ok(1));
    }
    assert_eq!((rx.try_recv(), tx.snapshot().senders_waiting), (Err(TryRecvError::Empty), 0));
    assert_eq!(*lost.lock(), [2]);
}

#[test]
fn a_waiter_is_woken_once_and_by_its_newest_waker() {
    let (mut tx, mut rx) = bounded_spsc(2);
    let (old, old_waker) = counting();
    let (new, new_waker) = counting();
    let mut recv = pin!(rx.recv());
    assert!(recv.as_mut().poll(&mut Context::from_waker(&old_waker)).is_pending());
    assert!(recv.as_mut().poll(&mut Context::from_waker(&new_waker)).is_pending());
    tx.try_send(7).unwrap();
    tx.try_send(8).unwrap();
    let count = |count: &Count| count.0.load(Ordering::Relaxed);
    assert_eq!((count(&old), count(&new)), (0, 1));
    assert_eq!(recv.as_mut().poll(&mut Context::from_waker(&new_waker)), Poll::Ready(Ok(7)));
}

#[test]
fn closing_wakes_both_sides() {
    let (mut tx, mut rx) = bounded_spsc::<u32>(1);
    let (woken, waker) = counting();
    let mut recv = pin!(rx.recv());
    assert!(recv.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    tx.close();
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(block_on(recv), Err(RecvError::Closed));

    let (mut tx, mut rx) = bounded_spsc::<u32>(1);
    tx.try_send(1).unwrap();
    let mut send = pin!(tx.send(2));
    assert!(send.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    rx.close();
    assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    assert_eq!(block_on(send), Err(SendError::Closed(2)));
}

#[test]
fn limits_end_a_wait() {
    let (mut tx, mut rx) = bounded_spsc(1);
    let past = Instant::now();
    assert_eq!(rx.recv().deadline(past).wait(), Err(RecvError::TimedOut));
    assert_eq!(block_on(rx.recv().timeout(Duration::from_micros(1))), Err(RecvError::TimedOut));
    tx.send(1).deadline(past).wait().unwrap();
    assert_eq!(tx.send(2).timeout(Duration::ZERO).wait(), Err(SendError::TimedOut(2)));

    let token = Token::new();
    token.cancel();
    assert_eq!(tx.send(3).cancel_on(&token).wait(), Err(SendError::Cancelled(3)));
    assert_eq!(rx.recv().cancel_on(&token).wait(), Err(RecvError::Cancelled));
    assert_eq!(rx.recv().wait(), Ok(1));

    let token = Token::new();
    let (woken, waker) = counting();
    {
        let mut recv = pin!(rx.recv().timeout(Duration::from_secs(3600)).cancel_on(&token));
        assert!(recv.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        token.cancel();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(block_on(recv), Err(RecvError::Cancelled));
    }
    let seen = tx.snapshot();
    assert_eq!((seen.send_failures.timed_out, seen.send_failures.cancelled), (1, 1));
    assert_eq!((seen.receive_failures.timed_out, seen.receive_failures.cancelled), (2, 2));
    assert_eq!((seen.senders_waiting, seen.receivers_waiting), (0, 0));
}

#[test]
fn a_thread_that_waits_is_cancelled() {
    let (_tx, mut rx) = bounded_spsc::<u32>(1);
    let token = Token::new();
    thread::scope(|scope| {
        let receiver = scope.spawn(|| rx.recv().cancel_on(&token).wait());
        token.cancel();
        assert_eq!(receiver.join().unwrap(), Err(RecvError::Cancelled));
    });
}

#[test]
fn values_are_weighed() {
    let (mut tx, mut rx) = SpscBuilder::bounded(4).weigh(|text: &String| text.len() as u64).build();
    tx.try_send("one".into()).unwrap();
    tx.send_many(&mut VecDeque::from(["three".into(), "four".into()])).wait().unwrap();
    assert_eq!(rx.recv().wait().unwrap(), "one");
    let mut rest = Vec::new();
    assert_eq!(rx.recv_many(&mut rest, 1).wait(), Ok(1));
    let seen = rx.snapshot();
    assert_eq!((seen.bytes_sent, seen.bytes_received), (12, 8));
}

#[test]
fn batches_move_what_they_can() {
    let (mut tx, mut rx) = bounded_spsc(5);
    let mut out: VecDeque<u64> = (0..8).collect();
    assert_eq!(tx.try_send_many(&mut out), Ok(5));
    assert_eq!(tx.try_send_many(&mut out), Err(SendManyError::Full));
    let mut got = Vec::new();
    assert_eq!(rx.try_recv_many(&mut got, 3), Ok(3));
    assert_eq!(tx.try_send_many(&mut out), Ok(3));
    assert_eq!(rx.try_recv_many(&mut got, 0), Ok(0));
    assert_eq!(rx.try_recv_many(&mut got, 100), Ok(5));
    assert_eq!(got, (0..8).collect::<Vec<_>>());
    assert_eq!(rx.try_recv_many(&mut got, 1), Err(TryRecvError::Empty));
    assert_eq!(tx.try_send_many(&mut out), Ok(0));
}

#[derive(Debug, Clone)]
enum Step {
    Send(usize),
    SendMany(usize),
    Recv(usize),
    RecvMany(usize),
    PollRecv,
    PollSend,
    CloseTx,
    CloseRx,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..50_usize).prop_map(Step::Send),
        2 => (0..80_usize).prop_map(Step::SendMany),
        4 => (1..50_usize).prop_map(Step::Recv),
        2 => (0..80_usize).prop_map(Step::RecvMany),
        2 => Just(Step::PollRecv),
        2 => Just(Step::PollSend),
        1 => Just(Step::CloseTx),
        1 => Just(Step::CloseRx),
    ];
    proptest::collection::vec(step, 0..if cfg!(miri) { 12 } else { 80 })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Against a queue, with capacities below, at and above a block of the ring.
    #[test]
    fn it_is_a_queue(capacity in prop_oneof![1..5_usize, 60..70_usize, 120..300_usize], steps in steps()) {
        let (mut tx, mut rx) = bounded_spsc(capacity);
        let mut model = VecDeque::new();
        let (mut next, mut closed, mut sends, mut receives) = (0, false, 0, 0);
        for step in steps {
            match step {
                Step::Send(times) => for _ in 0..times {
                    let sent = tx.try_send(Wide::new(next));
                    let room = !closed && model.len() < capacity;
                    prop_assert_eq!(sent.is_ok(), room);
                    prop_assert_eq!(sent.is_err_and(|error| error.is_closed()), closed);
                    if room { model.push_back(next); sends += 1; }
                    next += 1;
                },
                Step::SendMany(count) => {
                    let mut values: VecDeque<_> = (next..next + count as u64).map(Wide::new).collect();
                    let fits = if closed { 0 } else { count.min(capacity - model.len()) };
                    let sent = tx.try_send_many(&mut values);
                    prop_assert_eq!(sent.unwrap_or(0), fits);
                    prop_assert_eq!(values.front().map(|value| value.0),
                        (fits < count).then_some(next + fits as u64));
                    model.extend(next..next + fits as u64);
                    sends += fits as u64;
                    next += count as u64;
                }
                Step::Recv(times) => for _ in 0..times {
                    let expected = model.pop_front();
                    receives += u64::from(expected.is_some());
                    let none = if closed { TryRecvError::Closed } else { TryRecvError::Empty };
                    prop_assert_eq!(rx.try_recv().map(Wide::open), expected.ok_or(none));
                },
                Step::RecvMany(max) => {
                    let mut values = Vec::new();
                    let count = max.min(model.len());
                    prop_assert_eq!(rx.try_recv_many(&mut values, max).unwrap_or(0), count);
                    let expected: Vec<_> = model.drain(..count).collect();
                    receives += count as u64;
                    prop_assert_eq!(values.into_iter().map(Wide::open).collect::<Vec<_>>(), expected);
                }
                Step::PollRecv => {
                    let polled = block_on(poll_once(rx.recv()));
                    let expected = model.pop_front();
                    receives += u64::from(expected.is_some());
                    let expected = expected.map(Ok).or(closed.then_some(Err(RecvError::Closed)));
                    prop_assert_eq!(polled.map(|value| value.map(Wide::open)), expected);
                }
                Step::PollSend => {
                    let polled = block_on(poll_once(tx.send(Wide::new(next))));
                    let room = !closed && model.len() < capacity;
                    prop_assert_eq!(polled.is_some(), room || closed);
                    prop_assert_eq!(polled.is_some_and(|sent| sent.is_ok()), room);
                    if room { model.push_back(next); sends += 1; }
                    next += 1;
                }
                Step::CloseTx => { prop_assert_eq!(tx.close(), !closed); closed = true; }
                Step::CloseRx => { prop_assert_eq!(rx.close(), !closed); closed = true; }
            }
            let seen = rx.snapshot();
            prop_assert_eq!((seen.len, tx.len()), (model.len(), model.len()));
            prop_assert_eq!((seen.sends, seen.receives), (sends, receives));
        }
    }
}

#[test]
fn a_stream_between_threads_keeps_every_value_in_order() {
    for capacity in [1, 2, 3, 64, 200, 1024] {
        let many = if capacity < 4 { MANY / 20 } else { MANY } / or_long(4, 1);
        let (mut tx, mut rx) = bounded_spsc(capacity);
        thread::scope(|scope| {
            scope.spawn(move || (0..many).for_each(|n| tx.send(Wide::new(n)).wait().unwrap()));
            for n in 0..many {
                assert_eq!(rx.recv().wait().unwrap().open(), n);
            }
            assert_eq!(rx.recv().wait(), Err(RecvError::Closed));
        });
    }
}

#[test]
fn batches_between_threads_keep_every_value_in_order() {
    for capacity in [1, 7, 200] {
        let many = MANY / 10;
        let (mut tx, mut rx) = bounded_spsc(capacity);
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut next = 0;
                while next < many {
                    let mut batch: VecDeque<_> =
                        (next..many.min(next + 100)).map(Wide::new).collect();
                    next += batch.len() as u64;
                    tx.send_many(&mut batch).wait().unwrap();
                }
            });
            let (mut expected, mut values) = (0, Vec::new());
            while rx.recv_many(&mut values, 33).wait().is_ok() {
                for value in values.drain(..) {
                    assert_eq!(value.open(), expected);
                    expected += 1;
                }
            }
            assert_eq!(expected, many);
        });
    }
}

#[test]
fn two_threads_that_answer_each_other_lose_no_wake_up() {
    let (mut ask, mut asked) = bounded_spsc(1);
    let (mut answer, mut answered) = bounded_spsc(1);
    thread::scope(|scope| {
        scope.spawn(move || {
            for n in asked.iter() {
                answer.send(n + 1).wait().unwrap();
            }
        });
        for n in 0..MANY / 20 {
            ask.send(n).wait().unwrap();
            assert_eq!(answered.recv().wait(), Ok(n + 1));
        }
        drop(ask);
    });
}

/// One task on each of two threads, with bursts, so that waits start and end repeatedly.
#[test]
fn tasks_on_two_threads_keep_every_value_in_order() {
    for capacity in [1, 3, 200] {
        let many = MANY / 20;
        let (mut tx, mut rx) = bounded_spsc(capacity);
        thread::scope(|scope| {
            scope.spawn(move || {
                block_on(async move {
                    for n in 0..many {
                        tx.send(Wide::new(n)).await.unwrap();
                        if n % 7 == 0 {
                            yield_now().await;
                        }
                    }
                });
            });
            block_on(async {
                for n in 0..many {
                    assert_eq!(rx.recv().await.unwrap().open(), n);
                }
                assert_eq!(rx.recv().await, Err(RecvError::Closed));
            });
        });
    }
}

#[test]
fn two_tasks_on_one_thread_take_turns() {
    for capacity in [1, 2, 5] {
        let (mut tx, mut rx) = bounded_spsc(capacity);
        let received = block_on(async {
            let send = async {
                for n in 0..MANY / 20 {
                    tx.send(n).await.unwrap();
                }
                drop(tx);
            };
            let receive = async {
                let mut expected = 0;
                while let Ok(n) = rx.recv().await {
                    assert_eq!(n, expected);
                    expected += 1;
                }
                expected
            };
            futures_lite::future::zip(send, receive).await.1
        });
        assert_eq!(received, MANY / 20);
    }
}

/// The receiver closes, or is dropped, at any moment of a stream: every accepted value is received
/// or undelivered, once and in order, and the sends return the rest.
#[test]
fn closing_in_the_middle_loses_and_doubles_nothing() {
    let rounds = if cfg!(miri) { 6 } else { 600 };
    for round in 0..rounds {
        let (mut tx, mut rx, lost) = with_hook(1 + round % 5);
        let accepted = AtomicU64::new(0);
        let mut received = Vec::new();
        thread::scope(|scope| {
            let accepted = &accepted;
            scope.spawn(move || {
                for n in 0.. {
                    let sent = if round % 2 == 0 {
                        tx.send(n).wait().map_err(SendError::into_inner)
                    } else {
                        tx.send_many(&mut VecDeque::from([n])).wait().map_err(|_| n)
                    };
                    if let Err(back) = sent {
                        assert_eq!(back, n);
                        accepted.store(n, Ordering::Relaxed);
                        assert_eq!(tx.snapshot().sends, n);
                        return;
                    }
                }
            });
            for _ in 0..round % 37 {
                received.push(rx.recv().wait().unwrap());
            }
            if round % 3 == 0 {
                assert!(rx.close());
                received.extend(rx.iter());
            }
            drop(rx);
        });
        received.extend(lost.lock().iter());
        assert_eq!(received, (0..accepted.into_inner()).collect::<Vec<_>>());
    }
}
