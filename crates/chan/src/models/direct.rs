// SPDX-License-Identifier: BSD-3-Clause
//! The short paths where a receive waits: the ring is slow already, a second receive is queued, and
//! sends hand their values over.

use super::{
    Counted, Value, balance, block_on, join, large_model, lost, poll_once, recv, send, sorted,
    spawn,
};
use crate::{Builder, RecvError};

/// One receive waits and is dropped, while another is queued and two values come: none is lost, in
/// whichever receive it was.
fn beside_a_drop(builder: Builder<Value>) {
    let (tx, rx) = builder.channel();
    let mut first = Box::pin(rx.recv());
    assert!(poll_once(first.as_mut()).is_pending());
    let other = rx.clone();
    let receiver = spawn(move || (recv(&other), other));
    let sender = spawn(move || {
        assert_eq!((send(&tx, 1), send(&tx, 2)), (Ok(()), Ok(())));
        tx
    });
    drop(first);
    let mine = recv(&rx).unwrap();
    let (others, _other) = join(receiver);
    let tx = join(sender);
    assert_eq!(sorted(vec![mine, others.unwrap()]), [1, 2]);
    balance(&tx, 2, 2);
    assert_eq!((rx.len(), lost()), (0, vec![]));
}

#[test]
fn a_receive_is_dropped_while_values_are_handed_over_bounded() {
    large_model(|| beside_a_drop(Builder::bounded(1)));
}

#[test]
fn a_receive_is_dropped_while_values_are_handed_over_unlimited() {
    large_model(|| beside_a_drop(Builder::unlimited()));
}

/// A send meets the receive that waits, or the close does.
fn beside_a_close(builder: Builder<Value>) {
    let (tx, rx) = builder.channel();
    let mut first = Box::pin(rx.recv());
    assert!(poll_once(first.as_mut()).is_pending());
    let other = rx.clone();
    let closer = spawn(move || {
        assert!(other.close());
        other
    });
    let sender = spawn(move || (send(&tx, 1), tx));
    let got = block_on(first).map(Value::open);
    let (sent, tx) = join(sender);
    let _other = join(closer);
    assert_eq!(got, sent.map(|()| 1).map_err(|_| RecvError::Closed));
    balance(&tx, got.is_ok().into(), got.is_ok().into());
    assert_eq!(lost(), vec![]);
}

#[test]
fn a_value_is_handed_over_or_the_channel_is_closed_bounded() {
    large_model(|| beside_a_close(Builder::bounded(1)));
}

#[test]
fn a_value_is_handed_over_or_the_channel_is_closed_unlimited() {
    large_model(|| beside_a_close(Builder::unlimited()));
}
