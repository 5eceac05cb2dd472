// SPDX-License-Identifier: BSD-3-Clause
//! One test for each known defect of channels of this kind.
//!
//! Where a defect was published, the test names the report. The defects of selects are in
//! `known_mistakes_select.rs`, those of a scheduler's hook in `park_hook.rs`; waits that burn CPU
//! time in `idle.rs`; user code that runs under a lock in `reentry.rs`.

use std::collections::VecDeque;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{KINDS, QUEUES, Tally, Wakes, channel, poll, poll_once, thread_cpu, until};
use becket_chan::{
    Builder, RecvError, SendError, Token, TryRecvError, TrySendError, bounded, conflated,
    rendezvous, unlimited,
};
use futures_lite::future::block_on;

/// More than any batch in which waiters might be woken.
const MANY: usize = 1000;

#[test]
fn close_wakes_every_waiting_task_not_only_a_few() {
    for kind in KINDS {
        let (tx, rx) = channel::<usize>(kind);
        let wakes: Vec<_> = (0..MANY).map(|_| Wakes::new()).collect();
        let mut receives: Vec<_> = (0..MANY).map(|_| Box::pin(rx.recv())).collect();
        for (receive, wakes) in receives.iter_mut().zip(&wakes) {
            assert!(poll(receive, wakes).is_pending());
        }
        assert_eq!(rx.snapshot().receivers_waiting, MANY);
        assert!(tx.close());
        for (receive, wakes) in receives.iter_mut().zip(&wakes) {
            assert_eq!(wakes.count(), 1, "{kind:?}");
            assert_eq!(poll(receive, wakes), Poll::Ready(Err(RecvError::Closed)));
        }
        assert_eq!(rx.snapshot().receive_failures.closed, MANY as u64);
    }
    for kind in [KINDS[0], KINDS[1], KINDS[2]] {
        let (tx, rx) = channel(kind);
        (0..kind.1).for_each(|n| tx.try_send(n).unwrap());
        let wakes: Vec<_> = (0..MANY).map(|_| Wakes::new()).collect();
        let mut sends: Vec<_> = (0..MANY).map(|n| Box::pin(tx.send(n))).collect();
        for (send, wakes) in sends.iter_mut().zip(&wakes) {
            assert!(poll(send, wakes).is_pending());
        }
        assert!(rx.close());
        for (n, (send, wakes)) in sends.iter_mut().zip(&wakes).enumerate() {
            assert_eq!(wakes.count(), 1, "{kind:?}");
            assert_eq!(poll(send, wakes), Poll::Ready(Err(SendError::Closed(n))));
        }
        assert_eq!(rx.len(), kind.1, "what was accepted before is still there");
    }
}

#[test]
fn close_wakes_every_waiting_thread_not_only_a_few() {
    for kind in KINDS {
        let (tx, rx) = channel::<usize>(kind);
        thread::scope(|scope| {
            let waiting: Vec<_> = (0..32).map(|_| scope.spawn(|| rx.recv().wait())).collect();
            until(|| rx.snapshot().receivers_waiting == 32);
            tx.close();
            for thread in waiting {
                assert_eq!(thread.join().unwrap(), Err(RecvError::Closed), "{kind:?}");
            }
        });
    }
}

#[test]
fn the_last_handle_of_a_side_closes_and_wakes_the_other_side() {
    for kind in KINDS {
        let (tx, rx) = channel::<usize>(kind);
        let (wakes, more) = (Wakes::new(), tx.clone());
        let mut receive = Box::pin(rx.recv());
        assert!(poll(&mut receive, &wakes).is_pending());
        drop(tx);
        assert_eq!((wakes.count(), more.is_closed()), (0, false), "{kind:?}: one sender is left");
        drop(more);
        assert_eq!(wakes.count(), 1, "{kind:?}");
        assert_eq!(poll(&mut receive, &wakes), Poll::Ready(Err(RecvError::Closed)));
    }
}

