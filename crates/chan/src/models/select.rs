// SPDX-License-Identifier: BSD-3-Clause
//! Selects: exactly one of several arms completes, and the others leave no trace.

use super::{Counted, Value, balance, join, large_model, lost, model, recv, send, sorted, spawn};
use crate::{Builder, Receiver, RecvError, Sender, Token, select};

type Ends = (Sender<Value>, Receiver<Value>);

/// Two channels in the order of their addresses, which is the order of their locks: so each run of
/// a model does the same, independent of the allocator.
fn two(one: Builder<Value>, two: Builder<Value>) -> (Ends, Ends) {
    let (one, two) = (one.channel(), two.channel());
    let place = |ends: &Ends| std::ptr::from_ref(ends.0.channel.raw()).addr();
    if place(&one) < place(&two) { (one, two) } else { (two, one) }
}

/// Receives from either channel as a thread.
fn either(one: &Receiver<Value>, two: &Receiver<Value>) -> u32 {
    select! { wait, biased;
        got = one.recv() => got.unwrap().open(),
        got = two.recv() => got.unwrap().open()
    }
}

fn rest(one: &Receiver<Value>, two: &Receiver<Value>) -> Vec<u32> {
    one.try_iter().chain(two.try_iter()).map(Value::open).collect()
}

fn two_channels(make: fn() -> Builder<Value>) {
    let ((tx1, rx1), (tx2, rx2)) = two(make(), make());
    let one = spawn(move || {
        assert_eq!(send(&tx1, 1), Ok(()));
        tx1
    });
    let two = spawn(move || {
        assert_eq!(send(&tx2, 2), Ok(()));
        tx2
    });
    let first = either(&rx1, &rx2);
    let second = either(&rx1, &rx2);
    let (tx1, tx2) = (join(one), join(two));
    assert_eq!(sorted(vec![first, second]), [1, 2]);
    assert_eq!((rest(&rx1, &rx2), lost()), (vec![], vec![]));
    balance(&tx1, 1, 1);
    balance(&tx2, 1, 1);
}

#[test]
fn a_select_over_two_channels_bounded() {
    large_model(|| two_channels(|| Builder::bounded(1)));
}

#[test]
fn a_select_over_two_channels_rendezvous() {
    model(|| two_channels(Builder::rendezvous));
}

/// A select takes one of two values; the other stays where it is.
#[test]
fn a_select_takes_one() {
    model(|| {
        let ((tx1, rx1), (tx2, rx2)) = two(Builder::bounded(1), Builder::bounded(1));
        let selects = spawn(move || (either(&rx1, &rx2), rx1, rx2));
        assert_eq!((send(&tx1, 1), send(&tx2, 2)), (Ok(()), Ok(())));
        let (got, rx1, rx2) = join(selects);
        let got = [&[got][..], &rest(&rx1, &rx2)].concat();
        assert_eq!((sorted(got), lost()), (vec![1, 2], vec![]));
        balance(&tx1, 1, 1);
        balance(&tx2, 1, 1);
    });
}

/// Sends 1 to the first channel or 2 to the second.
fn send_either(one: &Sender<Value>, two: &Sender<Value>) -> u32 {
    select! { wait, biased;
        sent = one.send(Value::new(1)) => { assert!(sent.is_ok()); 1 }
        sent = two.send(Value::new(2)) => { assert!(sent.is_ok()); 2 }
    }
}

/// Two selects that face each other over the same two channels, in opposite order, match.
#[test]
fn selects_that_face_each_other_meet_once() {
    model(|| {
        let ((tx1, rx1), (tx2, rx2)) = two(Builder::rendezvous(), Builder::rendezvous());
        let selects = spawn(move || (either(&rx2, &rx1), rx1, rx2));
        let sent = send_either(&tx1, &tx2);
        let (got, _rx1, _rx2) = join(selects);
        assert_eq!(got, sent);
        assert_eq!(lost(), [3 - sent]);
        balance(&tx1, u64::from(sent == 1), u64::from(sent == 1));
        balance(&tx2, u64::from(sent == 2), u64::from(sent == 2));
    });
}

/// A select of sends against a receiver of each channel: one of them gets its value.
#[test]
fn a_select_that_sends_does_so_once() {
    model(|| {
        let ((tx1, rx1), (tx2, rx2)) = two(Builder::rendezvous(), Builder::rendezvous());
        let one = spawn(move || (recv(&rx1), rx1));
        let two = spawn(move || (recv(&rx2), rx2));
        let sent = send_either(&tx1, &tx2);
        assert!(tx1.close() && tx2.close());
        let got = [join(one).0, join(two).0];
        let closed = Err(RecvError::Closed);
        assert_eq!(got, if sent == 1 { [Ok(1), closed] } else { [closed, Ok(2)] });
        assert_eq!(lost(), [3 - sent]);
    });
}

/// A close, a token and a send race for a select.
#[test]
fn a_select_ends_once() {
    model(|| {
        let ((tx1, rx1), (tx2, rx2)) = two(Builder::bounded(1), Builder::bounded(1));
        let token = Token::new();
        let request = token.clone();
        let selects = spawn(move || {
            let won = select! { wait, biased;
                got = rx1.recv() => got.map(Value::open).ok(),
                got = rx2.recv() => { assert!(got.is_err()); None }
                cancelled(&request) => Some(0)
            };
            (won, rx1, rx2)
        });
        let closer = spawn(move || {
            assert!(tx2.close());
            token.cancel();
        });
        assert_eq!(send(&tx1, 1), Ok(()));
        let (won, rx1, _rx2) = join(selects);
        join(closer);
        let rest = rx1.try_recv().map(Value::open);
        assert_eq!(rest.is_err(), won == Some(1), "{won:?} {rest:?}");
        assert_eq!(lost(), []);
    });
}
