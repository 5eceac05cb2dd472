// SPDX-License-Identifier: BSD-3-Clause
//! The promises of Go's, crossbeam-channel's and Kotlin's channels, as properties of these
//! channels.
//!
//! The names state the property. Where this crate differs on purpose (a second close and a send on
//! a closed channel are results here, not panics), the test states the difference.

use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Dice, KINDS, QUEUES, Tally, Wakes, builder, channel, poll, poll_once, until};
use becket_chan::{
    Builder, Overflow, RecvError, SendError, Token, TryRecvError, TrySendError, bounded, conflated,
    rendezvous, select, unlimited,
};

#[test]
fn go_a_close_is_seen_after_every_value_that_was_sent_before() {
    for kind in [KINDS[2], KINDS[3], KINDS[5]] {
        let (tx, rx) = channel(kind);
        (0..3).for_each(|n| tx.try_send(n).unwrap());
        assert!(tx.close());
        assert_eq!(rx.len(), 3);
        assert_eq!([(); 3].map(|()| rx.recv().wait()), [Ok(0), Ok(1), Ok(2)], "{kind:?}");
        assert_eq!(rx.recv().wait(), Err(RecvError::Closed));
        assert_eq!(rx.recv().wait(), Err(RecvError::Closed), "and from then on always");
    }
}

#[test]
fn go_a_second_close_and_a_send_after_it_are_refused() {
    for kind in KINDS {
        let (tx, rx) = channel(kind);
        assert_eq!((tx.close(), tx.close(), rx.close()), (true, false, false), "{kind:?}");
        assert_eq!(tx.try_send(1), Err(TrySendError::Closed(1)));
        assert_eq!(tx.send(1).wait(), Err(SendError::Closed(1)));
        assert_eq!(poll_once(&mut Box::pin(tx.send(1))), Poll::Ready(Err(SendError::Closed(1))));
    }
}

#[test]
fn go_the_receive_number_k_happens_before_the_send_number_k_plus_capacity_completes() {
    for capacity in [1, 2, 5] {
        let (tx, rx) = bounded(capacity);
        let received = AtomicU32::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..2000 {
                    tx.send(n).wait().unwrap();
                    // A value beyond the buffer has been taken, or is being taken.
                    let taken = received.load(Ordering::SeqCst);
                    assert!(n < taken + capacity as u32 + 1, "{n} is sent, {taken} are received");
                }
            });
            for n in 0..2000 {
                received.store(n + 1, Ordering::SeqCst);
                assert_eq!(rx.recv().wait(), Ok(n));
            }
        });
    }
}

#[test]
fn go_a_rendezvous_send_completes_only_when_its_value_is_taken() {
    let (tx, rx) = rendezvous();
    let begun = AtomicU32::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..2000 {
                tx.send(n).wait().unwrap();
                assert!(begun.load(Ordering::SeqCst) > n, "no receive of {n} had started");
            }
        });
        for n in 0..2000 {
            begun.store(n + 1, Ordering::SeqCst);
            assert_eq!(rx.recv().wait(), Ok(n));
        }
    });
}

#[test]
fn go_length_and_capacity_are_what_is_held_and_what_can_be() {
    for capacity in [1, 2, 3, 10] {
        let (tx, rx) = bounded(capacity);
        for n in 0..capacity {
            assert_eq!((tx.len(), rx.len(), tx.is_full()), (n, n, false));
            tx.try_send(n).unwrap();
        }
        assert_eq!((tx.capacity(), rx.len(), rx.is_full()), (Some(capacity), capacity, true));
    }
    assert_eq!((rendezvous::<u8>().0.capacity(), unlimited::<u8>().0.capacity()), (Some(0), None));
    let (tx, _rx) = rendezvous::<u8>();
    assert!(tx.is_full() && tx.is_empty());
}

#[test]
fn go_a_select_with_a_default_never_waits() {
    for kind in KINDS {
        let (_tx, rx) = channel::<u32>(kind);
        assert!(select! { wait; _ = rx.recv() => false, default => true }, "{kind:?}");
    }
    let (tx, _rx) = rendezvous();
    assert!(select! { wait; _ = tx.send(1) => false, default => true });
}