#[test]
fn unlimited_grows_for_a_waiting_send_whatever_its_size() {
    for n in [1, 2, 3, 5, 7, 63, 64, 65, 100, 255, 257, 319, 320, 321, 1000, 4099] {
        let (tx, rx) = unlimited();
        for value in 0..n {
            assert_eq!(poll_once(&mut Box::pin(tx.send(value))), Poll::Ready(Ok(())));
        }
        assert_eq!((tx.len(), tx.snapshot().high_water), (n, n));
        // Half out, as many in again: the stored values wrap around.
        for value in 0..n / 2 {
            assert_eq!(rx.try_recv(), Ok(value));
            tx.send(n + value).wait().unwrap();
        }
        assert_eq!(drain(&rx), (n / 2..n + n / 2).collect::<Vec<_>>());
    }
}

#[test]
fn bounded_holds_exactly_its_capacity_over_many_laps_power_of_two_or_not() {
    for capacity in [1, 2, 3, 5, 6, 7, 9, 10, 31, 33, 100] {
        let (tx, rx) = bounded(capacity);
        let mut next = 0;
        for lap in 0..50 {
            for n in 0..capacity {
                assert_eq!(tx.len(), n);
                tx.try_send(lap * capacity + n).unwrap();
            }
            assert!(tx.is_full());
            assert_eq!(tx.try_send(0), Err(TrySendError::Full(0)), "capacity {capacity}");
            // The next lap begins at another slot.
            let keep = lap % capacity;
            for _ in 0..capacity {
                assert_eq!(rx.try_recv(), Ok(next));
                next += 1;
            }
            for _ in 0..keep {
                tx.try_send(usize::MAX).unwrap();
                assert_eq!(rx.try_recv(), Ok(usize::MAX));
            }
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        }
    }
}

#[test]
fn cancelling_reaches_children_grandchildren_and_all_below() {
    let (_tx, rx) = rendezvous::<()>();
    let root = Token::new();
    let mut line = vec![root.child()];
    while line.len() < MANY {
        line.push(line[line.len() - 1].child());
    }
    let beside = Token::new().child();
    let wakes = Wakes::new();
    let mut waiting: Vec<_> =
        line.iter().map(|token| Box::pin(rx.recv().cancel_on(token))).collect();
    for receive in &mut waiting {
        assert!(poll(receive, &wakes).is_pending());
    }
    assert!(root.cancel());
    assert_eq!(wakes.count(), MANY as u64);
    for receive in &mut waiting {
        assert_eq!(poll(receive, &wakes), Poll::Ready(Err(RecvError::Cancelled)));
    }
    assert!(line.iter().all(Token::is_cancelled) && !beside.is_cancelled());
    assert!(line[MANY / 2].child().child().is_cancelled(), "born cancelled");
    assert!(!root.cancel(), "once");
}

#[test]
fn cancelling_a_child_spares_its_parent_and_siblings() {
    let root = Token::new();
    let (left, right) = (root.child(), root.child());
    let below = left.child();
    assert!(left.cancel());
    assert_eq!([&root, &left, &right, &below].map(Token::is_cancelled), [false, true, false, true]);
}

#[test]
fn ten_thousand_waiters_on_one_token_wake_in_one_cancel() {
    let (_tx, rx) = rendezvous::<()>();
    let (token, wakes) = (Token::new(), Wakes::new());
    let mut waiting: Vec<_> = (0..10_000).map(|_| Box::pin(rx.recv().cancel_on(&token))).collect();
    for receive in &mut waiting {
        assert!(poll(receive, &wakes).is_pending());
    }
    token.cancel();
    assert_eq!(wakes.count(), 10_000);
    for receive in &mut waiting {
        assert_eq!(poll_once(receive), Poll::Ready(Err(RecvError::Cancelled)));
    }
    drop(waiting);
    assert_eq!(rx.snapshot().receivers_waiting, 0);
}

