// SPDX-License-Identifier: BSD-3-Clause
//! The SPSC handles: against a queue, step by step, and under stress.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Counted, Dice, Tally, Wakes, or_long, poll, poll_once};
use becket_chan::{
    RecvError, SendError, SendManyError, SpscBuilder, SpscReceiver, SpscSender, Token,
    TryRecvError, TrySendError, bounded_spsc,
};
use futures_lite::future;

/// One block and several, powers of two and none.
const CAPACITIES: [usize; 10] = [1, 2, 3, 5, 64, 100, 255, 256, 1000, 4097];

fn drain(rx: &mut SpscReceiver<u64>) -> Vec<u64> {
    std::iter::from_fn(|| rx.try_recv().ok()).collect()
}

#[test]
fn it_agrees_with_a_queue_step_by_step() {
    for capacity in CAPACITIES {
        for seed in 0..40 {
            agrees(capacity, seed);
        }
    }
}

/// A channel and its reference queue.
struct Pair {
    tx: SpscSender<u64>,
    rx: SpscReceiver<u64>,
    held: VecDeque<u64>,
    capacity: usize,
    next: u64,
}

impl Pair {
    fn value(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn try_send(&mut self) {
        let value = self.value();
        if self.held.len() < self.capacity {
            assert_eq!(self.tx.try_send(value), Ok(()));
            self.held.push_back(value);
        } else {
            assert_eq!(self.tx.try_send(value), Err(TrySendError::Full(value)));
        }
    }

    fn try_recv(&mut self) {
        let expected = self.held.pop_front().ok_or(TryRecvError::Empty);
        assert_eq!(self.rx.try_recv(), expected);
    }

    /// A send that waits if it must, while the receiver takes one value; or is dropped.
    fn send(&mut self, give_up: bool) {
        let value = self.value();
        let (wakes, full) = (Wakes::new(), self.held.len() == self.capacity);
        let mut send = Box::pin(self.tx.send(value));
        assert_eq!(poll(&mut send, &wakes).is_pending(), full);
        if !full {
            return self.held.push_back(value);
        }
        if give_up {
            return drop(send);
        }
        assert_eq!(self.rx.try_recv().ok(), self.held.pop_front());
        assert_eq!(wakes.count(), 1);
        assert_eq!(poll(&mut send, &wakes), Poll::Ready(Ok(())));
        self.held.push_back(value);
    }

    fn recv(&mut self, give_up: bool) {
        let (wakes, late) = ([Wakes::new(), Wakes::new()], self.value());
        let mut recv = Box::pin(self.rx.recv());
        if let Poll::Ready(result) = poll(&mut recv, &wakes[0]) {
            return assert_eq!(result.ok(), self.held.pop_front());
        }
        assert!(self.held.is_empty());
        assert!(poll(&mut recv, &wakes[1]).is_pending(), "another waker");
        self.tx.try_send(late).unwrap();
        assert_eq!([wakes[0].count(), wakes[1].count()], [0, 1]);
        if give_up {
            // It was woken and had taken nothing yet.
            drop(recv);
            self.held.push_back(late);
        } else {
            assert_eq!(poll(&mut recv, &wakes[0]), Poll::Ready(Ok(late)));
        }
    }

    fn batches(&mut self, dice: &mut Dice) {
        let n = dice.below(self.capacity as u64 * 2 + 2) as usize;
        let mut values: VecDeque<_> = (0..n).map(|_| self.value()).collect();
        let room = (self.capacity - self.held.len()).min(n);
        let expected = if room == 0 && n > 0 { Err(SendManyError::Full) } else { Ok(room) };
        self.held.extend(values.iter().take(room));
        assert_eq!(self.tx.try_send_many(&mut values), expected);
        assert_eq!(values.len(), n - room);
        let (mut got, max) = (Vec::new(), dice.below(self.capacity as u64 * 2 + 2) as usize);
        let there = self.held.len().min(max);
        let expected = if there == 0 && max > 0 { Err(TryRecvError::Empty) } else { Ok(there) };
        assert_eq!(self.rx.try_recv_many(&mut got, max), expected);
        assert_eq!(got, self.held.drain(..there).collect::<Vec<_>>());
    }
}

fn agrees(capacity: usize, seed: u64) {
    let (tx, rx) = bounded_spsc(capacity);
    let mut pair = Pair { tx, rx, held: VecDeque::new(), capacity, next: 0 };
    let mut dice = Dice::new(seed);
    for _ in 0..100 {
        // Sometimes it fills up, sometimes it drains.
        let lean = dice.below(3);
        match dice.below(6) {
            0 => (0..lean * 5).for_each(|_| pair.try_send()),
            1 => (0..dice.below(3) * 5).for_each(|_| pair.try_recv()),
            2 => pair.send(lean == 0),
            3 => pair.recv(lean == 0),
            _ => pair.batches(&mut dice),
        }
        let len = pair.held.len();
        assert_eq!((pair.tx.len(), pair.rx.len()), (len, len), "{capacity}, {seed}");
        assert_eq!(pair.tx.is_full(), len == capacity);
        let seen = pair.tx.snapshot();
        assert_eq!((seen.len, seen.senders_waiting, seen.receivers_waiting), (len, 0, 0));
        assert_eq!(seen.sends, seen.receives + len as u64, "{capacity}, {seed}");
    }
    // Held values drain after a close, from either side.
    if seed.is_multiple_of(2) {
        assert!(pair.tx.close() && !pair.tx.close());
    } else {
        assert!(pair.rx.close() && !pair.rx.close());
    }
    assert_eq!(pair.tx.try_send(0), Err(TrySendError::Closed(0)));
    assert_eq!(pair.held, drain(&mut pair.rx), "{capacity}, {seed}");
    assert_eq!(pair.rx.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn limits_and_a_close_end_waits() {
    let (mut tx, mut rx) = bounded_spsc(1);
    let token = Token::new();
    let past = Instant::now();
    assert_eq!(rx.recv().deadline(past).wait(), Err(RecvError::TimedOut));
    assert_eq!(tx.send(1).deadline(past).wait(), Ok(()), "ready wins over a deadline");
    assert_eq!(tx.send(2).deadline(past).wait(), Err(SendError::TimedOut(2)));
    let wakes = Wakes::new();
    let mut send = Box::pin(tx.send(3).cancel_on(&token));
    assert!(poll(&mut send, &wakes).is_pending());
    token.cancel();
    assert_eq!(wakes.count(), 1);
    assert_eq!(poll_once(&mut send), Poll::Ready(Err(SendError::Cancelled(3))));
    drop(send);
    assert_eq!(rx.recv().cancel_on(&token).wait(), Err(RecvError::Cancelled), "a set token wins");
    let mut send = Box::pin(tx.send(4));
    assert!(poll(&mut send, &wakes).is_pending());
    rx.close();
    assert_eq!(wakes.count(), 2);
    assert_eq!(poll_once(&mut send), Poll::Ready(Err(SendError::Closed(4))));
    drop(send);
    assert_eq!((rx.recv().wait(), rx.recv().wait()), (Ok(1), Err(RecvError::Closed)));
    let (mut tx, mut rx) = bounded_spsc::<u64>(1);
    let mut recv = Box::pin(rx.recv());
    assert!(poll(&mut recv, &wakes).is_pending());
    tx.close();
    assert_eq!(wakes.count(), 3);
    assert_eq!(poll_once(&mut recv), Poll::Ready(Err(RecvError::Closed)));
}

#[test]
fn what_is_held_at_the_end_is_dropped_once_in_either_order() {
    for capacity in CAPACITIES {
        for (sent, taken) in [(0, 0), (1, 0), (3, 1), (70, 0), (70, 69), (300, 5), (5000, 2)] {
            for sender_first in [false, true] {
                let tally = Tally::default();
                let (mut tx, mut rx) = bounded_spsc(capacity);
                (0..sent).for_each(|id| drop(tx.try_send(tally.item(id))));
                (0..taken).for_each(|_| drop(rx.try_recv()));
                if sender_first {
                    drop((tx, rx));
                } else {
                    drop((rx, tx));
                }
                assert_eq!(tally.alive(), 0, "{capacity}: {sent} sent, {taken} taken");
            }
        }
    }
}

fn each() -> u64 {
    or_long(1500, 4000)
}

struct Ledger {
    fates: Vec<AtomicU8>,
    tally: Tally,
}

impl Ledger {
    fn met(&self, id: u64) {
        assert_eq!(self.fates[id as usize].fetch_add(1, Ordering::Relaxed), 0, "{id} came twice");
    }
}

fn soon(dice: &mut Dice) -> Duration {
    Duration::from_nanos(dice.below(20_000))
}

/// Sends all values in every way. A value whose send is dropped goes to the hook.
fn send_all(mut tx: SpscSender<Counted>, ledger: &Ledger, seed: u64) {
    let (mut dice, mut n) = (Dice::new(seed + 1), 0);
    'values: while n < each() {
        let mut value = ledger.tally.item(n);
        n += 1;
        loop {
            let result = match dice.below(7) {
                0 => tx.send(value).timeout(soon(&mut dice)).wait(),
                1 => future::block_on(tx.send(value).timeout(soon(&mut dice))),
                2 => match poll_once(&mut Box::pin(tx.send(value))) {
                    Poll::Ready(result) => result,
                    Poll::Pending => continue 'values,
                },
                3 => {
                    let mut values = VecDeque::from([value]);
                    while values.len() < 9 && n < each() {
                        values.push_back(ledger.tally.item(n));
                        n += 1;
                    }
                    loop {
                        match tx.send_many(&mut values).timeout(soon(&mut dice)).wait() {
                            Ok(()) => continue 'values,
                            Err(SendManyError::TimedOut) => {}
                            Err(_) => break values.iter().for_each(|value| ledger.met(value.id)),
                        }
                    }
                    break 'values;
                }
                4 => future::block_on(tx.send(value)),
                _ => tx.send(value).wait(),
            };
            match result {
                Ok(()) => continue 'values,
                Err(SendError::TimedOut(again)) => value = again,
                Err(closed) => {
                    ledger.met(closed.into_inner().id);
                    break 'values;
                }
            }
        }
    }
    (n..each()).for_each(|n| ledger.met(n));
}

/// Receives all values in every way, or a number of them and then drops the receiver.
fn receive(mut rx: SpscReceiver<Counted>, ledger: &Ledger, seed: u64, go_at: u64) {
    let (mut dice, mut next) = (Dice::new(seed + 2), 0);
    let mut values = Vec::new();
    let mut count = 0;
    while count < go_at {
        let result = match dice.below(7) {
            0 => rx.recv().timeout(soon(&mut dice)).wait().map(|value| values.push(value)),
            1 => future::block_on(rx.recv().timeout(soon(&mut dice))).map(|v| values.push(v)),
            2 => match poll_once(&mut Box::pin(rx.recv())) {
                Poll::Ready(result) => result.map(|value| values.push(value)),
                Poll::Pending => Ok(()),
            },
            3 => rx.recv_many(&mut values, 7).timeout(soon(&mut dice)).wait().map(drop),
            4 => future::block_on(rx.recv()).map(|value| values.push(value)),
            _ => rx.recv().wait().map(|value| values.push(value)),
        };
        for value in values.drain(..) {
            assert!(value.id >= next, "{} after {next}", value.id);
            next = value.id + 1;
            count += 1;
            ledger.met(value.id);
        }
        if result == Err(RecvError::Closed) {
            return;
        }
    }
    if seed.is_multiple_of(2) {
        // The values it held are still there, and no later ones.
        rx.close();
        while let Ok(value) = rx.recv().wait() {
            ledger.met(value.id);
        }
    }
}

#[test]
fn each_value_meets_one_fate_under_stress() {
    for capacity in [1, 2, 3, 64, 1000] {
        for seed in 0..6 {
            let fates = (0..each()).map(|_| AtomicU8::new(0)).collect();
            let ledger = Arc::new(Ledger { fates, tally: Tally::default() });
            let hook = ledger.clone();
            let (tx, rx) = SpscBuilder::bounded(capacity)
                .on_undelivered(move |value: Counted| hook.met(value.id))
                .build();
            let go_at = [u64::MAX, each() / 3, each() / 7][seed as usize % 3];
            thread::scope(|scope| {
                scope.spawn(|| send_all(tx, &ledger, seed));
                receive(rx, &ledger, seed, go_at);
            });
            for (id, fate) in ledger.fates.iter().enumerate() {
                assert_eq!(fate.load(Ordering::Relaxed), 1, "fates of {id}; {capacity}, {seed}");
            }
            assert_eq!(ledger.tally.alive(), 0, "{capacity}, {seed}");
        }
    }
}

#[test]
fn a_value_between_the_check_and_the_sleep_wakes_the_sleeper() {
    // Both sides are about to sleep all the time; a lost wake hangs the test.
    for capacity in [1, 2] {
        let (mut ping, mut pinged) = bounded_spsc(capacity);
        let (mut pong, mut ponged) = bounded_spsc(capacity);
        thread::scope(|scope| {
            scope.spawn(move || {
                while let Ok(n) = pinged.recv().wait() {
                    pong.send(n).wait().unwrap();
                }
            });
            for n in 0..5000_u64 {
                ping.send(n).wait().unwrap();
                assert_eq!(ponged.recv().wait(), Ok(n));
            }
            drop(ping);
        });
    }
}

#[test]
fn tasks_on_two_workers_pass_everything_in_order() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for capacity in [1, 3, 64] {
        let (mut tx, mut rx) = bounded_spsc(capacity);
        let sending = runtime.spawn(async move {
            for n in 0..20_000 {
                tx.send(n).await.unwrap();
            }
            tx.send_many(&mut (20_000..30_000).collect()).await.unwrap();
        });
        let receiving = runtime.spawn(async move {
            let mut all = Vec::new();
            for _ in 0..10_000 {
                all.push(rx.recv().await.unwrap());
            }
            while rx.recv_many(&mut all, 50).await.is_ok() {}
            all == (0..30_000).collect::<Vec<_>>()
        });
        runtime.block_on(sending).unwrap();
        assert!(runtime.block_on(receiving).unwrap(), "capacity {capacity}");
    }
}