#[test]
fn crossbeam_a_side_is_disconnected_when_its_last_handle_goes_and_not_before() {
    for kind in KINDS {
        let (tx, rx) = channel(kind);
        let (tx2, rx2) = (tx.clone(), rx.clone());
        drop((tx, rx));
        assert!(!tx2.is_closed() && !rx2.is_closed(), "{kind:?}");
        drop(rx2);
        assert!(tx2.is_closed());
        assert_eq!(tx2.send(1).wait(), Err(SendError::Closed(1)));
    }
}

#[test]
fn crossbeam_the_last_receiver_drops_what_is_held_at_once() {
    for kind in [KINDS[2], KINDS[3], KINDS[4], KINDS[5]] {
        let tally = Tally::default();
        let (tx, rx) = channel(kind);
        (0..3).for_each(|id| drop(tx.try_send(tally.item(id))));
        drop(rx);
        assert_eq!(tally.alive(), 0, "{kind:?}: not only when the senders go");
        drop(tx);
    }
}

#[test]
fn crossbeam_clones_share_a_channel_and_each_value_is_received_once() {
    for kind in QUEUES {
        let (tx, rx) = channel(kind);
        assert!(tx.same_channel(&tx.clone()) && !tx.same_channel(&channel(kind).0));
        let mut all: Vec<u32> = thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let rx = rx.clone();
                    scope.spawn(move || {
                        std::iter::from_fn(|| rx.recv().wait().ok()).collect::<Vec<_>>()
                    })
                })
                .collect();
            for part in 0..3 {
                let tx = tx.clone();
                scope.spawn(move || (0..500).for_each(|n| tx.send(part * 500 + n).wait().unwrap()));
            }
            drop(tx);
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        all.sort_unstable();
        assert_eq!(all, (0..1500).collect::<Vec<_>>(), "{kind:?}");
    }
}

#[test]
fn crossbeam_an_operation_that_is_ready_wins_over_a_deadline_that_has_passed() {
    let past = Instant::now();
    for kind in [KINDS[1], KINDS[4], KINDS[5]] {
        let (tx, rx) = channel(kind);
        assert_eq!(tx.send(1).deadline(past).wait(), Ok(()), "{kind:?}");
        assert_eq!(rx.recv().deadline(past).wait(), Ok(1), "{kind:?}");
        assert_eq!(tx.send(2).timeout(Duration::ZERO).wait(), Ok(()), "{kind:?}");
        assert_eq!(rx.recv().timeout(Duration::ZERO).wait(), Ok(2), "{kind:?}");
    }
}

#[test]
fn crossbeam_a_send_that_returned_is_seen_by_the_next_try_receive() {
    for kind in [KINDS[1], KINDS[2], KINDS[3], KINDS[5]] {
        let (tx, rx) = channel(kind);
        thread::scope(|scope| {
            let other = tx.clone();
            // Traffic of other threads: its sends must not hide ours.
            let noise = scope.spawn(move || while other.send(None).wait().is_ok() {});
            let mut seen = 0;
            while seen < 300 {
                if tx.try_send(Some(seen)).is_ok() {
                    loop {
                        match rx.try_recv() {
                            Ok(Some(n)) => break assert_eq!(n, seen),
                            Ok(None) => {}
                            Err(error) => panic!("{kind:?}: {error}, and {seen} was sent"),
                        }
                    }
                    seen += 1;
                } else {
                    let _ = rx.try_recv();
                }
            }
            rx.close();
            drop(rx);
            noise.join().unwrap();
        });
    }
}

#[test]
fn kotlin_the_undelivered_hook_runs_once_for_each_value_without_a_receiver() {
    for kind in KINDS {
        for seed in 0..20 {
            let mut dice = Dice::new(seed);
            let (lost, heard) = unlimited();
            let (tx, rx) = builder(kind).on_undelivered(move |n| lost.try_send(n).unwrap()).build();
            let mut outcomes = Vec::new();
            let mut sends = Vec::new();
            for n in 0..40 {
                match dice.below(4) {
                    0 => match tx.try_send(n) {
                        Ok(()) => {}
                        Err(error) => outcomes.push(error.into_inner()),
                    },
                    1 => {
                        let mut send = Box::pin(tx.send(n));
                        if poll_once(&mut send).is_pending() {
                            sends.push(send);
                        }
                    }
                    2 => {
                        // A send that is never driven has a value, too, that is undelivered.
                        drop(tx.send(n));
                    }
                    _ => {
                        outcomes.push(n);
                        outcomes.extend(rx.try_recv());
                    }
                }
            }
            drop(sends);
            drop((tx, rx));
            outcomes.extend(heard.try_iter_all());
            outcomes.sort_unstable();
            assert_eq!(outcomes, (0..40).collect::<Vec<_>>(), "{kind:?}, seed {seed}");
        }
    }
}