#[test]
fn a_receive_on_a_closed_empty_channel_ends_and_does_not_spin() {
    for kind in KINDS {
        let (tx, rx) = channel::<u8>(kind);
        tx.close();
        assert_eq!(rx.recv().wait(), Err(RecvError::Closed), "{kind:?}");
        assert_eq!(block_on(rx.recv()), Err(RecvError::Closed), "{kind:?}");
        assert_eq!(rx.recv_many(&mut Vec::new(), 5).wait(), Err(RecvError::Closed), "{kind:?}");
        assert_eq!(block_on(rx.recv_many(&mut Vec::new(), 5)), Err(RecvError::Closed));
    }
    // The one with the defect: a conflated channel whose value has been taken.
    let (tx, rx) = conflated();
    tx.try_send(1).unwrap();
    drop(tx);
    assert_eq!((rx.recv().wait(), rx.recv().wait()), (Ok(1), Err(RecvError::Closed)));
}

#[test]
fn a_try_receive_on_a_closed_empty_channel_says_closed_not_empty() {
    for kind in KINDS {
        let (tx, rx) = channel::<u8>(kind);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty), "{kind:?}");
        assert_eq!(rx.try_recv_many(&mut Vec::new(), 5), Err(TryRecvError::Empty), "{kind:?}");
        tx.close();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Closed), "{kind:?}");
        assert_eq!(rx.try_recv_many(&mut Vec::new(), 5), Err(TryRecvError::Closed), "{kind:?}");
        assert_eq!(tx.try_send(7), Err(TrySendError::Closed(7)), "{kind:?}");
    }
}

#[test]
fn a_small_buffer_between_two_workers_neither_stalls_nor_loses() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for capacity in [1, 2, 3] {
        let (tx, rx) = bounded(capacity);
        let sending = runtime.spawn(async move {
            for n in 0..20_000 {
                tx.send(n).await.unwrap();
            }
        });
        let receiving = runtime.spawn(async move {
            for n in 0..20_000 {
                assert_eq!(rx.recv().await, Ok(n));
            }
            assert_eq!(rx.recv().await, Err(RecvError::Closed));
        });
        runtime.block_on(async { (sending.await.unwrap(), receiving.await.unwrap()) });
    }
}

#[test]
fn a_value_between_the_check_and_the_sleep_wakes_the_sleeper() {
    // Each round both sides sleep or are about to; one lost wake hangs the test.
    for kind in [KINDS[0], KINDS[1], (becket_chan::Kind::Unlimited, 0)] {
        let (ping, pinged) = channel::<u32>(kind);
        let (pong, ponged) = channel::<u32>(kind);
        thread::scope(|scope| {
            scope.spawn(move || {
                while let Ok(n) = pinged.recv().wait() {
                    pong.send(n).wait().unwrap();
                }
            });
            for n in 0..5000 {
                ping.send(n).wait().unwrap();
                assert_eq!(ponged.recv().wait(), Ok(n));
            }
            drop(ping);
        });
    }
}

#[test]
fn a_deadline_that_passes_before_the_sleep_is_not_dropped() {
    let (_tx, rx) = rendezvous::<()>();
    for nanoseconds in (0..50_000).step_by(100) {
        let limit = Duration::from_nanos(nanoseconds);
        assert_eq!(rx.recv().timeout(limit).wait(), Err(RecvError::TimedOut));
        assert_eq!(block_on(rx.recv().timeout(limit)), Err(RecvError::TimedOut));
    }
    let past = Instant::now();
    assert_eq!(rx.recv().deadline(past).wait(), Err(RecvError::TimedOut));
    assert_eq!(block_on(rx.recv().deadline(past)), Err(RecvError::TimedOut));
}

