// SPDX-License-Identifier: BSD-3-Clause
//! The newest values are removed, and several are requeued, beside sends, receives and waits.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};

use super::{Counted, Value, balance, join, lost, model, recv, recv_wait, send, sorted, spawn};
use crate::{Builder, Receiver, Select};

fn values(numbers: impl IntoIterator<Item = u32>) -> Vec<Value> {
    numbers.into_iter().map(Value::new).collect()
}

fn opened(values: impl IntoIterator<Item = Value>) -> Vec<u32> {
    values.into_iter().map(Value::open).collect()
}

fn drain(rx: &Receiver<Value>) -> Vec<u32> {
    opened(std::iter::from_fn(|| rx.try_recv().ok()))
}

fn one(rx: &Receiver<Value>) -> Vec<u32> {
    opened(rx.try_recv().ok())
}

fn batch(rx: &Receiver<Value>) -> Vec<u32> {
    let mut got = Vec::new();
    let _none = rx.try_recv_many(&mut got, 2);
    opened(got)
}

/// One thread takes from the front, one from the back: values taken there are newer than all
/// others.
fn split_beside(builder: Builder<Value>, keep: usize, take: fn(&Receiver<Value>) -> Vec<u32>) {
    let (tx, rx) = builder.channel();
    for number in 1..=2 {
        assert_eq!(send(&tx, number), Ok(()));
    }
    let other = rx.clone();
    let takes = spawn(move || take(&other));
    let newest = opened(rx.split_off(keep));
    let taken = join(takes);
    let kept = drain(&rx);
    assert!(kept.len() <= keep, "{kept:?}");
    // In order: the values taken from the front, those that stayed, those taken from the back.
    assert_eq!([&taken[..], &kept, &newest].concat(), [1, 2], "{taken:?} {kept:?} {newest:?}");
    balance(&tx, 2, 2);
    assert_eq!(lost(), []);
}

/// Receives a value by a select that does not ask for it: it is requeued.
fn look(rx: &Receiver<Value>) {
    let mut select = Select::new();
    let _key = select.recv(rx);
    drop(select.try_ready());
}

/// Values that two selects requeue are in order, from whatever part of the channel they came.
fn looks(builder: Builder<Value>, count: u32) {
    let (tx, rx) = builder.channel();
    for number in 1..=count {
        assert_eq!(send(&tx, number), Ok(()));
    }
    let other = rx.clone();
    let looks = spawn(move || look(&other));
    look(&rx);
    join(looks);
    assert_eq!(drain(&rx), Vec::from_iter(1..=count));
    balance(&tx, count.into(), count.into());
    assert_eq!(lost(), []);
}

#[test]
fn values_that_selects_give_back_are_in_order_bounded() {
    model(|| looks(Builder::bounded(2), 2));
}

#[test]
fn values_that_selects_give_back_are_in_order_unlimited() {
    model(|| looks(Builder::unlimited(), 3));
}

#[test]
fn a_split_beside_a_receive() {
    model(|| split_beside(Builder::bounded(2), 1, one));
}

#[test]
fn a_split_beside_a_batch() {
    model(|| split_beside(Builder::bounded(2), 1, batch));
}

#[test]
fn a_split_beside_a_batch_that_keeps_nothing() {
    model(|| split_beside(Builder::bounded(3), 0, batch));
}

#[test]
fn a_split_beside_a_batch_unlimited() {
    model(|| split_beside(Builder::unlimited(), 1, batch));
}

/// A value in flight is taken or stays; an unfinished send may keep all values behind it.
fn split_beside_sends(builder: Builder<Value>, last: u32) {
    let (tx, rx) = builder.channel();
    assert_eq!(send(&tx, 1), Ok(()));
    let sender = spawn(move || {
        (2..=last).for_each(|number| assert_eq!(send(&tx, number), Ok(())));
        tx
    });
    let newest = opened(rx.split_off(0));
    let mut got = newest.clone();
    while got.len() < last as usize {
        got.push(recv(&rx).unwrap());
    }
    let tx = join(sender);
    assert!(got.iter().copied().eq(1..=last), "{newest:?} {got:?}");
    balance(&tx, last.into(), last.into());
}

#[test]
fn a_split_beside_a_send_that_waits_for_room() {
    model(|| split_beside_sends(Builder::bounded(1), 2));
}

#[test]
fn a_split_beside_sends_with_room() {
    model(|| split_beside_sends(Builder::bounded(3), 3));
}

#[test]
fn a_split_beside_a_send_past_the_ring() {
    model(|| split_beside_sends(Builder::unlimited(), 2));
}

/// A finished send behind an unfinished one: either its value is taken too, or nothing is.
#[test]
fn a_split_beside_two_sends() {
    model(|| {
        let (tx, rx) = Builder::bounded(3).channel();
        assert_eq!(send(&tx, 1), Ok(()));
        let done = Arc::new(AtomicBool::new(false));
        let (first, second, sent) = (tx.clone(), tx.clone(), done.clone());
        let first = spawn(move || assert_eq!(send(&first, 2), Ok(())));
        let second = spawn(move || {
            assert_eq!(send(&second, 3), Ok(()));
            sent.store(true, Ordering::Release);
        });
        let done = done.load(Ordering::Acquire);
        let newest = opened(rx.split_off(0));
        join(first);
        join(second);
        let rest = drain(&rx);
        assert!(!done || newest.is_empty() || newest.contains(&3), "{newest:?} {rest:?}");
        let all = [newest, rest].concat();
        assert_eq!((all[0], sorted(all)), (1, vec![1, 2, 3]));
        balance(&tx, 3, 3);
    });
}

/// A receiver that waits, or is about to, gets the requeued values in order.
fn put_back_beside(builder: Builder<Value>, take: fn(&Receiver<Value>) -> u32) {
    let (tx, rx) = builder.channel();
    let other = rx.clone();
    let takes = spawn(move || [take(&other), take(&other)]);
    rx.put_back_many(values([1, 2]));
    assert_eq!(join(takes), [1, 2]);
    let seen = tx.snapshot();
    assert_eq!((seen.len, seen.receivers_waiting), (0, 0), "{seen:?}");
}

#[test]
fn a_task_waits_for_requeued_values_bounded() {
    model(|| put_back_beside(Builder::bounded(1), |rx| recv(rx).unwrap()));
}

#[test]
fn a_thread_waits_for_requeued_values_unlimited() {
    model(|| put_back_beside(Builder::unlimited(), |rx| recv_wait(rx).unwrap()));
}

#[test]
fn a_task_waits_for_requeued_values_rendezvous() {
    model(|| put_back_beside(Builder::rendezvous(), |rx| recv(rx).unwrap()));
}

/// All values of a channel are taken and requeued: a receiver sees no difference.
#[test]
fn all_go_and_come_back_beside_a_receiver() {
    model(|| {
        let (tx, rx) = Builder::bounded(2).channel();
        assert_eq!((send(&tx, 1), send(&tx, 2)), (Ok(()), Ok(())));
        let other = rx.clone();
        let takes = spawn(move || [recv(&other), recv(&other)]);
        rx.put_back_many(rx.split_off(0));
        assert_eq!(join(takes), [Ok(1), Ok(2)]);
        balance(&tx, 2, 2);
    });
}
