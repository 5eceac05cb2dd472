// SPDX-License-Identifier: BSD-3-Clause
//! The overflow policy changes, and the hook comes, after a channel was made. (`model` changes the
//! policy at every point of a sequence.)

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::Poll;
use std::thread;

use crate::common::{or_long, poll_once};
use becket_chan::{Builder, Overflow, bounded, conflated, unlimited};

#[test]
fn a_hook_comes_later_and_stays() {
    for (tx, rx) in [conflated(), bounded(1)] {
        tx.set_overflow(Overflow::DropOldest);
        let (lost, undelivered) = unlimited();
        (0..2).for_each(|n| tx.try_send(n).unwrap());
        assert!(tx.set_on_undelivered(move |n: u32| lost.try_send(n).unwrap()));
        assert!(!tx.set_on_undelivered(|_| panic!("it has a hook")));
        (2..4).for_each(|n| tx.try_send(n).unwrap());
        assert!(undelivered.try_iter().eq([1, 2]));
        drop(rx);
        assert!(undelivered.try_iter().eq([3]));
    }
}

/// Neither the builder nor a later call gives them one, for sends that wait or for requeued values.
#[test]
fn the_other_kinds_have_no_policy() {
    for overflow in [Overflow::DropOldest, Overflow::DropLatest] {
        let (tx, rx) = Builder::rendezvous().overflow(overflow).build();
        tx.set_overflow(overflow);
        assert_eq!((tx.overflow(), tx.try_send(0).is_err()), (Overflow::Suspend, true));
        let mut send = Box::pin(tx.send(1));
        assert!(poll_once(&mut send).is_pending());
        assert_eq!(rx.try_recv(), Ok(1));
        assert_eq!(poll_once(&mut send), Poll::Ready(Ok(())));
        let mut send = Box::pin(tx.send(2));
        assert!(poll_once(&mut send).is_pending());
        rx.put_back(1);
        assert!(poll_once(&mut send).is_pending());
        assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(1), Ok(2)));
        assert_eq!(tx.snapshot().dropped, 0);
    }
}

#[test]
fn a_changed_policy_loses_no_value_and_leaves_no_send_behind() {
    const SENDERS: usize = 3;
    let each = or_long(2_000, 20_000);
    let (tx, rx) = bounded(2);
    let fates: Arc<Vec<AtomicU8>> = Arc::new((0..SENDERS * each).map(|_| 0.into()).collect());
    let met = |fates: &[AtomicU8], n: usize| {
        assert_eq!(fates[n].fetch_add(1, Ordering::Relaxed), 0, "{n} came twice");
    };
    let lost = Arc::clone(&fates);
    tx.set_on_undelivered(move |n| met(&lost, n));
    let sent = AtomicBool::new(false);
    thread::scope(|scope| {
        let receiver = scope.spawn(|| rx.iter().for_each(|n| met(&fates, n)));
        let changer = scope.spawn(|| {
            let policies = [Overflow::DropOldest, Overflow::Suspend, Overflow::DropLatest];
            for policy in policies.into_iter().cycle() {
                if sent.load(Ordering::Relaxed) {
                    break;
                }
                tx.set_overflow(policy);
                thread::yield_now();
            }
        });
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let tx = &tx;
                scope.spawn(move || {
                    (sender * each..(sender + 1) * each).for_each(|n| tx.send(n).wait().unwrap());
                })
            })
            .collect();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        sent.store(true, Ordering::Relaxed);
        changer.join().unwrap();
        tx.close();
        receiver.join().unwrap();
    });
    assert!(fates.iter().all(|fate| fate.load(Ordering::Relaxed) == 1));
    let seen = tx.snapshot();
    assert_eq!(seen.sends, (SENDERS * each) as u64);
    assert_eq!(seen.sends, seen.receives + seen.dropped);
}