#[test]
fn counters_count_both_sides() {
    for kind in QUEUES {
        let (tx, rx) = channel::<u32>(kind);
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..500 {
                    tx.send(n).wait().unwrap();
                }
                tx.send_many(&mut (0..500).collect()).wait().unwrap();
                block_on(async {
                    for n in 0..500 {
                        tx.send(n).await.unwrap();
                    }
                });
            });
            for _ in 0..500 {
                rx.recv().wait().unwrap();
            }
            let mut values = Vec::new();
            while values.len() < 500 {
                let room = 500 - values.len();
                rx.recv_many(&mut values, room).wait().unwrap();
            }
            for _ in 0..500 {
                block_on(rx.recv()).unwrap();
            }
        });
        let seen = rx.snapshot();
        assert_eq!((seen.sends, seen.receives, seen.len), (1500, 1500, 0), "{kind:?}");
        assert_eq!((seen.bytes_sent, seen.bytes_received), (6000, 6000), "{kind:?}");
        let matches = if kind.1 == 0 && kind == KINDS[0] { 1500 } else { 0 };
        assert_eq!(seen.matches, matches, "{kind:?}");
    }
    // Failures, by side and cause.
    let (tx, rx) = bounded(1);
    let (token, past) = (Token::new(), Instant::now());
    token.cancel();
    rx.try_recv().unwrap_err();
    rx.recv().deadline(past).wait().unwrap_err();
    rx.recv().cancel_on(&token).wait().unwrap_err();
    tx.try_send(1).unwrap();
    tx.try_send(1).unwrap_err();
    tx.send(1).deadline(past).wait().unwrap_err();
    tx.send(1).cancel_on(&token).wait().unwrap_err();
    tx.close();
    rx.try_recv().unwrap();
    tx.try_send(1).unwrap_err();
    tx.send(1).wait().unwrap_err();
    rx.try_recv().unwrap_err();
    rx.recv().wait().unwrap_err();
    let seen = tx.snapshot();
    for failures in [seen.send_failures, seen.receive_failures] {
        let causes =
            (failures.would_block, failures.timed_out, failures.cancelled, failures.closed);
        assert_eq!((causes, failures.total()), ((1, 1, 1, 2), 5));
    }
}

#[test]
fn a_pending_operation_whose_waker_changed_wakes_the_new_one() {
    // kanal 0.1.1, on the send side.
    for kind in [KINDS[0], KINDS[1], KINDS[2]] {
        let (tx, rx) = channel(kind);
        (0..kind.1).for_each(|n| tx.try_send(n).unwrap());
        let (old, new) = (Wakes::new(), Wakes::new());
        let mut send = Box::pin(tx.send(99));
        assert!(poll(&mut send, &old).is_pending() && poll(&mut send, &new).is_pending());
        rx.try_recv().unwrap();
        assert_eq!((old.count(), new.count()), (0, 1), "{kind:?}");
        assert_eq!(poll(&mut send, &old), Poll::Ready(Ok(())));
    }
    for kind in KINDS {
        let (tx, rx) = channel(kind);
        let (old, new, token) = (Wakes::new(), Wakes::new(), Token::new());
        let mut receive = Box::pin(rx.recv());
        let mut limited = Box::pin(rx.recv().cancel_on(&token));
        let mut many = Vec::new();
        let mut batch = Box::pin(rx.recv_many(&mut many, 1));
        let mut cancelled = Box::pin(token.cancelled());
        for wakes in [&old, &new] {
            assert!(poll(&mut receive, wakes).is_pending());
            assert!(poll(&mut limited, wakes).is_pending());
            assert!(poll(&mut batch, wakes).is_pending());
            assert!(poll(&mut cancelled, wakes).is_pending());
        }
        tx.try_send(1).unwrap();
        assert_eq!((old.count(), new.count()), (0, 1), "{kind:?}");
        token.cancel();
        assert_eq!((old.count(), new.count()), (0, 3), "{kind:?}");
        tx.try_send(2).unwrap();
        assert_eq!((old.count(), new.count()), (0, 4), "{kind:?}");
        assert_eq!(poll(&mut receive, &old), Poll::Ready(Ok(1)));
        assert_eq!(poll(&mut limited, &old), Poll::Ready(Err(RecvError::Cancelled)));
        assert_eq!(poll(&mut batch, &old), Poll::Ready(Ok(1)));
        assert_eq!(poll(&mut cancelled, &old), Poll::Ready(true));
        drop(batch);
        assert_eq!(many, [2]);
    }
}