#[test]
fn kotlin_the_latest_value_of_a_conflated_channel_is_what_is_received() {
    let (lost, heard) = unlimited();
    let (tx, rx) = Builder::conflated().on_undelivered(move |n| lost.try_send(n).unwrap()).build();
    for n in 0..10 {
        assert_eq!(tx.send(n).wait(), Ok(()), "it never waits");
    }
    assert_eq!((rx.recv().wait(), heard.try_iter_all()), (Ok(9), (0..9).collect()));
    let seen = rx.snapshot();
    assert_eq!((seen.conflated, seen.undelivered, seen.sends, seen.receives), (9, 9, 10, 1));
    // Values held at the close are still received; afterwards the channel is closed.
    tx.try_send(10).unwrap();
    drop(tx);
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(10), Err(TryRecvError::Closed)));
}

#[test]
fn kotlin_drop_oldest_keeps_the_last_values_and_drop_latest_the_first() {
    for capacity in [1, 2, 3, 8] {
        for overflow in [Overflow::DropOldest, Overflow::DropLatest] {
            let (lost, heard) = unlimited();
            let (tx, rx) = Builder::bounded(capacity)
                .overflow(overflow)
                .on_undelivered(move |n| lost.try_send(n).unwrap())
                .build();
            for n in 0..20 {
                assert_eq!(tx.try_send(n), Ok(()), "it never fails");
            }
            let (kept, gone): (Vec<_>, Vec<_>) = (0..20).partition(|n| match overflow {
                Overflow::DropOldest => *n >= 20 - capacity,
                _ => *n < capacity,
            });
            assert_eq!((rx.len(), rx.snapshot().dropped), (capacity, gone.len() as u64));
            assert_eq!((rx.try_iter_all(), heard.try_iter_all()), (kept, gone), "{overflow:?}");
        }
    }
}

#[test]
fn kotlin_a_rendezvous_try_send_succeeds_only_with_a_receiver_that_waits() {
    let (tx, rx) = rendezvous();
    assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
    let mut receive = Box::pin(rx.recv());
    assert!(poll_once(&mut receive).is_pending());
    assert_eq!(tx.try_send(2), Ok(()));
    assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!(poll_once(&mut receive), Poll::Ready(Ok(2)));
    let mut send = Box::pin(tx.send(4));
    assert!(poll_once(&mut send).is_pending());
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(4), Err(TryRecvError::Empty)));
}

#[test]
fn kotlin_cancellation_is_prompt_a_set_token_wins_over_a_channel_that_is_ready() {
    let token = Token::new();
    token.cancel();
    for kind in [KINDS[1], KINDS[4], KINDS[5]] {
        let (tx, rx) = channel(kind);
        assert_eq!(tx.send(1).cancel_on(&token).wait(), Err(SendError::Cancelled(1)), "{kind:?}");
        tx.try_send(2).unwrap();
        assert_eq!(rx.recv().cancel_on(&token).wait(), Err(RecvError::Cancelled), "{kind:?}");
        let past = Instant::now();
        let both = rx.recv().deadline(past).cancel_on(&token);
        assert_eq!(both.wait(), Err(RecvError::Cancelled), "cancellation outranks timeout");
        assert_eq!(rx.try_recv(), Ok(2));
    }
}

#[test]
fn kotlin_the_cause_of_a_close_reaches_both_sides() {
    let (tx, rx) = bounded::<u32>(1);
    assert_eq!(rx.closed_reason(), None);
    tx.try_send(1).unwrap();
    assert!(tx.close_with("the disk is full"));
    assert!(!rx.close_with("too late"));
    for reason in [tx.closed_reason(), rx.closed_reason()] {
        assert_eq!(reason.as_deref(), Some("the disk is full"));
    }
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(rx.closed_reason().as_deref(), Some("the disk is full"));
}

