// SPDX-License-Identifier: BSD-3-Clause
//! One sender and one receiver that wait for each other, on each kind, as tasks and as threads.

use super::{Counted, Value, balance, join, lost, model, recv, recv_wait, send, send_wait, spawn};
use crate::{Builder, Receiver, RecvError, Sender};

/// How a side waits.
#[derive(Debug, Clone, Copy)]
enum Way {
    Task,
    Thread,
}
use Way::{Task, Thread};

impl Way {
    fn send(self, tx: &Sender<Value>, number: u32) -> Result<(), u32> {
        match self {
            Task => send(tx, number),
            Thread => send_wait(tx, number),
        }
    }

    fn recv(self, rx: &Receiver<Value>) -> Result<u32, RecvError> {
        match self {
            Task => recv(rx),
            Thread => recv_wait(rx),
        }
    }
}

/// Every value arrives, in order.
fn in_order(builder: Builder<Value>, values: u32, sending: Way, receiving: Way) {
    let (tx, rx) = builder.channel();
    let sender = spawn(move || {
        for number in 0..values {
            assert_eq!(sending.send(&tx, number), Ok(()));
        }
        tx
    });
    for number in 0..values {
        assert_eq!(receiving.recv(&rx), Ok(number));
    }
    let tx = join(sender);
    balance(&tx, values.into(), values.into());
    assert_eq!((rx.len(), lost()), (0, vec![]));
}

#[test]
fn bounded_1_between_tasks() {
    model(|| in_order(Builder::bounded(1), 3, Task, Task));
}

#[test]
fn bounded_1_between_threads() {
    model(|| in_order(Builder::bounded(1), 2, Thread, Thread));
}

#[test]
fn bounded_1_from_a_thread_to_a_task() {
    model(|| in_order(Builder::bounded(1), 2, Thread, Task));
}

#[test]
fn bounded_2_between_tasks() {
    model(|| in_order(Builder::bounded(2), 3, Task, Task));
}

#[test]
fn bounded_2_from_a_task_to_a_thread() {
    model(|| in_order(Builder::bounded(2), 3, Task, Thread));
}

#[test]
fn bounded_1_that_is_timed_is_always_under_the_lock() {
    model(|| in_order(Builder::bounded(1).timing(true), 2, Task, Task));
}

#[test]
fn unlimited_past_its_ring() {
    model(|| in_order(Builder::unlimited(), 3, Task, Task));
}

#[test]
fn unlimited_past_its_ring_to_a_thread() {
    model(|| in_order(Builder::unlimited(), 2, Thread, Thread));
}

#[test]
fn rendezvous_between_tasks() {
    model(|| in_order(Builder::rendezvous(), 3, Task, Task));
}

#[test]
fn rendezvous_between_threads() {
    model(|| in_order(Builder::rendezvous(), 2, Thread, Thread));
}

/// The receiver sees the last value, and none twice or out of order; the others are conflated.
fn latest(receiving: Way) {
    let (tx, rx) = Builder::conflated().channel();
    let sender = spawn(move || {
        for number in 1..=3 {
            assert_eq!(send(&tx, number), Ok(()));
        }
        tx
    });
    let mut seen = Vec::new();
    while seen.last() != Some(&3) {
        seen.push(receiving.recv(&rx).unwrap());
    }
    let tx = join(sender);
    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
    let rest: Vec<_> = (1..=3).filter(|number| !seen.contains(number)).collect();
    assert_eq!(lost(), rest);
    assert_eq!(tx.snapshot().conflated, rest.len() as u64);
    balance(&tx, 3, seen.len() as u64);
}

#[test]
fn conflated_to_a_task() {
    model(|| latest(Task));
}

#[test]
fn conflated_to_a_thread() {
    model(|| latest(Thread));
}