#[test]
fn a_cancelled_receive_does_not_lose_its_message() {
    // kanal#24, fibre 0.6.8.
    for kind in KINDS {
        let (tx, rx) = channel(kind);
        let wakes = Wakes::new();
        let mut first = Box::pin(rx.recv());
        let mut second = Box::pin(rx.recv());
        assert!(poll_once(&mut first).is_pending());
        assert!(poll(&mut second, &wakes).is_pending());
        tx.try_send(1).unwrap();
        drop(first);
        assert_eq!(wakes.count(), 1, "{kind:?}: it goes on to the next");
        assert_eq!(poll(&mut second, &wakes), Poll::Ready(Ok(1)), "{kind:?}");
    }
    for kind in QUEUES {
        // No other receive waits: it comes first again. Three of them: in their order.
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let (tx, rx) = channel(kind);
            let mut waiting: Vec<_> = (0..3).map(|_| Some(Box::pin(rx.recv()))).collect();
            for receive in waiting.iter_mut().flatten() {
                assert!(poll_once(receive).is_pending());
            }
            (0..3).for_each(|n| tx.try_send(n).unwrap());
            let all = if tx.try_send(3).is_ok() { 4 } else { 3 };
            order.into_iter().for_each(|at| waiting[at] = None);
            assert_eq!(rx.len(), all);
            assert_eq!(drain(&rx), (0..all).collect::<Vec<_>>(), "{kind:?}, {order:?}");
            let seen = rx.snapshot();
            assert_eq!((seen.sends, seen.receives), (all as u64, all as u64), "{kind:?}");
        }
    }
}

#[test]
fn a_conflated_value_that_was_given_back_is_conflated_like_any_other() {
    let (lost, heard) = unlimited();
    let (tx, rx) = Builder::conflated().on_undelivered(move |n| lost.try_send(n).unwrap()).build();
    let mut receive = Box::pin(rx.recv());
    assert!(poll_once(&mut receive).is_pending());
    tx.try_send(1).unwrap();
    drop(receive);
    tx.try_send(2).unwrap();
    assert_eq!((rx.len(), heard.try_recv()), (1, Ok(1)));
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(2), Err(TryRecvError::Empty)));
    // Two that were handed off, requeued in either order: the latest stays.
    for order in [[0, 1], [1, 0]] {
        let mut waiting = [0, 1].map(|_| Some(Box::pin(rx.recv())));
        for receive in waiting.iter_mut().flatten() {
            assert!(poll_once(receive).is_pending());
        }
        tx.try_send(3).unwrap();
        tx.try_send(4).unwrap();
        order.into_iter().for_each(|at| waiting[at] = None);
        assert_eq!((rx.len(), heard.try_recv(), rx.try_recv()), (1, Ok(3), Ok(4)), "{order:?}");
    }
    assert_eq!(rx.snapshot().conflated, 3);
}

#[test]
fn a_rendezvous_does_not_buffer() {
    // flume#140.
    let (tx, rx) = rendezvous();
    assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
    let mut send = Box::pin(tx.send(2));
    assert!(poll_once(&mut send).is_pending(), "no receiver has taken it");
    assert_eq!((tx.len(), rx.snapshot().sends), (0, 0));
    drop(send);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty), "it went with its operation");
    let mut send = Box::pin(tx.send(3));
    assert!(poll_once(&mut send).is_pending());
    assert_eq!(rx.try_recv(), Ok(3));
    assert_eq!(poll_once(&mut send), Poll::Ready(Ok(())), "now somebody has");
    assert!(bounded::<()>(0).0.try_send(()).is_err(), "a capacity of 0 is a rendezvous");
}

/// CPU time of the fastest of some runs.
fn cheapest(mut run: impl FnMut() -> Duration) -> Duration {
    (0..5).map(|_| run()).min().unwrap()
}

fn assert_linear(what: &str, run: impl Fn(usize) -> Duration) {
    let (few, many) = (cheapest(|| run(1000)), cheapest(|| run(32_000)));
    // 32 times as many cost some 32 times as much, or 1024 times if each visits all the others.
    assert!(many < few * 200, "{what}: {few:?} for 1000, {many:?} for 32000");
}