#[test]
fn all_waiters_are_served_in_order() {
    for kind in KINDS {
        let (tx, rx) = channel(kind);
        let mut waiting: Vec<_> = (0..10).map(|_| (Wakes::new(), Box::pin(rx.recv()))).collect();
        for (wakes, receive) in &mut waiting {
            assert!(poll(receive, wakes).is_pending());
        }
        // The fourth times out: the others stay in order.
        drop(waiting.remove(3));
        (0..9).for_each(|n| tx.try_send(n).unwrap());
        for (n, (wakes, receive)) in waiting.iter_mut().enumerate() {
            assert_eq!(wakes.count(), 1);
            assert_eq!(poll_once(receive), Poll::Ready(Ok(n)), "{kind:?}");
        }
    }
    for kind in [KINDS[0], KINDS[1], KINDS[2]] {
        let (tx, rx) = channel(kind);
        (0..kind.1).for_each(|n| tx.try_send(n).unwrap());
        let mut waiting: Vec<_> = (0..10).map(|n| Box::pin(tx.send(100 + n))).collect();
        waiting.iter_mut().for_each(|send| assert!(poll_once(send).is_pending()));
        drop(waiting.remove(3));
        assert!(tx.try_send(0).is_err(), "a newcomer does not overtake a waiter");
        let all: Vec<_> = (0..kind.1).chain((100..110).filter(|n| *n != 103)).collect();
        assert_eq!(rx.try_iter_all(), all, "{kind:?}");
    }
}

#[test]
fn all_a_woken_receiver_keeps_its_value_if_others_come_before_it_runs() {
    for kind in KINDS {
        let (tx, rx) = channel(kind);
        let mut receive = Box::pin(rx.recv());
        assert!(poll_once(&mut receive).is_pending());
        tx.try_send(1).unwrap();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty), "{kind:?}: it is taken");
        assert_eq!(poll_once(&mut receive), Poll::Ready(Ok(1)));
    }
}

#[test]
fn all_an_operation_that_is_not_driven_does_nothing() {
    for kind in KINDS {
        let tally = Tally::default();
        let (tx, rx) = channel(kind);
        drop(tx.send(tally.item(1)));
        drop(rx.recv());
        let seen = tx.snapshot();
        assert_eq!((seen.sends, seen.len, seen.receivers_waiting, tally.alive()), (0, 0, 0, 0));
    }
}

#[test]
fn all_values_of_no_size_and_of_much_are_moved_alike() {
    for kind in QUEUES {
        let (tx, rx) = channel::<()>(kind);
        thread::scope(|scope| {
            scope.spawn(|| (0..300).for_each(|_| tx.send(()).wait().unwrap()));
            (0..300).for_each(|_| rx.recv().wait().unwrap());
        });
        until(|| tx.snapshot().receives == 300);
        assert_eq!(tx.snapshot().bytes_sent, 0);
        let (tx, rx) = channel::<[u64; 129]>(kind);
        thread::scope(|scope| {
            scope.spawn(|| (0..300).for_each(|n| tx.send([n; 129]).wait().unwrap()));
            (0..300).for_each(|n| assert_eq!(rx.recv().wait(), Ok([n; 129])));
        });
        assert_eq!(tx.snapshot().bytes_received, 300 * 129 * 8);
    }
}

#[test]
fn conflated_and_unlimited_sends_never_wait() {
    for (tx, _rx) in [conflated(), unlimited()] {
        for n in 0..100 {
            assert_eq!(poll_once(&mut Box::pin(tx.send(n))), Poll::Ready(Ok(())));
        }
        assert_eq!(tx.snapshot().senders_waiting, 0);
    }
}

trait All<T> {
    fn try_iter_all(&self) -> Vec<T>;
}

impl<T> All<T> for becket_chan::Receiver<T> {
    fn try_iter_all(&self) -> Vec<T> {
        std::iter::from_fn(|| self.try_recv().ok()).collect()
    }
}
