// SPDX-License-Identifier: BSD-3-Clause
//! A wait uses no CPU time: buffered waits, waits with a timeout, tasks, coroutines.
//!
//! Judged by the CPU time of the thread or the process as a fraction of the duration of the wait,
//! so that a slow or busy machine does not matter. One test at a time, since CPU time is per
//! process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::thread;
use std::time::{Duration, Instant};

use becket_chan::{RecvError, Token, rendezvous, select};
use common::{KINDS, channel, process_cpu, thread_cpu, until};
use parking_lot::{Mutex, MutexGuard};

fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock()
}

#[test]
fn a_receive_with_a_timeout_burns_no_cpu() {
    let _alone = alone();
    // kanal#53.
    for kind in KINDS {
        let (_tx, rx) = channel::<u8>(kind);
        let (begun, cpu) = (Instant::now(), thread_cpu());
        assert_eq!(rx.recv().timeout(Duration::from_millis(120)).wait(), Err(RecvError::TimedOut));
        assert_idle(thread_cpu() - cpu, begun.elapsed(), &format!("{kind:?}"));
    }
}

#[test]
fn threads_that_wait_for_a_value_or_for_room_burn_no_cpu() {
    let _alone = alone();
    for kind in [KINDS[0], KINDS[1], KINDS[2]] {
        let (tx, rx) = channel::<usize>(kind);
        (0..kind.1).for_each(|n| tx.try_send(n).unwrap());
        let (empty_tx, empty_rx) = channel::<usize>(kind);
        thread::scope(|scope| {
            for n in 0..4 {
                let (tx, empty_rx) = (&tx, &empty_rx);
                scope.spawn(move || {
                    let cpu = thread_cpu();
                    let begun = Instant::now();
                    tx.send(n).wait().unwrap_err();
                    assert_idle(thread_cpu() - cpu, begun.elapsed(), "a send");
                });
                scope.spawn(move || {
                    let cpu = thread_cpu();
                    let begun = Instant::now();
                    empty_rx.recv().wait().unwrap_err();
                    assert_idle(thread_cpu() - cpu, begun.elapsed(), "a receive");
                });
            }
            until(|| {
                tx.snapshot().senders_waiting == 4 && empty_rx.snapshot().receivers_waiting == 4
            });
            interval();
            rx.close();
            empty_tx.close();
        });
    }
}

#[test]
fn a_process_whose_tasks_and_threads_all_wait_uses_no_cpu() {
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let token = Token::new();
    let channels: Vec<_> = KINDS.iter().map(|kind| channel::<u32>(*kind)).collect();
    let tasks: Vec<_> = (0..50)
        .flat_map(|_| &channels)
        .map(|(_, rx)| {
            let (rx, token) = (rx.clone(), token.clone());
            runtime.spawn(async move { rx.recv().cancel_on(&token).await })
        })
        .collect();
    thread::scope(|scope| {
        let threads: Vec<_> = channels
            .iter()
            .map(|(_, rx)| scope.spawn(|| rx.recv().cancel_on(&token).wait()))
            .collect();
        let selecting = scope.spawn(|| {
            let (first, last) = (&channels[0].1, &channels[5].1);
            select! {
                wait;
                _ = first.recv() => RecvError::Closed,
                _ = last.recv() => RecvError::Closed,
                timeout(Duration::from_secs(3600)) => RecvError::TimedOut,
                cancelled(&token) => RecvError::Cancelled,
            }
        });
        let waiting = |at: usize| channels[at].1.snapshot().receivers_waiting;
        until(|| (0..6).map(waiting).sum::<usize>() == 50 * 6 + 6 + 2);
        let cpu = process_cpu();
        let passed = interval();
        assert_idle(process_cpu() - cpu, passed, "the process");
        token.cancel();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Err(RecvError::Cancelled));
        }
        assert_eq!(selecting.join().unwrap(), RecvError::Cancelled);
    });
    for task in tasks {
        assert_eq!(runtime.block_on(task).unwrap(), Err(RecvError::Cancelled));
    }
}

/// A second of waiting may not cost a quarter of a second of CPU time, however slow the machine.
fn assert_idle(cpu: Duration, waited: Duration, what: &str) {
    assert!(cpu < waited / 4, "{what}: {cpu:?} of CPU time in a wait of {waited:?}");
}

/// An interval that passes without CPU time.
fn interval() -> Duration {
    let begun = Instant::now();
    let (_tx, rx) = rendezvous::<()>();
    assert_eq!(rx.recv().timeout(Duration::from_millis(120)).wait(), Err(RecvError::TimedOut));
    begun.elapsed()
}