#[test]
fn close_with_many_waiters_takes_linear_time() {
    // flume.
    assert_linear("receivers", |n| {
        let (tx, rx) = rendezvous::<()>();
        let mut waiting: Vec<_> = (0..n).map(|_| Box::pin(rx.recv())).collect();
        waiting.iter_mut().for_each(|receive| assert!(poll_once(receive).is_pending()));
        let before = thread_cpu();
        tx.close();
        thread_cpu() - before
    });
    assert_linear("senders", |n| {
        let (tx, rx) = rendezvous();
        let mut waiting: Vec<_> = (0..n).map(|n| Box::pin(tx.send(n))).collect();
        waiting.iter_mut().for_each(|send| assert!(poll_once(send).is_pending()));
        let before = thread_cpu();
        rx.close();
        thread_cpu() - before
    });
}

#[test]
fn dropping_many_waiters_in_any_order_takes_linear_time() {
    for backwards in [false, true] {
        assert_linear("drop", |n| {
            let (_tx, rx) = rendezvous::<()>();
            let mut waiting: Vec<_> = (0..n).map(|_| Box::pin(rx.recv())).collect();
            waiting.iter_mut().for_each(|receive| assert!(poll_once(receive).is_pending()));
            if backwards {
                waiting.reverse();
            }
            let before = thread_cpu();
            drop(waiting);
            thread_cpu() - before
        });
    }
}

#[test]
fn one_value_wakes_one_receiver_and_one_place_one_sender() {
    for kind in KINDS {
        let (tx, rx) = channel(kind);
        let wakes: Vec<_> = (0..100).map(|_| Wakes::new()).collect();
        let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(rx.recv())).collect();
        for (receive, wakes) in waiting.iter_mut().zip(&wakes) {
            assert!(poll(receive, wakes).is_pending());
        }
        for n in 0..100 {
            tx.try_send(n).unwrap();
            let woken: Vec<_> = wakes.iter().map(|wakes| wakes.count()).collect();
            let expected: Vec<_> = (0..100).map(|at| u64::from(at <= n)).collect();
            assert_eq!(woken, expected, "{kind:?}");
        }
    }
    for kind in [KINDS[0], KINDS[1], KINDS[2]] {
        let (tx, rx) = channel(kind);
        (0..kind.1).for_each(|n| tx.try_send(n).unwrap());
        let wakes: Vec<_> = (0..50).map(|_| Wakes::new()).collect();
        let mut waiting: Vec<_> = (0..50).map(|n| Box::pin(tx.send(n + kind.1))).collect();
        for (send, wakes) in waiting.iter_mut().zip(&wakes) {
            assert!(poll(send, wakes).is_pending());
        }
        for n in 0..50 {
            assert_eq!(rx.try_recv(), Ok(n));
            let woken: u64 = wakes.iter().map(|wakes| wakes.count()).sum();
            assert_eq!((woken, wakes[n].count()), (n as u64 + 1, 1), "{kind:?}");
        }
    }
}

#[test]
fn what_a_half_drained_channel_holds_is_dropped_once() {
    // RUSTSEC-2025-0024: the block list of an unlimited channel, given up between two blocks.
    for kind in KINDS {
        for sent in [0, 1, 2, 31, 32, 63, 64, 65, 255, 256, 319, 320, 321, 576, 577, 1000] {
            for taken in [0, 1, 31, 32, 64, 65, 255, 256, 320, 321, sent] {
                let tally = Tally::default();
                let (tx, rx) = channel(kind);
                (0..sent).for_each(|id| drop(tx.try_send(tally.item(id))));
                (0..taken).for_each(|_| drop(rx.try_recv()));
                if taken % 2 == 0 {
                    drop((tx, rx));
                } else {
                    drop((rx, tx));
                }
                assert_eq!(tally.alive(), 0, "{kind:?}: {sent} sent, {taken} taken");
            }
        }
    }
}

#[test]
fn sends_that_race_with_the_last_receiver_are_dropped_once() {
    // RUSTSEC-2025-0024 again: a block that was being installed while the receiver left.
    for kind in KINDS {
        for round in 0..40 {
            let tally = Tally::default();
            let (tx, rx) = channel(kind);
            thread::scope(|scope| {
                for sender in 0..2 {
                    let (tx, tally) = (tx.clone(), &tally);
                    scope.spawn(move || {
                        for id in 0.. {
                            if tx.send(tally.item(sender * 1_000_000 + id)).wait().is_err() {
                                break;
                            }
                            // Where it never waits, the receiver needs a CPU all the same.
                            thread::yield_now();
                        }
                    });
                }
                drop(tx);
                for _ in 0..round * 3 {
                    rx.recv().wait().unwrap();
                }
                drop(rx);
            });
            assert_eq!(tally.alive(), 0, "{kind:?}, round {round}");
        }
    }
}

#[test]
fn a_send_that_failed_gives_its_value_back() {
    // async-channel#87, tokio#5947.
    let (tx, rx) = rendezvous();
    let token = Token::new();
    let past = Instant::now();
    assert_eq!(tx.try_send(1).unwrap_err().into_inner(), 1);
    assert_eq!(tx.send(2).deadline(past).wait(), Err(SendError::TimedOut(2)));
    let mut send = Box::pin(tx.send(3).cancel_on(&token));
    assert!(poll_once(&mut send).is_pending());
    token.cancel();
    assert_eq!(poll_once(&mut send), Poll::Ready(Err(SendError::Cancelled(3))));
    rx.close();
    assert_eq!(tx.send(4).wait(), Err(SendError::Closed(4)));
    assert_eq!(tx.send(5).cancel_on(&token).wait(), Err(SendError::Cancelled(5)));
}

#[test]
fn a_batch_that_was_given_up_keeps_what_it_did_not_send() {
    let (tx, rx) = bounded(2);
    let mut values: VecDeque<_> = (0..5).collect();
    let mut send = Box::pin(tx.send_many(&mut values));
    assert!(poll_once(&mut send).is_pending());
    drop(send);
    assert_eq!(values, [2, 3, 4]);
    let mut send = Box::pin(tx.send_many(&mut values));
    assert!(poll_once(&mut send).is_pending());
    assert_eq!(rx.try_recv(), Ok(0));
    drop(send);
    // 2 moved up when 0 was received: it was sent, and is not in the queue any more.
    assert_eq!((drain(&rx), values), (vec![1, 2], VecDeque::from([3, 4])));
}

fn drain<T>(rx: &becket_chan::Receiver<T>) -> Vec<T> {
    std::iter::from_fn(|| rx.try_recv().ok()).collect()
}

/// An attempt that would have to wait is no failure, and its operation goes on; a send that is
/// withdrawn keeps its value from the hook.
#[test]
fn an_operation_that_is_tried_or_withdrawn_leaves_no_trace() {
    let (lost, undelivered) = unlimited();
    let hook = move |value| lost.try_send(value).unwrap();
    let (tx, rx) = Builder::bounded(1).on_undelivered(hook).build();
    let Err(receive) = rx.recv().now() else { panic!("there is no value") };
    assert_eq!(tx.send(1).now().ok(), Some(Ok(())));
    assert_eq!(receive.now().ok(), Some(Ok(1)));
    tx.try_send(2).unwrap();
    let Err(send) = tx.send(3).now() else { panic!("there is no room") };
    let mut send = Box::pin(send);
    assert!(poll_once(&mut send).is_pending());
    assert_eq!((send.as_mut().withdraw(), send.as_mut().withdraw()), (Some(3), None));
    let mut sent = Box::pin(tx.send(4));
    assert!(poll_once(&mut sent).is_pending());
    assert_eq!(rx.try_recv(), Ok(2));
    assert_eq!((sent.as_mut().withdraw(), rx.try_recv()), (None, Ok(4)));
    drop((send, sent));
    let seen = tx.snapshot();
    assert_eq!((seen.send_failures.total(), seen.receive_failures.total()), (0, 0));
    assert_eq!((seen.sends, seen.senders_waiting, undelivered.len()), (3, 0, 0));
}
